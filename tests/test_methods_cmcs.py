"""CMCS against outputs of its released implementation, and its losses by hand."""

import numpy as np
import pytest
import torch
from released_methods import (
    Reference,
    assert_detections,
    assert_gradients,
    assert_one_step,
    batch_of,
    one_step,
    total,
)
from scipy.special import softmax

from skdgam import losses, presets
from skdgam.clock import SnippetClock
from skdgam.datasets import make_untrimmed
from skdgam.localization import Activation
from skdgam.methods import CMCSLocalizer

NAMES = {
    "body": "base.base_conv_0",
    "attention.0": "att_bottom.att_conv_0",
    "attention.1": "att_head",
    **{f"convolutions.{i}": f"cls_bottoms.{i}.cls_b{i}_conv_0" for i in range(4)},
    **{f"classifiers.{i}": f"cls_heads.{i}" for i in range(4)},
}


@pytest.fixture(scope="module")
def reference(shared_file):
    return Reference(shared_file("reference/methods/cmcs.npz"), NAMES)


def fitted(reference, network="both", **params):
    widths = {"hidden": 12, "branch_width": 6, "attention_width": 5, "batch_size": 6}
    model = CMCSLocalizer(**(widths | {"dropout": 0.0} | params))
    n_features = 16 if network == "both" else 8
    return model._set_weights(np.arange(4), reference.weights(f"weight.{network}."), n_features)


def items(reference, **changes):
    """The training items: each a video, one label of it, and a weight."""
    X, labels = [], np.zeros((6, 4))
    for row, (video, label, _) in enumerate(reference["train.items"].astype(int)):
        X.append(reference["train.video_bg" if video < 0 else f"train.video{video}"])
        labels[row, label : label + 1] = 1  # background is label 4, which has no column
    return batch_of(X, labels, weights=reference["train.items"][:, 2], **changes)


def masked(reference):
    lengths = [len(reference[f"train.video{i}"]) for i in range(4)]
    video = reference["train.items"][:, 0].astype(int)
    n_rows = [11 if v < 0 else lengths[v] for v in video]
    return items(reference, masks=[np.repeat(reference["drop.mask_features"], n_rows, axis=0)])


@pytest.mark.parametrize("run", ["train", "drop"])
def test_losses_and_gradients_are_those_of_the_released_implementation(reference, run):
    model = fitted(reference)
    network = model._fitted_network().requires_grad_(True)
    terms = model._losses(network, items(reference) if run == "train" else masked(reference))
    for ours, theirs in (("classification", "cls"), ("diversity", "div"), ("balance", "norm")):
        weight, value = terms[ours]  # theirs are weighted, and added up over the items
        expected = reference[f"{run}.loss_{theirs}"].sum()
        assert 6 * weight * value.item() == pytest.approx(expected, rel=1e-5), ours
    loss = 6 * total(terms)
    assert loss.item() == pytest.approx(float(reference[f"{run}.loss_total"]), rel=1e-5)
    loss.backward()
    assert_gradients(network, reference.weights(f"{run}.grad."))


def test_one_step_ends_at_the_released_weights(reference):
    model = fitted(reference)
    network = model._fitted_network().requires_grad_(True)
    one_step(model, network, items(reference))
    gradients = reference.weights("train.grad.")
    assert_one_step(network, reference.weights("train.after."), model.weights_, gradients)


def heads(reference, model, video):
    """Mean over crops of scores (n_snippets, n_classes + 1) and of those of the video."""
    logits = np.stack([*model._map_snippets(lambda net, batch: net(batch)[1], video)])
    scores = logits[..., :-1].astype(np.float64)
    pooled = np.einsum("nt,ntc->nc", softmax(logits[..., -1].astype(np.float64), axis=1), scores)
    return scores.mean(axis=0), pooled.mean(axis=0)


def activation_of(scores, pooled):
    tcam = scores[:, :-1] - scores[:, -1:]
    return Activation(np.ones(len(tcam)), tcam, np.zeros(4), softmax(pooled)[:-1])


@pytest.mark.parametrize("i", range(4))
def test_detections_are_those_of_the_released_implementation(reference, i):
    video = reference[f"test{i}.video"].astype(np.float32)
    both = [("both", video)]
    streams = [("rgb", video[..., :8]), ("flow", video[..., 8:])]
    streams = streams if reference[f"test{i}.late_fusion"] else both
    share = float(reference[f"test{i}.threshold_factor"])
    models = [fitted(reference, name, mean_share=share, standardize=False) for name, _ in streams]
    of_streams = [heads(reference, model, x) for model, (_, x) in zip(models, streams, strict=True)]
    scores, pooled = (np.mean(values, axis=0) for values in zip(*of_streams, strict=True))
    np.testing.assert_allclose(scores, reference[f"test{i}.avg_score"], atol=1e-5)
    np.testing.assert_allclose(pooled, reference[f"test{i}.global_score"], atol=1e-5)
    activation, *others = [activation_of(*values) for values in of_streams]
    clock = SnippetClock(16 / float(reference[f"test{i}.fps"]))
    found = models[0]._propose(activation, clock, others)
    assert_detections(found, reference[f"test{i}.detections"])


def test_a_localizer_alone_finds_what_its_parts_find(reference):
    model = fitted(reference, snippet_seconds=0.64, standardize=False)
    video = reference["test0.video"]
    assert_detections(model.predict(video)[0], reference["test0.detections"])
    expected = softmax(reference["test0.global_score"])[:-1]
    np.testing.assert_allclose(model.predict_proba(video)[0], expected, atol=1e-6)


def test_branches_that_see_the_same_are_alike_and_others_are_not():
    scores = torch.zeros(2, 2, 2)
    assert losses.similarity_of_branches(scores).item() == pytest.approx(1, abs=1e-5)
    scores[0, 0, 0] = scores[1, 1, 0] = 50.0
    scores[1, 0, 1] = scores[0, 1, 1] = 50.0  # where one says class 0, the other says class 1
    assert losses.similarity_of_branches(scores).item() == pytest.approx(0, abs=1e-5)


def test_imbalance_by_hand():
    scores = torch.tensor([[[1.0, 2.0], [-3.0, 2.0]], [[-1.0, 2.0], [5.0, 2.0]]])
    # Mean magnitudes of class 0 are 1 and 4, each 1.5 off their mean; of class 1 both are 2.
    assert losses.imbalance_of_branches(scores).item() == pytest.approx(0.75)


def test_a_class_that_is_nowhere_above_itself_yields_nothing():
    activation = Activation(np.ones(3), np.zeros((3, 1)), np.zeros(1), np.array([0.9]))
    model = CMCSLocalizer()
    model.classes_ = np.arange(1)
    assert len(model._propose(activation, SnippetClock(1.0))) == 0


def test_actions_without_context_are_found():
    X, y = make_untrimmed(
        n_videos=60, n_classes=2, n_features=12, context=0.0, noise=0.2, random_state=0
    )
    model = CMCSLocalizer(max_epochs=50, batch_size=10, learning_rate=5e-3, random_state=0).fit(
        X[:40], y[:40]
    )
    for name in ("classification", "diversity"):
        assert model.history_[name][-1] < 0.9 * model.history_[name][0], name
    assert model.set_params(tiou_thresholds=0.3).score(X[40:], y[40:]) > 0.3


def test_the_rate_falls_where_it_is_asked_to():
    (stage,) = CMCSLocalizer(**presets.CMCS_ACTIVITYNET12)._stages()
    assert (stage.rate(0.4), stage.rate(0.6)) == (1.0, 0.1)
    assert stage.weight_decay == pytest.approx(1e-4 / 32)
