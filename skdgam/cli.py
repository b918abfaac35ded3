"""The command line: fit, predict, evaluate, plot and more, on files."""

import argparse
import os
import sys
import warnings
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import numpy as np

from skdgam import __version__, _commands, _evaluate, _extract
from skdgam._protocols import PROTOCOLS
from skdgam._words import Refused

__all__ = ["main"]

DEMO_SETTINGS = "--set snippet_seconds=1.28 --set random_state=0"
EXAMPLES = """examples:
  skdgam demo                                          see it work, in half a minute
  skdgam features videos -o features --weights rgb_imagenet.pt
  skdgam fit features labels.csv -o model.skdgam       a folder of .npy; rows video,label
  skdgam predict model.skdgam new -o detections.json   a folder of .npy again
  skdgam evaluate detections.json annotations.json     mAP, where intervals are known
  skdgam plot model.skdgam new -o picture.png
  skdgam report detections.json --annotations annotations.json -o report.html
"""


class _Output:
    """Standard output of which no failure keeps the work from being done."""

    def __init__(self, stream):
        self._stream = stream
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # where names are beyond the locale

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        with self._unbroken():
            self._stream.write(text)

    def flush(self):
        with self._unbroken():
            self._stream.flush()

    @contextmanager
    def _unbroken(self):
        try:
            yield
        except BrokenPipeError:  # who was reading has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


def main(argv=None):
    """Run the command line.

    Parameters
    ----------
    argv : list of str, default=None
        Arguments behind the name of the program; by default those that it was called with.

    Returns
    -------
    status : int
        0 if all went well, 1 after an error, 130 when interrupted. Arguments that are no command
        exit with 2.
    """
    arguments = _parser().parse_args(argv)
    try:
        with warnings.catch_warnings(), redirect_stdout(_Output(sys.stdout)):
            warnings.simplefilter("ignore")
            warnings.simplefilter("default", UserWarning)
            warnings.showwarning = _show_warning
            arguments.run(arguments)
    except KeyboardInterrupt as interruption:
        print(f"skdgam: interrupted{_because(interruption)}", file=sys.stderr)
        return 130
    except Exception as error:
        if arguments.debug:
            raise
        print(f"skdgam: error: {_message(error)}", file=sys.stderr)
        return 1
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="skdgam",
        description="Find when actions happen, from features of recordings and their labels.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"skdgam {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(run, help):
        name = run.__name__.strip("_")
        added = commands.add_parser(name, help=help, description=run.__doc__)
        added.set_defaults(run=run)
        added.add_argument("--debug", action="store_true", help="show where an error comes from")
        return added

    _takes_of_features(
        command(_extract.features, "make features of videos, sounds or tables of sensors")
    )
    _takes_of_run(
        command(_extract.run, "find actions in videos, sounds or tables of sensors, in one go")
    )
    _takes_of_fit(command(_commands.fit, "train a localizer on labels of whole recordings"))
    _takes_of_predict(command(_commands.predict, "find actions in recordings"))
    _takes_of_evaluate(
        command(_evaluate.evaluate, "compare detections with annotated intervals: mAP")
    )
    _takes_of_export(
        command(
            _commands.export, "write detections as subtitles or label tracks, a file a recording"
        )
    )
    _takes_of_plot(command(_commands.plot, "draw what a localizer finds"))
    _takes_of_report(command(_commands.report, "write one page to look through what was found"))
    _takes_model(command(_commands.info, "say what a model is"))
    demo = command(_demo, "make videos, and go from training to a report with them")
    demo.add_argument("-o", "--output", type=Path, default=Path("skdgam-demo"), metavar="FOLDER")
    demo.add_argument("--force", action="store_true", help="replace what is there")
    return parser


# --- arguments of each command ---


def _takes_of_features(added):
    _takes_sources(added)
    added.add_argument(
        "-o",
        "--output",
        required=True,
        type=Path,
        metavar="FOLDER",
        help="for the features; several streams have a folder each in it",
    )
    added.add_argument("--resume", action="store_true", help="go on with what is there")
    added.add_argument("--backbone", metavar="NAME", help="another network than i3d")
    added.add_argument(
        "--stream",
        action="append",
        choices=["rgb", "flow"],
        help="what the network sees of videos; again for both",
    )
    added.add_argument(
        "--columns",
        action="append",
        default=[],
        metavar="NAME,NAME",
        help="the columns of a sensor, such as its axes, in tables; again for each sensor",
    )
    added.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any parameter of VideoFeatures, SoundFeatures or TableFeatures, such as --set hop=8",
    )


