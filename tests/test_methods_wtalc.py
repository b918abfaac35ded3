"""W-TALC against outputs of its released implementation, and weights of pairs by hand."""

import numpy as np
import pytest
from released_methods import (
    Reference,
    assert_detections,
    assert_gradients,
    assert_one_step,
    batch_of,
    one_step,
    total,
)

from skdgam.datasets import make_untrimmed
from skdgam.methods import WTALCLocalizer

NAMES = {"body": "fc", "classifier": "classifier"}
BOTH = pytest.mark.parametrize("run", ["train", "train2"])


@pytest.fixture(scope="module")
def reference(shared_file):
    return Reference(shared_file("reference/methods/wtalc.npz"), NAMES)


def fitted(reference, run="train", **params):
    model = WTALCLocalizer(dropout=0.0, snippet_seconds=1.0, **params)
    return model._set_weights(np.arange(4), reference.weights(f"{run}.weight."), n_features=16)


def batch(reference, run, **changes):
    n_valid = reference[f"{run}.seq_len"]
    X = [x[:n] for x, n in zip(reference[f"{run}.x"], n_valid, strict=True)]
    return batch_of(X, reference[f"{run}.labels"], n_pairs=3, **changes)


@BOTH
def test_losses_and_gradients_are_those_of_the_released_implementation(reference, run):
    model = fitted(reference, run)
    network = model._fitted_network().requires_grad_(True)
    terms = model._losses(network, batch(reference, run))
    for ours, theirs in (("classification", "milloss"), ("coactivity", "casloss")):
        expected = float(reference[f"{run}.{theirs}"])
        assert terms[ours][1].item() == pytest.approx(expected, rel=1e-5), ours
    assert total(terms).item() == pytest.approx(float(reference[f"{run}.total_loss"]), rel=1e-5)
    total(terms).backward()
    assert_gradients(network, reference.weights(f"{run}.grad."))


@BOTH
def test_one_step_ends_at_the_released_weights(reference, run):
    model = fitted(reference, run)
    network = model._fitted_network().requires_grad_(True)
    one_step(model, network, batch(reference, run))
    gradients = reference.weights(f"{run}.grad.")
    assert_one_step(network, reference.weights(f"{run}.after."), model.weights_, gradients)


@pytest.mark.parametrize("i", range(4))
def test_detections_and_probabilities_are_those_of_the_released_implementation(reference, i):
    model, video = fitted(reference), reference[f"test{i}.x"]
    assert_detections(model.predict([video])[0], reference[f"test{i}.detections"])
    probability = reference[f"test{i}.probability"]
    np.testing.assert_allclose(model.predict_proba([video])[0], probability, atol=1e-6)


def test_a_pair_counts_by_the_product_of_the_weights_of_its_videos(reference):
    model = fitted(reference)
    network = model._fitted_network()

    def coactivity(weights):
        weighted = batch(reference, "train", weights=np.array(weights, dtype=float))
        return model._losses(network, weighted)["coactivity"][1].item()

    pairs = [coactivity(np.repeat(np.eye(3)[k], 2)) for k in range(3)]
    assert sum(pairs) == pytest.approx(coactivity([1] * 6), rel=1e-5)
    assert coactivity([2, 3, 1, 0, 0.5, 4]) == pytest.approx(6 * pairs[0] + 2 * pairs[2], rel=1e-5)


def test_videos_that_look_the_same_where_a_class_is_have_no_coactivity_loss():
    model = WTALCLocalizer(hidden=2, dropout=0.0)
    model._set_weights(
        np.arange(1),
        {
            "body.weight": np.eye(2, dtype=np.float32),
            "body.bias": np.zeros(2, dtype=np.float32),
            "classifier.weight": np.array([[30.0, 0.0]], dtype=np.float32),
            "classifier.bias": np.zeros(1, dtype=np.float32),
        },
        n_features=2,
    )
    action, other = np.eye(2)
    alike = batch_of([np.stack([action, other, other])] * 2, [[1.0], [1.0]], n_pairs=1)
    network = model._fitted_network()
    assert model._losses(network, alike)["coactivity"][1].item() == 0
    unlike = batch_of([np.stack([action] * 3)] * 2, [[1.0], [1.0]], n_pairs=1)
    assert model._losses(network, unlike)["coactivity"][1].item() == pytest.approx(0.5)


def test_actions_without_context_are_found():
    X, y = make_untrimmed(
        n_videos=60, n_classes=2, n_features=12, context=0.0, noise=0.2, random_state=0
    )
    model = WTALCLocalizer(max_epochs=50, learning_rate=5e-3, random_state=0).fit(X[:40], y[:40])
    for values in model.history_.values():
        assert values[-5:].mean() < 0.9 * values[:5].mean()
    assert model.set_params(tiou_thresholds=0.3).score(X[40:], y[40:]) > 0.3


def test_what_was_pooled_in_training_is_pooled_in_localization(reference):
    model, video = fitted(reference), reference["test1.x"]
    before = model.predict([video])[0]
    np.testing.assert_array_equal(model.set_params(topk=2).predict([video])[0], before)


def test_weights_begin_as_released(reference):
    network = WTALCLocalizer()._fresh_network(100, 20, seed=0)
    assert not network.body.bias.any()
    assert not network.classifier.bias.any()
    bound = np.sqrt(6 / 120)
    assert 0.98 * bound < network.classifier.weight.abs().max().item() <= bound
