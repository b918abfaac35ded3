import shutil

import numpy as np
import pytest

from skdgam.datasets import load_myo
from skdgam.datasets.myo import N_TOGETHER, _gestures

PEOPLE = ("10000", "20000", "30000", "40000")


def minute(gesture, rng):
    """Rest and a gesture in turn, half a second each, as the lines of a file."""
    held = np.repeat([0, 1, 0, 1], 100)
    readings = rng.integers(-128, 128, (len(held), 8))
    return [",".join(map(str, [*row, g * gesture])) for row, g in zip(readings, held, strict=True)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("myo"), np.random.default_rng(0)
    for person in PEOPLE:
        session = folder / "_readings_right_hand" / f"{person}-1"
        session.mkdir(parents=True)
        for gesture in range(8):
            lines = minute(gesture, rng)
            (session / f"{gesture}.txt").write_text("\n".join([*lines, "5,4,3"]))  # broken off
    (folder / "curated.txt").write_text("20000-1\n")
    return folder


@pytest.fixture(scope="module")
def train(folder):
    return load_myo(folder)


@pytest.fixture(scope="module")
def published(shared_file):
    return load_myo(shared_file("data/myo.zip"))


def test_subsets_are_of_different_people(folder, train):
    assert set(load_myo(folder, subset="test").groups) == {"10000", "40000"}
    assert set(train.groups) == {"20000", "30000"}


def test_three_gestures_of_a_session_are_a_recording(train):
    # 7 gestures, twice each, are 4 recordings of 3 gestures, and 2 gestures are left.
    assert train.names.tolist() == [f"{p}-1_{k}" for p in ("20000", "30000") for k in range(4)]
    assert {len(annotation) for annotation in train.annotations} == {N_TOGETHER}


def test_sessions_have_orders_of_their_own(train):
    one, other = ([v["label"].tolist() for v in train.annotations[k : k + 4]] for k in (0, 4))
    assert one != other


def test_gestures_are_cut_in_the_middle_of_rest():
    held = np.repeat([0, 1, 0, 1, 0], [4, 3, 6, 2, 5])
    table = np.column_stack([np.tile(np.arange(20.0), (8, 1)).T, held])
    (first, in_first), (second, in_second) = _gestures(table)
    assert (first[:, 0].tolist(), in_first) == (list(range(10)), (4, 7))
    assert (second[:, 0].tolist(), in_second) == (list(range(10, 20)), (3, 5))


def test_intervals_are_in_seconds_from_the_start_of_the_recording(train):
    # 0.5 s of rest before each gesture of 0.5 s; between two, half of the rest belongs to either.
    lengths = train.annotations[0]["end"] - train.annotations[0]["start"]
    np.testing.assert_allclose(lengths, 0.5)
    assert train.annotations[0]["end"].max() <= train.durations[0]


def test_labels_are_those_of_the_intervals(train):
    for labels, annotation in zip(train.labels, train.annotations, strict=True):
        assert labels == sorted(set(annotation["label"]))


def test_features_are_float32_of_one_width(train):
    assert {(x.dtype, x.shape[1]) for x in train.features} == {(np.dtype("f4"), 99)}


def test_curated_sessions_alone(folder):
    assert set(load_myo(folder, curated=True).groups) == {"20000"}


def test_zip_and_folder_are_the_same(folder, train, tmp_path):
    zipped = load_myo(shutil.make_archive(tmp_path / "myo", "zip", folder))
    for a, b in zip(zipped.features, train.features, strict=True):
        np.testing.assert_array_equal(a, b)


def test_published_data(published):
    assert len(published.features) == 420
    assert len(set(published.groups)) == 10
    lengths = np.concatenate([v["end"] - v["start"] for v in published.annotations])
    assert np.median(lengths) == pytest.approx(5.0, abs=0.1)


def test_what_is_no_myo_is_refused(tmp_path, folder):
    with pytest.raises(FileNotFoundError, match="does not exist; it must be Myo"):
        load_myo(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="is not Myo: it has no folders"):
        load_myo(tmp_path)
    with pytest.raises(ValueError, match="subset is 'all'"):
        load_myo(folder, subset="all")


def test_a_file_without_readings_is_refused(tmp_path):
    session = tmp_path / "_readings_left_hand" / "20000-1"
    session.mkdir(parents=True)
    (tmp_path / "_readings_left_hand" / "10000-1").mkdir()
    (session / "1.txt").write_text("1,2,3\n")
    with pytest.raises(ValueError, match="has no line of 9 numbers with commas"):
        load_myo(tmp_path)
