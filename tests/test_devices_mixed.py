"""A step of training mixes no devices, found without a GPU.

The network and the features are on the device "meta", whose tensors have shapes but no values.
Of every operation it is asked where the tensors are that it is given.
"""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from skdgam._features import check_features
from skdgam.methods import METHODS
from skdgam.training.batches import Deviates, DeviceFeatures
from skdgam.training.trainer import Sampling, Trainer

DEVICE = torch.device("meta")
NARROW = {"basnet": {"hidden": 16, "attention_width": 8}}
# Parameters by which a method computes in another way.
WAYS = {
    "dgam": [
        {},
        {"temporal_context": 2, "classification": "sigmoid", "dropout": 0.5},
        {"pooling": "paper", "gamma1": 0.0},
    ],
    "mil": [{}, {"pooling": "attention", "temporal_context": 2}, {"hidden": None}],
}
# What their losses are of depends on values, of which there are none here.
LOOK_AT_VALUES = {"asmloc", "autoloc", "contrast_evaluator"}
CASES = [
    pytest.param(name, changes, dtype, id=f"{name}-{i}-{dtype}".replace("torch.", ""))
    for name in METHODS
    if name not in LOOK_AT_VALUES
    for i, changes in enumerate(WAYS.get(name, [{}]))
    for dtype in (torch.float32, torch.bfloat16)
]
BETWEEN_DEVICES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)


class OneDevice(TorchDispatchMode):
    """Refuse operations on tensors of several devices, but for copies from one to another."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        # A single number may be on the CPU, as 2.0 in x * 2.0 is.
        devices = {tensor.device for tensor in given if tensor.dim()}
        if operation not in BETWEEN_DEVICES:
            assert len(devices) <= 1, f"{operation} is given tensors on {devices}"
        return operation(*args, **(kwargs or {}))


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    videos = [rng.standard_normal((n, 12), dtype=np.float32) for n in (30, 40, 70, 90)]
    return check_features(videos).labelled([np.eye(len(x), 3, dtype=bool) for x in videos])


@pytest.fixture(autouse=True)
def deviates_without_values(monkeypatch):
    def draw(shape, seed, device):
        return torch.empty(shape, device=device)

    monkeypatch.setattr(Deviates, "_draw", staticmethod(draw))


@pytest.mark.parametrize(("name", "changes", "dtype"), CASES)
def test_a_step_of_each_stage_mixes_no_devices(features, name, changes, dtype):
    model = METHODS[name](**(NARROW.get(name, {}) | changes))
    network = model._blank_network(
        features.n_features, 3, {part: getattr(model, part) for part in model._architecture}
    )
    sampling = Sampling(n_snippets=50, batch_size=4, refresh_every=1)
    is_labelled = np.eye(4, 3, dtype=bool)
    drawn = sampling.draw(features.lengths, np.random.default_rng(0))
    with OneDevice():
        trainer = Trainer(
            network, model._stages(), sampling, 1e-3, n_epochs=100, seed=0, dtype=dtype
        )
        placed = DeviceFeatures(features, DEVICE, dtype)
        for k, stage in enumerate(trainer.stages):
            terms = trainer._pass(k, stage, placed, is_labelled, drawn)
            assert {value.device for value in terms.values()} == {DEVICE}, stage.name


def test_an_index_on_another_device_is_refused():
    with OneDevice(), pytest.raises(AssertionError, match="is given tensors on"):
        torch.empty(5, 3, device=DEVICE)[torch.tensor([0, 1])]
