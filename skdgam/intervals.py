"""Intervals in time: their array form, overlap, suppression, and runs of snippets.

An interval array is a structured array with the fields ``start`` and ``end`` (float64, in
seconds), ``label`` and, for detections, ``score`` (float64). An interval is half open:
``[start, end)``.
"""

from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "make_intervals",
    "non_maximum_suppression",
    "plain_labels",
    "runs",
    "soft_non_maximum_suppression",
    "survivors",
    "tiou",
]


def make_intervals(
    start: npt.ArrayLike,
    end: npt.ArrayLike,
    label: Any,
    score: npt.ArrayLike | None = None,
) -> np.ndarray:
    """Put times, labels and scores together in one interval array.

    Parameters
    ----------
    start, end : array-like of shape (n_intervals,)
        In seconds.
    label : array-like of shape (n_intervals,) or scalar
        Text or whole numbers; a scalar labels every interval.
    score : array-like of shape (n_intervals,), optional
        Given, the array has a field ``score``.

    Returns
    -------
    intervals : ndarray of shape (n_intervals,)
        Structured, in the order given.

    Raises
    ------
    ValueError
        If there is not one of each for every interval, a time or a score is no number, or an
        interval is not finite or ends before it starts.

    Examples
    --------
    >>> from skdgam.intervals import make_intervals
    >>> jumps = make_intervals([2.0, 7.5], [4.0, 9.0], "jump")
    >>> jumps["end"] - jumps["start"]
    array([2. , 1.5])
    >>> jumps["label"]
    array(['jump', 'jump'], dtype='<U4')
    """
    label = plain_labels(label)
    numbers = {"start": _numbers(start, "start"), "end": _numbers(end, "end")}
    if score is not None:
        numbers["score"] = _numbers(score, "score")
    shape = numbers["start"].shape
    for name, values in [*numbers.items(), ("label", label)]:
        if values.shape != shape and (values.ndim or name in ("start", "end")):
            raise ValueError(
                f"{name} has shape {values.shape}, but start has {shape}; there must be one for "
                "each interval."
            )
    dtype = [("start", "f8"), ("end", "f8"), ("label", label.dtype)]
    intervals = np.empty(shape, dtype=dtype + [("score", "f8")] * (score is not None))
    intervals["label"] = label
    for name, values in numbers.items():
        intervals[name] = values
    start, end = intervals["start"], intervals["end"]
    wrong = ~(np.isfinite(start) & np.isfinite(end) & (end >= start))
    if wrong.any():
        first = np.flatnonzero(wrong)[0]
        raise ValueError(
            f"Interval {first} is {intervals.flat[first].item()!r:.80}; it needs finite times in "
            "seconds, with the end not before the start."
        )
    return intervals


def _numbers(values: npt.ArrayLike, name: str) -> np.ndarray:
    """Times or scores as they are, if they are numbers."""
    try:
        array = np.asarray(values)
        if array.dtype.kind == "O":  # of pandas, where one may be missing
            array = array.astype(np.float64)
    except (TypeError, ValueError):
        array = np.array(None)
    if array.size and array.dtype.kind not in "fiu":
        items = np.asarray(values, dtype=object).ravel()
        wrong = next((item for item in items if not isinstance(item, Real)), values)
        raise ValueError(
            f"{name} has {wrong!r:.60}; times are numbers of seconds, with a decimal point, and "
            "scores are numbers."
        )
    return array


def plain_labels(labels: Any) -> np.ndarray:
    """Labels as an array of text, of integers or of bool; objects that hold such become it.

    Raises
    ------
    ValueError
        If they are anything else, or of two kinds.
    """
    if getattr(getattr(labels, "dtype", None), "kind", "O") in "Uiub":
        return np.asarray(labels)
    array = np.asarray(labels, dtype=object)  # in which each stays what it is
    items = array.ravel().tolist()
    if items and all(isinstance(label, str) for label in items):
        if not all(map(str.strip, items)):
            raise ValueError("A label is empty; leave it out, or give it a name.")
        if any(label.endswith("\0") for label in items):
            raise ValueError(
                f"The labels have {items!r:.60}; NumPy drops a NUL character at the end of a text, "
                "so that no label may end in one."
            )
        # A str method, so that a member of an enumeration of texts is its text.
        plain = np.array([*map(str.__str__, items)])
    elif all(map(_is_whole, items)):
        plain = np.array(items, dtype=None if items else "U1")
    else:
        plain = array
    if plain.dtype.kind not in "Uiubf":
        kinds = {type(label).__name__ for label in items}
        raise ValueError(
            f"The labels are of type {', '.join(sorted(kinds))}, such as {str(items[0])[:40]!r}; "
            "they must be all text or all whole numbers, and none may be missing."
        )
    return plain.reshape(array.shape)


