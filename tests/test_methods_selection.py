"""Snippets that are chosen in the videos of a batch, by hand and against one video at a time."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from released_methods import batch_of

from skdgam.methods._selection import highest, side_by_side


def batch_of_lengths(*lengths):
    return batch_of([np.zeros((n, 1)) for n in lengths], np.zeros((len(lengths), 1)))


def test_shorter_videos_are_filled_up_with_zeros():
    batch = batch_of_lengths(2, 3)
    found = side_by_side(torch.arange(1.0, 65.0), batch)
    assert found.tolist() == [[1, 2, 0], [3, 4, 5]]


def test_one_snippet_in_two_by_hand():
    batch = batch_of_lengths(5, 1, 2)
    values = torch.tensor([1.0, 5.0, 3.0, 5.0, 2.0, 0.0, 7.0, 8.0])
    chosen = highest(side_by_side(values, batch), 2, batch)
    assert chosen.rows[0].tolist() == [1, 3]  # of equals the earlier goes first
    assert chosen.rows[1:, 0].tolist() == [5, 7]
    assert chosen.shares.tolist() == [[0.5, 0.5], [1, 0], [1, 0]]
    assert chosen.mean(values[:, None])[:, 0].tolist() == [5, 0, 8]


def test_where_all_are_zero_the_earliest_are_chosen():
    batch = batch_of_lengths(4, 9)
    chosen = highest(side_by_side(torch.zeros(64), batch), 3, batch)
    assert chosen.rows[0, 0] == 0
    assert chosen.rows[1].tolist() == [4, 5, 6]


def test_the_gradient_of_a_mean_reaches_what_was_chosen():
    batch = batch_of_lengths(4, 2)
    values = torch.tensor([1.0, 2.0, 3.0, 0.0, 5.0, 4.0])
    features = torch.zeros(6, 1, requires_grad=True)
    chosen = highest(side_by_side(values, batch), 2, batch)
    (chosen.mean(features) * torch.tensor([[1.0], [10.0]])).sum().backward()
    assert features.grad[:, 0].tolist() == [0, 0.5, 0.5, 0, 10, 0]


@given(st.lists(st.integers(1, 12), min_size=1, max_size=5), st.integers(1, 6), st.integers(0, 9))
def test_each_video_is_chosen_from_as_if_it_were_alone(lengths, share, seed):
    batch = batch_of_lengths(*lengths)
    values = torch.rand(len(batch.x), generator=torch.Generator().manual_seed(seed))
    found = highest(side_by_side(values, batch), share, batch).mean(values[:, None])[:, 0]
    expected = [x.topk(max(len(x) // share, 1)).values.mean() for x in batch.of_videos(values)]
    torch.testing.assert_close(found, torch.stack(expected))
