"""The command ``evaluate``: detections beside annotated intervals, or labels of whole videos."""

import warnings
from decimal import ROUND_FLOOR, Context

import numpy as np

from skdgam._words import Refused, compare_classes, count, refuse_scores, say_alike, some

__all__ = ["PROTOCOLS", "evaluate"]

PROTOCOLS = {
    "thumos14": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
    "activitynet": [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95],
}


def evaluate(arguments):
    """Compare detections with annotated intervals, or with labels of whole recordings.

    Average precision as the ActivityNet evaluation computes it, in percent. Detections in
    videos without annotations are left out.
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
    from skdgam.metrics import average_precision, error_analysis

    y_true = list(truth.values())
    refuse_scores(arguments.annotations, y_true)
    n_empty = sum(not len(video) for video in y_true)
    if n_empty:
        print(f"{count(n_empty, 'video')} without annotations: what is detected there is wrong.")
    y_pred = _detections_of(arguments, truth, [video["label"] for video in y_true])
    thresholds = PROTOCOLS[arguments.protocol]
    y_pred = dict(zip(truth, y_pred, strict=True))  # by name, as messages have them
    ap = 100 * average_precision(truth, y_pred, thresholds)
    rows = {"mAP": ap.mean(axis=0)}
    if arguments.classes:
        rows = dict(zip(np.unique(np.concatenate(y_true)["label"]), ap, strict=True)) | rows
    width = max(map(len, [*rows, "tIoU"]))
    print("tIoU".ljust(width), *(f"{t:6.2f}" for t in thresholds), "  mean")
    for name, values in rows.items():
        print(name.ljust(width), *(f"{value:6.1f}" for value in [*values, values.mean()]))
    if arguments.errors:
        analysis = error_analysis(truth, y_pred)
        print("\nmAP at tIoU 0.5 that each kind of error costs, and how many there are:")
        for kind, cost in analysis.cost.items():
            print(f"  {kind:<10} {100 * cost:5.1f} {analysis.count[kind]:7d}")


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