def _takes_of_run(added):
    _takes_model(added)
    _takes_sources(added)
    _writes(added, "detections: .json (ActivityNet's), .csv or .tsv")
    _takes_min_score(added)


def _takes_of_fit(added):
    _takes_features(added)
    _takes_skip_empty(added)
    added.add_argument(
        "labels",
        type=Path,
        metavar="LABELS",
        help="table (.csv, .tsv) with columns video,label, a row for each label; ActivityNet's "
        "JSON; or a folder of label tracks or subtitles",
    )
    added.add_argument("--subset", help="of labels in JSON, such as training")
    _takes_background(added)
    _writes(added, "the model, such as model.skdgam")
    added.add_argument(
        "--resume", action="store_true", help="go on with a training that was cut off, if there is"
    )
    added.add_argument(
        "--method",
        action="append",
        default=[],
        metavar="NAME",
        help="another method than the default, by its name in skdgam.methods.METHODS",
    )
    added.add_argument(
        "--preset",
        action="append",
        default=[],
        metavar="NAME",
        help="start from a preset of the method, such as SENSORS; one for all streams, or one for "
        "each",
    )
    added.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any parameter of the method, such as --set max_epochs=100",
    )


def _takes_of_predict(added):
    _takes_model(added)
    _takes_features(added)
    _takes_skip_empty(added)
    _writes(added, "detections: .json (ActivityNet's), .csv or .tsv")
    _takes_min_score(added)


def _takes_of_evaluate(added):
    _takes_detections(added)
    added.add_argument(
        "annotations",
        type=Path,
        metavar="ANNOTATIONS",
        help=".json, .csv, .tsv or .rttm, or a folder of label tracks or subtitles",
    )
    added.add_argument(
        "--weak",
        action="store_true",
        help="ANNOTATIONS are labels, as for fit: are the classes right, and from which score on",
    )
    _takes_background(added)
    added.add_argument(
        "--protocol",
        choices=[*PROTOCOLS, _evaluate.ALL_PROTOCOLS],
        default="thumos14",
        help="whose rules and thresholds of tIoU: "
        + "; ".join(f"{name} ({protocol.about})" for name, protocol in PROTOCOLS.items())
        + "; all, side by side at tIoU 0.1 to 0.7. thumos14 by default",
    )
    added.add_argument("--subset", help="of the annotations in JSON, such as validation")
    added.add_argument("--classes", action="store_true", help="a row for each class, too")
    added.add_argument("--errors", action="store_true", help="what each kind of error costs")


def _takes_of_export(added):
    _takes_detections(added)
    added.add_argument(
        "--format",
        choices=["srt", "vtt", "txt", "tsv"],
        default="srt",
        help="subtitles (srt, vtt), label tracks of Audacity (txt) or ELAN (tsv)",
    )
    _writes(added, "where the files go", "FOLDER")
    _takes_min_score(added)


def _takes_of_plot(added):
    _takes_model(added)
    _takes_features(added)
    _writes(added, f"a picture: {', '.join(_commands.PICTURES)}")
    _takes_min_score(added)
    added.add_argument("--annotations", type=Path, metavar="FILE", help="true intervals beside it")
    added.add_argument(
        "--video",
        action="append",
        metavar="NAME",
        help="again for each; by default the first three",
    )


def _takes_of_report(added):
    _takes_detections(added)
    _writes(added, "the page, .html; it needs no network")
    _takes_min_score(added)
    added.add_argument("--annotations", type=Path, metavar="FILE", help="true intervals beside it")
    added.add_argument("--model", type=Path, metavar="MODEL", help="for curves of attention")
    added.add_argument("--features", nargs="+", type=Path, metavar="FEATURES", help="with --model")
    added.add_argument("--media", type=Path, metavar="FOLDER", help="videos or sound, to play")
    added.add_argument("--title", default="Detections")


