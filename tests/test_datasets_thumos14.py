import json

import numpy as np
import pytest

from skdgam._validation import check_annotations
from skdgam.datasets import load_thumos14
from skdgam.datasets.thumos14 import CLASSES

WIDTHS = {"rgb": 3, "flow": 2}
GOLF = {"label": "GolfSwing", "segment": [1.5, 4.0]}
DIVING = {"label": "Diving", "segment": [6.0, 7.5]}


def save_features(folders, names):
    """Video k has k + 1 snippets, all of value k."""
    for stream, folder in folders.items():
        folder.mkdir(parents=True)
        for k, name in enumerate(names):
            np.save(folder / f"{name}.npy", np.full((k + 1, WIDTHS[stream]), k, dtype=np.float32))


def save_annotations(path, subset, videos, **more):
    database = {
        name: {"subset": subset, "annotations": annotations, **more}
        for name, annotations in videos.items()
    }
    path.write_text(json.dumps({"database": database}))


@pytest.fixture
def dgam(tmp_path):
    """The distribution of DGAM: three videos for training and two for testing."""
    for subset, n in {"train": 3, "test": 2}.items():
        folder = tmp_path / f"{subset}_data"
        save_features({s: folder / f"{s}_features" for s in WIDTHS}, range(1, n + 1))
        np.save(folder / f"{subset}_labels.npy", np.eye(n, 20))
    np.save(tmp_path / "train_data" / "train_labels.npy", np.eye(20)[[9, 7, 7]] + np.eye(20)[7])
    as_text = {"label": "GolfSwing", "segment": ["1.5", "4.0"]}
    save_annotations(
        tmp_path / "test_data" / "gt.json", "test", {"b": [as_text], "a": [], "unused": []}
    )
    (tmp_path / "test_data" / "THUMOS14_test_vid_list.txt").write_text("a\nb\n")
    return tmp_path


@pytest.fixture
def basnet(tmp_path):
    """The distribution of BaS-Net: three videos for training."""
    save_features({s: tmp_path / "features" / "train" / s for s in WIDTHS}, ["c", "a", "b"])
    videos = {"c": [GOLF, DIVING], "a": [], "b": [DIVING]}
    save_annotations(tmp_path / "gt.json", "train", videos, duration=10)
    return tmp_path


def test_classes_are_those_of_the_annotations(shared_file):
    database = json.loads(shared_file("data/thumos14_annotations.json").read_text())["database"]
    labels = {item["label"] for video in database.values() for item in video["annotations"]}
    assert CLASSES.tolist() == sorted(labels)


def test_dgam_training_has_labels_without_times(dgam):
    train = load_thumos14(dgam)
    assert train.labels == [["Diving", "GolfSwing"], ["Diving"], ["Diving"]]
    assert train.annotations is None
    assert train.durations is None


def test_dgam_files_are_numbered_from_1(dgam):
    train = load_thumos14(dgam)
    assert train.names.tolist() == ["1", "2", "3"]
    assert [len(video) for video in train.features] == [1, 2, 3]


def test_dgam_testing_has_annotations_in_the_order_of_the_list(dgam):
    test = load_thumos14(dgam, subset="test")
    assert test.names.tolist() == ["a", "b"]
    assert [annotation.tolist() for annotation in test.annotations] == [
        [],
        [(1.5, 4.0, "GolfSwing")],
    ]
    assert test.labels == [[], ["GolfSwing"]]


def test_dgam_list_may_lie_at_the_top(dgam):
    name = "THUMOS14_test_vid_list.txt"
    (dgam / "test_data" / name).rename(dgam / name)
    assert load_thumos14(dgam, subset="test").names.tolist() == ["a", "b"]


def test_dgam_lines_past_the_last_video_are_not_read(dgam):
    (dgam / "test_data" / "THUMOS14_test_vid_list.txt").write_text("a\nb\nno features\n")
    assert load_thumos14(dgam, subset="test").names.tolist() == ["a", "b"]


