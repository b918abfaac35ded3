"""What methods share that suppress snippets by attention, worked out by hand."""

import numpy as np
import pytest
import torch
from released_methods import batch_of

from skdgam.clock import SnippetClock
from skdgam.localization import Activation
from skdgam.methods import HAMNetLocalizer
from skdgam.methods._suppression import guide, leaky, moving_average


def test_values_below_0_leak():
    assert leaky(torch.tensor([-10.0, 0.0, 10.0])).tolist() == [-2, 0, 10]


def test_a_moving_average_counts_0_beyond_the_ends_of_each_video():
    batch = batch_of([np.zeros((3, 1)), np.zeros((1, 1))], np.zeros((2, 1)))
    values = torch.zeros(len(batch.x), 2)
    values[:4] = torch.tensor([[3.0, 0.0], [6.0, 9.0], [3.0, 0.0], [30.0, 3.0]])
    found = moving_average(values, batch, 1)
    assert found[:4].tolist() == [[3, 3], [4, 3], [3, 3], [10, 1]]
    assert torch.equal(moving_average(values, batch, 0), values)


def test_attention_is_guided_to_the_probability_of_any_action():
    logits = torch.tensor([[1.0, 1.0, 2.0], [1.0, 2.0, 1.0]]).log()  # background is 1/2 and 1/4
    attention = torch.tensor([[0.5, 1.0], [0.75, 0.25]])
    torch.testing.assert_close(guide(attention, logits), torch.tensor([0.25, 0.25]))


def test_proposals_lower_the_scores_of_others_that_they_overlap_or_nearly_touch():
    model = HAMNetLocalizer(proposal_threshold=0.5, eta=0.0)
    model.classes_ = np.arange(1)
    attention = np.array([1.0, 0.0, 1.0, 0.0, 0.0])
    tcam = np.array([[4.0], [0.0], [2.0], [0.0], [0.0]])
    activation = Activation(attention, tcam, np.zeros(1), np.ones(1))
    for seconds, overlap in ((2.0, 0.0), (0.5, 0.5 / 2.5)):
        # Each is a second longer, of which the next one, half a second on, has a part.
        found = model._suppress(model._propose(activation, SnippetClock(seconds)))
        expected = [4.2, 2.2 * np.exp(-(overlap**2) / 0.3)]
        assert found["score"].tolist() == pytest.approx(expected)
