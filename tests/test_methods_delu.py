"""DELU against outputs of its released implementation, and its evidence by hand."""

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
from skdgam.methods import DELULocalizer
from skdgam.methods.delu import evidential_loss, squared_evidential_loss, uncertainty_weights

TERMS = {"base": "mil_orig", "suppressed": "mil_supp", "coactivity": "contrastive"}
TERMS |= {"mutual": "mutual", "sparsity": "norm", "guide": "guide"}
TERMS |= {"evidence": "edl", "uncertainty": "uct_guide"}
STEP = 1000 / 5000  # that the fixture is of


@pytest.fixture(scope="module")
def reference(shared_file):
    return Reference(shared_file("reference/methods/delu.npz"), NAMES)


def fitted(reference, **params):
    without = {"dropout": 0.0, "attention_dropout": 0.0}
    model = DELULocalizer(**({"attention_width": 6, "snippet_seconds": 1.0} | without | params))
    return model._set_weights(np.arange(4), released_weights(reference, "weight."), n_features=16)


@pytest.mark.parametrize("run", ["train", "drop"])
def test_losses_and_gradients_are_those_of_the_released_implementation(reference, run):
    model = fitted(reference)
    network = model._fitted_network().requires_grad_(True)
    terms = model._losses(network, training_batch(reference, run, progress=STEP))
    assert_losses(terms, reference, run, TERMS)
    total(terms).backward()
    assert_gradients(network, released_weights(reference, f"{run}.grad."))


def test_the_loss_on_activitynet_is_that_of_the_released_implementation(reference):
    without = {"dropout": 0.0, "attention_dropout": 0.0}
    model = fitted(reference, **(presets.DELU_ACTIVITYNET12 | without))
    network = model._fitted_network().requires_grad_(True)
    terms = model._losses(network, training_batch(reference, progress=1000 / 22000))
    assert total(terms).item() == pytest.approx(float(reference["anet.loss_total"]), rel=1e-5)
    total(terms).backward()
    assert_gradients(network, released_weights(reference, "anet.grad."))


def test_the_squared_loss_is_that_of_the_released_implementation(reference):
    model = fitted(reference, squared_evidence=True, evidence_topk=5)
    terms = model._losses(model._fitted_network(), training_batch(reference))
    expected = float(reference["train.loss_edl_activitynet"])
    assert terms["evidence"][1].item() == pytest.approx(expected, rel=1e-5)


def test_one_step_ends_at_the_released_weights(reference):
    model = fitted(reference)
    network = model._fitted_network().requires_grad_(True)
    one_step(model, network, training_batch(reference, progress=STEP), learning_rate=5e-5)
    gradients = released_weights(reference, "train.grad.")
    after = released_weights(reference, "train.after.")
    assert_one_step(network, after, model.weights_, gradients, learning_rate=5e-5)


@pytest.mark.parametrize("i", range(4))
def test_detections_and_probabilities_are_those_of_the_released_implementation(reference, i):
    model, video = fitted(reference), reference[f"test{i}.x"]
    assert_detections(model.predict([video])[0], reference[f"test{i}.detections"])
    probability = reference[f"test{i}.class_score"]
    np.testing.assert_allclose(model.predict_proba([video])[0], probability, atol=1e-5)


@pytest.mark.parametrize("step", [0, 1250, 2500, 4999])
def test_the_curve_is_that_of_the_released_implementation(reference, step):
    # Evidence falls, so that the t-th most certain snippet is number t.
    falling = torch.linspace(2, -2, 40)[:, None]
    whole = batch_of([np.zeros((40, 1))], np.zeros((1, 1)), progress=step / 5000)
    rows = torch.nn.functional.pad(falling, (0, 0, 0, len(whole.x) - 40))
    found = uncertainty_weights(rows, whole, amplitude=0.7)
    np.testing.assert_allclose(found[:40], reference[f"curve.{step}_of_5000"], atol=1e-6)
    assert not found[40:].any()


def test_weights_of_snippets_by_hand():
    two = batch_of([np.zeros((1, 1)), np.zeros((3, 1))], np.zeros((2, 1)))
    logits = torch.zeros(len(two.x), 2)
    logits[1:4] = torch.tensor([[0.0, 1.0], [0.0, 0.0], [3.0, 0.0]])
    found = uncertainty_weights(logits, two, amplitude=0.5)[:4]
    # The most certain ones of the second video are its snippets 2, 0 and 1, in this order.
    rise = 0.5 * np.tanh(2 / 3)
    np.testing.assert_allclose(found, [1, 1 + rise, 1 - rise, 1], rtol=1e-6)


def test_evidence_by_hand():
    logits = torch.tensor([[3.0, 1.0, 0.0]]).log()  # A is 4, 2 and 1, of which 0 is cut off
    single, both = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[1.0, 1.0, 0.0]])
    certainty = 1 - 3 / 7
    expected = certainty * np.log(7 / 4)
    assert evidential_loss(logits, single).item() == pytest.approx(expected, rel=1e-4)
    # Shares of 1/4 and 1/2, and two labels.
    expected = certainty * 2 * (np.log(7 / 4) / 3 + np.log(7 / 2) * 2 / 3)
    assert evidential_loss(logits, both).item() == pytest.approx(expected, rel=1e-4)


def test_squared_evidence_by_hand():
    logits = torch.tensor([[3.0, 1.0, -5.0]])  # A is 4, 2 and 1
    found = squared_evidential_loss(logits, torch.tensor([[1.0, 0.0, 0.0]]))
    assert found.item() == pytest.approx((3**2 + 2**2 + 1) / 7**2)


def test_evidence_of_a_video_without_labels_has_no_loss_and_a_finite_gradient():
    logits = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = evidential_loss(logits, torch.zeros(2, 3))
    assert loss.tolist() == [0, 0]
    loss.sum().backward()
    assert not logits.grad.any()


def test_logits_beyond_all_bounds_have_a_finite_loss():
    logits = torch.tensor([[1e4, -1e4]], requires_grad=True)
    loss = evidential_loss(logits, torch.tensor([[0.0, 1.0]]))
    loss.sum().backward()
    assert loss.isfinite().all()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("seconds", [1.0, 0.64, 7.0])
def test_detections_of_one_snippet_are_dropped(reference, seconds):
    model, video = fitted(reference, snippet_seconds=seconds), reference["test1.x"]
    (found,) = model.predict([video])
    lengths = (found["end"] - found["start"]) / seconds
    assert lengths.min() == pytest.approx(2)
    assert len(found) == len(reference["test1.detections"])


def test_actions_without_context_are_found():
    X, y = make_untrimmed(
        n_videos=60, n_classes=2, n_features=(6, 6), context=0.0, noise=0.2, random_state=0
    )
    settings = {"attention_width": 16, "max_epochs": 60, "learning_rate": 5e-3}
    model = DELULocalizer(**settings, random_state=0).fit(X[:40], y[:40])
    for name in ("base", "suppressed"):  # the more certain a video is, the more evidence counts
        values = model.history_[name]
        assert values[-5:].mean() < 0.9 * values[:5].mean(), name
    assert model.set_params(tiou_thresholds=0.3).score(X[40:], y[40:]) > 0.3
