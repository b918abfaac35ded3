"""What tests of methods share: arrays of released implementations, batches of them, and masks."""

import numpy as np
import pytest
import torch

from skdgam.training.batches import Batch, to_rows


class Reference:
    """Arrays of a released implementation, whose weights have other names there."""

    def __init__(self, path, names):
        with np.load(path) as file:
            self.arrays = dict(file)
        self.names = names

    def __getitem__(self, name):
        return self.arrays[name]

    def weights(self, prefix):
        """Weights, or gradients, under our names, in float32."""
        found = {}
        for ours, theirs in self.names.items():
            for kind in ("", ".weight", ".bias"):
                if f"{prefix}{theirs}{kind}" in self.arrays:
                    value = self[f"{prefix}{theirs}{kind}"]
                    if value.ndim == 3:  # of a convolution: (outputs, inputs, kernel)
                        value = value.swapaxes(1, 2).reshape(len(value), -1)
                    found[f"{ours}{kind}"] = value.astype(np.float32)
        assert found
        return found


class MaskedBatch(Batch):
    """A batch whose dropout takes given masks (n_rows, k), one after the other; they are scaled."""

    masks = ()

    def dropout(self, values, share):
        mask, *rest = self.masks
        object.__setattr__(self, "masks", rest)
        return values * mask

    def channel_dropout(self, values, share):
        return self.dropout(values, share)


def batch_of(X, labels, n_pairs=0, weights=None, masks=None, progress=0.0):
    """Videos as a batch, each of which counts as its own snippets."""
    lengths = np.array([len(x) for x in X])
    rows = to_rows([x.astype(np.float32) for x in X], torch.float32)
    labels = torch.tensor(np.array(labels), dtype=torch.float32)
    kind = Batch if masks is None else MaskedBatch
    settings = {"n_pairs": n_pairs, "progress": progress}
    batch = kind(rows, lengths, labels, lengths, len(X), weights, **settings)
    if masks is not None:
        behind = len(rows) - lengths.sum()
        masks = [torch.tensor(np.pad(m, ((0, behind), (0, 0))), dtype=torch.float32) for m in masks]
        object.__setattr__(batch, "masks", masks)
    return batch


def total(terms):
    return sum(weight * value for weight, value in terms.values())


def assert_losses(terms, reference, run, names):
    """Terms, by our names of theirs, and their weighted sum are those of a run."""
    for ours, theirs in names.items():
        expected = float(reference[f"{run}.loss_{theirs}"])
        assert terms[ours][1].item() == pytest.approx(expected, rel=1e-5), ours
    assert total(terms).item() == pytest.approx(float(reference[f"{run}.loss_total"]), rel=1e-5)


def assert_gradients(network, expected, tolerance=1e-5):
    """Gradients are those expected, within a share of the largest of each weight."""
    named = dict(network.named_parameters())
    for name, gradient in expected.items():
        scale = max(np.abs(gradient).max(), 0.1)  # a gradient may be 0 but for rounding
        found = named[name].grad.numpy().reshape(gradient.shape)
        np.testing.assert_allclose(found, gradient, rtol=0, atol=tolerance * scale, err_msg=name)


def assert_detections(found, theirs, tolerance=1e-4):
    """Detections are those of rows (class, score, start, end), in any order."""
    ours = np.array([found[k] for k in ("label", "score", "start", "end")], dtype=float).T
    assert ours.shape == theirs.shape
    order, their_order = (
        np.lexsort((a[:, 1], *np.round(a[:, [0, 2, 3]], 3).T)) for a in (ours, theirs)
    )
    np.testing.assert_allclose(ours[order], theirs[their_order], atol=tolerance)


def one_step(model, network, batch, learning_rate=1e-4):
    """Take the step of each stage of a localizer on a batch, in float32."""
    for stage in model._stages():
        learned = [p for name, p in network.named_parameters() if name.startswith(stage.learns)]
        adam = torch.optim.Adam(learned, lr=learning_rate, weight_decay=stage.weight_decay)
        total(stage.losses(network, batch)).backward()
        adam.step()


def assert_one_step(network, expected, before, gradients, learning_rate=1e-4):
    """Weights are those expected, but where a gradient is within rounding of 0.

    The first step of Adam is the learning rate times the sign of the gradient, whatever its size.
    """
    named = dict(network.named_parameters())
    for name, after in expected.items():
        found = named[name].detach().numpy().reshape(after.shape)
        is_sure = np.abs(gradients.get(name, after)) > 1e-6
        np.testing.assert_allclose(found[is_sure], after[is_sure], rtol=0, atol=1e-6, err_msg=name)
        assert np.abs(found - before[name]).max() > 0.4 * learning_rate, name