def test_dgam_list_that_is_too_short(dgam):
    (dgam / "test_data" / "THUMOS14_test_vid_list.txt").write_text("a\n")
    with pytest.raises(ValueError, match=r"names 1 videos, but .*test_labels\.npy has 2 rows"):
        load_thumos14(dgam, subset="test")


def test_dgam_labels_of_other_classes(dgam):
    np.save(dgam / "train_data" / "train_labels.npy", np.eye(3, 100))
    with pytest.raises(ValueError, match=r"has shape \(3, 100\); expected \(n_videos, 20\)"):
        load_thumos14(dgam)


def test_a_listed_video_without_annotation(dgam):
    (dgam / "test_data" / "THUMOS14_test_vid_list.txt").write_text("a\nx\n")
    with pytest.raises(ValueError, match=r"gt\.json says nothing of x"):
        load_thumos14(dgam, subset="test")


def test_basnet_order_is_that_of_the_annotations(basnet):
    train = load_thumos14(basnet)
    assert train.names.tolist() == ["c", "a", "b"]
    assert [len(video) for video in train.features] == [1, 2, 3]


def test_basnet_order_is_that_of_the_split_if_there_is_one(basnet):
    (basnet / "split_train.txt").write_text("b\nc\n")
    assert load_thumos14(basnet).names.tolist() == ["b", "c"]


def test_basnet_has_annotations_labels_and_durations(basnet):
    train = load_thumos14(basnet)
    assert train.annotations[0].tolist() == [(1.5, 4.0, "GolfSwing"), (6.0, 7.5, "Diving")]
    assert train.labels == [["Diving", "GolfSwing"], [], ["Diving"]]
    assert train.durations.tolist() == [10.0, 10.0, 10.0]


def test_annotations_pass_the_check(basnet):
    assert len(check_annotations(load_thumos14(basnet).annotations)) == 3


def test_durations_are_none_where_one_is_unknown(basnet):
    save_annotations(basnet / "gt.json", "train", {"c": [], "a": [], "b": []})
    assert load_thumos14(basnet).durations is None


def test_basnet_videos_without_features_are_named_and_left_out(basnet):
    (basnet / "features" / "train" / "flow" / "a.npy").unlink()
    with pytest.warns(UserWarning, match=r"1 of 3 train videos .* no features .* left out: a\."):
        train = load_thumos14(basnet)
    assert train.names.tolist() == ["c", "b"]


def test_basnet_split_that_names_a_video_without_features(basnet):
    (basnet / "split_train.txt").write_text("c\nx\n")
    with pytest.raises(FileNotFoundError, match=r"x\.npy is missing"):
        load_thumos14(basnet)


def test_basnet_annotations_of_other_videos(basnet):
    save_annotations(basnet / "gt.json", "train", {"x": [], "y": []})
    with pytest.raises(FileNotFoundError, match="None of the 2 train videos .* has features"):
        load_thumos14(basnet)


@pytest.mark.parametrize("layout", ["dgam", "basnet"])
def test_streams_tell_their_columns(layout, request):
    train = load_thumos14(request.getfixturevalue(layout))
    assert train.streams == {"rgb": slice(0, 3), "flow": slice(3, 5)}
    assert train.features[0].shape == (1, 5)


def test_one_stream_in_the_order_asked_for(dgam):
    assert load_thumos14(dgam, streams=["flow"]).streams == {"flow": slice(0, 2)}


def test_snippets_do_not_overlap(dgam):
    train = load_thumos14(dgam)
    assert (train.snippet_seconds, train.snippet_offset) == (0.64, 0.0)


def test_unknown_subset(dgam):
    with pytest.raises(ValueError, match="subset is 'validation'; it must be"):
        load_thumos14(dgam, subset="validation")


@pytest.mark.parametrize("streams", [["rgb", "rgb"], ["rgb", "audio"], [], "rgb"])
def test_unknown_streams(dgam, streams):
    with pytest.raises(ValueError, match="streams is .*; it must be a list of"):
        load_thumos14(dgam, streams=streams)


def test_neither_layout(tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match=r"(?s)neither layout.*train_data/train_labels\.npy.*features/train/<stream>",
    ):
        load_thumos14(tmp_path)
