"""MAAN: its pooling against the released layer and all subsets, and actions that it finds."""

from itertools import product

import numpy as np
import pytest
import torch
from released_methods import Reference, batch_of
from scipy.special import expit

from skdgam.datasets import make_untrimmed
from skdgam.losses import marginal_weights
from skdgam.methods import MAANLocalizer


@pytest.fixture(scope="module")
def reference(shared_file):
    return Reference(shared_file("reference/methods/maan.npz"), {})


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("i", range(4))
def test_pooling_and_gradients_are_those_of_the_released_layer(reference, i, dtype):
    p, x, cotangent = (
        torch.tensor(reference[f"video{i}.{name}"], dtype=dtype) for name in ("p", "x", "cotangent")
    )
    pooled = marginal_weights(p.requires_grad_()) @ x.requires_grad_()
    np.testing.assert_allclose(pooled.detach(), reference[f"video{i}.pooled"], atol=1e-6)
    (pooled @ cotangent).backward()
    for value, name in ((p, "p"), (x, "x")):
        expected = reference[f"video{i}.grad.{name}"]
        np.testing.assert_allclose(value.grad, expected, rtol=1e-5, atol=1e-5)


def test_weights_are_the_mean_over_all_subsets():
    p = np.array([0.9, 0.2, 0.5, 0.0, 1.0, 0.7])
    expected = np.zeros(6)
    for kept in product([0, 1], repeat=6):
        kept = np.array(kept)
        chance = np.where(kept, p, 1 - p).prod()
        expected += chance * kept / max(kept.sum(), 1)
    np.testing.assert_allclose(marginal_weights(torch.tensor(p)), expected, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 7, 400, 3000])
@pytest.mark.parametrize("level", [0.0, 0.01, 0.5, 1.0])
def test_weights_sum_to_the_chance_that_anything_is_kept(n, level):
    weights = marginal_weights(torch.full((n,), level))
    assert weights.sum().item() == pytest.approx(1 - (1 - level) ** n, abs=1e-4)
    assert weights.min().item() == pytest.approx(weights.max().item(), rel=1e-4)


def test_loss_and_probability_by_hand():
    weights = {
        "attention.0.weight": [[1.0, 0.0], [-1.0, 0.0]],  # relu(x) and relu(-x) make x again
        "attention.0.bias": [0.0, 0.0],
        "attention.1.weight": [[1.0, -1.0]],
        "attention.1.bias": [0.0],
        "classifier.weight": [[0.0, 1.0], [0.0, -1.0]],
        "classifier.bias": [0.5, 0.0],
    }
    arrays = {name: np.array(value, dtype=np.float32) for name, value in weights.items()}
    model = MAANLocalizer(attention_width=2, min_snippets=1)
    model._set_weights(np.arange(2), arrays, n_features=2)
    x = np.array([[50.0, 4.0], [0.0, 8.0]])  # kept for certain, and with a chance of one half
    pooled = 0.75 * 4 + 0.25 * 8
    expected = expit([pooled + 0.5, -pooled])
    np.testing.assert_allclose(model.predict_proba([x])[0], expected, rtol=1e-5)
    terms = model._losses(model._fitted_network(), batch_of([x], [[1, 0]]))
    loss = -np.log([expected[0], 1 - expected[1]]).mean()
    assert terms["classification"][1].item() == pytest.approx(loss, rel=1e-4)


def test_actions_without_context_are_found():
    X, y = make_untrimmed(
        n_videos=60, n_classes=2, n_features=12, context=0.0, noise=0.2, random_state=0
    )
    model = MAANLocalizer(max_epochs=100, min_snippets=1, learning_rate=3e-3, random_state=0)
    model.fit(X[:40], y[:40])
    assert model.history_["classification"][-1] < 0.9 * model.history_["classification"][0]
    assert model.set_params(tiou_thresholds=0.3).score(X[40:], y[40:]) > 0.3
