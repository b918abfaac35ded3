"""UntrimmedNet: both selections and the localization by hand, and actions that it finds."""

import numpy as np
import pytest
from released_methods import batch_of
from scipy.special import log_softmax, softmax

from skdgam.clock import SnippetClock
from skdgam.datasets import make_untrimmed
from skdgam.localization import Activation
from skdgam.methods import UntrimmedNetLocalizer

CLOCK = SnippetClock(1.0)
BOTH = pytest.mark.parametrize("selection", ["soft", "hard"])


def fitted(selection="soft", **params):
    """Of three features, two are the logits of classes, and the last one is that of attention."""
    weights = {"classifier.weight": np.eye(2, 3), "classifier.bias": np.zeros(2)}
    if selection == "soft":
        weights |= {"attention.weight": np.eye(3)[2:], "attention.bias": np.zeros(1)}
    arrays = {name: value.astype(np.float32) for name, value in weights.items()}
    model = UntrimmedNetLocalizer(selection=selection, dropout=0.0, **params)
    return model._set_weights(np.arange(2), arrays, n_features=3)


def loss_of(model, X, labels):
    terms = model._losses(model._fitted_network(), batch_of(X, labels))
    return terms["classification"][1].item()


X = np.array([[1, 0, 2], [2, 1, 0], [3, 2, 1], [0, 3, -1], [0, 5, 0]], dtype=float)
SHOTS = np.array([[2, 1, 1], [0, 4, -0.5]])  # means of the first three, and of the other two


@pytest.mark.parametrize(("labels", "shares"), [([0, 1], [0, 1]), ([1, 1], [0.5, 0.5])])
def test_soft_selection_by_hand(labels, shares):
    p = softmax(SHOTS[:, 2]) @ softmax(SHOTS[:, :2], axis=1)
    assert loss_of(fitted(), [X], [labels]) == pytest.approx(-np.array(shares) @ np.log(p))


def test_hard_selection_by_hand():
    # Of seven shots the three highest of each class count, in whatever shots they are.
    shots = np.zeros((7, 3))
    shots[:, 0], shots[:, 1] = [7, 1, 5, 0, 6, 2, 3], [0, 9, 1, 8, 1, 2, 7]
    loss = loss_of(fitted("hard"), [np.repeat(shots, 3, axis=0)], [[1, 0]])
    assert loss == pytest.approx(-log_softmax([6.0, 8.0])[0], rel=1e-5)


def test_of_few_shots_one_is_selected():
    assert loss_of(fitted("hard"), [X], [[1, 0]]) == pytest.approx(-log_softmax([2.0, 4.0])[0])


def test_a_video_without_labels_has_no_loss():
    assert loss_of(fitted(), [X], [[0, 0]]) == 0


def test_whole_videos_are_classified_with_less_attention_than_parts():
    expected = softmax(softmax(X[:, 2] / 3) @ X[:, :2])
    model = fitted(standardize=False)
    np.testing.assert_allclose(model.predict_proba([X])[0], expected, rtol=1e-5)


def test_proposals_by_hand():
    p = np.array([0.1, 0.1, 0.9, 0.6, 0.1, 0.1, 0.1])
    # Averaged with the next: 0.1, 0.5, 0.75, 0.35, 0.1, 0.1, 0.1; above 0.375 are snippets 1 and 2,
    # and one more follows.
    tcam = np.log(np.column_stack([p, 1 - p]))
    activation = Activation(np.ones(7), tcam, np.zeros(2), np.array([0.6, 0.1]))
    (found,) = fitted()._propose(activation, CLOCK)
    assert (found["start"], found["end"], found["label"]) == (1, 4, 0)
    assert found["score"] == pytest.approx((0.5 + 0.75 + 0.35) / 3 + 0.2 * 0.6)


def test_runs_that_touch_are_one_and_none_goes_beyond_the_end():
    p = np.array([0.9, 0.9, 0.1, 0.1, 0.9, 0.9])
    tcam = np.log(np.column_stack([p, 1 - p]))
    activation = Activation(np.ones(6), tcam, np.zeros(2), np.array([0.6, 0.1]))
    found = fitted(proposal_threshold=0.6)._propose(activation, CLOCK)
    assert found[["start", "end"]].tolist() == [(0, 2), (4, 6)]
    found = fitted(proposal_threshold=0.5)._propose(activation, CLOCK)
    assert found[["start", "end"]].tolist() == [(0, 6)]


def test_streams_are_averaged():
    one, other = (
        Activation(np.ones(2), np.log([[p, 1 - p]] * 2), np.zeros(2), np.array([p, 1 - p]))
        for p in (0.8, 0.4)
    )
    found = fitted()._propose(one, CLOCK, [other])
    assert found["score"][0] == pytest.approx(0.6 + 0.2 * 0.6)


@BOTH
def test_actions_without_context_are_found(selection):
    X, y = make_untrimmed(
        n_videos=60, n_classes=2, n_features=12, context=0.0, noise=0.2, random_state=0
    )
    model = UntrimmedNetLocalizer(
        selection=selection, max_epochs=60, learning_rate=1e-2, dropout=0.2, random_state=0
    ).fit(X[:40], y[:40])
    assert model.history_["classification"][-1] < 0.9 * model.history_["classification"][0]
    assert model.set_params(tiou_thresholds=0.3).score(X[40:], y[40:]) > 0.2
