"""BaS-Net against outputs of its released implementation."""

import numpy as np
import pytest
import torch

from skdgam._features import check_features
from skdgam.methods import BaSNetLocalizer
from skdgam.training.batches import Batch, to_rows

NAMES = {
    "attention.0": "filter_module.conv_1.0",
    "attention.1": "filter_module.conv_2.0",
    "convolutions.0": "cas_module.conv_1.0",
    "convolutions.1": "cas_module.conv_2.0",
    "classifier": "cas_module.conv_3.0",
}


class Reference:
    """Arrays of the released implementation, with weights as our layers keep them."""

    def __init__(self, path):
        with np.load(path) as file:
            self.arrays = dict(file)

    def __getitem__(self, name):
        return self.arrays[name]

    def weights(self, prefix):
        found = {}
        for ours, theirs in NAMES.items():
            for kind in ("weight", "bias"):
                if f"{prefix}{theirs}.{kind}" in self.arrays:
                    value = self[f"{prefix}{theirs}.{kind}"]
                    if kind == "weight":  # (outputs, inputs, kernel)
                        value = value.swapaxes(1, 2).reshape(len(value), -1)
                    found[f"{ours}.{kind}"] = value.astype(np.float32)
        return found


@pytest.fixture(scope="module")
def reference(shared_file):
    return Reference(shared_file("reference/methods/basnet.npz"))


@pytest.fixture
def localizer(reference):
    """A localizer with the widths and weights of the reference."""
    model = BaSNetLocalizer(
        hidden=12, attention_width=8, n_snippets=40, min_snippets=40, max_snippets=40, dropout=0.0
    )
    return model._set_weights(np.arange(4), reference.weights("weight."), n_features=16)


class MaskedBatch(Batch):
    """A batch whose dropout takes given masks, one after the other."""

    masks = ()

    def dropout(self, values, share):
        mask, *rest = self.masks
        object.__setattr__(self, "masks", rest)
        return values * mask  # they are scaled already


def batch_of(reference, kind=Batch):
    x = reference["train.x"].astype(np.float32)
    labels = torch.tensor(reference["train.labels"], dtype=torch.float32)
    lengths = np.full(5, 40)
    return kind(to_rows(list(x), torch.float32), lengths, labels, lengths, 5)


def rows(array):
    """Values (n_videos, n_snippets, ...) of the reference as rows."""
    return array.reshape(200, -1).squeeze().astype(np.float32)


def test_what_the_network_says_is_that_of_the_released_implementation(reference, localizer):
    network, batch = localizer._fitted_network(), batch_of(reference)
    attention, suppressed = network(batch)
    base = network.classify(batch.x, batch, dropout=0.0)
    for ours, theirs in ((attention, "attention"), (suppressed, "cas_supp"), (base, "cas_base")):
        np.testing.assert_allclose(ours[:200], rows(reference[f"train.{theirs}"]), atol=1e-5)


@pytest.mark.parametrize("mode", ["train", "drop"])
def test_losses_and_gradients_are_those_of_the_released_implementation(reference, localizer, mode):
    network, batch = localizer._fitted_network().requires_grad_(True), batch_of(reference)
    if mode == "drop":
        localizer.set_params(dropout=0.7)
        batch = batch_of(reference, MaskedBatch)
        masks = [rows(reference[f"drop.mask_{b}"].swapaxes(1, 2)) for b in ("base", "supp")]
        masks = [torch.nn.functional.pad(torch.tensor(m), (0, 0, 0, 56)) for m in masks]
        object.__setattr__(batch, "masks", masks)
    terms = localizer._losses(network, batch)
    for ours, theirs in (("base", "base"), ("suppressed", "supp"), ("sparsity", "norm")):
        expected = float(reference[f"{mode}.loss_{theirs}"])
        assert terms[ours][1].item() == pytest.approx(expected, rel=1e-5), ours
    total = sum(weight * value for weight, value in terms.values())
    assert total.item() == pytest.approx(float(reference[f"{mode}.loss_total"]), rel=1e-5)
    total.backward()
    for name, expected in reference.weights(f"{mode}.grad.").items():
        gradient = dict(network.named_parameters())[name].grad
        np.testing.assert_allclose(
            gradient, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max()
        )


def test_one_step_ends_at_the_released_weights(reference, localizer):
    X = [reference[f"train.video{i}"] for i in range(5)]
    sampled = [x[k] for x, k in zip(X, reference["train.sample_index"], strict=True)]
    y = [np.flatnonzero(labels).tolist() for labels in reference["train.labels"]]
    localizer.set_params(max_epochs=1, batch_size=5, learning_rate=1e-4)
    localizer.set_params(warm_start=True, precision="float32")
    before = {name: value.copy() for name, value in localizer.weights_.items()}
    localizer.fit(sampled, y)
    for name, after in reference.weights("train.after.").items():
        # Adam's first step is the learning rate times the sign of the gradient, whatever its size,
        # so that a few weights whose gradient is within rounding of 0 may move elsewhere.
        off = np.abs(localizer.weights_[name] - after)
        assert np.mean(off > 1e-6) <= 0.01, name
        assert np.abs(localizer.weights_[name] - before[name]).max() > 5e-5, name


def test_detections_are_those_of_the_released_implementation(reference, localizer):
    videos = [reference[f"test{i}.video"] for i in range(4)]
    for i, found in enumerate(localizer.predict(videos)):
        theirs = reference[f"test{i}.detections"]
        if i == 2:
            # Its only class is number 0, for which the released implementation finds nothing by a
            # fault that is not copied.
            assert len(theirs) == 0
            assert set(found["label"]) == {0}
            continue
        ours = np.array([found[k] for k in ("label", "score", "start", "end")], dtype=float).T
        assert ours.shape == theirs.shape
        order, their_order = (np.lexsort(np.round(a[:, [0, 2, 3]], 5).T) for a in (ours, theirs))
        np.testing.assert_allclose(ours[order], theirs[their_order], atol=1e-4)


def test_probabilities_are_those_of_the_released_implementation(reference, localizer):
    videos = [reference[f"test{i}.video"] for i in range(4)]
    expected = [reference[f"test{i}.score_supp"][:-1] for i in range(4)]
    np.testing.assert_allclose(localizer.predict_proba(videos), expected, atol=1e-5)
    attention = [a.attention for a in localizer._activations(check_features(videos))]
    for i, ours in enumerate(attention):
        np.testing.assert_allclose(ours, reference[f"test{i}.attention"].ravel(), atol=1e-5)
