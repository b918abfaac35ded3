"""Average precision, as the ActivityNet evaluation computes it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from skdgam._validation import check_evaluation
from skdgam.intervals import plain_labels, tiou

__all__ = ["average_precision", "mean_average_precision", "precision_at_recall"]


def average_precision(
    y_true: Sequence[Any],
    y_pred: Sequence[np.ndarray],
    tiou_thresholds: npt.ArrayLike = 0.5,
    *,
    classes: npt.ArrayLike | None = None,
) -> np.ndarray:
    r"""Average precision of each class at each tIoU threshold.

    Detections of all videos, best score first, each take the ground truth of their own
    video and class with the highest tIoU that is not yet taken and reaches the threshold;
    those that find none are false positives. With precision made monotone from the right,
    :math:`AP = \sum_k (R_k - R_{k-1}) P_k`.

    Parameters
    ----------
    y_true : sequence of n annotations
        For each video its intervals: a list of ``(start, end, label)`` or an interval array,
        in seconds.
    y_pred : sequence of n interval arrays with scores
        Detections of the same videos, in the same order, as ``predict`` returns them.
    tiou_thresholds : float or array-like of shape (n_thresholds,), in (0, 1], default=0.5
    classes : array-like of shape (n_classes,), optional
        Rows of the result. By default the sorted labels of the ground truth.

    Returns
    -------
    ap : ndarray of shape (n_classes, n_thresholds), in [0, 1]
        NaN for a class without ground truth, 0 for one without detections.

    Raises
    ------
    ValueError
        If the two differ in length, an entry of `y_true` is no annotation, or an interval
        has no positive length.

    Examples
    --------
    One of two jumps is found, and a better scored detection hits nothing:

    >>> from skdgam.intervals import make_intervals
    >>> from skdgam.metrics import average_precision
    >>> y_true = [[(0, 4, "jump")], [(3, 5, "jump")]]
    >>> y_pred = [make_intervals([0.0, 8.0], [4.0, 9.0], "jump", [0.6, 0.9]),
    ...           make_intervals([], [], "jump", [])]
    >>> average_precision(y_true, y_pred)  # recall 1/2 at precision 1/2
    array([[0.25]])
    """
    thresholds = check_thresholds(tiou_thresholds)
    truth, detections = check_evaluation(y_true, y_pred)
    labels, of_classes = by_class(truth, detections, thresholds, classes)
    ap = np.full((len(labels), len(thresholds)), np.nan)
    for row, hits, n_true, _ in of_classes:
        ap[row] = area_under_precision(hits, n_true)
    return ap


def mean_average_precision(
    y_true: Sequence[Any], y_pred: Sequence[np.ndarray], tiou_thresholds: npt.ArrayLike = 0.5
) -> np.ndarray:
    """Mean of :func:`average_precision` over the classes that have ground truth.

    THUMOS14 is reported at 0.1, 0.2, ..., 0.9 with 0.5 as its headline, ActivityNet at
    0.5, 0.55, ..., 0.95 and the mean of those.

    Parameters
    ----------
    y_true, y_pred, tiou_thresholds
        As for :func:`average_precision`.

    Returns
    -------
    mean_ap : ndarray of shape (n_thresholds,), in [0, 1]

    Raises
    ------
    ValueError
        As for :func:`average_precision`, and if no video has any interval.

    Examples
    --------
    >>> from skdgam.intervals import make_intervals
    >>> from skdgam.metrics import mean_average_precision
    >>> y_true = [[(0, 4, "jump"), (6, 8, "run")]]
    >>> y_pred = [make_intervals([0.0], [3.0], "jump", [1.0])]
    >>> mean_average_precision(y_true, y_pred, [0.5, 0.9])
    array([0.5, 0. ])
    """
    ap = average_precision(y_true, y_pred, tiou_thresholds)
    if not len(ap):
        raise ValueError(
            "y_true has no interval in any video; mAP needs at least one (start, end, label)."
        )
    return ap.mean(axis=0)


def precision_at_recall(
    y_true: Sequence[Any],
    y_pred: Sequence[np.ndarray],
    tiou_thresholds: npt.ArrayLike = 0.5,
    *,
    recall: npt.ArrayLike | None = None,
) -> np.ndarray:
    """Precision of each class where this much or more of its intervals is found.

    Of what is drawn as its curve, the area is the average precision.

    Parameters
    ----------
    y_true, y_pred, tiou_thresholds
        As for :func:`average_precision`.
    recall : array-like of shape (n_recall,), in [0, 1], optional
        By default 0, 0.01, …, 1.

    Returns
    -------
    precision : ndarray of shape (n_classes, n_thresholds, n_recall), in [0, 1]
        Highest precision at that recall or more; 0 where it is not reached.

    Raises
    ------
    ValueError
        As for :func:`average_precision`.

    Examples
    --------
    >>> from skdgam.intervals import make_intervals
    >>> from skdgam.metrics import precision_at_recall
    >>> y_true = [[(0, 4, "jump")], [(3, 5, "jump")]]
    >>> y_pred = [make_intervals([0.0, 8.0], [4.0, 9.0], "jump", [0.6, 0.9]),
    ...           make_intervals([], [], "jump", [])]
    >>> precision_at_recall(y_true, y_pred, recall=[0.0, 0.5, 0.6])
    array([[[0.5, 0.5, 0. ]]])
    """
    thresholds = check_thresholds(tiou_thresholds)
    levels = np.linspace(0, 1, 101) if recall is None else np.asarray(recall, dtype=np.float64)
    truth, detections = check_evaluation(y_true, y_pred)
    labels, of_classes = by_class(truth, detections, thresholds)
    precision = np.zeros((len(labels), len(thresholds), len(levels)))
    for row, hits, n_true, _ in of_classes:
        reached = np.cumsum(hits, axis=0) / n_true
        highest = np.vstack([_monotone(_precision(hits)), np.zeros(len(thresholds))])
        for k, of_threshold in enumerate(reached.T):
            # The first detection with which a level is reached, or the row of zeros.
            precision[row, k] = highest[np.searchsorted(of_threshold, levels - 1e-12), k]
    return precision


Matching = Callable[[np.ndarray, np.ndarray], np.ndarray]


def best_match(overlap: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Each detection takes the free interval that it overlaps most.

    Parameters
    ----------
    overlap : ndarray of shape (n_detections, n_intervals), in [0, 1]
        tIoU of the detections of a video and class, best score first, with its intervals.
    thresholds : ndarray of shape (n_thresholds,)

    Returns
    -------
    hits : ndarray of bool of shape (n_detections, n_thresholds)
    """
    # Of equal overlaps the later interval comes first, as in the ActivityNet evaluation.
    return assign(overlap, thresholds, np.argsort(overlap, axis=1, kind="stable")[:, ::-1])


