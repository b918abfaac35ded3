"""Model files: what is read, and the words of each refusal."""

import json
import os
import pickle

import numpy as np
import pytest

from skdgam.io import read_model, write_model

safetensors = pytest.importorskip("safetensors.numpy")

ARRAYS = {"a": np.arange(6.0).reshape(2, 3), "b": np.float32([1])}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model.skdgam"
    write_model(path, {"class": "Model", "numbers": np.arange(2), "eta": np.float64(0.5)}, ARRAYS)
    return path


def test_what_is_written_is_read(path):
    description, arrays = read_model(path)
    assert description == {"version": 2, "class": "Model", "numbers": [0, 1], "eta": 0.5}
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array, strict=True)


def test_arrays_in_another_order_of_memory_are_read_as_they_were(tmp_path):
    write_model(tmp_path / "model", {}, {"a": ARRAYS["a"].T})
    np.testing.assert_array_equal(read_model(tmp_path / "model")[1]["a"], ARRAYS["a"].T)


def test_a_file_that_is_there_is_replaced_and_nothing_else_is_left(path):
    write_model(path, {"class": "Other"}, {})
    assert read_model(path)[0]["class"] == "Other"
    assert os.listdir(path.parent) == [path.name]


def test_a_file_stays_whole_if_writing_fails(path, monkeypatch):
    def full(self, target):
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(type(path), "replace", full)
    with pytest.raises(OSError, match="No space left on device: '.*/model.skdgam'"):
        write_model(path, {"class": "Other"}, {})
    assert read_model(path)[0]["class"] == "Model"
    assert os.listdir(path.parent) == [path.name]


def test_files_and_folders_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_model(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        read_model(tmp_path)
    with pytest.raises(FileNotFoundError):
        write_model(tmp_path / "none" / "model", {}, {})


@pytest.mark.parametrize("length", [0, 4, 8, 100, -1])
def test_a_file_that_was_cut_off(path, length):
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match="model.skdgam is no model file of skdgam, or is damaged"):
        read_model(path)


def with_header(header):
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    "content",
    [
        b"PK\x03\x04 a zip archive",
        pickle.dumps({"a": 1}),
        (2**62).to_bytes(8, "little") + b"{}",
        with_header({"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}),
        with_header({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}) + bytes(4),
        with_header({"__metadata__": {"skdgam": "{"}}),
        with_header({"__metadata__": {"skdgam": "[" * 100_000}}),
    ],
    ids=["zip", "pickle", "long header", "huge array", "wrong size", "no JSON", "deep JSON"],
)
def test_files_of_another_kind(tmp_path, content):
    path = tmp_path / "model.skdgam"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="model.skdgam is no model file of skdgam, or is damaged"):
        read_model(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"skdgam": "[1]"}, {"skdgam": "{}"}])
def test_other_files_of_safetensors(tmp_path, metadata):
    safetensors.save_file(ARRAYS, tmp_path / "model", metadata)
    with pytest.raises(ValueError, match="is no model file of skdgam, as save of a localizer"):
        read_model(tmp_path / "model")


def test_a_file_of_a_newer_format(tmp_path):
    write_model(tmp_path / "model", {"version": 3}, ARRAYS)
    with pytest.raises(ValueError, match="newer skdgam: its format is 3, and this one reads up to"):
        read_model(tmp_path / "model")


def test_a_single_bit_that_flipped_is_damage(tmp_path):
    path = tmp_path / "model"
    write_model(path, {"class": "Model", "params": {"r": 1.5}}, {"w": np.arange(8.0)})
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="model is damaged: it is not what was written"):
        read_model(path)


def test_the_same_model_makes_the_same_file(tmp_path):
    for path in (tmp_path / "a", tmp_path / "b"):
        write_model(path, {"class": "Model", "x": [np.float64(0.1)]}, {"w": np.ones(3)})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_of_an_older_format_is_read(tmp_path):
    write_model(tmp_path / "model", {"version": 1, "class": "Model"}, ARRAYS)
    description, arrays = read_model(tmp_path / "model")
    assert description == {"version": 1, "class": "Model"}
    assert set(arrays) == set(ARRAYS)
