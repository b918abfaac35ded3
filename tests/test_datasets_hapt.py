import shutil

import numpy as np
import pytest

from skdgam._features import check_features
from skdgam._validation import check_annotations
from skdgam.datasets import load_hapt
from skdgam.datasets.hapt import MARGIN, PIECE, RATE, _cuts
from skdgam.intervals import make_intervals

# Experiment, user, activity, first and last sample, of two recordings of users of either subset.
LABELS = """1 1 5 250 1232
1 1 7 1233 1392
1 1 4 1393 2194
1 1 1 2680 3500
2 2 3 301 900
"""
LENGTHS = {"exp01_user01": 5500, "exp02_user02": 2000}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An archive in the published format, unpacked."""
    folder = tmp_path_factory.mktemp("hapt")
    raw = folder / "RawData"
    raw.mkdir()
    (raw / "labels.txt").write_text(LABELS)
    rng = np.random.default_rng(0)
    for recording, n_samples in LENGTHS.items():
        for sensor in ["acc", "gyro"]:
            signal = rng.standard_normal((n_samples, 3))
            np.savetxt(raw / f"{sensor}_{recording}.txt", signal)
    return folder


@pytest.fixture(scope="module")
def train(folder):
    return load_hapt(folder)


@pytest.fixture(scope="module")
def published(shared_file):
    """The real data set: its training and its test part."""
    path = shared_file("data/hapt.zip")
    return {subset: load_hapt(path, subset=subset) for subset in ["train", "test"]}


def test_a_recording_is_cut_in_its_background(train):
    # 5500 samples make two pieces, so the even cut is sample 2750, in the middle of walking
    # (samples 2679 to 3500). The nearest one far enough from it is 2646.
    assert train.durations.tolist() == [2646 / RATE, (5500 - 2646) / RATE]


def test_intervals_are_in_seconds_from_the_start_of_their_piece(train):
    assert train.annotations[0].tolist() == [(1232 / RATE, 1392 / RATE, "stand to sit")]
    assert train.annotations[1].tolist() == [
        ((2679 - 2646) / RATE, (3500 - 2646) / RATE, "walking")
    ]


def test_labels_are_those_of_the_intervals(train):
    assert train.labels == [["stand to sit"], ["walking"]]


def test_pieces_are_named_and_grouped_by_user(train):
    assert train.names.tolist() == ["exp01_user01_0", "exp01_user01_1"]
    assert train.groups.tolist() == [1, 1]


def test_subsets_are_of_different_users(folder):
    test = load_hapt(folder, subset="test")
    assert test.groups.tolist() == [2]
    assert test.labels == [["walking downstairs"]]


def test_a_snippet_for_each_whole_window(train):
    assert [len(video) for video in train.features] == [
        (n_samples - 64) // 16 + 1 for n_samples in (2646, 5500 - 2646)
    ]


def test_snippets_stand_for_the_middle_of_their_windows(train):
    assert (train.snippet_seconds, train.snippet_offset) == (0.32, 0.48)


def test_sensors_stand_side_by_side(folder, train):
    assert train.streams == {"acc": slice(0, 44), "gyro": slice(44, 88)}
    gyro = load_hapt(folder, streams=["gyro"])
    assert gyro.streams == {"gyro": slice(0, 44)}
    np.testing.assert_array_equal(
        gyro.features[0], train.features[0][:, train.streams["gyro"]], strict=True
    )


def test_features_are_float32(train):
    assert train.features[0].dtype == np.float32


def test_zip_and_folder_are_the_same(folder, train, tmp_path):
    zipped = load_hapt(shutil.make_archive(tmp_path / "hapt", "zip", folder))
    for a, b in zip(zipped.features, train.features, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        ([], [0, 2750, 5500]),
        ([(2750, 3500)], [0, 2750 - MARGIN - 1, 5500]),
        # The nearest background is more than a third of a piece away.
        ([(1000, 5000)], [0, 5500]),
        ([(0, 5500)], [0, 5500]),
    ],
)
def test_cuts_by_hand(actions, expected):
    start, end = np.array(actions).reshape(-1, 2).T
    assert _cuts(2 * PIECE, make_intervals(start, end, "walking")).tolist() == expected


def test_a_short_recording_stays_whole():
    assert _cuts(PIECE // 4, make_intervals([], [], "walking")).tolist() == [0, PIECE // 4]


def test_missing_path(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"hapt\.zip does not exist; it must be HAPT's"):
        load_hapt(tmp_path / "hapt.zip")


def test_a_folder_of_something_else(tmp_path):
    with pytest.raises(ValueError, match=r"is not HAPT: it has no RawData/labels\.txt"):
        load_hapt(tmp_path)


def test_a_file_that_is_no_archive(folder):
    with pytest.raises(ValueError, match=r"labels\.txt is not HAPT"):
        load_hapt(folder / "RawData" / "labels.txt")


@pytest.fixture
def damaged(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "damaged")


def test_a_missing_recording(damaged):
    (damaged / "RawData" / "gyro_exp01_user01.txt").unlink()
    with pytest.raises(FileNotFoundError, match="gyro_exp01_user01"):
        load_hapt(damaged)


def test_sensors_of_different_length(damaged):
    np.savetxt(damaged / "RawData" / "gyro_exp01_user01.txt", np.zeros((5000, 3)))
    with pytest.raises(ValueError, match="exp01_user01 has 5500 and 5000 samples of acc and gyro"):
        load_hapt(damaged)


def test_unknown_subset(folder):
    with pytest.raises(ValueError, match="subset is 'validation'; it must be"):
        load_hapt(folder, subset="validation")


@pytest.mark.parametrize("streams", [["acc", "acc"], ["acc", "ecg"], [], "acc"])
def test_unknown_streams(folder, streams):
    with pytest.raises(ValueError, match="streams is .*; it must be a list of"):
        load_hapt(folder, streams=streams)


@pytest.mark.parametrize(
    ("subset", "n_pieces", "n_intervals", "n_snippets"),
    [("train", 291, 597, 48_833), ("test", 119, 257, 19_918)],
)
def test_published_numbers(published, subset, n_pieces, n_intervals, n_snippets):
    # Together 854 intervals: every action that labels.txt names.
    data = published[subset]
    assert len(data.features) == n_pieces
    assert sum(map(len, data.annotations)) == n_intervals
    assert sum(map(len, data.features)) == n_snippets


def test_published_pieces_are_about_as_long(published):
    durations = np.concatenate([data.durations for data in published.values()])
    assert durations.min() > 39
    assert durations.max() < 71
    assert np.mean((durations >= 40) & (durations <= 60)) > 0.9


def test_published_users_are_apart(published):
    assert len(np.unique(published["train"].groups)) == 21
    assert np.unique(published["test"].groups).tolist() == [2, 4, 9, 10, 12, 13, 18, 20, 24]


@pytest.mark.parametrize("subset", ["train", "test"])
def test_published_pieces_pass_the_checks(published, subset):
    data = published[subset]
    assert check_features(data.features).n_features == 88
    annotations = check_annotations(data.annotations, len(data.features))
    assert len(np.unique(np.concatenate([a["label"] for a in annotations]))) == 9


@pytest.mark.parametrize("subset", ["train", "test"])
def test_published_actions_lie_inside_their_pieces(published, subset):
    for annotation, duration in zip(
        published[subset].annotations, published[subset].durations, strict=True
    ):
        assert (annotation["start"] >= MARGIN / RATE).all()
        assert (annotation["end"] <= duration - MARGIN / RATE).all()
