"""The command line as people use it: files in, files out, one line when something is wrong."""

import json
import os
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest

from skdgam import DGAMLocalizer, MultiStreamLocalizer, formats, io, load
from skdgam._arguments import _parameter
from skdgam.cli import main
from skdgam.datasets import make_untrimmed
from skdgam.formats import read_intervals, write_intervals
from skdgam.methods import SupervisedLocalizer
from skdgam.metrics import PROTOCOLS
from skdgam.training.trainer import Trainer

QUICK = ["--set", "max_epochs=3", "--set", "latent_dim=4", "--set", "random_state=0"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with features of two streams, labels, annotations, a model and its detections."""
    folder = tmp_path_factory.mktemp("made")
    X, y = make_untrimmed(n_videos=12, n_classes=2, n_features=(6, 4), random_state=0)
    names = [f"video {i}" for i in range(12)]
    for stream, columns in {"rgb": slice(0, 6), "flow": slice(6, 10)}.items():
        (folder / stream).mkdir()
        for name, x in zip(names, X, strict=True):
            np.save(folder / stream / f"{name}.npy", x[:, columns])
    rows = [(name, label) for name, v in zip(names, y, strict=True) for label in set(v["label"])]
    text = "video,label\n" + "".join(f"{name},{label}\n" for name, label in rows)
    (folder / "labels.csv").write_text(text)
    write_intervals(folder / "annotations.json", dict(zip(names, y, strict=True)))
    fit = ["fit", folder / "rgb", folder / "labels.csv", "-o", folder / "model.skdgam"]
    assert run(*fit, *QUICK) == 0
    predict = ["predict", folder / "model.skdgam", folder / "rgb"]
    assert run(*predict, "-o", folder / "detections.json") == 0
    return folder


def run(*arguments):
    return main([str(argument) for argument in arguments])


# --- what the commands do ---


def test_fit_trains_as_the_estimator_does(made):
    model = load(made / "model.skdgam")
    X = [np.load(made / "rgb" / f"video {i}.npy") for i in range(12)]
    y = list(read_intervals(made / "annotations.json").values())
    again = DGAMLocalizer(max_epochs=3, latent_dim=4, random_state=0)
    again.fit(X, y)
    for name, weight in again.weights_.items():
        np.testing.assert_array_equal(weight, model.weights_[name])


@pytest.mark.parametrize(
    ("text", "value"), [("balanced", "balanced"), ('{"action 0": 2}', {"action 0": 2})]
)
def test_weights_of_classes_are_set(made, tmp_path, text, value, capsys):
    fit = ["fit", made / "rgb", made / "labels.csv", "-o", tmp_path / "model.skdgam", *QUICK]
    assert run(*fit, "--set", f"class_weight={text}") == 0
    assert load(tmp_path / "model.skdgam").class_weight == value
    assert run("info", tmp_path / "model.skdgam") == 0
    assert f"class_weight = {value!r}" in capsys.readouterr().out


def test_weights_of_classes_that_are_not_there_are_told(made, tmp_path, capsys):
    fit = ["fit", made / "rgb", made / "labels.csv", "-o", tmp_path / "model.skdgam", *QUICK]
    assert run(*fit, "--set", 'class_weight={"action0": 2}') == 1
    told = capsys.readouterr().err
    assert "class_weight has the class 'action0'" in told
    assert "is 'action 0' meant?" in told


def test_predict_finds_what_the_estimator_finds(made, tmp_path):
    model = load(made / "model.skdgam")
    found = read_intervals(made / "detections.json")
    assert len(found) == 12
    expected = model.predict([np.load(made / "rgb" / "video 3.npy")])[0]
    np.testing.assert_allclose(found["video 3"]["start"], expected["start"], rtol=1e-6)
    assert run("predict", made / "model.skdgam", made / "rgb", "-o", tmp_path / "found.csv") == 0
    assert read_intervals(tmp_path / "found.csv")["video 3"].tolist() == found["video 3"].tolist()


def test_annotations_serve_as_labels(made, tmp_path):
    fit = ["fit", made / "rgb", made / "annotations.json", "-o", tmp_path / "model.skdgam"]
    assert run(*fit, *QUICK) == 0
    one, other = load(made / "model.skdgam"), load(tmp_path / "model.skdgam")
    for name, weight in one.weights_.items():
        np.testing.assert_array_equal(weight, other.weights_[name])


def test_a_method_that_learns_from_intervals_is_given_them(made, tmp_path, capsys):
    fit = ["fit", made / "rgb", made / "annotations.json", "-o", tmp_path / "model.skdgam"]
    options = ["--method", "supervised", "--set", "max_epochs=3", "--set", "random_state=0"]
    assert run(*fit, *options) == 0
    X = [np.load(made / "rgb" / f"video {i}.npy") for i in range(12)]
    y = list(read_intervals(made / "annotations.json").values())
    expected = SupervisedLocalizer(max_epochs=3, random_state=0).fit(X, y)
    for name, weight in load(tmp_path / "model.skdgam").weights_.items():
        np.testing.assert_array_equal(weight, expected.weights_[name])
    fit[2], fit[4] = made / "labels.csv", tmp_path / "other.skdgam"
    assert run(*fit, *options) == 1
    told = capsys.readouterr().err
    assert "--method supervised learns from intervals, not from labels: " in told
    assert "it lacks start, end" in told
    assert not (tmp_path / "other.skdgam").exists()


def test_several_features_are_streams(made, tmp_path, capsys):
    streams, path = [made / "rgb", made / "flow"], tmp_path / "model.skdgam"
    assert run("fit", *streams, made / "labels.csv", "-o", path, *QUICK) == 0
    assert isinstance(load(path), MultiStreamLocalizer)
    assert run("predict", path, *streams, "-o", tmp_path / "found.json") == 0
    capsys.readouterr()
    assert run("info", path) == 0
    told = capsys.readouterr().out
    assert "MultiStreamLocalizer of 10 features" in told
    assert "stream flow, 3 epochs" in told


def test_a_preset_and_what_changes_it(made, tmp_path, capsys):
    path = tmp_path / "model.skdgam"
    fit = ["fit", made / "rgb", made / "labels.csv", "-o", path, "--preset", "SENSORS", *QUICK]
    assert run(*fit, "--set", "temporal_context=1", "--set", "proposal_threshold=[0.3, 0.5]") == 0
    capsys.readouterr()
    assert run("info", path) == 0
    told = capsys.readouterr().out
    assert "2 classes: action 0, action 1" in told
    for line in (
        "  temporal_context = 1\n",
        "  classification = 'sigmoid'\n",
        "  proposal_threshold = [0.3, 0.5]\n",
        "  max_epochs = 3\n",
    ):
        assert line in told


def test_videos_without_a_row_are_left_out(made, tmp_path, capsys):
    lines = (made / "labels.csv").read_text().splitlines()
    labels = tmp_path / "labels.csv"
    kept = [line for line in lines if not line.startswith(("video 3,", "video 4,"))]
    labels.write_text("\n".join([*kept, "video 4,"]) + "\n")  # 4 shows nothing
    assert run("fit", made / "rgb", labels, "-o", tmp_path / "model.skdgam", *QUICK) == 0
    told = capsys.readouterr().out
    assert "Left out: 1 of 12 videos, without labels." in told
    assert "Training on 11 videos of 2 classes (" in told
    assert re.search(r"\): [\d,]+ snippets of \d+ features, \d+ to \d+ a video\.", told)


DETECTIONS = {
    "a": [{"segment": [0, 4], "label": "jump", "score": 0.9}],
    "x": [{"segment": [0, 4], "label": "jump", "score": 0.9}],
}
TRUTH = {
    "a": {"subset": "test", "annotations": [{"segment": [0, 5], "label": "jump"}]},
    "b": {"subset": "test", "annotations": [{"segment": [0, 5], "label": "jump"}]},
    "c": {"subset": "train", "annotations": [{"segment": [0, 5], "label": "run"}]},
}


@pytest.fixture
def by_hand(tmp_path):
    (tmp_path / "found.json").write_text(json.dumps({"results": DETECTIONS}))
    (tmp_path / "truth.json").write_text(json.dumps({"database": TRUTH}))
    return [tmp_path / "found.json", tmp_path / "truth.json"]


def test_evaluate_by_hand(by_hand, capsys):
    # One of two jumps is found, at tIoU 0.8.
    assert run("evaluate", *by_hand, "--subset", "test", "--classes", "--errors") == 0
    lines = capsys.readouterr().out.splitlines()
    missed = "what the others show counts as missed."
    assert lines[0] == f"1 of 2 annotated videos have detections; {missed}"
    assert lines[1] == "Left out: 1 of 2 videos, without annotations (x)."
    assert lines[2].split() == ["tIoU", *(f"{t / 10:.2f}" for t in range(1, 10)), "mean"]
    assert lines[3].split() == ["jump", *["50.0"] * 8, "0.0", "44.4"]
    assert lines[4].split() == ["mAP", *["50.0"] * 8, "0.0", "44.4"]
    assert lines[-1].split() == ["missed", "50.0", "1"]


def test_names_of_videos_that_differ_by_a_hair_are_told(tmp_path, by_hand, capsys):
    truth = tmp_path / "truth.csv"
    truth.write_text("video,start,end,label\na,0,5,jump\nX.mp4,0,5,jump\n")
    assert run("evaluate", by_hand[0], truth) == 0
    assert "'X.mp4' and 'x' are two videos; are they meant to be one?" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["evaluate", "report"])
def test_detections_are_no_annotations(tmp_path, by_hand, capsys, command):
    options = {"evaluate": [by_hand[0]], "report": ["-o", tmp_path / "a.html", "--annotations"]}
    given = options[command] + [by_hand[0]] * (command == "report")
    assert "has scores, as detections have" in refused(capsys, command, by_hand[0], *given)


def test_videos_of_background_are_told(tmp_path, by_hand, capsys):
    truth = tmp_path / "truth.csv"
    truth.write_text("video,start,end,label\na,0,5,jump\nx,,,\n")
    assert run("evaluate", by_hand[0], truth) == 0
    told = capsys.readouterr().out
    assert "1 video without annotations: what is detected there is wrong." in told


def test_times_in_other_units_are_told(tmp_path, by_hand, capsys):
    truth = tmp_path / "truth.csv"
    truth.write_text("video,start,end,label\na,5000,9000,jump\n")
    assert run("evaluate", by_hand[0], truth) == 0
    assert "ends at 9000, that of y_pred at 4. Both must be in seconds" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (".48", 0.48),
        ("1e2", 100),
        ("False", False),
        ("none", None),
        ("[0.1, 0.2]", [0.1, 0.2]),
        ("classes", "classes"),
    ],
)
def test_values_of_parameters(value, expected):
    name, read = _parameter(f"a={value}")
    assert (name, read, type(read)) == ("a", expected, type(expected))


def test_protocols_are_of_different_thresholds(by_hand, capsys):
    assert run("evaluate", *by_hand, "--protocol", "activitynet") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].split() == ["mAP", *["25.0"] * 7, *["0.0"] * 3, "17.5"]


def test_all_protocols_are_printed_side_by_side(by_hand, capsys):
    assert run("evaluate", *by_hand, "--subset", "test", "--protocol", "all") == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    assert lines[0].split() == ["tIoU", *(f"{t / 10:.2f}" for t in range(1, 8)), "mean"]
    assert [line.split()[0] for line in lines[1:]] == [*PROTOCOLS]
    # Rounded to snippets, [0, 5) and [0, 4) seconds are [0, 8) and [0, 6.25).
    assert {tuple(line.split()[1:]) for line in lines[1:]} == {("50.0",) * 8}


def test_classes_are_of_one_protocol(by_hand, capsys):
    message = refused(capsys, "evaluate", *by_hand, "--protocol", "all", "--classes")
    assert "--classes is for one protocol: thumos14, activitynet" in message


@pytest.mark.parametrize(
    ("protocol", "rule", "mean_ap"),
    [
        ("thumos14", "left out", "50.0"),
        ("co2-net", "detections that share a snippet with one are left out", "100.0"),
        ("thumos14-kit", "a detection that meets one is not false", "100.0"),
    ],
)
def test_ambiguous_intervals_are_no_class(tmp_path, capsys, protocol, rule, mean_ap):
    (tmp_path / "found.csv").write_text(
        "video,start,end,label,score\na,0,5,jump,0.5\na,10,15,jump,0.9\n"
    )
    (tmp_path / "truth.csv").write_text("video,start,end,label\na,0,5,jump\na,10,15,Ambiguous\n")
    files = [tmp_path / "found.csv", tmp_path / "truth.csv"]
    assert run("evaluate", *files, "--protocol", protocol, "--errors") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"1 ambiguous interval, of no class: {rule}."
    assert lines[3].split()[:2] == ["mAP", mean_ap]
    assert "Only annotated" not in " ".join(lines)
    assert lines[-1].split() == ["missed", "0.0", "0"]


def test_weak_evaluation_by_hand(by_hand, tmp_path, capsys):
    labels = tmp_path / "labels.csv"
    labels.write_text("video,label\na,jump\nb,jump\nc,\n")
    assert run("evaluate", by_hand[0], labels, "--weak") == 0
    assert capsys.readouterr().out.splitlines() == [
        "1 of 3 annotated videos have detections; what the others show counts as missed.",
        "Left out: 1 of 2 videos, without annotations (x).",
        # Of two jumps one ranks first; the other only with the video of background.
        f"Average precision of videos, by their best detections: {(1 + 2 / 3) / 2:.3f}",
        "With scores of 0.9 or more, videos have the classes of their labels with precision 1.00 "
        "and recall 0.50.",
        "Labels do not say whether detections begin and end when actions do.",
    ]


def test_weak_evaluation_knows_no_intervals(by_hand, capsys):
    assert run("evaluate", *by_hand, "--weak", "--errors") == 1
    assert "--errors needs intervals" in capsys.readouterr().err


def test_a_report_says_what_no_browser_plays(made, tmp_path, capsys):
    (tmp_path / "media").mkdir()
    first, *_ = read_intervals(made / "detections.json")
    (tmp_path / "media" / f"{first}.mkv").write_bytes(b"")
    report = ["report", made / "detections.json", "-o", tmp_path / "page.html"]
    assert run(*report, "--media", tmp_path / "media") == 0
    assert f"No browser plays {first}.mkv, but files that end in .mp4" in capsys.readouterr().out


def test_export_writes_a_track_a_video(by_hand, tmp_path):
    assert run("export", by_hand[0], "-o", tmp_path / "tracks", "--format", "vtt") == 0
    assert sorted(path.name for path in (tmp_path / "tracks").iterdir()) == ["a.vtt", "x.vtt"]
    assert "jump (0.90)" in (tmp_path / "tracks" / "a.vtt").read_text()


def test_detections_of_a_low_score_are_left_out(made, by_hand, tmp_path, capsys):
    path = tmp_path / "some.json"
    predict = ["predict", made / "model.skdgam", made / "rgb", "-o", path]
    assert run(*predict, "--min-score", "0.1") == 0
    every, some = read_intervals(made / "detections.json"), read_intervals(path)
    assert some.keys() == every.keys()
    for name, found in every.items():
        assert some[name].tolist() == found[found["score"] >= 0.1].tolist()
    export = ["export", by_hand[0], "-o", tmp_path / "tracks", "--min-score", "0.95"]
    assert run(*export) == 0
    assert (tmp_path / "tracks" / "a.srt").read_text().strip() == ""
    assert "no scores, which --min-score" in refused(
        capsys, "export", by_hand[1], "-o", tmp_path / "tracks", "--min-score", "0.5"
    )


def test_plot_draws_the_videos_that_are_named(made, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    path = tmp_path / "picture.svg"
    plot = ["plot", made / "model.skdgam", made / "rgb", "-o", path]
    videos = ["--video", "video 7", "--video", "video 2"]
    assert run(*plot, "--annotations", made / "annotations.json", *videos) == 0
    assert "Drew video 7, video 2" in capsys.readouterr().out
    assert path.stat().st_size > 10_000


def test_report_has_attention_and_media(made, tmp_path, capsys):
    pytest.importorskip("plotly")
    (tmp_path / "media").mkdir()
    for name in ("video 1.mp4", "video 1.wav", "video 2.WAV", "notes.txt"):
        (tmp_path / "media" / name).touch()
    report = ["report", made / "detections.json", "-o", tmp_path / "report.html"]
    of_model = ["--model", made / "model.skdgam", "--features", made / "rgb"]
    assert run(*report, *of_model, "--media", tmp_path / "media") == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert '"url": "media/video%201.mp4"' in page
    assert '"url": "media/video%202.WAV"' in page
    assert page.count('"attention": [[0.0, 0.64') == 12
    assert "--model and --features go together" in refused(
        capsys, *report, "--force", "--model", made / "model.skdgam"
    )


def test_the_demo_leaves_everything_to_look_at(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    pytest.importorskip("plotly")
    monkeypatch.setattr("skdgam.cli.DEMO_SETTINGS", "--set max_epochs=2")
    assert run("demo", "-o", tmp_path / "demo") == 0
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == [
        *("annotations.json", "detections.json", "labels.csv"),
        *("model.skdgam", "picture.png", "report.html", "test", "train"),
    ]
    assert run("demo", "-o", tmp_path / "demo") == 1
    assert run("demo", "-o", tmp_path / "demo", "--force") == 0


def test_the_program_is_there(tmp_path):
    command = [sys.executable, "-m", "skdgam", "evaluate", "none.json", "none.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == ("skdgam: error: none.json: No such file or directory\n")
    assert done.stdout == ""


def test_who_stops_reading_stops_no_work(made, tmp_path):
    path = tmp_path / "found.json"
    predict = ["predict", made / "model.skdgam", made / "rgb", "-o", path]
    done = subprocess.run(
        f"{sys.executable} -m skdgam {shlex.join(map(str, predict))} | true",
        shell=True,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert len(read_intervals(path)) == 12


def test_names_beyond_the_locale_are_shown_somehow(made, tmp_path):
    np.save(tmp_path / "vidéo.npy", np.load(made / "rgb" / "video 3.npy"))
    plot = ["plot", made / "model.skdgam", tmp_path, "-o", tmp_path / "picture.png"]
    command = [sys.executable, "-m", "skdgam", *plot]
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, text=True, env=ascii_only)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(r"Drew vid\xe9o: ")


def test_fit_and_info_say_what_a_snippet_is(made, tmp_path, capsys):
    fit = ["fit", made / "rgb", made / "labels.csv", "-o", tmp_path / "model"]
    assert run(*fit, *QUICK, "--set", "snippet_seconds=1.28") == 0
    told = "A snippet stands for 1.28 s (snippet_seconds), and the first begins at 0 s (snippet_off"
    assert told in capsys.readouterr().out
    assert run("info", tmp_path / "model") == 0
    assert told in capsys.readouterr().out


def test_each_stream_may_have_its_preset(made, tmp_path):
    fit = ["fit", made / "rgb", made / "flow", made / "labels.csv", "-o", tmp_path / "model"]
    presets = ["--preset", "THUMOS14_RGB", "--preset", "THUMOS14_FLOW"]
    assert run(*fit, *presets, *QUICK) == 0
    localizers = load(tmp_path / "model").localizers_
    assert [localizers[name].stream_weight for name in ("rgb", "flow")] == [0.35, 0.65]
    assert [localizers[name].max_epochs for name in ("rgb", "flow")] == [3, 3]


def test_a_training_that_diverges_leaves_nothing_to_go_on_with(made, tmp_path, capsys):
    fit = ["fit", made / "rgb", made / "labels.csv", "-o", tmp_path / "model", *QUICK]
    assert run(*fit, "--set", "learning_rate=1e30") == 1
    assert "Training diverged in epoch" in capsys.readouterr().err
    assert run(*fit) == 0


# --- what is refused, in one line ---


def refused(capsys, *arguments):
    """The line that a refused command ends with."""
    capsys.readouterr()
    assert run(*arguments) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    return told.removeprefix("skdgam: error: ").rstrip()


def test_recordings_without_a_snippet_are_left_out_on_request(made, tmp_path, capsys):
    for i in range(3):
        x = np.load(made / "rgb" / f"video {i}.npy")
        np.save(tmp_path / f"video {i}.npy", x if i else x[:0])
    predict = ["predict", made / "model.skdgam", tmp_path, "-o", tmp_path / "found.json"]
    assert "video 0" in (told := refused(capsys, *predict))
    assert told.endswith("Leave it out; in a shell, --skip-empty does.")
    assert run(*predict, "--skip-empty") == 0
    assert "Left out: 1 of 3 videos, without a snippet (video 0)." in capsys.readouterr().out
    assert list(read_intervals(tmp_path / "found.json")) == ["video 1", "video 2"]
    labels = tmp_path / "labels.csv"
    labels.write_text("video,label\nvideo 0,a\nvideo 1,a\nvideo 2,b\n")
    fit = ["fit", tmp_path, labels, "-o", tmp_path / "model.skdgam", *QUICK]
    assert "at least one snippet" in refused(capsys, *fit)
    assert run(*fit, "--skip-empty") == 0
    assert "Training on 2 videos" in capsys.readouterr().out
    for i in (1, 2):
        np.save(tmp_path / f"video {i}.npy", np.zeros((0, 6), dtype=np.float32))
    told = refused(capsys, *predict, "--skip-empty", "--force")
    assert told == f"No video of {tmp_path} has a snippet."


def test_intervals_without_length_are_told_by_the_name_of_their_video(by_hand, tmp_path, capsys):
    truth = tmp_path / "truth.csv"
    truth.write_text("video,start,end,label\na,1,2,jump\nb,3,3,jump\n")
    assert run("evaluate", by_hand[0], truth, "--errors") == 0
    assert "the first is y_true['b'][0]." in capsys.readouterr().err


def test_files_of_others_are_left_alone(made, tmp_path, capsys):
    fit = ["fit", made / "rgb", made / "labels.csv", "-o", tmp_path / "z", "--force", *QUICK]
    for name in ("z.checkpoint.bak", "z.checkpoint.rgb", ".z.1.2"):
        (tmp_path / name).write_bytes(b"mine")
    assert run(*fit) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *(".z.1.2", "z", "z.checkpoint.bak", "z.checkpoint.rgb")
    ]
    (tmp_path / "z.checkpoint").write_bytes(b"mine")
    assert "z.checkpoint is no checkpoint, but has the name of one" in refused(capsys, *fit)
    assert (tmp_path / "z.checkpoint").read_bytes() == b"mine"


def test_labels_of_one_subset(made, tmp_path, capsys):
    names = sorted(path.stem for path in (made / "rgb").iterdir())
    database = {
        name: {
            "subset": "training" if i < 8 else "testing",
            "annotations": [{"segment": [0, 1], "label": "ab"[i % 2]}] if i < 6 else [],
        }
        for i, name in enumerate(names)
    }
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps({"database": database}))
    fit = ["fit", made / "rgb", labels, "-o", tmp_path / "z", *QUICK]
    assert "has the subsets testing, training; name the one" in refused(capsys, *fit)
    assert run(*fit, "--subset", "training") == 0
    told = capsys.readouterr()
    assert "2 such videos of 8" in told.err
    assert "Training on 6 videos of 2 classes" in told.out
    assert run(*fit, "--subset", "training", "--background", "--force") == 0
    assert "Training on 8 videos of 2 classes" in capsys.readouterr().out


def test_nothing_that_is_read_is_written_over(made, tmp_path, capsys):
    labels = made / "labels.csv"
    before = labels.read_bytes()
    fit = ["fit", made / "rgb", labels, "-o", labels, "--force", *QUICK]
    assert "labels.csv is read by this command" in refused(capsys, *fit)
    predict = ["predict", made / "model.skdgam", made / "rgb", "--force", "-o"]
    (made / "model.json").write_bytes((made / "model.skdgam").read_bytes())
    predict[1] = made / "model.json"
    assert "is read by this command" in refused(capsys, *predict, made / "model.json")
    assert labels.read_bytes() == before


def test_a_threshold_that_is_shown_keeps_what_it_is_said_to(tmp_path, capsys):
    rows = [{"segment": [0, 1], "label": "x", "score": score} for score in (0.94764, 0.94756, 0.9)]
    found = {name: [row] for name, row in zip("abc", rows, strict=True)}
    (tmp_path / "found.json").write_text(json.dumps({"results": found}))
    (tmp_path / "labels.csv").write_text("video,label\na,x\nb,x\nc,\n")
    assert run("evaluate", tmp_path / "found.json", tmp_path / "labels.csv", "--weak") == 0
    assert "scores of 0.947 or more" in capsys.readouterr().out


def test_nothing_is_replaced_without_force(made, by_hand, tmp_path, capsys):
    before = (made / "model.skdgam").read_bytes()
    fit = ["fit", made / "rgb", made / "labels.csv", "-o", made / "model.skdgam"]
    message = refused(capsys, *fit)
    assert message == f"{made / 'model.skdgam'} is there already; --force replaces it."
    predict = ["predict", made / "model.skdgam", made / "rgb", "-o", made / "detections.json"]
    assert "--force replaces it" in refused(capsys, *predict)
    assert run(*predict, "--force") == 0
    export = ["export", by_hand[0], "-o", tmp_path / "tracks"]
    assert run(*export) == 0
    assert "a.srt is there already" in refused(capsys, *export)
    assert run(*export, "--force") == 0
    assert (made / "model.skdgam").read_bytes() == before


def test_what_cannot_be_written_is_known_before_the_work(made, tmp_path, capsys):
    fit = ["fit", made / "rgb", made / "labels.csv", "-o"]
    assert "has no folder to be in" in refused(capsys, *fit, tmp_path / "no" / "model.skdgam")
    assert "is a folder; name a file" in refused(capsys, *fit, tmp_path)
    predict = ["predict", made / "model.skdgam", made / "rgb", "-o", tmp_path / "found.xml"]
    assert "must end in .json or .csv" in refused(capsys, *predict)


def test_labels_of_unknown_videos(made, tmp_path, capsys):
    labels = tmp_path / "labels.csv"
    labels.write_text("video,label\nvideo 1,jump\nvideo 1.npy,jump\n")
    message = refused(capsys, "fit", made / "rgb", labels, "-o", tmp_path / "model.skdgam")
    assert "has labels of 'video 1.npy' (1 such videos), of which" in message


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--set", "max_epochs"], "--set max_epochs must be NAME=VALUE"),
        (
            ["--set", "epochs=3"],
            "--set epochs=…: DGAMLocalizer has no such parameter; max_epochs ",
        ),
        (["--set", "max_epochs=0"], "The 'max_epochs' parameter of DGAMLocalizer must be an int"),
        (["--preset", "SENSORS"] * 2, "There are 2 presets for 1 streams; give each one."),
        (["--method", "mil"] * 2, "--method is given more than once; all streams have the same"),
        (
            ["--preset", "sensors"],
            "--preset is 'sensors'; for this method, there are PAPER, THUMOS",
        ),
    ],
)
def test_parameters_that_are_none(made, tmp_path, capsys, options, match):
    fit = ["fit", made / "rgb", made / "labels.csv", "-o", tmp_path / "model.skdgam"]
    assert match in refused(capsys, *fit, *options)


def test_features_that_are_none(made, tmp_path, capsys):
    predict = ["predict", made / "model.skdgam"]
    to = ["-o", tmp_path / "found.json"]
    (tmp_path / "empty").mkdir()
    assert "has no .npy file" in refused(capsys, *predict, tmp_path / "empty", *to)
    assert "is no folder" in refused(capsys, *predict, tmp_path / "nowhere", *to)
    assert "fitted with 6" in refused(capsys, *predict, made / "flow", *to)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "a.npy").write_bytes(b"text")
    assert "a.npy cannot be read" in refused(capsys, *predict, tmp_path / "damaged", *to)


def test_a_file_that_is_no_model(made, capsys):
    assert "labels.csv is no model file of skdgam" in refused(capsys, "info", made / "labels.csv")


def test_evaluation_of_what_does_not_belong_together(by_hand, tmp_path, capsys):
    found, truth = by_hand
    assert "has no detections with scores" in refused(capsys, "evaluate", truth, truth)
    other = tmp_path / "other.csv"
    other.write_text("video,start,end,label\nz,1,2,jump\n")
    assert "No video of" in refused(capsys, "evaluate", found, other)
    other.write_text("video,start,end,label\na,1,2,Jump\n")
    message = refused(capsys, "evaluate", found, other)
    assert message.startswith(f"No class of {found} (jump")
    assert message.endswith(f"{other} (Jump).")


def test_evaluation_tells_classes_that_are_on_one_side_only(by_hand, tmp_path, capsys):
    found, truth = by_hand[0], tmp_path / "truth.csv"
    rows = ["a,1,2,jump", "a,1,2,Long Jump", "b,1,2,long-jump", "b,1,2,run"]
    truth.write_text("\n".join(["video,start,end,label", *rows]))
    content = {"a": [DETECTIONS["a"][0], DETECTIONS["a"][0] | {"label": "long_jump"}]}
    found.write_text(json.dumps({"results": content}))
    assert run("evaluate", found, truth) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        "1 of 2 annotated videos have detections; what the others show counts as missed.",
        "Only annotated: Long Jump, long-jump, run.",
        "Only detected: long_jump.",
        "'Long Jump' and 'long_jump' are two classes; are they meant to be one?",
    ]


@pytest.mark.parametrize("command", ["plot", "report"])
def test_annotations_of_other_videos_are_not_shown_as_none(made, tmp_path, capsys, command):
    truth = tmp_path / "truth.csv"
    truth.write_text("video,start,end,label\nz,1,2,ab\n")
    given = {"plot": [made / "model.skdgam", made / "rgb"], "report": [made / "detections.json"]}
    output = {"plot": "picture.png", "report": "page.html"}[command]
    options = ["-o", tmp_path / output, "--annotations", truth]
    message = refused(capsys, command, *given[command], *options)
    assert "has none of the videos to show (video 0, video 1" in message
    assert message.endswith("but z.")


def test_true_intervals_are_no_detections_for_a_report(by_hand, tmp_path, capsys):
    pytest.importorskip("plotly")
    message = refused(capsys, "report", by_hand[1], "-o", tmp_path / "page.html")
    assert "have no scores; true intervals go to annotations" in message


def test_a_picture_has_an_ending(made, tmp_path, capsys):
    plot = ["plot", made / "model.skdgam", made / "rgb", "-o", tmp_path / "picture"]
    assert "picture must end in .png or .svg or .pdf" in refused(capsys, *plot)


def test_labels_without_a_row(made, tmp_path, capsys):
    (tmp_path / "labels.csv").write_text("video,label\n")
    fit = ["fit", made / "rgb", tmp_path / "labels.csv", "-o", tmp_path / "model"]
    assert "labels.csv has no labels of any video" in refused(capsys, *fit)


def test_a_name_that_would_leave_the_folder(tmp_path, capsys):
    found = tmp_path / "found.json"
    found.write_text(json.dumps({"results": {"../a": []}}))
    message = refused(capsys, "export", found, "-o", tmp_path / "tracks")
    assert message == "A video has the name '../a', which is none for a file."
    assert not (tmp_path / "tracks").exists()


def test_a_video_that_is_not_there(made, tmp_path, capsys):
    plot = ["plot", made / "model.skdgam", made / "rgb", "-o", tmp_path / "picture.png"]
    message = refused(capsys, *plot, "--video", "video 99")
    assert message.startswith("There is no video 'video 99', but video 0, video 1, video 10 and ")


def test_debug_shows_where_an_error_comes_from(tmp_path):
    with pytest.raises(FileNotFoundError):
        run("info", "--debug", tmp_path / "none.skdgam")


def test_no_command_is_an_error_of_use(capsys):
    with pytest.raises(SystemExit) as exit:
        run()
    assert exit.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


# --- interruption ---


def test_an_interrupted_training_is_kept(made, tmp_path, capsys, monkeypatch):
    run_epoch = Trainer.run_epoch

    def interrupted(self, *arguments):
        if self.epoch == 2:
            raise KeyboardInterrupt
        return run_epoch(self, *arguments)

    monkeypatch.setattr(Trainer, "run_epoch", interrupted)
    path = tmp_path / "model.skdgam"
    assert run("fit", made / "rgb", made / "labels.csv", "-o", path, *QUICK) == 130
    warning, told = capsys.readouterr().err.splitlines()
    assert warning.startswith("skdgam: warning: Training was interrupted after epoch 2.")
    reason = "is the model after 2 epochs; --resume goes on from the last checkpoint"
    assert told == f"skdgam: interrupted; {path} {reason}"
    assert load(path).n_epochs_ == 2


def test_interrupted_streams_go_on_from_a_checkpoint(made, tmp_path, capsys, monkeypatch):
    def interrupted(self, *arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "run_epoch", interrupted)
    fit = ["fit", made / "rgb", made / "flow", made / "labels.csv", "-o", tmp_path / "model"]
    assert run(*fit, *QUICK) == 130
    told = capsys.readouterr().err
    assert told == "skdgam: interrupted; --resume goes on from the last checkpoint\n"
    monkeypatch.undo()
    assert run(*fit, *QUICK, "--resume") == 0


def test_a_training_that_was_cut_off_goes_on(made, tmp_path, capsys, monkeypatch):
    fit = ["fit", made / "rgb", made / "flow", made / "labels.csv", "-o", tmp_path / "model"]
    kept = io.write_model

    def cut_off(path, description, arrays):
        kept(path, description, arrays)
        if description.get("n_epochs"):
            raise SystemError("killed")

    monkeypatch.setattr(io, "write_model", cut_off)
    assert run(*fit, *QUICK) == 1
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["model.checkpoint.rgb"]
    capsys.readouterr()
    assert run(*fit, *QUICK) == 1
    assert "cut off; --resume goes on with it, --force begins anew" in capsys.readouterr().err
    assert run(*fit, *QUICK, "--resume") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    resumed = (tmp_path / "model").read_bytes()
    assert run(*fit, *QUICK, "--force") == 0
    assert (tmp_path / "model").read_bytes() == resumed
    assert run(*fit, *QUICK, "--resume") == 1  # there is nothing to go on with
    assert "no training that was cut off: it is done" in capsys.readouterr().err


def test_a_prediction_interrupted_while_it_is_written_is_kept(made, tmp_path, capsys, monkeypatch):
    write, n_calls = formats.write_intervals, []

    def interrupted(path, intervals):
        n_calls.append(path)
        if len(n_calls) == 1:
            raise KeyboardInterrupt
        write(path, intervals)

    monkeypatch.setattr(formats, "write_intervals", interrupted)
    path = tmp_path / "found.json"
    assert run("predict", made / "model.skdgam", made / "rgb", "-o", path) == 130
    assert "has the detections of 12 of 12 videos" in capsys.readouterr().err
    assert len(read_intervals(path)) == 12


def test_an_interrupted_prediction_is_kept(made, tmp_path, capsys, monkeypatch):
    predict = DGAMLocalizer.predict
    monkeypatch.setattr("skdgam._commands.AT_ONCE", 5)

    def interrupted(self, X):
        if "video 10" in X.names:
            raise KeyboardInterrupt
        return predict(self, X)

    monkeypatch.setattr(DGAMLocalizer, "predict", interrupted)
    path = tmp_path / "found.json"
    assert run("predict", made / "model.skdgam", made / "rgb", "-o", path) == 130
    told = capsys.readouterr().err.splitlines()[-1]
    assert told == f"skdgam: interrupted; {path} has the detections of 10 of 12 videos"
    assert len(read_intervals(path)) == 10