# --- arguments that several commands have ---


def _takes_model(added):
    added.add_argument("model", type=Path, metavar="MODEL")


def _takes_detections(added):
    added.add_argument(
        "detections", type=Path, metavar="DETECTIONS", help=".json, .csv, .tsv or .rttm"
    )


def _writes(added, what, metavar="FILE"):
    added.add_argument("-o", "--output", required=True, type=Path, metavar=metavar, help=what)
    added.add_argument("--force", action="store_true", help="replace what is there")


def _takes_background(added):
    added.add_argument(
        "--background",
        action="store_true",
        help="a video without annotations in labels in JSON shows none of the actions; "
        "otherwise its labels are unknown, and it is left out",
    )


def _takes_min_score(added):
    added.add_argument(
        "--min-score",
        type=float,
        metavar="SCORE",
        help="only detections that have this score or more",
    )


def _takes_features(added):
    added.add_argument(
        "features",
        nargs="+",
        type=Path,
        metavar="FEATURES",
        help="folder of .npy files, or an .npz or .h5 file with an array a video; several are "
        "streams, a localizer each",
    )


def _takes_skip_empty(added):
    added.add_argument(
        "--skip-empty",
        action="store_true",
        help="leave recordings without a snippet out, which are an error otherwise",
    )


def _takes_sources(added):
    added.add_argument(
        "sources",
        nargs="+",
        type=Path,
        metavar="RECORDING",
        help="files, or a folder of them, of videos, sounds or tables of sensors",
    )
    added.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="FILE",
        help="of the network that describes videos, such as rgb_imagenet.pt; one for each "
        "stream; random tries things out",
    )
    added.add_argument(
        "--jobs", type=int, default=-1, metavar="N", help="threads; by default as many as cores"
    )


def _demo(arguments):
    """Make videos with actions and their context, and go from training to a report with them."""
    from skdgam.datasets import make_untrimmed
    from skdgam.formats import write_intervals

    folder = arguments.output
    if folder.exists() and not arguments.force:
        raise Refused(f"{folder} is there already; --force replaces what the demo writes.")
    X, y = make_untrimmed(n_videos=120, n_classes=4, snippet_seconds=1.28, random_state=0)
    names = [f"video_{i:03d}" for i in range(len(X))]
    for part, videos in {"train": slice(0, 80), "test": slice(80, 120)}.items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        for name, x in zip(names[videos], X[videos], strict=True):
            np.save(folder / part / f"{name}.npy", x)
    rows = [(n, label) for n, video in zip(names, y, strict=True) for label in set(video["label"])]
    rows = [f"{name},{label}\n" for name, label in sorted(rows) if name < names[80]]
    (folder / "labels.csv").write_text("video,label\n" + "".join(rows), encoding="utf-8")
    write_intervals(folder / "annotations.json", dict(zip(names[80:], y[80:], strict=True)))
    print(f"Made {len(X)} videos, and said of 80 of them which actions they show, not when.")
    for line in (
        f"fit {folder}/train {folder}/labels.csv -o {folder}/model.skdgam --force {DEMO_SETTINGS}",
        f"predict {folder}/model.skdgam {folder}/test -o {folder}/detections.json --force",
        f"evaluate {folder}/detections.json {folder}/annotations.json",
        f"plot {folder}/model.skdgam {folder}/test --annotations {folder}/annotations.json"
        f" -o {folder}/picture.png --force",
        f"report {folder}/detections.json --annotations {folder}/annotations.json"
        f" --model {folder}/model.skdgam --features {folder}/test -o {folder}/report.html --force",
    ):
        print(f"\n$ skdgam {line}")
        step = _parser().parse_args(line.split())
        step.run(step)


def _message(error):
    """One line of what is wrong."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def _because(interruption):
    return f"; {interruption}" if interruption.args else ""


def _show_warning(message, *_, **__):
    print(f"skdgam: warning: {' '.join(str(message).split())}", file=sys.stderr)
