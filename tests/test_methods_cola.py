"""CoLA against outputs of its released implementation."""

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
from skdgam.methods import CoLALocalizer, cola
from skdgam.methods._selection import beside_edges

NAMES = {
    "embedding": "actionness_module.f_embed.0",
    "classifier": "actionness_module.f_cls.0",
}


@pytest.fixture(scope="module")
def reference(shared_file):
    return Reference(shared_file("reference/methods/cola.npz"), NAMES)


@pytest.fixture
def model(reference):
    released = CoLALocalizer(
        hidden=14, dropout=0.0, selection_dropout=0.0, max_snippets=40, standardize=False
    )
    return released._set_weights(np.arange(4), reference.weights("weight."), n_features=16)


def batch(reference, run="train"):
    masks = None
    if run == "drop":
        of_units = reference["drop.mask_features"].swapaxes(1, 2).reshape(200, 14)
        masks = [of_units, reference["drop.mask_selection"].reshape(200, 1)]
    return batch_of(reference["train.x"], reference["train.labels"], masks=masks)


@pytest.fixture
def released_filler(monkeypatch):
    """In `drop`, a video has one hard background only: what fills up is chance in the release."""

    def with_filler(actionness, lengths):
        inside, outside = beside_edges(actionness, lengths)
        assert (actionness * outside)[0].count_nonzero() == 1
        outside[0, 30] = 1e-6  # nothing but first among what is 0
        return inside, outside

    monkeypatch.setattr(cola, "beside_edges", with_filler)


@pytest.mark.parametrize("run", ["train", "drop"])
def test_losses_and_gradients_are_those_of_the_released_implementation(
    reference, model, run, request
):
    if run == "drop":
        request.getfixturevalue("released_filler")
    network = model._fitted_network().requires_grad_(True)
    terms = model._losses(network, batch(reference, run))
    assert_losses(terms, reference, run, {"classification": "action", "contrast": "snico"})
    total(terms).backward()
    assert_gradients(network, reference.weights(f"{run}.grad."))


def test_one_step_ends_at_the_released_weights(reference, model):
    network = model._fitted_network().requires_grad_(True)
    one_step(model, network, batch(reference))
    gradients = reference.weights("train.grad.")
    assert_one_step(network, reference.weights("train.after."), model.weights_, gradients)


@pytest.mark.parametrize("i", range(4))
def test_detections_are_those_of_the_released_implementation(reference, model, i):
    video, theirs = reference[f"test{i}.video"], reference[f"test{i}.detections"]
    probability = reference[f"test{i}.video_scores"]
    np.testing.assert_allclose(model.predict_proba([video])[0], probability, atol=1e-6)
    (found,) = model.predict([video])
    if i == 1:
        # Where class 3 has no activation, two proposals score the same: which one stays is chance.
        is_even, theirs_is_even = (
            (label == 3) & (end < 4)
            for label, end in ((found["label"], found["end"]), theirs[:, [0, 3]].T)
        )
        assert found["score"][is_even] == pytest.approx(theirs[theirs_is_even, 1])
        assert found["score"][is_even] == pytest.approx([0.2 * probability[3]])
        found, theirs = found[~is_even], theirs[~theirs_is_even]
    assert_detections(found, theirs)


def test_snippets_have_the_released_actionness(reference, model):
    actionness = reference["test0.actionness"]
    found = model.attention([reference["test0.video"]])[0]
    np.testing.assert_allclose(found, actionness / (1 + actionness), atol=1e-6)


def test_videos_are_compared_within_themselves():
    rng = np.random.default_rng(0)
    X = [rng.standard_normal((n, 3)) for n in (25, 1, 90)]
    labels = np.eye(3, 2)
    model = CoLALocalizer(dropout=0.0, selection_dropout=0.0)
    network = model._fresh_network(3, 2, seed=0)
    together = model._losses(network, batch_of(X, labels))
    alone = [model._losses(network, batch_of([x], [y])) for x, y in zip(X, labels, strict=True)]
    for name, (_, value) in together.items():
        expected = np.mean([terms[name][1].item() for terms in alone])
        assert value.item() == pytest.approx(expected, rel=1e-5), name


def test_the_network_of_activitynet_is_that_of_torch():
    network = CoLALocalizer(temporal_conv=True, hidden=5)._fresh_network(3, 2, seed=0)
    video = np.random.default_rng(0).standard_normal((40, 3))
    with torch.no_grad():
        found = network(batch_of([video], [[1.0, 0.0]]))[1][:40]
        layers = torch.nn.Sequential(
            torch.nn.Conv1d(3, 5, 9, padding=4),
            torch.nn.ReLU(),
            torch.nn.Conv1d(5, 2, 9, padding=4, bias=False),
            torch.nn.Conv1d(2, 2, 7, dilation=2, padding=6, groups=2, bias=False),
            torch.nn.ReLU(),
        )
        for layer, ours in ((layers[0], network.embedding), (layers[2], network.classifier)):
            layer.weight.copy_(ours.weight.view(len(ours.weight), 9, -1).transpose(1, 2))
        layers[0].bias.copy_(network.embedding.bias)
        layers[3].weight.copy_(network.taps.weight[:, None])
        expected = layers(torch.tensor(video.T, dtype=torch.float32))
    torch.testing.assert_close(found, expected.T, rtol=1e-4, atol=1e-5)
    assert expected.any()
    assert network.reach == 4 + 4 + 6
    assert network.taps.weight.abs().max() <= 1 / np.sqrt(7)


def test_activitynet_is_trained_on_batches_of_short_videos():
    X, y = make_untrimmed(n_videos=24, n_classes=2, n_features=6, random_state=0)
    settings = presets.COLA_ACTIVITYNET12 | {"max_epochs": 2, "hidden": 8, "batch_size": 12}
    model = CoLALocalizer(**settings, random_state=0).fit(X, y)
    assert model.weights_["taps.weight"].shape == (2, 7)
    assert len(model.predict(X[:3])) == 3


def test_actions_without_context_are_found():
    X, y = make_untrimmed(
        n_videos=60, n_classes=2, n_features=12, context=0.0, noise=0.2, random_state=0
    )
    model = CoLALocalizer(max_epochs=50, batch_size=10, learning_rate=5e-3, random_state=0)
    model.fit(X[:40], y[:40])
    for name, values in model.history_.items():
        assert values[-5:].mean() < 0.9 * values[:5].mean(), name
    assert model.set_params(tiou_thresholds=0.3).score(X[40:], y[40:]) > 0.3
