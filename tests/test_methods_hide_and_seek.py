"""Hide-and-Seek: what is hidden, its loss and localization by hand, and actions that it finds."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from released_methods import batch_of
from scipy.special import log_softmax, softmax

from skdgam.clock import SnippetClock
from skdgam.datasets import make_untrimmed
from skdgam.localization import Activation
from skdgam.methods import HideAndSeekLocalizer
from skdgam.methods.hide_and_seek import shown
from skdgam.training.batches import Deviates

CPU = torch.device("cpu")


def in_training(*lengths, seed=0):
    batch = batch_of([np.ones((n, 2)) for n in lengths], [[1, 0]] * len(lengths))
    rng = np.random.default_rng(seed)
    return replace(batch, deviates=Deviates(0, CPU, torch.float32), rng=rng)


def test_segments_are_hidden_as_a_whole_with_the_probability_asked_for():
    batch, drawn = in_training(200, 45), []
    for _ in range(200):
        long, short = batch.of_videos(shown(batch, 20, 0.3))
        segments = long.view(20, 10)
        assert torch.equal(segments.any(dim=1), segments.all(dim=1))
        assert (short.int().diff() != 0).sum() <= 19
        drawn.append(segments[:, 0].float())
    assert torch.stack(drawn).mean().item() == pytest.approx(0.7, abs=0.03)
    assert torch.stack(drawn).std(dim=0).min() > 0.3  # each of them is hidden now and then


@pytest.mark.parametrize("n", [1, 3, 20])
def test_something_is_always_shown(n):
    batch = in_training(n, n)
    for _ in range(50):
        assert all(video.any() for video in batch.of_videos(shown(batch, 4, 0.99)))


def test_segments_begin_at_whole_shares_of_the_rows():
    batch, edges = in_training(45), set()
    for _ in range(100):
        (rows,) = batch.of_videos(shown(batch, 20, 0.5))
        edges |= {t + 1 for t in range(44) if rows[t] != rows[t + 1]}
    assert edges == {j * 45 // 20 for j in range(1, 20)}


def test_rows_without_a_video_are_not_shown():
    assert not shown(in_training(5), 20, 0.0)[5:].any()


def fitted(**params):
    """The features are the hidden features, if not negative, and the logits of two classes."""
    middle = np.concatenate([np.zeros((2, 2)), np.eye(2), np.zeros((2, 2))], axis=1)
    weights = {
        **{"first.weight": middle, "first.bias": np.zeros(2)},
        **{"second.weight": middle, "second.bias": np.zeros(2)},
        **{"classifier.weight": np.eye(2), "classifier.bias": np.array([0.0, 0.5])},
    }
    arrays = {name: value.astype(np.float32) for name, value in weights.items()}
    model = HideAndSeekLocalizer(hidden=2, **params)
    return model._set_weights(np.arange(2), arrays, n_features=2)


X = np.array([[1.0, 0.0], [0.0, 3.0], [2.0, -9.0]])


def test_loss_by_hand():
    model = fitted(hidden_share=0.5)
    terms = model._losses(model._fitted_network(), batch_of([X, X], [[1, 0], [1, 1]]))
    log_p = log_softmax([2.0, 3.5])  # nothing is hidden without noise
    expected = -(log_p[0] + log_p.mean()) / 2
    assert terms["classification"][1].item() == pytest.approx(expected, rel=1e-5)


def test_what_is_hidden_has_no_part_in_the_loss():
    model, batch = fitted(hidden_share=0.5, n_segments=4), in_training(4, 4)
    network = model._fitted_network()
    seen = {round(model._losses(network, batch)["classification"][1].item(), 4) for _ in range(20)}
    assert len(seen) == 1  # all rows are alike, and some are shown
    rows = batch.x.clone()
    rows[0, 0] = 10.0
    batch = replace(batch, x=rows)
    seen = {round(model._losses(network, batch)["classification"][1].item(), 4) for _ in range(20)}
    assert len(seen) == 2


def test_a_video_is_classified_as_in_training():
    np.testing.assert_allclose(fitted().predict_proba([X])[0], softmax([2.0, 3.5]), rtol=1e-5)


def test_proposals_by_hand():
    tcam = np.array([[0.0], [2.0], [1.1], [1.0], [-5.0], [1.5]])
    activation = Activation(np.ones(6), tcam, np.zeros(1), np.array([0.9]))
    found = fitted()._propose(activation, SnippetClock(1.0))
    assert found[["start", "end", "score"]].tolist() == [(1, 3, 2.0), (5, 6, 1.5)]


def test_actions_without_context_are_found():
    X, y = make_untrimmed(
        n_videos=60, n_classes=2, n_features=12, context=0.0, noise=0.2, random_state=0
    )
    model = HideAndSeekLocalizer(hidden=32, max_epochs=60, learning_rate=5e-3, random_state=0)
    model.fit(X[:40], y[:40])
    assert model.history_["classification"][-1] < 0.9 * model.history_["classification"][0]
    assert model.set_params(tiou_thresholds=0.3).score(X[40:], y[40:]) > 0.3