def by_class(
    truth: list[np.ndarray],
    detections: list[np.ndarray],
    thresholds: np.ndarray,
    classes: npt.ArrayLike | None = None,
    match: Matching = best_match,
) -> tuple[np.ndarray, Iterator[tuple[int, np.ndarray, int, np.ndarray]]]:
    """Find the classes, and compare detections with true intervals for each of them.

    Returns
    -------
    labels : ndarray of shape (n_classes,)
    of_classes : iterator
        For each class with true intervals its row in `labels`; its hits, best score first
        (n_found, n_thresholds); how many true intervals it has; and which of all detections, one
        video behind the other, these are.
    """
    if not truth:
        raise ValueError("y_true is empty; it must have one entry for each video.")
    truth_video, true = flatten(truth)
    found_video, found = flatten(detections)
    check_same_kind(true["label"], found["label"])
    labels = np.unique(true["label"]) if classes is None else plain_labels(classes)
    check_same_kind(true["label"], labels, "classes")

    def of_classes() -> Iterator[tuple[int, np.ndarray, int, np.ndarray]]:
        for row, label in enumerate(labels):
            of_class = true["label"] == label
            if of_class.any():
                is_found = np.flatnonzero(found["label"] == label)
                is_found = is_found[np.argsort(-found["score"][is_found], kind="stable")]
                hits = _hits(
                    (truth_video[of_class], true[of_class]),
                    (found_video[is_found], found[is_found]),
                    thresholds,
                    match,
                )
                yield row, hits, int(of_class.sum()), is_found

    return labels, of_classes()


