"""Whatever a file holds: a reader returns, or says in a ValueError or OSError what is wrong.

The files are the same each time; ``make fuzz`` tries many more, and others.
"""

import copy
import json
import warnings

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skdgam import DGAMLocalizer, MultiStreamLocalizer, io, load
from skdgam._features import check_features
from skdgam.cli import main
from skdgam.datasets import FeatureFolder, make_untrimmed
from skdgam.formats import (
    read_intervals,
    read_labels,
    read_track,
    write_intervals,
    write_track,
)
from skdgam.intervals import make_intervals
from skdgam.presets import PAPER

# A file for each reader, in one folder: what is tried is written over it, and put back.
MANY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
X, Y = make_untrimmed(n_videos=6, n_classes=2, n_features=3, random_state=0)


def small(**changes):
    settings = {"max_epochs": 1, "latent_dim": 2, "batch_size": 3, "random_state": 0}
    return DGAMLocalizer(**(PAPER | settings | changes))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A file of every kind that is read, each as it should be."""
    folder = tmp_path_factory.mktemp("files")
    model = small().fit(X, Y, folder / "checkpoint")
    model.save(folder / "model")
    MultiStreamLocalizer([("a", small(), slice(0, 2)), ("b", small(), [2])]).fit(X, Y).save(
        folder / "streams"
    )
    names = {"att_head.fc1": "attention_head.0", "att_head.fc2": "attention_head.2"}
    names["clf_head.fc1"] = "classifier"
    released = {
        f"{theirs}.{kind}": torch.from_numpy(model.weights_[f"{ours}.{kind}"])
        for theirs, ours in names.items()
        for kind in ("weight", "bias")
    }
    torch.save(released, folder / "released.pth")
    videos = {f"video {i}": found for i, found in enumerate(model.predict(X))}
    write_intervals(folder / "detections.json", videos)
    write_intervals(folder / "detections.csv", videos)
    write_intervals(folder / "detections.tsv", videos)
    spoken = make_intervals([1, 2], [3, 4], ["ann", "bob"], [0.5, 0.25])
    write_intervals(folder / "detections.rttm", {"a": spoken, "b": spoken})
    for ending in ("srt", "vtt", "txt", "tsv"):
        write_track(folder / f"track.{ending}", Y[0])
    write_intervals(folder / "annotations.json", dict(zip(videos, Y, strict=True)))
    (folder / "labels.csv").write_text("video,label\nvideo 0,jump\nvideo 1,\n", encoding="utf-8")
    (folder / "features").mkdir()
    np.save(folder / "features" / "a.npy", X[0])
    np.savez_compressed(folder / "features.npz", a=X[0], b=X[1])
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "features.h5", "w") as file:
        file.create_dataset("a", data=X[0], compression="gzip")
    return folder


def read_features(path):
    for video in check_features(FeatureFolder(path)):
        assert np.isfinite(video).all()


def use(path):
    """A model that can be opened can be used, unless its weights make numbers overflow."""
    model = load(path)
    if model.n_features_in_ == 3:
        for found in model.predict(X[:1]):
            assert np.isfinite(found["score"]).all()


READERS = {
    "model": use,
    "streams": use,
    "checkpoint": lambda path: small().fit(X, Y, path),
    "released.pth": lambda path: DGAMLocalizer.from_released(path, ["action 0", "action 1"]),
    "detections.json": read_intervals,
    "detections.csv": read_intervals,
    "detections.tsv": read_intervals,
    "detections.rttm": read_intervals,
    **{f"track.{ending}": read_track for ending in ("srt", "vtt", "txt", "tsv")},
    "annotations.json": read_labels,
    "labels.csv": read_labels,
    "features/a.npy": lambda path: read_features(path.parent),
    "features.npz": read_features,
    "features.h5": read_features,
}


def refuses_or_reads(read, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            read(path)
        except (ValueError, OSError, FloatingPointError) as error:
            told = str(error)
        else:
            return
    assert told


@st.composite
def damages(draw):
    """Changes of a file: each replaces some bytes at some place by others."""
    place = st.one_of(st.floats(0, 1), st.integers(0, 400))  # many files say at once what they are
    content = st.one_of(
        st.binary(max_size=16),
        st.sampled_from([b"\xff" * 8, b"\x00" * 8, b"9" * 12, b"-1", b"1e999", b"NaN", b"{", b'"']),
    )
    return draw(st.lists(st.tuples(place, st.integers(0, 64), content), min_size=1, max_size=4))


def damaged(content, damage):
    for place, n_replaced, new in damage:
        first = round(place * len(content)) if isinstance(place, float) else place
        content = content[:first] + new + content[first + n_replaced :]
    return content


@pytest.mark.parametrize("name", READERS)
@MANY
@given(damage=damages())
def test_damaged_files(folder, name, damage):
    path = folder / name
    content = path.read_bytes()
    try:
        path.write_bytes(damaged(content, damage))
        refuses_or_reads(READERS[name], path)
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize("name", READERS)
@MANY
@given(share=st.floats(0, 1))
def test_files_cut_short(folder, name, share):
    path = folder / name
    content = path.read_bytes()
    try:
        path.write_bytes(content[: int(share * len(content))])
        refuses_or_reads(READERS[name], path)
    finally:
        path.write_bytes(content)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-3, 3)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["slice", "<f4", "O", "U9999999999", 10**12, "1e9"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


def places(content, prefix=()):
    """Every place in what JSON has, as the keys that lead to it."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in items:
        yield (*prefix, key)
        if isinstance(value, dict | list):
            yield from places(value, (*prefix, key))


