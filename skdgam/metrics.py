"""Average precision, as the ActivityNet evaluation computes it, and analysis of errors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils import Bunch

from skdgam._validation import check_annotations, check_detections
from skdgam.intervals import intersection, make_intervals, tiou

__all__ = ["average_precision", "error_analysis", "mean_average_precision"]

# What a false detection can be; of several, the first.
ERRORS = ("duplicate", "class", "merged", "split", "boundary", "context", "background")
NEAR = 0.1  # tIoU from which a detection is about an interval


def average_precision(
    y_true: Sequence[Any],
    y_pred: Sequence[np.ndarray],
    tiou_thresholds: npt.ArrayLike = 0.5,
    *,
    classes: npt.ArrayLike | None = None,
) -> np.ndarray:
    r"""Average precision of each class at each tIoU threshold (METHOD §4).

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
    truth = check_annotations(y_true, name="y_true")
    detections = check_detections(y_pred, n_videos=len(truth))
    thresholds = check_thresholds(tiou_thresholds)
    if not truth:
        raise ValueError("y_true is empty; it must have one entry for each video.")
    truth_video, true = _flatten(truth)
    found_video, found = _flatten(detections)
    _check_same_kind(true["label"], found["label"])
    classes = np.unique(true["label"]) if classes is None else np.asarray(classes)

    ap = np.full((len(classes), len(thresholds)), np.nan)
    for row, label in zip(ap, classes, strict=True):
        of_class = true["label"] == label
        if of_class.any():
            is_found = np.flatnonzero(found["label"] == label)
            is_found = is_found[np.argsort(-found["score"][is_found], kind="stable")]
            hits = _hits(
                (truth_video[of_class], true[of_class]),
                (found_video[is_found], found[is_found]),
                thresholds,
            )
            row[:] = _area_under_precision(hits, of_class.sum())
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


def error_analysis(
    y_true: Sequence[Any], y_pred: Sequence[np.ndarray], tiou_threshold: float = 0.5
) -> Bunch:
    """Where mAP is lost: what each kind of error costs, as detection error analysis tells it.

    A false detection is, by the first of these that applies,

    - ``duplicate``: it reaches the threshold with an interval that a better one has taken;
    - ``class``: it reaches it with an interval of another class;
    - ``merged``: it covers half or more of each of two intervals of its class;
    - ``split``: half or more of it, and of another detection, lies in one interval of their class;
    - ``boundary``: its tIoU with an interval of its class is 0.1 or more;
    - ``context``: half or more of it lies beside an interval of its class, no further than that is
      long;
    - ``background``: none of these.

    An interval that nothing has found is ``missed``.

    Parameters
    ----------
    y_true, y_pred
        As for :func:`average_precision`.
    tiou_threshold : float, in (0, 1], default=0.5

    Returns
    -------
    analysis : Bunch
        mean_ap : float, in [0, 1]
            As of :func:`mean_average_precision`.
        cost : dict of str to float
            mAP gained if all errors of a kind were mended, and nothing else: the best ``class``,
            ``merged``, ``split`` or ``boundary`` error about an interval that nothing has found
            becomes that interval, other false detections of the kind go, and so do intervals
            that are missed. Costs do not add up: after one error comes the next.
        count : dict of str to int
        errors : list of n ndarrays of str
            What each detection is, in the order of `y_pred`: ``""`` for a hit.

    Raises
    ------
    ValueError
        As for :func:`mean_average_precision`.

    References
    ----------
    .. [1] H. Alwassel, F. Caba Heilbron, V. Escorcia, B. Ghanem: Diagnosing Error in Temporal
       Action Detectors. ECCV 2018.
    .. [2] D. Bolya, S. Foley, J. Hays, J. Hoffman: TIDE: A General Toolbox for Identifying Object
       Detection Errors. ECCV 2020.

    Examples
    --------
    A jump is found, but too long, and a run in what is none:

    >>> from skdgam.intervals import make_intervals
    >>> from skdgam.metrics import error_analysis
    >>> y_true = [[(0, 4, "jump"), (20, 24, "run")]]
    >>> y_pred = [make_intervals([0, 40, 20], [9, 44, 24], ["jump", "run", "run"], [0.9, 0.8, 0.7])]
    >>> analysis = error_analysis(y_true, y_pred)
    >>> analysis.errors
    [array(['boundary', 'background', ''], dtype='<U10')]
    >>> analysis.mean_ap, analysis.cost["boundary"], analysis.cost["background"]
    (0.25, 0.5, 0.25)
    """
    (threshold,) = check_thresholds(tiou_threshold)
    mean_ap = float(mean_average_precision(y_true, y_pred, threshold).item())
    truth = check_annotations(y_true, name="y_true")
    detections = check_detections(y_pred, n_videos=len(truth))
    truth_video, true = _flatten(truth)
    _, found = _flatten(detections)
    errors = np.empty(len(found), dtype="U10")
    about = np.full(len(found), -1)  # the interval that a detection has or should have found
    first_true, first_found = 0, 0
    for intervals, of_video in zip(truth, detections, strict=True):
        rows = slice(first_found, first_found + len(of_video))
        errors[rows], target = _errors(intervals, of_video, threshold)
        about[rows] = np.where(target < 0, -1, target + first_true)
        first_true, first_found = first_true + len(intervals), rows.stop

    best_first = np.argsort(-found["score"], kind="stable")
    is_hit = errors == ""
    is_found = np.isin(np.arange(len(true)), about[is_hit])

    def mean_ap_if(is_hit: np.ndarray, stays: np.ndarray, counts: np.ndarray) -> float:
        """Score the detections that stay, the hits with the class of their interval."""
        label = found["label"].astype(np.result_type(found["label"], true["label"]))
        label[is_hit] = true["label"][about[is_hit]]
        aps = []
        for of_class in np.unique(true["label"]):
            rows = best_first[(stays & (label == of_class))[best_first]]
            n_true = np.sum(counts & (true["label"] == of_class))
            if n_true:
                aps.append(_area_under_precision(is_hit[rows][:, None], n_true).item())
        return float(np.mean(aps)) if aps else 0.0

    cost, every = {}, np.ones(len(true), dtype=bool)
    for kind in ERRORS:
        is_kind = errors == kind
        mended = np.zeros(len(found), dtype=bool)
        of_kind = best_first[(is_kind & (about >= 0))[best_first]]
        of_kind = of_kind[~is_found[about[of_kind]]]
        _, best = np.unique(about[of_kind], return_index=True)
        mended[of_kind[best]] = True
        cost[kind] = mean_ap_if(is_hit | mended, ~is_kind | mended, every) - mean_ap
    cost["missed"] = mean_ap_if(is_hit, np.ones(len(found), dtype=bool), is_found) - mean_ap
    count = {kind: int(np.sum(errors == kind)) for kind in ERRORS}
    count["missed"] = int(np.sum(~is_found))
    stops = np.cumsum([len(of_video) for of_video in detections])[:-1]
    return Bunch(mean_ap=mean_ap, cost=cost, count=count, errors=np.split(errors, stops))


