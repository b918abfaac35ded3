"""mAP by the rules of a named protocol."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils import Bunch

from skdgam._protocols import AMBIGUOUS, PROTOCOLS, SNIPPETS_PER_SECOND, Protocol
from skdgam._validation import check_evaluation
from skdgam.intervals import intersection
from skdgam.metrics._average_precision import (
    area_under_precision,
    assign,
    best_match,
    by_class,
    check_thresholds,
)

__all__ = ["evaluate"]


def evaluate(
    y_true: Sequence[Any],
    y_pred: Sequence[np.ndarray],
    protocol: str = "thumos14",
    *,
    tiou_thresholds: npt.ArrayLike | None = None,
    ambiguous: str = AMBIGUOUS,
) -> Bunch:
    """Mean average precision as a published evaluator computes it.

    Published figures of one data set do not all follow the same rules. The page on evaluation
    tells what each protocol does, and what it was worth on real detections. Under "thumos14" and
    "activitynet", this is :func:`average_precision` and :func:`mean_average_precision` without
    the ambiguous intervals.

    Parameters
    ----------
    y_true, y_pred
        As for :func:`average_precision`, in seconds. Protocols that count in snippets take 25/16
        of them a second.
    protocol : str, default="thumos14"
        A name in ``skdgam.metrics.PROTOCOLS``, whose entries say what each one does:

        - "thumos14", "activitynet": ActivityNet's rules at the thresholds of either benchmark;
        - "thumos14-kit": the MATLAB kit of the THUMOS challenge, in its version of 2015;
        - "co2-net": CO2-Net [1]_, DELU and P-MIL;
        - "w-talc": W-TALC [2]_;
        - "3c-net": 3C-Net [3]_.
    tiou_thresholds : float or array-like of shape (n_thresholds,), in (0, 1], optional
        By default those that the protocol reports.
    ambiguous : str, default="Ambiguous"
        Label of intervals in `y_true` of which nobody knows whether they are an action, as
        THUMOS14's annotations have it. They are no class of any protocol.

    Returns
    -------
    evaluation : Bunch
        tiou_thresholds : ndarray of shape (n_thresholds,)
            Those given, or those of the protocol.
        classes : ndarray of shape (n_classes,)
            Labels of the true intervals, sorted.
        average_precision : ndarray of shape (n_classes, n_thresholds), in [0, 1]
            Of each class by itself; 0 without detections.
        mean_ap : ndarray of shape (n_thresholds,), in [0, 1]
            Mean over the classes, or 0 if a class is not detected and the protocol has it so.

    Raises
    ------
    ValueError
        As for :func:`mean_average_precision`, or if no protocol has this name.

    References
    ----------
    .. [1] F.-T. Hong, J.-C. Feng, D. Xu, Y. Shan, W.-S. Zheng: Cross-modal Consensus Network for
       Weakly Supervised Temporal Action Localization. ACM Multimedia 2021.
    .. [2] S. Paul, S. Roy, A. K. Roy-Chowdhury: W-TALC: Weakly-supervised Temporal Activity
       Localization and Classification. ECCV 2018.
    .. [3] S. Narayan, H. Cholakkal, F. S. Khan, L. Shao: 3C-Net: Category Count and Center Loss
       for Weakly-Supervised Action Localization. ICCV 2019.

    Examples
    --------
    The best detection lies where nobody knows:

    >>> from skdgam.intervals import make_intervals
    >>> from skdgam.metrics import evaluate
    >>> y_true = [[(0, 4, "jump"), (8, 9, "Ambiguous")]]
    >>> y_pred = [make_intervals([0.0, 8.0], [4.0, 9.0], "jump", [0.6, 0.9])]
    >>> evaluate(y_true, y_pred, tiou_thresholds=0.5).mean_ap
    array([0.5])
    >>> evaluate(y_true, y_pred, "co2-net", tiou_thresholds=0.5).mean_ap
    array([1.])
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol is {protocol!r}; it must be one of {', '.join(PROTOCOLS)}.")
    rules = PROTOCOLS[protocol]
    thresholds = check_thresholds(
        rules.tiou_thresholds if tiou_thresholds is None else tiou_thresholds
    )
    truth, detections = check_evaluation(y_true, y_pred)
    is_unclear = [video["label"].astype(str) == ambiguous for video in truth]
    unclear = [video[mask] for video, mask in zip(truth, is_unclear, strict=True)]
    truth = [video[~mask] for video, mask in zip(truth, is_unclear, strict=True)]
    truth, detections, meets = _prepared(truth, detections, unclear, rules)
    labels, of_classes = by_class(truth, detections, thresholds, match=MATCHINGS[rules.matching])
    if not len(labels):
        raise ValueError(
            "y_true has no interval in any video; mAP needs at least one (start, end, label)."
        )
    ap, is_detected = np.zeros((len(labels), len(thresholds))), np.zeros(len(labels), dtype=bool)
    for row, hits, n_true, is_found in of_classes:
        counted: np.ndarray | bool = True
        if rules.ambiguous == "excused":
            counted = ~np.concatenate(meets)[is_found][:, None]
        ap[row] = area_under_precision(hits, n_true, counted, rules.interpolated)
        is_detected[row] = len(is_found)
    mean_ap = ap.mean(axis=0)
    if rules.needs_every_class and not is_detected.all():
        mean_ap[:] = 0
    return Bunch(tiou_thresholds=thresholds, classes=labels, average_precision=ap, mean_ap=mean_ap)


