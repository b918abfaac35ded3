"""The command ``evaluate``: detections beside annotated intervals, or labels of whole videos."""

import warnings
from decimal import ROUND_FLOOR, Context

import numpy as np

from skdgam._protocols import AMBIGUOUS, PROTOCOLS
from skdgam._words import Refused, compare_classes, count, refuse_scores, say_alike, some

__all__ = ["ALL_PROTOCOLS", "evaluate"]

ALL_PROTOCOLS = "all"
SIDE_BY_SIDE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)  # thresholds of several protocols
RULES = {
    "left out": "left out",
    "removed": "detections that share a snippet with one are left out",
    "excused": "a detection that meets one is not false",
}


def evaluate(arguments):
    """Compare detections with annotated intervals, or with labels of whole recordings.

    Average precision by the rules of a protocol, in percent. Detections in videos without
    annotations are left out.
    """
    from skdgam.formats import read_intervals, read_labels

    if not arguments.weak:
        _evaluate(arguments, read_intervals(arguments.annotations, arguments.subset))
        return
    for name in ("classes", "errors"):
        if getattr(arguments, name):
            raise Refused(f"--weak compares labels of whole videos; --{name} needs intervals.")
    labels = read_labels(arguments.annotations, arguments.subset, background=arguments.background)
    _evaluate_weakly(arguments, labels)


def _evaluate(arguments, truth):
    from skdgam.metrics import error_analysis

    is_all = arguments.protocol == ALL_PROTOCOLS
    if is_all and arguments.classes:
        raise Refused(f"--classes is for one protocol: {', '.join(PROTOCOLS)}.")
    y_true = list(truth.values())
    refuse_scores(arguments.annotations, y_true)
    n_empty = sum(not len(video) for video in y_true)
    if n_empty:
        print(f"{count(n_empty, 'video')} without annotations: what is detected there is wrong.")
    clear = {name: video[video["label"].astype(str) != AMBIGUOUS] for name, video in truth.items()}
    n_unclear = sum(map(len, y_true)) - sum(map(len, clear.values()))
    if n_unclear:
        rule = "each protocol has its rule" if is_all else PROTOCOLS[arguments.protocol].ambiguous
        print(f"{count(n_unclear, 'ambiguous interval')}, of no class: {RULES.get(rule, rule)}.")
    y_pred = _detections_of(arguments, truth, [video["label"] for video in clear.values()])
    y_pred = dict(zip(truth, y_pred, strict=True))  # by name, as messages have them
    thresholds, rows = (_all_protocols if is_all else _one_protocol)(arguments, truth, y_pred)
    width = max(map(len, [*rows, "tIoU"]))
    print("tIoU".ljust(width), *(f"{t:6.2f}" for t in thresholds), "  mean")
    for name, values in rows.items():
        print(name.ljust(width), *(f"{v:6.1f}" for v in 100 * np.append(values, values.mean())))
    if arguments.errors:
        analysis = error_analysis(clear, y_pred)
        print("\nmAP at tIoU 0.5 that each kind of error costs, and how many there are:")
        for kind, cost in analysis.cost.items():
            print(f"  {kind:<10} {100 * cost:5.1f} {analysis.count[kind]:7d}")


def _one_protocol(arguments, truth, y_pred):
    """Thresholds and the row of mAP, below those of the classes if asked."""
    from skdgam.metrics import evaluate

    found = evaluate(truth, y_pred, arguments.protocol)
    classes = found.classes if arguments.classes else []
    rows = dict(zip(classes, found.average_precision, strict=False)) | {"mAP": found.mean_ap}
    return found.tiou_thresholds, rows


def _all_protocols(_, truth, y_pred):
    """Thresholds and a row of mAP for each protocol."""
    from skdgam.metrics import evaluate

    found = {
        name: evaluate(truth, y_pred, name, tiou_thresholds=SIDE_BY_SIDE) for name in PROTOCOLS
    }
    return SIDE_BY_SIDE, {name: evaluation.mean_ap for name, evaluation in found.items()}


def _evaluate_weakly(arguments, labels):
    from skdgam.metrics import label_agreement

    y = list(labels.values())
    y_pred = _detections_of(arguments, labels, y)
    agreement = label_agreement(y, y_pred)
    print(
        f"Average precision of videos, by their best detections: {agreement.average_precision:.3f}"
    )
    print(
        f"With scores of {_below(agreement.threshold)} or more, videos have the classes of their "
        f"labels with precision {agreement.precision:.2f} and recall {agreement.recall:.2f}."
    )
    print("Labels do not say whether detections begin and end when actions do.")


def _below(score):
    """The largest score of three digits that is not above this one, as text."""
    return f"{float(Context(prec=3, rounding=ROUND_FLOOR).create_decimal_from_float(score)):g}"


def _detections_of(arguments, videos, labels):
    """Detections of each of the videos, among whose labels (a sequence for each) theirs must be."""
    from skdgam.formats import read_intervals

    detections = read_intervals(arguments.detections)
    first = next(iter(detections.values()), None)
    if first is None or "score" not in first.dtype.names:
        raise Refused(f"{arguments.detections} has no detections with scores.")
    unknown = set(detections) - set(videos)
    if unknown == set(detections):
        raise Refused(
            f"No video of {arguments.detections} ({some(detections)}) is in "
            f"{arguments.annotations} ({some(videos)})."
        )
    n_found = len(detections) - len(unknown)
    missed = "; what the others show counts as missed" * (n_found < len(videos))
    print(f"{n_found} of {count(len(videos), 'annotated video')} have detections{missed}.")
    if unknown:
        print(
            f"Left out: {len(unknown)} of {count(len(detections), 'video')}, without annotations "
            f"({some(unknown)})."
        )
        say_alike(set(videos) - set(detections), unknown, "videos")
    found = set(np.concatenate([*detections.values()])["label"].tolist())
    true = set().union(*labels)
    if found and not found & true:
        raise Refused(
            f"No class of {arguments.detections} ({some(found)}) is in {arguments.annotations} "
            f"({some(true)})."
        )
    compare_classes(found, true)
    warnings.filterwarnings("ignore", ".* are two classes")  # as has just been said
    return [detections.get(name, first[:0]) for name in videos]