def _errors(true: np.ndarray, found: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """What each detection of one video is, and the interval it is about, -1 for none."""
    errors = np.full(len(found), "background", dtype="U10")
    about = np.full(len(found), -1)
    if not len(true) or not len(found):
        return errors, about
    length = true["end"] - true["start"]
    around = make_intervals(true["start"] - length, true["end"] + length, true["label"])
    same = found["label"][:, None] == true["label"]
    overlap, shared = tiou(found, true), intersection(found, true)
    half_found = (found["end"] - found["start"])[:, None] / 2
    covers = same & (shared >= length / 2)
    inside = same & (shared >= half_found)
    beside = same & (intersection(found, around) - shared >= half_found)

    taken = np.zeros(len(true), dtype=bool)
    for row in np.argsort(-found["score"], kind="stable"):
        own = np.where(same[row], overlap[row], 0.0)
        other = overlap[row] - own
        free = np.where(taken, 0.0, own)
        nearest = len(own) - 1 - free[::-1].argmax()  # the later one of equals
        if free[nearest] >= threshold:
            errors[row], about[row], taken[nearest] = "", nearest, True
            continue
        if own.max() >= threshold:
            errors[row] = "duplicate"
            continue
        if other.max() >= threshold:
            errors[row], about[row] = "class", other.argmax()
            continue
        if covers[row].sum() > 1:
            errors[row] = "merged"
        elif (inside[row] & (inside.sum(axis=0) > 1)).any():
            errors[row] = "split"
        elif own.max() >= NEAR:
            errors[row] = "boundary"
        elif beside[row].any():
            errors[row] = "context"
            continue
        else:
            continue
        about[row] = own.argmax()
    return errors, about


def _flatten(videos: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """All intervals in one array, behind the index of the video that each belongs to."""
    return np.repeat(np.arange(len(videos)), [len(video) for video in videos]), np.concatenate(
        videos
    )


def _check_same_kind(true: np.ndarray, found: np.ndarray) -> None:
    if len(true) and len(found) and (true.dtype.kind == "U") != (found.dtype.kind == "U"):
        raise ValueError(
            f"y_true has labels like {true[0]!r}, but y_pred labels like {found[0]!r}; "
            "both must be text or both numbers to be compared."
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
        hits[rows] = _match(tiou(found[rows], true[first:stop]), thresholds)
    return hits


def _match(overlap: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Assign detections (rows, best first) to intervals (columns) at each threshold."""
    ascending = np.argsort(thresholds)
    n_reached = np.searchsorted(thresholds[ascending], overlap, side="right")
    # Of equal overlaps the later interval comes first, as in the ActivityNet evaluation.
    preference = np.argsort(overlap, axis=1, kind="stable")[:, ::-1]
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


def _area_under_precision(hits: np.ndarray, n_true: int) -> np.ndarray:
    """Sum of recall steps times precision, at each threshold; `hits` has the best score first."""
    precision = np.cumsum(hits, axis=0) / np.arange(1, len(hits) + 1)[:, None]
    monotone = np.maximum.accumulate(precision[::-1])[::-1]
    return (monotone * hits).sum(axis=0) / n_true
