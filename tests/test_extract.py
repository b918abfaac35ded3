"""From files to features and on to detections, in a shell: what is made, told and refused."""

import csv
import json
import os
import re
import shutil

import numpy as np
import pytest
import torch

from skdgam import load
from skdgam.cli import main
from skdgam.datasets import FeatureFolder
from skdgam.features.backbones import Backbone
from skdgam.features.i3d import random_i3d_weights
from skdgam.features.video import VideoFeatures
from skdgam.formats import read_intervals
from skdgam.methods import MILLocalizer

RATE = 16_000
SHORT = ["--set", "frames=2", "--set", "fps=2"]  # snippets for which I3D has little to do


def run(*arguments):
    return main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """Recordings of noise with a beep or a knock at a place of their own; and their labels."""
    soundfile = pytest.importorskip("soundfile")
    folder, rng = tmp_path_factory.mktemp("sounds"), np.random.default_rng(0)
    (folder / "train").mkdir()
    (folder / "new").mkdir()
    rows = [("video", "label")]
    for i in range(18):
        samples, label = 0.01 * rng.normal(size=4 * RATE), ("beep", "knock")[i % 2]
        first = rng.integers(RATE, 2 * RATE)
        time = np.arange(RATE) / RATE
        event = np.sin(2 * np.pi * 1000 * time) if label == "beep" else rng.normal(size=RATE)
        samples[first : first + RATE] += 0.2 * event
        part = "train" if i < 14 else "new"
        soundfile.write(folder / part / f"{i} {label}.wav", samples, RATE)
        if part == "train":
            rows.append((f"{i} {label}", label))
    with open(folder / "labels.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


@pytest.fixture(scope="module")
def trained(sounds):
    """A model of features that the shell has made."""
    made, model = sounds / "features", sounds / "model.skdgam"
    assert run("features", sounds / "train", "-o", made, "--jobs", 1) == 0
    settings = ["--set", "max_epochs=40", "--set", "random_state=0", "--set", "latent_dim=8"]
    assert run("fit", made, sounds / "labels.csv", "-o", model, *settings) == 0
    return model


def test_features_of_sounds_are_those_of_their_transformer(sounds, trained):
    from skdgam.features.sound import SoundFeatures

    X = FeatureFolder(sounds / "features")
    assert len(X) == 14
    np.testing.assert_array_equal(X[0], SoundFeatures().features_of(sounds / "train/0 beep.wav"))


def test_fit_takes_the_time_of_snippets_from_the_features(trained):
    assert load(trained).clock.seconds == 0.1


def test_run_finds_in_files_what_predict_finds_in_features(sounds, trained, tmp_path, capsys):
    assert run("run", trained, sounds / "new", "-o", tmp_path / "found.json") == 0
    assert "4 recordings" in capsys.readouterr().out
    assert run("features", sounds / "new", "-o", tmp_path / "made") == 0
    assert run("predict", trained, tmp_path / "made", "-o", tmp_path / "again.json") == 0
    found, again = (read_intervals(tmp_path / f"{name}.json") for name in ("found", "again"))
    assert sorted(found) == sorted(again)
    for name, intervals in found.items():
        np.testing.assert_array_equal(intervals, again[name])
        best = intervals[intervals["score"].argmax()]
        assert best["label"] == name.split()[1]


def test_run_keeps_no_features(sounds, trained, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert run("run", trained, sounds / "new/14 beep.wav", "-o", tmp_path / "found.csv") == 0
    assert os.listdir(tmp_path) == ["found.csv"]


def test_features_made_otherwise_are_refused_by_predict(sounds, trained, tmp_path, capsys):
    made = ["features", sounds / "new", "-o", tmp_path / "made", "--set", "deltas=true"]
    assert run(*made, "--set", "n_mels=32") == 0
    assert run("predict", trained, tmp_path / "made", "-o", tmp_path / "found.json") == 1
    told = capsys.readouterr().err
    assert "made otherwise" in told
    assert "n_mels=64, and here it is 32" in told


def test_features_go_on_where_they_stopped(sounds, tmp_path, capsys):
    first = [sounds / "new/14 beep.wav", sounds / "new/15 knock.wav"]
    assert run("features", *first, "-o", tmp_path / "made") == 0
    before = os.stat(tmp_path / "made/14 beep.npy").st_mtime_ns
    assert run("features", sounds / "new", "-o", tmp_path / "made") == 1
    assert "--resume goes on" in capsys.readouterr().err
    assert run("features", sounds / "new", "-o", tmp_path / "made", "--resume") == 0
    assert "4 recordings, 1" in capsys.readouterr().out
    assert os.stat(tmp_path / "made/14 beep.npy").st_mtime_ns == before


def test_what_fails_is_named_and_the_rest_goes_on(sounds, trained, tmp_path, capsys):
    good = sounds / "new/14 beep.wav"
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    (tmp_path / "empty.wav").write_bytes(b"")
    bad = [tmp_path / "broken.wav", tmp_path / "empty.wav"]
    assert run("features", *bad, good, "-o", tmp_path / "made") == 1
    out, error = capsys.readouterr()
    assert out.count("Failed: ") == 2
    assert "2 recordings of 3 failed: broken.wav, empty.wav" in error
    assert FeatureFolder(tmp_path / "made").names.tolist() == ["14 beep"]
    assert run("run", trained, *bad, good, "-o", tmp_path / "found.json") == 1
    assert list(read_intervals(tmp_path / "found.json")) == ["14 beep"]
    assert run("run", trained, *bad, "-o", tmp_path / "none.json") == 1
    assert not (tmp_path / "none.json").exists()


def test_an_interruption_keeps_what_was_made(sounds, tmp_path, capsys, monkeypatch):
    from skdgam.features.sound import SoundFeatures

    def interrupted(self, source, name, features_of=SoundFeatures._features_of):
        if "15" in str(source):
            raise KeyboardInterrupt
        return features_of(self, source, name)

    monkeypatch.setattr(SoundFeatures, "_features_of", interrupted)
    made = ["features", sounds / "new", "-o", tmp_path / "made", "--jobs", 1]
    assert run(*made) == 130
    assert "made has what was made; --resume makes the rest" in capsys.readouterr().err
    monkeypatch.undo()
    assert run(*made, "--resume") == 0
    assert len(FeatureFolder(tmp_path / "made")) == 4


# --- videos ---


@pytest.fixture(scope="module")
def videos(tmp_path_factory, make_video):
    folder = tmp_path_factory.mktemp("videos")
    for name, level in {"dark": 20, "light": 230}.items():
        make_video(folder / f"{name}.mp4", np.arange(16) / 25, levels=[level] * 16)
    (folder / "notes.txt").write_text("of no matter")
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    for stream in ("rgb", "flow"):
        torch.save(random_i3d_weights(stream), folder / f"{stream}.pt")
    return folder


def test_two_streams_of_videos_go_from_files_to_detections(videos, weights, tmp_path, capsys):
    pytest.importorskip("cv2")
    made, both = tmp_path / "made", ["--stream", "rgb", "--stream", "flow"]
    files = ["--weights", weights / "rgb.pt", "--weights", weights / "flow.pt"]
    assert run("features", videos, "-o", made, *both, *files, *SHORT, "--set", "flow=dis") == 0
    assert sorted(os.listdir(made)) == ["flow", "rgb"]
    assert FeatureFolder([made / "rgb", made / "flow"])[0].shape == (1, 2048)
    about = json.loads((made / "flow/features.json").read_text())["extractor"]
    assert about["flow"] == "dis"
    assert re.fullmatch("sha256 [0-9a-f]{64}", about["weights"])
    (tmp_path / "labels.csv").write_text("video,label\ndark,night\nlight,day\n")
    model, found = tmp_path / "model.skdgam", tmp_path / "found.json"
    fit = ["fit", made / "rgb", made / "flow", tmp_path / "labels.csv", "-o", model]
    assert run(*fit, "--set", "max_epochs=2", "--set", "batch_size=1") == 0
    capsys.readouterr()
    assert run("run", model, videos, "-o", found) == 1
    assert "name their file" in capsys.readouterr().err
    assert run("run", model, videos, "-o", found, *reversed_weights(files)) == 1
    assert "features that differ: weights='sha256" in capsys.readouterr().err
    assert run("run", model, videos / "dark.mp4", "-o", found, *files) == 0
    assert list(read_intervals(found)) == ["dark"]


def reversed_weights(files):
    return [*files[2:], *files[:2]]


def test_random_weights_try_things_out(videos, tmp_path, capsys):
    made = ["features", videos / "dark.mp4", "-o", tmp_path / "made"]
    assert run(*made) == 1
    assert "I3D needs weights, such as the file models/rgb_imagenet.pt" in capsys.readouterr().err
    assert not (tmp_path / "made").exists()
    assert run(*made, "--weights", "random", *SHORT) == 0
    assert "random weights: its features mean nothing" in capsys.readouterr().err


def test_a_model_of_ones_own_backbone_cannot_run(videos, tmp_path, capsys):
    def describe(snippets):
        return snippets.mean(axis=(1, 2, 3))

    own = Backbone(describe, frames=4, resize=None, crop=48)
    for backbone in (own, describe):
        made = VideoFeatures(own).transform([videos / "dark.mp4", videos / "light.mp4"])
        made.about = {
            "extractor": [VideoFeatures(backbone)._extractor()],
            **VideoFeatures(own).snippet_times(),
        }
        model = MILLocalizer(max_epochs=1, batch_size=1).fit(made, ["night", "day"])
        model.save(tmp_path / "model.skdgam")
        assert run("run", tmp_path / "model.skdgam", videos, "-o", tmp_path / "found.json") == 1
        assert "a function or network of somebody's own has made" in capsys.readouterr().err


# --- tables ---


def test_tables_need_to_be_told_their_sensors_and_windows(tmp_path, capsys):
    pytest.importorskip("pandas")
    from skdgam.features.table import TableFeatures

    rng = np.random.default_rng(0)
    for name in "ab":
        x, y = rng.normal(size=(2, 200))
        rows = [("time", "x", "y"), *zip(np.arange(200) / 50, x, y, strict=True)]
        with open(tmp_path / f"{name}.csv", "w", newline="") as file:
            csv.writer(file).writerows(rows)
    made = ["features", tmp_path / "a.csv", tmp_path / "b.csv", "-o", tmp_path / "made"]
    assert run(*made) == 1
    told = capsys.readouterr().err
    assert "TableFeatures needs columns and rate and window and hop: --columns NAME,NAME" in told
    assert "--set hop=VALUE. " in told
    assert "a.csv has the columns time, x, y; name those of one sensor together" in told
    times = ["--set", "rate=50", "--set", "window=1", "--set", "hop=0.5"]
    assert run(*made, "--columns", "x, y", "--columns", "y", *times[:-2]) == 1
    assert "TableFeatures needs hop: --set hop=VALUE." in capsys.readouterr().err
    assert run(*made, "--columns", "x, y", "--columns", "y", *times) == 0
    X = FeatureFolder(tmp_path / "made")
    assert X.about["snippet_offset"] == 0.25
    assert X.about["extractor"][0]["columns"] == [["x", "y"], ["y"]]
    sensors = TableFeatures([["x", "y"], "y"], rate=50, window=1, hop=0.5)
    np.testing.assert_array_equal(X[0], sensors.features_of(tmp_path / "a.csv"))


def test_a_table_of_labels_among_tables_of_sensors_is_told(tmp_path, capsys):
    pytest.importorskip("pandas")
    rows = [f"{i / 10},{i % 3}" for i in range(40)]
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/monday.csv").write_text("\n".join(["time,x", *rows]))
    (tmp_path / "tables/labels.csv").write_text("video,label\nmonday,walk\n")
    times = ["--set", "rate=10", "--set", "window=1", "--set", "hop=0.5"]
    made = ["features", tmp_path / "tables", "-o", tmp_path / "made", "--columns", "x", *times]
    assert run(*made) == 1
    out, error = capsys.readouterr()
    assert "labels.csv has the columns video, label; it looks like the table of labels" in out
    assert "1 recording of 2 failed: labels.csv" in error
    assert FeatureFolder(tmp_path / "made").names.tolist() == ["monday"]


# --- what is in a folder ---


def test_hidden_files_and_a_table_beside_recordings_are_no_recordings(sounds, tmp_path, capsys):
    for name in ("14 beep.wav", "15 knock.wav"):
        shutil.copy(sounds / "new" / name, tmp_path)
    shutil.copy(sounds / "new/14 beep.wav", tmp_path / ".hidden.wav")
    (tmp_path / "._14 beep.wav").write_bytes(b"Mac")
    (tmp_path / "labels.csv").write_text("video,label\n")
    assert run("features", tmp_path, "-o", tmp_path / "made") == 0
    assert "2 recordings, 78 snippets" in capsys.readouterr().out


def test_a_model_of_sounds_cannot_run_on_videos(videos, trained, tmp_path, capsys):
    assert run("run", trained, videos, "-o", tmp_path / "found.json") == 1
    assert "was trained on each sound of a folder, and" in capsys.readouterr().err


# --- what cannot be ---


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["{videos}/notes.txt"], "notes.txt ends in none of .mp4, "),
        (["{empty}"], "has no recording; those that are read end in .mp4, "),
        (["{videos}", "{sounds}/new"], r"must be of one kind, and .*mp4 is a video, .* is a sound"),
        (["{sounds}/new", "--stream", "flow"], "--stream is for videos, and .*new is a sound"),
        (["{sounds}/new", "--weights", "w.pt"], "--weights is for videos"),
        (["{videos}", "--stream", "rgb", "--stream", "rgb"], "--stream rgb is given twice"),
        (["{videos}", *["--weights", "w.pt"] * 2], "2 files of weights for 1 stream"),
        (["{sounds}/new", "--columns", "x"], "--columns is for tables, and .*new is a sound"),
        (["{videos}", "--columns", "x"], "--columns is for tables, and .* is a video"),
        (["{videos}", "--set", "hops=3"], "VideoFeatures has no such parameter; hop is one"),
        (["{videos}", "--backbone", "c3d"], "backbone='c3d', but it must be one of i3d"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    videos, sounds, tmp_path, capsys, arguments, told
):
    (tmp_path / "empty").mkdir()
    places = {"videos": videos, "sounds": sounds, "empty": tmp_path / "empty"}
    arguments = [argument.format(**places) for argument in arguments]
    assert run("features", *arguments, "-o", tmp_path / "made") == 1
    assert re.search(told, capsys.readouterr().err)
    assert not (tmp_path / "made").exists()


def test_a_model_of_features_that_said_nothing_cannot_run(sounds, tmp_path, capsys):
    rng = np.random.default_rng(0)
    (tmp_path / "plain").mkdir()
    for name in "ab":
        np.save(tmp_path / "plain" / name, rng.normal(size=(9, 3)))
    (tmp_path / "labels.csv").write_text("video,label\na,one\nb,two\n")
    model = tmp_path / "model.skdgam"
    fit = ["fit", tmp_path / "plain", tmp_path / "labels.csv", "-o", model]
    assert run(*fit, "--set", "max_epochs=1", "--set", "batch_size=1") == 0
    assert run("run", model, sounds / "new", "-o", tmp_path / "found.json") == 1
    assert "does not know how its features were made" in capsys.readouterr().err
