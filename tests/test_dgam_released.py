"""Checkpoints of the released implementation: what is read, and the words of each refusal."""

import os

import numpy as np
import pytest
import torch

from skdgam.dgam.networks import DGAM
from skdgam.dgam.released import read_released


def checkpoint(prefix=""):
    shapes = {"att_head.fc1": (256, 5), "att_head.fc2": (1, 256), "clf_head.fc1": (3, 5)}
    state = {}
    for name, shape in shapes.items():
        state[f"{prefix}{name}.weight"] = torch.ones(shape)
        state[f"{prefix}{name}.bias"] = torch.zeros(shape[0])
    return state


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_checkpoint_is_read_by_our_names(tmp_path, prefix):
    torch.save(checkpoint(prefix) | {"epoch": 3, "cvae.fc": torch.ones(2)}, tmp_path / "rgb.pth")
    weights = read_released(tmp_path / "rgb.pth")
    assert {name: value.shape for name, value in weights.items()} == {
        "attention_head.0.weight": (256, 5),
        "attention_head.0.bias": (256,),
        "attention_head.2.weight": (1, 256),
        "attention_head.2.bias": (1,),
        "classifier.weight": (3, 5),
        "classifier.bias": (3,),
    }
    assert all(value.dtype == np.float32 for value in weights.values())


def test_a_checkpoint_of_parameters_is_read(tmp_path):
    state = {name: torch.nn.Parameter(value) for name, value in checkpoint().items()}
    torch.save(state, tmp_path / "rgb.pth")
    assert read_released(tmp_path / "rgb.pth")["classifier.weight"].shape == (3, 5)


@pytest.mark.parametrize(
    "change",
    [
        {"clf_head.fc1.bias": torch.zeros(2)},
        {"att_head.fc1.weight": torch.ones(256, 4)},
        {"att_head.fc2.weight": torch.ones(1, 128)},
        {"clf_head.fc1.bias": torch.tensor(0.0)},
        {"clf_head.fc1.bias": torch.full((3,), np.nan)},
    ],
)
def test_checkpoints_whose_parts_do_not_go_together(tmp_path, change):
    torch.save(checkpoint() | change, tmp_path / "rgb.pth")
    with pytest.raises(ValueError, match="it must have the shape .* and finite values"):
        read_released(tmp_path / "rgb.pth")


class Trap:
    def __reduce__(self):
        return os.mkdir, ("sprung",)


def test_nothing_in_a_checkpoint_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(checkpoint() | {"trap": Trap()}, "rgb.pth")
    with pytest.raises(ValueError, match="rgb.pth cannot be read as a checkpoint of tensors alone"):
        read_released("rgb.pth")
    assert not os.path.exists("sprung")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04"])
def test_files_that_are_no_checkpoint(tmp_path, content):
    path = tmp_path / "rgb.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="rgb.pth cannot be read as a checkpoint"):
        read_released(path)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"fc.weight": torch.ones(1)}, "it lacks att_head.fc1.weight, .* and has fc.weight"),
        ({}, "has no tensor by name"),
        (torch.ones(2), "has no tensor by name"),
        (checkpoint() | {"clf_head.fc1.bias": None}, "it lacks clf_head.fc1.bias, and has"),
    ],
)
def test_other_checkpoints(tmp_path, content, match):
    torch.save(content, tmp_path / "rgb.pth")
    with pytest.raises(
        ValueError, match=f"no checkpoint of the released implementation: .*{match}"
    ):
        read_released(tmp_path / "rgb.pth")


def test_a_checkpoint_has_the_weights_of_the_heads_by_the_names_of_the_network(tmp_path):
    torch.save(checkpoint(), tmp_path / "rgb.pth")
    weights = read_released(tmp_path / "rgb.pth")
    of_heads = {
        name: tuple(value.shape)
        for name, value in DGAM(5, 2).state_dict().items()
        if name.startswith(("attention_head.", "classifier."))
    }
    assert {name: value.shape for name, value in weights.items()} == of_heads


def test_a_checkpoint_that_is_missing_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_released(tmp_path / "none.pth")