def _prepared(
    truth: list[np.ndarray],
    detections: list[np.ndarray],
    unclear: list[np.ndarray],
    rules: Protocol,
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """True intervals and detections as the protocol compares them, and which meet unclear ones."""
    compared = detections
    if rules.truth == "rounded":
        truth, unclear = ([_in_snippets(v, 0) for v in videos] for videos in (truth, unclear))
        # What was a whole number before it became seconds is one again.
        compared = [_in_snippets(video, 6) for video in detections]
        detections = [_floored(video) for video in compared]
    meets = [
        np.any(intersection(found, intervals) > 0, axis=1)
        for found, intervals in zip(detections, unclear, strict=True)
    ]
    if rules.detections == "exact":
        detections = compared
    if rules.ambiguous == "removed":
        detections = [video[~mask] for video, mask in zip(detections, meets, strict=True)]
    return truth, detections, meets


def _in_snippets(intervals: np.ndarray, decimals: int) -> np.ndarray:
    """Intervals with times in snippets, rounded, half to even."""
    converted = intervals.copy()
    for name in ("start", "end"):
        converted[name] = np.round(intervals[name] * SNIPPETS_PER_SECOND, decimals)
    return converted


def _floored(intervals: np.ndarray) -> np.ndarray:
    floored = intervals.copy()
    for name in ("start", "end"):
        floored[name] = np.floor(intervals[name])
    return floored


def _first_best_match(overlap: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    return assign(overlap, thresholds, np.argsort(-overlap, axis=1, kind="stable"))


def _first_listed_match(overlap: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    # Those that reach the lowest threshold, in the order listed, before the others.
    preference = np.argsort(overlap < thresholds.min(), axis=1, kind="stable")
    return assign(overlap, thresholds, preference)


def _match_by_truth(overlap: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    hits = np.zeros((len(overlap), len(thresholds)), dtype=bool)
    for taken, threshold in zip(hits.T, thresholds, strict=True):
        for of_interval in overlap.T:
            best = np.where(taken, 0.0, of_interval).argmax()
            taken[best] |= of_interval[best] > threshold and not taken[best]
    return hits


MATCHINGS = {
    "best": best_match,
    "first best": _first_best_match,
    "first listed": _first_listed_match,
    "by truth": _match_by_truth,
}
