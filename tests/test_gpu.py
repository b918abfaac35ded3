"""On a CUDA device: the same as on a CPU, and the ways that only a device has."""

import copy
import pickle

import numpy as np
import pytest
import torch

from skdgam import DGAMLocalizer, presets
from skdgam.datasets import make_untrimmed
from skdgam.training import batches

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device"),
]


@pytest.fixture(scope="module")
def data():
    return make_untrimmed(n_videos=40, n_features=16, n_classes=3, random_state=0)


def localizer(**changes):
    settings = presets.PAPER | {"max_epochs": 10, "warmup_epochs": 5, "precision": "float32"}
    return DGAMLocalizer(**(settings | {"device": "cuda"} | changes), random_state=0)


@pytest.fixture(scope="module")
def fitted(data):
    return localizer().fit(*data)


def test_losses_fall_as_on_a_cpu(data, fitted):
    on_cpu = localizer(device="cpu").fit(*data)  # with other noise
    for name in ("foreground", "guide", "cvae_reconstruction"):
        assert fitted.history_[name][-1] == pytest.approx(on_cpu.history_[name][-1], rel=0.2), name


def test_a_seed_gives_the_same_bits(data):
    first, second = (
        DGAMLocalizer(max_epochs=10, device="cuda", random_state=0).fit(*data) for _ in range(2)
    )
    for name, weight in first.weights_.items():
        np.testing.assert_array_equal(second.weights_[name], weight, err_msg=name)


def test_the_default_learns_as_on_a_cpu(data):
    on_cpu, on_cuda = (
        DGAMLocalizer(device=device, random_state=0).fit(*data) for device in ("cpu", "cuda")
    )
    assert on_cuda.score(*data) == pytest.approx(on_cpu.score(*data), abs=0.1)


def test_warm_start_goes_on_as_if_training_had_never_stopped(data, fitted):
    model = localizer(max_epochs=5, warm_start=True).fit(*data).fit(*data)
    for name, weight in fitted.weights_.items():
        np.testing.assert_array_equal(model.weights_[name], weight, err_msg=name)


def test_a_model_finds_the_same_on_both(data, fitted):
    on_cpu = copy.deepcopy(fitted).set_params(device="cpu")
    for ours, theirs in zip(fitted.attention(data[0]), on_cpu.attention(data[0]), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_pickles_hold_no_tensor_of_the_device(data, fitted):
    model = pickle.loads(pickle.dumps(fitted)).set_params(device="cpu")
    np.testing.assert_allclose(
        model.predict_proba(data[0]), fitted.predict_proba(data[0]), atol=1e-4
    )


def test_bfloat16_is_the_default_and_learns_as_well(data, fitted):
    model = localizer(precision="auto").fit(*data)
    assert model.history_["foreground"][-1] == pytest.approx(
        fitted.history_["foreground"][-1], rel=0.1
    )


def test_a_device_without_room_streams_to_the_same_weights(data, fitted, monkeypatch):
    monkeypatch.setattr(batches, "SHARE_OF_FREE", 0.0)
    with pytest.warns(UserWarning, match="every batch is copied"):
        streamed = localizer().fit(*data)
    for name, weight in fitted.weights_.items():
        np.testing.assert_array_equal(streamed.weights_[name], weight, err_msg=name)