def _is_whole(label: Any) -> bool:
    return isinstance(label, Integral | np.bool_) or (
        isinstance(label, float | np.floating) and float(label).is_integer()
    )


def tiou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    r"""Temporal intersection over union of every interval of `a` with every one of `b`.

    :math:`|a \cap b| / |a \cup b|`, whatever their labels. An interval of no length overlaps
    nothing.

    Parameters
    ----------
    a, b : interval arrays of shape (n_a,) and (n_b,)

    Returns
    -------
    overlap : ndarray of shape (n_a, n_b), in [0, 1]

    Examples
    --------
    >>> from skdgam.intervals import make_intervals, tiou
    >>> tiou(make_intervals([0.0], [4.0], "a"), make_intervals([2.0, 4.0], [8.0, 5.0], "a"))
    array([[0.25, 0.  ]])
    """
    shared = intersection(a, b)
    union = (a["end"] - a["start"])[:, None] + (b["end"] - b["start"]) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def intersection(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Length that every interval of `a` shares with every one of `b`, as (n_a, n_b)."""
    end = np.minimum(a["end"][:, None], b["end"])
    return np.maximum(end - np.maximum(a["start"][:, None], b["start"]), 0.0)


def non_maximum_suppression(detections: np.ndarray, threshold: float) -> np.ndarray:
    """Drop detections that overlap a better one of the same label.

    Best score first, each detection that is still there removes those of its label whose
    tIoU with it is greater than the threshold.

    Parameters
    ----------
    detections : interval array of shape (n_detections,)
        Of one video, with scores.
    threshold : float, in [0, 1]
        1 keeps everything.

    Returns
    -------
    kept : interval array of shape (n_kept,)
        Sorted by descending score; equal scores keep their order.

    Examples
    --------
    >>> from skdgam.intervals import make_intervals, non_maximum_suppression
    >>> found = make_intervals([0.0, 1.0, 1.0], [4.0, 4.0, 4.0], ["a", "a", "b"], [0.9, 0.8, 0.7])
    >>> non_maximum_suppression(found, 0.5)[["start", "label"]].tolist()
    [(0.0, 'a'), (1.0, 'b')]
    """
    return detections[survivors(detections, threshold)]


def survivors(detections: np.ndarray, threshold: float) -> np.ndarray:
    """Indices of the detections that :func:`non_maximum_suppression` keeps, best first."""
    order = np.argsort(-detections["score"], kind="stable")
    better, worse = _overlapping_pairs(detections[order], threshold)
    kept = np.ones(len(detections), dtype=bool)
    for i, j in zip(better.tolist(), worse.tolist(), strict=True):
        if kept[i]:
            kept[j] = False
    return order[kept]


def _overlapping_pairs(detections: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs i < j of one label with a tIoU above the threshold, in the order of j.

    Sorted by start, whatever overlaps an interval and starts later comes right behind it, so
    that only true overlaps cost time and memory.
    """
    _, label = np.unique(detections["label"], return_inverse=True)
    order = np.lexsort((detections["start"], label))
    start, end, label = detections["start"][order], detections["end"][order], label[order]
    # Labels are put one behind the other on the time line.
    shift = label * (end.max(initial=0.0) - start.min(initial=0.0) + 1.0)
    stop = np.searchsorted(start + shift, end + shift, side="left")
    n_behind = np.maximum(stop - np.arange(len(order)) - 1, 0)
    a = np.repeat(np.arange(len(order)), n_behind)
    b = a + 1 + np.arange(len(a)) - np.repeat(np.cumsum(n_behind) - n_behind, n_behind)
    shared = np.minimum(end[a], end[b]) - start[b]
    overlap = shared / (np.maximum(end[a], end[b]) - start[a])
    above = (overlap > threshold) & (label[a] == label[b])
    pairs = np.sort([order[a[above]], order[b[above]]], axis=0)
    return tuple(pairs[:, np.argsort(pairs[1])])


def soft_non_maximum_suppression(
    detections: np.ndarray,
    sigma: float = 0.3,
    *,
    decay: str = "gaussian",
    threshold: float = 0.3,
    margin: float = 0.0,
) -> np.ndarray:
    r"""Lower the scores of detections that overlap a better one of the same label.

    Of the detections of a label that are left, the best one is taken out with the score that it
    has by then, and the scores of the others are multiplied by a decay in its tIoU o with them:
    :math:`e^{-o^2 / \sigma}`, or in the linear form :math:`1 - o` where o exceeds the threshold.
    This repeats until none is left, so that nothing is dropped [1]_.

    Parameters
    ----------
    detections : interval array of shape (n_detections,)
        Of one video, with scores. A score below 0 is multiplied as well, which brings it closer
        to 0.
    sigma : float, > 0, default=0.3
        Width of the Gaussian decay; the smaller it is, the more is suppressed. Nearly 0, it leaves
        0 to whatever :func:`non_maximum_suppression` drops with a threshold of 0.
    decay : {"gaussian", "linear"}, default="gaussian"
    threshold : float, in [0, 1], default=0.3
        Of the linear decay.
    margin : float, >= 0, default=0.0
        Time added to the end of every interval when tIoU is computed, in seconds. Some published
        methods add one snippet or one second.

    Returns
    -------
    rescored : interval array of shape (n_detections,)
        The same intervals, sorted by descending score. The order given does not matter.

    Raises
    ------
    ValueError
        If `decay` is unknown, or `sigma` is not positive.

    References
    ----------
    .. [1] N. Bodla, B. Singh, R. Chellappa, L. S. Davis: Soft-NMS - Improving Object Detection
       With One Line of Code. ICCV 2017.

    Examples
    --------
    >>> from skdgam.intervals import make_intervals, soft_non_maximum_suppression
    >>> found = make_intervals([0.0, 1.0, 1.0], [4.0, 4.0, 4.0], ["a", "a", "b"], [0.9, 0.8, 0.7])
    >>> soft_non_maximum_suppression(found)["score"].round(2).tolist()  # 0.8 exp(-0.75² / 0.3)
    [0.9, 0.7, 0.12]
    """
    if decay not in ("gaussian", "linear"):
        raise ValueError(f'decay is {decay!r}; it must be "gaussian" or "linear".')
    if not sigma > 0:
        raise ValueError(f"sigma is {sigma!r}; it must be a positive number.")
    detections = _canonical(detections)
    if not len(detections):
        return detections
    # A row for each label, best first; its last cells are empty if another label has more.
    order, is_left = _rows_of_labels(detections["label"])
    cells = np.nonzero(is_left)
    start, end, score = np.zeros((3, *is_left.shape))
    for values, name in ((start, "start"), (end, "end"), (score, "score")):
        values[cells] = detections[name][order]
    end += margin
    for _ in range(is_left.shape[1]):
        rows = np.flatnonzero(is_left.any(axis=1))
        best = rows, np.where(is_left[rows], score[rows], -np.inf).argmax(axis=1)
        is_left[best] = False
        overlap = _overlap_with_one(start[rows], end[rows], start[best], end[best])
        if decay == "gaussian":
            factor = np.exp(-(overlap**2) / sigma)
        else:
            factor = np.where(overlap > threshold, 1.0 - overlap, 1.0)
        score[rows] *= np.where(is_left[rows], factor, 1.0)
    detections["score"][order] = score[cells]
    return _canonical(detections)


def _rows_of_labels(label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of detections, label by label, and which cells (n_labels, most) they fill."""
    _, row, n_of_row = np.unique(label, return_inverse=True, return_counts=True)
    return np.argsort(row, kind="stable"), np.arange(n_of_row.max()) < n_of_row[:, None]


def _overlap_with_one(
    start: np.ndarray, end: np.ndarray, one_start: np.ndarray, one_end: np.ndarray
) -> np.ndarray:
    """Overlap (n_labels, most), as tIoU, of the intervals of each label with one of them."""
    one_start, one_end = one_start[:, None], one_end[:, None]
    shared = np.maximum(np.minimum(end, one_end) - np.maximum(start, one_start), 0.0)
    union = end - start + one_end - one_start - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _canonical(detections: np.ndarray) -> np.ndarray:
    """A copy, best score first, in an order that does not depend on that given."""
    names = ("label", "end", "start")
    return detections[np.lexsort((*(detections[name] for name in names), -detections["score"]))]


def runs(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where a mask is true without a break.

    Parameters
    ----------
    mask : ndarray of bool of shape (n,)

    Returns
    -------
    first, stop : ndarrays of int of shape (n_runs,)
        Run k is ``mask[first[k]:stop[k]]``.

    Examples
    --------
    >>> import numpy as np
    >>> from skdgam.intervals import runs
    >>> runs(np.array([True, True, False, True]))
    (array([0, 3]), array([2, 4]))
    """
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    return edges[::2], edges[1::2]
