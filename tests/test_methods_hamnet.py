"""HAM-Net against outputs of its released implementation, and what its attention erases."""

import numpy as np
import pytest
import torch
from released_methods import (
    Reference,
    assert_detections,
    assert_gradients,
    assert_losses,
    assert_one_step,
    batch_of,
    one_step,
    total,
)

from skdgam import presets
from skdgam.datasets import make_untrimmed
from skdgam.methods import HAMNetLocalizer
from skdgam.methods.hamnet import _without_salient

NAMES = {
    "convolutions.0": "classifier.0",
    "convolutions.1": "classifier.2",
    "classifier": "classifier.5",
    "attention.first": "attention.0",
    "attention.second": "attention.2",
    "attention.last": "attention.4",
}
TERMS = {"base": "bcl", "hard": "hal", "soft": "sal", "semi_soft": "ssal"}
TERMS |= {"sparsity": "norm", "guide": "guide"}


@pytest.fixture(scope="module")
def reference(shared_file):
    return Reference(shared_file("reference/methods/hamnet.npz"), NAMES)


def fitted(reference, **params):
    settings = {"attention_width": 6, "dropout": 0.0, "snippet_seconds": 0.64} | params
    model = HAMNetLocalizer(**settings)
    return model._set_weights(np.arange(4), reference.weights("weight."), n_features=16)


def batch(reference, run="train", **changes):
    masks = None
    if run == "drop":
        mask = reference["drop.mask.classifier.4"].swapaxes(1, 2).reshape(240, 16)
        masks = [mask / 0.3, np.ones((240, 6))]  # its attention drops nothing
    return batch_of([*reference["train.x"]], reference["train.labels"], masks=masks, **changes)


@pytest.mark.parametrize("run", ["train", "drop"])
def test_losses_and_gradients_are_those_of_the_released_implementation(reference, run):
    model = fitted(reference)
    network = model._fitted_network().requires_grad_(True)
    terms = model._losses(network, batch(reference, run))
    assert_losses(terms, reference, run, TERMS)
    total(terms).backward()
    assert_gradients(network, reference.weights(f"{run}.grad."))


def test_what_the_network_says_is_that_of_the_released_implementation(reference):
    whole = batch(reference)
    attention, logits = fitted(reference)._fitted_network()(whole)
    np.testing.assert_allclose(attention[:240], reference["train.attn"].ravel(), atol=1e-5)
    np.testing.assert_allclose(logits[:240], reference["train.cas"].reshape(240, 5), atol=1e-5)
    semi_soft = _without_salient(attention, whole)[:240]
    np.testing.assert_allclose(semi_soft, reference["train.attn_drop"].ravel(), atol=1e-5)


def test_the_loss_on_activitynet_is_that_of_the_released_implementation(reference):
    settings = presets.HAMNET_ACTIVITYNET12 | {"dropout": 0.0}
    model = fitted(reference, **settings)
    network = model._fitted_network().requires_grad_(True)
    attention, logits = network(batch(reference))
    attention, logits = attention[:240].detach(), logits[:240].detach()
    np.testing.assert_allclose(attention, reference["anet.attn"].ravel(), atol=1e-5)
    np.testing.assert_allclose(logits, reference["anet.cas"].reshape(240, 5), atol=1e-5)
    loss = total(model._losses(network, batch(reference)))
    assert loss.item() == pytest.approx(float(reference["anet.loss_total"]), rel=1e-5)
    loss.backward()
    assert_gradients(network, reference.weights("anet.grad."))


def test_one_step_ends_at_the_released_weights(reference):
    model = fitted(reference)
    network = model._fitted_network().requires_grad_(True)
    one_step(model, network, batch(reference), learning_rate=1e-5)
    gradients, after = reference.weights("train.grad."), reference.weights("train.after.")
    assert_one_step(network, after, model.weights_, gradients, learning_rate=1e-5)


@pytest.mark.parametrize("i", range(4))
def test_detections_and_probabilities_are_those_of_the_released_implementation(reference, i):
    model, video = fitted(reference), reference[f"test{i}.x"]
    assert_detections(model.predict([video])[0], reference[f"test{i}.detections"])
    probability = reference[f"test{i}.class_score"]
    np.testing.assert_allclose(model.predict_proba([video])[0], probability, atol=1e-5)


def test_salient_snippets_are_those_of_each_video():
    attention = torch.tensor([0.5, 0.09, 0.1, 0.02, 0.05, 0.009])
    two = batch_of([np.zeros((3, 1)), np.zeros((3, 1))], np.zeros((2, 1)))
    padded = torch.nn.functional.pad(attention, (0, len(two.x) - 6))
    # A fifth of the highest is 0.1 and 0.01.
    expected = torch.tensor([0, 0.09, 0, 0, 0, 0.009])
    torch.testing.assert_close(_without_salient(padded, two)[:6], expected)


def test_a_video_of_improbable_classes_yields_nothing(reference):
    model, video = fitted(reference, class_threshold=1.0), reference["test0.x"]
    assert len(model.predict([video])[0]) == 0


def test_actions_without_context_are_found():
    X, y = make_untrimmed(
        n_videos=60, n_classes=2, n_features=12, context=0.0, noise=0.2, random_state=0
    )
    model = HAMNetLocalizer(attention_width=16, max_epochs=60, random_state=0).fit(X[:40], y[:40])
    for name in ("base", "soft"):
        values = model.history_[name]
        assert values[-5:].mean() < 0.9 * values[:5].mean(), name
    assert model.set_params(tiou_thresholds=0.3).score(X[40:], y[40:]) > 0.3


def test_weights_begin_as_released():
    network = HAMNetLocalizer(attention_width=50)._fresh_network(100, 20, seed=0)
    for layer, n_inputs in ((network.convolutions[0], 300), (network.attention.first, 300)):
        assert not layer.bias.any()
        bound = np.sqrt(6 / n_inputs)
        assert 0.99 * bound < layer.weight.abs().max().item() <= bound