def flatten(videos: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """All intervals in one array, behind the index of the video that each belongs to."""
    return np.repeat(np.arange(len(videos)), [len(video) for video in videos]), np.concatenate(
        videos
    )


def check_same_kind(true: np.ndarray, found: np.ndarray, name: str = "y_pred") -> None:
    """Check that labels are of one kind: text is never equal to a number."""
    if len(true) and len(found) and (true.dtype.kind == "U") != (found.dtype.kind == "U"):
        ours, theirs = true[0].item(), found[0].item()
        raise ValueError(
            f"y_true has labels like {ours!r}, but {name} labels like {theirs!r}; both must be "
            "text or both numbers to be compared."
        )


def check_thresholds(tiou_thresholds: npt.ArrayLike) -> np.ndarray:
    """Check thresholds of tIoU: one or more numbers in (0, 1], as an array (n_thresholds,)."""
    thresholds = np.atleast_1d(np.asarray(tiou_thresholds, dtype=np.float64))
    if not (
        thresholds.size and thresholds.ndim == 1 and ((thresholds > 0) & (thresholds <= 1)).all()
    ):
        raise ValueError(
            f"tiou_thresholds must be one or more numbers in (0, 1], but are {tiou_thresholds!r}."
        )
    return thresholds


def _hits(
    truth: tuple[np.ndarray, np.ndarray],
    detections: tuple[np.ndarray, np.ndarray],
    thresholds: np.ndarray,
    match: Matching,
) -> np.ndarray:
    """Which detections of one class, best score first, find an interval at which threshold.

    Both arguments are pairs (video, intervals), the first one ascending in its videos.
    """
    (truth_video, true), (found_video, found) = truth, detections
    hits = np.zeros((len(found), len(thresholds)), dtype=bool)
    by_video = np.argsort(found_video, kind="stable")
    for video in np.intersect1d(truth_video, found_video):
        first, stop = np.searchsorted(found_video[by_video], [video, video + 1])
        rows = by_video[first:stop]
        first, stop = np.searchsorted(truth_video, [video, video + 1])
        hits[rows] = match(tiou(found[rows], true[first:stop]), thresholds)
    return hits


def assign(overlap: np.ndarray, thresholds: np.ndarray, preference: np.ndarray) -> np.ndarray:
    """Assign detections (rows, best first) to intervals (columns) at each threshold.

    Row i of `preference` has the intervals in the order in which detection i asks for them; it
    stops at the first that reaches no threshold.
    """
    ascending = np.argsort(thresholds)
    n_reached = np.searchsorted(thresholds[ascending], overlap, side="right")
    # Bit k of a mask stands for the k-th lowest threshold, so that one pass serves them all.
    taken = [0] * overlap.shape[1]
    hits = np.zeros((len(overlap), len(thresholds)), dtype=bool)
    for row, reached, best_first in zip(hits, n_reached.tolist(), preference.tolist(), strict=True):
        matched = 0
        for interval in best_first:
            if not reached[interval]:
                break
            new = ((1 << reached[interval]) - 1) & ~(matched | taken[interval])
            taken[interval] |= new
            matched |= new
        if matched:
            row[ascending] = [matched >> k & 1 for k in range(len(thresholds))]
    return hits


def area_under_precision(
    hits: np.ndarray,
    n_true: int,
    counted: np.ndarray | bool = True,
    interpolated: bool = True,
) -> np.ndarray:
    """Sum of recall steps times precision, at each threshold; `hits` has the best score first.

    What is neither a hit nor `counted`, (n_found, n_thresholds), is no false detection.
    """
    precision = _precision(hits, counted)
    if interpolated:
        precision = _monotone(precision)
    return (precision * hits).sum(axis=0) / n_true


def _precision(hits: np.ndarray, counted: np.ndarray | bool = True) -> np.ndarray:
    """Share of hits among the first detection, the first two, and so on, at each threshold."""
    return np.cumsum(hits, axis=0) / np.maximum(np.cumsum(hits | counted, axis=0), 1)


def _monotone(precision: np.ndarray) -> np.ndarray:
    """Highest precision with so many detections or more, at each threshold."""
    return np.maximum.accumulate(precision[::-1])[::-1]