def with_others(draw, content):
    """Return JSON with other values at one to three places."""
    content = copy.deepcopy(content)
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from([*places(content)]))
        inner = content
        for key in way:
            inner = inner[key]
        if draw(st.booleans()):
            inner[last] = draw(VALUES)
        else:
            del inner[last]
        if not content:
            break
    return content


@pytest.mark.parametrize("name", ["detections.json", "annotations.json"])
@MANY
@given(data=st.data())
def test_json_that_says_something_else(folder, name, data):
    path = folder / "other.json"
    content = with_others(data.draw, json.loads((folder / name).read_text()))
    path.write_text(json.dumps(content))
    refuses_or_reads(READERS[name], path)


@pytest.mark.parametrize("name", ["model", "streams", "checkpoint"])
@MANY
@given(data=st.data())
def test_models_that_are_described_otherwise(folder, name, data):
    description, arrays = io.read_model(folder / name)
    description = with_others(data.draw, description)
    io.write_model(folder / "other", description, arrays)
    refuses_or_reads(READERS[name], folder / "other")


@pytest.mark.parametrize("name", ["model", "streams", "checkpoint"])
@MANY
@given(data=st.data())
def test_models_of_other_arrays(folder, name, data):
    description, arrays = io.read_model(folder / name)
    for _ in range(data.draw(st.integers(1, 3))):
        array = data.draw(st.sampled_from([*arrays]))
        shape = data.draw(st.lists(st.sampled_from([0, 1, 2, 7, 70_000]), max_size=2))
        value = data.draw(st.sampled_from([0, 1, np.nan, np.inf, 1e38]))
        dtype = data.draw(st.sampled_from(["f4", "f8", "i8", "u1"]))
        with np.errstate(all="ignore"):
            other = np.array(value, dtype="f8").astype(dtype)
        if np.prod(shape, dtype=float) < 1e6:
            arrays[array] = np.broadcast_to(other, shape)
        else:
            del arrays[array]
    io.write_model(folder / "other", description, arrays)
    refuses_or_reads(READERS[name], folder / "other")


@MANY
@given(damage=damages(), name=st.sampled_from(["detections.json", "detections.csv"]))
def test_the_command_line_ends_with_a_word(folder, name, damage):
    path = folder / f"other.{name[-4:].strip('.')}"
    path.write_bytes(damaged((folder / name).read_bytes(), damage))
    assert main(["evaluate", str(path), str(folder / "annotations.json")]) in (0, 1)
