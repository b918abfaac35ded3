"""CO2-Net against outputs of its released implementation, and what its streams learn."""

import numpy as np
import pytest
import torch
from released_consensus import NAMES, released_weights, training_batch
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
from skdgam.methods import CO2NetLocalizer

TERMS = {"base": "mil_orig", "suppressed": "mil_supp", "coactivity": "contrastive"}
TERMS |= {"mutual": "mutual", "sparsity": "norm", "guide": "guide"}


@pytest.fixture(scope="module")
def reference(shared_file):
    return Reference(shared_file("reference/methods/co2net.npz"), NAMES)


def fitted(reference, **params):
    without = {"dropout": 0.0, "attention_dropout": 0.0}
    model = CO2NetLocalizer(**({"attention_width": 6, "snippet_seconds": 1.0} | without | params))
    return model._set_weights(np.arange(4), released_weights(reference, "weight."), n_features=16)


def rows(array):
    return array.reshape(400, -1)


@pytest.mark.parametrize("run", ["train", "drop"])
def test_what_the_network_says_is_that_of_the_released_implementation(reference, run):
    network = fitted(reference)._fitted_network()
    features, logits, attention = network.describe(training_batch(reference, run))
    expected = np.concatenate(
        [rows(reference[f"{run}.{name}"]) for name in ("attn", "v_atn", "f_atn")], axis=1
    )
    np.testing.assert_allclose(attention[:400], expected, atol=1e-5)
    np.testing.assert_allclose(features[:400], rows(reference[f"{run}.feat"]), atol=1e-5)
    np.testing.assert_allclose(logits[:400], rows(reference[f"{run}.cas"]), atol=1e-5)


@pytest.mark.parametrize("run", ["train", "drop"])
def test_losses_and_gradients_are_those_of_the_released_implementation(reference, run):
    model = fitted(reference)
    network = model._fitted_network().requires_grad_(True)
    terms = model._losses(network, training_batch(reference, run))
    assert_losses(terms, reference, run, TERMS)
    total(terms).backward()
    assert_gradients(network, released_weights(reference, f"{run}.grad."))


def test_the_loss_on_activitynet_is_that_of_the_released_implementation(reference):
    without = {"dropout": 0.0, "attention_dropout": 0.0}
    model = fitted(reference, **(presets.CO2NET_ACTIVITYNET12 | without))
    network = model._fitted_network().requires_grad_(True)
    loss = total(model._losses(network, training_batch(reference)))
    assert loss.item() == pytest.approx(float(reference["anet.loss_total"]), rel=1e-5)
    loss.backward()
    assert_gradients(network, released_weights(reference, "anet.grad."))


def test_one_step_ends_at_the_released_weights(reference):
    model = fitted(reference)
    network = model._fitted_network().requires_grad_(True)
    one_step(model, network, training_batch(reference), learning_rate=5e-5)
    gradients = released_weights(reference, "train.grad.")
    after = released_weights(reference, "train.after.")
    assert_one_step(network, after, model.weights_, gradients, learning_rate=5e-5)


@pytest.mark.parametrize("i", range(4))
def test_detections_and_probabilities_are_those_of_the_released_implementation(reference, i):
    model, video = fitted(reference), reference[f"test{i}.x"]
    assert_detections(model.predict([video])[0], reference[f"test{i}.detections"])
    probability = reference[f"test{i}.class_score"]
    np.testing.assert_allclose(model.predict_proba([video])[0], probability, atol=1e-5)


def test_scores_do_not_depend_on_the_unit_of_time(reference):
    video = reference["test1.x"]
    in_snippets, in_seconds = (
        fitted(reference, snippet_seconds=seconds).predict([video])[0] for seconds in (1.0, 0.64)
    )
    np.testing.assert_allclose(in_seconds["end"], 0.64 * in_snippets["end"])
    np.testing.assert_allclose(in_seconds["score"], in_snippets["score"], atol=1e-9)


def test_the_streams_pull_at_each_other_with_half_of_the_gradient(reference):
    model = fitted(reference)
    x = torch.tensor([[0.5, 0.2, 0.8], [0.5, 0.5, 0.5]])
    two = batch_of([np.zeros((1, 16))] * 2, np.zeros((2, 4)))
    attention = torch.nn.functional.pad(x, (0, 0, 0, len(two.x) - 2)).requires_grad_()
    empty = torch.zeros(len(two.x), 5)
    value = model._terms(two, empty, empty, attention)["mutual"][1]
    assert value.item() == pytest.approx(0.36 / 2)
    value.backward()
    np.testing.assert_allclose(attention.grad[0], [0, -0.3, 0.3], atol=1e-6)


@pytest.mark.parametrize("n_features", [1, 7])
def test_streams_may_have_different_widths(n_features):
    X, y = make_untrimmed(n_videos=8, n_classes=2, n_features=n_features, random_state=0)
    model = CO2NetLocalizer(attention_width=4, max_epochs=1, random_state=0).fit(X, y)
    assert all(len(a) == len(x) for a, x in zip(model.attention(X), X, strict=True))


def test_actions_without_context_are_found():
    X, y = make_untrimmed(
        n_videos=60, n_classes=2, n_features=(6, 6), context=0.0, noise=0.2, random_state=0
    )
    settings = {"attention_width": 16, "max_epochs": 60, "learning_rate": 5e-3}
    model = CO2NetLocalizer(**settings, random_state=0).fit(X[:40], y[:40])
    for name in ("base", "suppressed"):
        values = model.history_[name]
        assert values[-5:].mean() < 0.9 * values[:5].mean(), name
    assert model.set_params(tiou_thresholds=0.3).score(X[40:], y[40:]) > 0.3


def test_weights_begin_as_released():
    network = CO2NetLocalizer(attention_width=50)._fresh_network(200, 20, seed=0)
    for layer in (network.first.of_video, network.second.of_snippets):
        assert not layer.bias.any()
        bound = np.sqrt(6 / 300)  # a gate of the whole video is a convolution of three, too
        assert 0.99 * bound < layer.weight.abs().max().item() <= bound
