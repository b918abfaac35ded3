"""ACM-Net against outputs of its released implementation, and its feature loss by hand."""

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
from skdgam.methods import ACMNetLocalizer
from skdgam.methods.acmnet import step_loss

NAMES = {
    "body": "feature_embedding.0",
    "attention": "att_branch",
    "classifier": "snippet_cls",
}
TERMS = {
    "classification": "inst",
    "context": "cont",
    "background": "back",
    "guide": "guide",
    "feature": "feat",
    "sparsity": "sparse",
}
RUNS = pytest.mark.parametrize("run", ["train", "drop"])


@pytest.fixture(scope="module")
def reference(shared_file):
    return Reference(shared_file("reference/methods/acmnet.npz"), NAMES)


def fitted(reference, **params):
    settings = {"standardize": False, "snippet_seconds": 0.64, "max_snippets": 40}
    model = ACMNetLocalizer(**(settings | params))
    return model._set_weights(np.arange(4), reference.weights("weight."), n_features=16)


def batch(reference, run):
    masks = [np.ones((200, 1))] * 4  # of the input, of attention, and the two before the classifier
    if run == "drop":
        masks[2:] = [reference[f"drop.mask.dropout{k}"].reshape(200, -1) / 0.3 for k in ("", "#1")]
    return batch_of(reference["train.x"], reference["train.labels"], masks=masks)


@RUNS
def test_losses_and_gradients_are_those_of_the_released_implementation(reference, run):
    model = fitted(reference)
    network = model._fitted_network().requires_grad_(True)
    terms = model._losses(network, batch(reference, run))
    assert_losses(terms, reference, run, TERMS)
    total(terms).backward()
    assert_gradients(network, reference.weights(f"{run}.grad."))


def test_one_step_ends_at_the_released_weights(reference):
    model = fitted(reference)
    network = model._fitted_network().requires_grad_(True)
    one_step(model, network, batch(reference, "train"))
    gradients = reference.weights("train.grad.")
    assert_one_step(network, reference.weights("train.after."), model.weights_, gradients)


@pytest.mark.parametrize("i", range(4))
def test_detections_are_those_of_the_released_implementation(reference, i):
    model, video = fitted(reference), reference[f"test{i}.video"]
    assert_detections(model.predict([video])[0], reference[f"test{i}.detections"])
    probability = reference[f"test{i}.inst_score"][:-1]
    np.testing.assert_allclose(model.predict_proba([video])[0], probability, atol=1e-6)


def of_activitynet(reference):
    params = presets.ACMNET_ACTIVITYNET13 | {"max_snippets": 40}
    return fitted(reference, **params)


def test_the_variant_for_activitynet_trains_as_released(reference):
    model = of_activitynet(reference)
    network = model._fitted_network().requires_grad_(True)
    loss = total(model._losses(network, batch(reference, "train")))
    assert loss.item() == pytest.approx(float(reference["anet.loss_total"]), rel=1e-5)
    loss.backward()
    assert_gradients(network, reference.weights("anet.grad."))


@pytest.mark.parametrize("i", range(2))
def test_the_variant_for_activitynet_finds_what_is_released(reference, i):
    found = of_activitynet(reference).predict([reference[f"test{i}.video"]])[0]
    assert_detections(found, reference[f"anet.test{i}.detections"])


def test_features_of_a_branch_are_to_be_longer_than_those_of_the_next():
    lengths = torch.tensor([[9.0, 4.0], [5.0, 5.0], [0.0, 2.0]])
    # 4 apart and 5 apart are enough for a margin of 4; in the other video 5 and 1 are missing.
    assert step_loss([*lengths], 4.0).tolist() == [0, (5 + 1 + 2) ** 2]


def test_a_video_without_labels_is_background(reference):
    model = fitted(reference, dropout=0.0)
    video = reference["train.x"][0]
    terms = model._losses(model._fitted_network(), batch_of([video], [[0] * 4]))
    background = 1 - model.predict_proba([video]).sum()
    assert terms["classification"][1].item() == pytest.approx(-np.log(background), rel=1e-4)


def test_snippets_and_their_features_are_dropped():
    X, y = make_untrimmed(n_videos=12, n_classes=2, random_state=0)
    settings = {"max_epochs": 1, "batch_size": 12, "random_state": 0}
    found = [
        ACMNetLocalizer(**settings, **changes).fit(X, y).history_
        for changes in ({"dropout": 0.0}, {}, {"input_dropout": 0.7})
    ]
    whole, dropped, inputs = (history["classification"][0] for history in found)
    assert len({whole, dropped, inputs}) == 3
    whole, dropped, inputs = (history["feature"][0] for history in found)
    assert whole == dropped != inputs  # features are those that are not dropped


def test_actions_without_context_are_found():
    X, y = make_untrimmed(
        n_videos=60, n_classes=2, n_features=12, context=0.0, noise=0.2, random_state=0
    )
    model = ACMNetLocalizer(hidden=64, max_epochs=60, learning_rate=3e-3, random_state=0)
    model.fit(X[:40], y[:40])
    for name in ("classification", "background", "feature"):
        values = model.history_[name]
        assert values[-5:].mean() < 0.9 * values[:5].mean(), name
    assert model.set_params(tiou_thresholds=0.3).score(X[40:], y[40:]) > 0.3
