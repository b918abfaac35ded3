"""Uncertainty modeling against outputs of its released implementation."""

import numpy as np
import pytest
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
from scipy.special import softmax

from skdgam.clock import SnippetClock
from skdgam.datasets import make_untrimmed
from skdgam.localization import Activation
from skdgam.methods import UMLocalizer

NAMES = {"embedding": "cas_module.conv.0", "classifier": "cas_module.classifier.0"}


@pytest.fixture(scope="module")
def reference(shared_file):
    return Reference(shared_file("reference/methods/um.npz"), NAMES)


@pytest.fixture
def model(reference):
    released = UMLocalizer(
        hidden=14, dropout=0.0, selection_dropout=0.0, max_snippets=40, standardize=False
    )
    return released._set_weights(np.arange(4), reference.weights("weight."), n_features=16)


def batch(reference, run="train", **changes):
    masks = None
    if run == "drop":
        of_units = reference["drop.mask_features"].swapaxes(1, 2).reshape(200, 14)
        masks = [of_units, reference["drop.mask_selection"].reshape(200, 1)]
    return batch_of(reference["train.x"], reference["train.labels"], masks=masks, **changes)


@pytest.mark.parametrize("run", ["train", "drop"])
def test_losses_and_gradients_are_those_of_the_released_implementation(reference, model, run):
    network = model._fitted_network().requires_grad_(True)
    terms = model._losses(network, batch(reference, run))
    assert_losses(
        terms, reference, run, {"classification": "cls", "uncertainty": "um", "entropy": "be"}
    )
    total(terms).backward()
    assert_gradients(network, reference.weights(f"{run}.grad."))


def test_one_step_ends_at_the_released_weights(reference, model):
    network = model._fitted_network().requires_grad_(True)
    one_step(model, network, batch(reference))
    gradients = reference.weights("train.grad.")
    assert_one_step(network, reference.weights("train.after."), model.weights_, gradients)


@pytest.mark.parametrize("i", range(4))
def test_detections_are_those_of_the_released_implementation(reference, model, i):
    video = reference[f"test{i}.video"]
    assert_detections(model.predict([video])[0], reference[f"test{i}.detections"])
    probability = reference[f"test{i}.score_act"]
    np.testing.assert_allclose(model.predict_proba([video])[0], probability, atol=1e-6)


def test_snippets_have_the_released_features(reference, model):
    video = reference["test0.video"]
    r = np.sqrt(np.square(reference["test0.features"]).mean(axis=1))
    np.testing.assert_allclose(model.attention([video])[0], r / (1 + r), rtol=1e-5)
    probability = reference["test0.cas_softmax"]
    np.testing.assert_allclose(model.class_activation([video])[0], probability, atol=1e-6)


def of_identity(**params):
    """A localizer whose features are those given, and whose logits are the first two."""
    model = UMLocalizer(**params)
    weights = {
        "embedding.weight": np.pad(np.eye(3, dtype=np.float32), ((0, 0), (3, 3))),
        "embedding.bias": np.zeros(3, dtype=np.float32),
        "classifier.weight": np.eye(2, 3, dtype=np.float32),
    }
    return model._set_weights(np.arange(2), weights, n_features=3)


def test_losses_by_hand():
    model = of_identity(topk=2, topk_background=4, margin=6.0)
    video = np.array([[3.0, 0, 4], [0, 1, 0], [5, 0, 0], [0, 0, 2]])
    terms = model._losses(model._fitted_network(), batch_of([video], [[1.0, 0.0]]))
    # Longest are the first and third snippets, of which the mean is (4, 0, 2); shortest the second.
    expected = (6 - np.sqrt(20) + 1) ** 2
    assert terms["uncertainty"][1].item() == pytest.approx(expected, rel=1e-5)
    p = softmax([4.0, 0.5])[0]
    assert terms["classification"][1].item() == pytest.approx(-np.log(p), rel=1e-5)
    p = softmax([0.0, 1.0])
    assert terms["entropy"][1].item() == pytest.approx(-np.log(p).mean(), rel=1e-5)


def test_length_is_scaled_by_what_is_taken_for_action_and_background():
    model = of_identity(topk=2, topk_background=2)
    video = np.array([[3.0, 0, 4], [0, 1, 0], [7, 0, 0], [0, 0, 2]])
    network = model._fitted_network()
    columns = network(batch_of([video], [[1.0, 0.0]]))[1][:4].numpy()
    activation = model._activation(network, np.ones(4), columns)
    # Lengths 5, 1, 7 and 2: action has 6, background 1.5.
    assert activation.attention.tolist() == pytest.approx([3.5 / 4.5, 0, 1, 0.5 / 4.5])


def test_snippets_that_are_all_as_long_as_each_other_have_no_length():
    model = of_identity()
    network = model._fitted_network()
    columns = network(batch_of([np.eye(2, 3)], [[1.0, 0.0]]))[1][:2].numpy()
    assert not model._activation(network, np.ones(2), columns).attention.any()


def test_long_snippets_are_proposals_of_every_class_that_is_there():
    model = UMLocalizer(proposal_threshold=0.99)
    model.classes_ = np.arange(3)
    length = np.array([0.0, 0.0, 0.5, 0.5, 0.0, 0.0])
    tcam = np.array([[0.9, 0.1, 0.0]]) * length[:, None]
    activation = Activation(length, tcam, np.zeros(3), np.array([0.6, 0.3, 0.1]))
    found = model._propose(activation, SnippetClock(1.0))
    assert np.unique(found["label"]).tolist() == [0, 1]
    # The length reaches 0.4, 0.425, 0.45 and 0.475 before snippet 2, and a share of 0.99 not yet.
    by_length = found[found["start"] < 2]
    expected = [1 + point / 24 for point in (20, 21, 22, 23)]
    assert by_length["start"].tolist() == pytest.approx(2 * expected)


def test_videos_are_selected_from_by_themselves():
    rng = np.random.default_rng(0)
    X = [rng.standard_normal((n, 3)) for n in (9, 1, 30)]
    labels = np.eye(3, 2)
    model = of_identity()
    network = model._fitted_network()
    together = model._losses(network, batch_of(X, labels))
    alone = [model._losses(network, batch_of([x], [y])) for x, y in zip(X, labels, strict=True)]
    for name, (_, value) in together.items():
        expected = np.mean([terms[name][1].item() for terms in alone])
        assert value.item() == pytest.approx(expected, rel=1e-5), name


def test_actions_without_context_are_found():
    X, y = make_untrimmed(
        n_videos=60, n_classes=2, n_features=12, context=0.0, noise=0.2, random_state=0
    )
    model = UMLocalizer(max_epochs=50, batch_size=10, learning_rate=5e-3, random_state=0)
    model.fit(X[:40], y[:40])
    for name in ("classification", "uncertainty"):
        values = model.history_[name]
        assert values[-5:].mean() < 0.9 * values[:5].mean(), name
    assert model.set_params(tiou_thresholds=0.3).score(X[40:], y[40:]) > 0.3


def test_background_learns_to_be_of_no_class():
    X, y = make_untrimmed(n_videos=40, n_classes=2, n_features=12, random_state=0)
    with_entropy, without = (
        UMLocalizer(entropy=weight, max_epochs=30, learning_rate=5e-3, random_state=0).fit(X, y)
        for weight in (1.0, 0.0)
    )
    assert with_entropy.history_["entropy"][-1] < without.history_["entropy"][-1]
