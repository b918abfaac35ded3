"""STPN: its loss, pooling and localization worked out by hand, and actions that it finds."""

import numpy as np
import pytest
import torch
from scipy.special import expit

from skdgam import MultiStreamLocalizer, presets
from skdgam.clock import SnippetClock
from skdgam.datasets import make_untrimmed
from skdgam.localization import Activation
from skdgam.methods import STPNLocalizer
from skdgam.training.batches import Batch, to_rows

CLOCK = SnippetClock(1.0)


def fitted(attention, classifier, bias, **params):
    """A localizer of two features, of which the first is the logit of attention."""
    weights = {
        "attention.0.weight": [[1.0, 0.0], [-1.0, 0.0]],  # relu(x) and relu(-x) make x again
        "attention.0.bias": [0.0, 0.0],
        "attention.1.weight": [[attention, -attention]],
        "attention.1.bias": [0.0],
        "classifier.weight": classifier,
        "classifier.bias": bias,
    }
    arrays = {name: np.array(value, dtype=np.float32) for name, value in weights.items()}
    settings = {"attention_width": 2, "min_snippets": 1, "snippet_seconds": 1.0} | params
    return STPNLocalizer(**settings)._set_weights(np.arange(len(bias)), arrays, 2)


def batch_of(X, labels, n_snippets):
    lengths = np.array([len(x) for x in X])
    x = to_rows([np.array(x, dtype=np.float32) for x in X], torch.float32)
    return Batch(x, lengths, torch.tensor(labels), np.full(len(X), n_snippets), len(X))


def test_loss_by_hand():
    model = fitted(1.0, [[0.0, 1.0], [0.0, -1.0]], [0.5, 0.0], sparsity=0.1)
    # Attention is 1/2 for the first video, which counts as four snippets.
    batch = batch_of([[[0.0, 2.0], [0.0, 6.0]], [[50.0, 1.0]]], [[1.0, 0.0], [0.0, 1.0]], 4)
    terms = model._losses(model._fitted_network(), batch)
    pooled = np.array([[2.0 + 0.5, -2.0], [1.0 + 0.5, -1.0]])
    expected = -np.log([expit(pooled[0, 0]), expit(2.0), expit(-1.5), expit(-1.0)]).mean()
    assert terms["classification"][1].item() == pytest.approx(expected, rel=1e-6)
    weight, value = terms["sparsity"]
    assert (weight, value.item()) == (0.1, pytest.approx((4 * 0.5 + 4 * 1.0) / 2))


def test_a_video_is_classified_as_in_training():
    model = fitted(1.0, [[0.0, 1.0], [0.0, -1.0]], [0.5, 0.0])
    proba = model.predict_proba([np.array([[0.0, 2.0], [0.0, 6.0]])])
    np.testing.assert_allclose(proba, expit([[2.5, -2.0]]), rtol=1e-6)


def test_proposals_by_hand():
    # 24 points a snippet: ψ rises over snippet 1 and falls over snippet 2, whose points reach 0.3
    # from the 15th of 24 on, up to the tenth: ψ is 0.48 where λ is 1 and the activation is 0.
    attention = np.array([0.0, 0.0, 1.0, 0.0, 0.0])
    tcam = np.zeros((5, 1))
    activation = Activation(attention, tcam, np.zeros(1), np.array([0.7]))
    model = fitted(1.0, [[0.0, 1.0]], [0.0], proposal_threshold=0.3)
    (found,) = model._propose(activation, CLOCK)
    assert found["start"] == pytest.approx(1 + 15 / 24)  # 0.5 · 15 / 24 = 0.3125
    assert found["end"] == pytest.approx(2 + 10 / 24)
    assert found["score"] == 0


def test_the_score_is_the_mean_of_both_streams_under_this_attention():
    attention = np.array([0.0, 1.0, 1.0, 1.0, 1.0])
    of_stream = [
        Activation(attention, np.full((5, 1), value), np.zeros(1), np.ones(1))
        for value in (2.0, 4.0)
    ]
    model = fitted(1.0, [[0.0, 1.0]], [0.0], proposal_threshold=0.87, stream_weight=0.25)
    (found,) = model._propose(of_stream[0], CLOCK, of_stream[1:])
    assert found["score"] == pytest.approx(0.25 * 2 + 0.75 * 4, abs=0.02)
    assert found["end"] == 5


@pytest.mark.parametrize(("probability", "n_found"), [(0.1, 0), (0.11, 1)])
def test_classes_above_the_threshold_are_searched_for(probability, n_found):
    activation = Activation(np.ones(3), np.ones((3, 1)), np.zeros(1), np.array([probability]))
    assert len(fitted(1.0, [[0.0, 1.0]], [0.0])._propose(activation, CLOCK)) == n_found


def test_a_threshold_of_zero_takes_only_what_is_above_it():
    attention = np.array([0.0, 0.0, 1.0, 1.0])
    activation = Activation(attention, np.ones((4, 1)), np.zeros(1), np.ones(1))
    (found,) = fitted(1.0, [[0.0, 1.0]], [0.0], proposal_threshold=0.0)._propose(activation, CLOCK)
    assert found["start"] == pytest.approx(1 + 1 / 24)


def test_actions_without_context_are_found():
    X, y = make_untrimmed(
        n_videos=60, n_classes=2, n_features=12, context=0.0, noise=0.2, random_state=0
    )
    model = STPNLocalizer(max_epochs=80, min_snippets=1, random_state=0).fit(X[:40], y[:40])
    assert model.history_["classification"][-1] < 0.9 * model.history_["classification"][0]
    assert model.set_params(tiou_thresholds=0.3).score(X[40:], y[40:]) > 0.3


def test_the_preset_is_for_two_streams():
    one = STPNLocalizer(**presets.STPN_THUMOS14)
    assert (one.batch_size, one.n_snippets, one.sparsity) == (6, 400, 1e-4)
    MultiStreamLocalizer([("rgb", one, slice(0, 2)), ("flow", one, slice(2, 4))])
