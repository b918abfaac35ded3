"""F1 of events and of segments, as sound event detection is evaluated."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from skdgam._names import by_name, in_order
from skdgam._validation import check_durations, check_evaluation
from skdgam.metrics._average_precision import check_same_kind

__all__ = ["F1Scores", "event_f1", "segment_f1"]


@dataclass(frozen=True)
class F1Scores:
    """F1 of detections, over all classes together and of each.

    Attributes
    ----------
    f1, precision, recall : float, in [0, 1]
        Micro averages: events or segments of all recordings and classes, also of those that only
        `y_pred` has, are counted together. Precision is 0 if nothing is detected.
    macro_f1 : float, in [0, 1]
        Mean of `class_f1`.
    class_f1 : dict of label to float, in [0, 1]
        F1 of each class that `y_true` has an event or a segment of, in sorted order.
    """

    f1: float
    precision: float
    recall: float
    macro_f1: float
    class_f1: dict[Any, float]


def event_f1(
    y_true: Sequence[Any],
    y_pred: Sequence[np.ndarray],
    *,
    onset_collar: float = 0.2,
    offset_collar: float | None = 0.2,
    offset_share: float = 0.2,
    threshold: float = 0.5,
) -> F1Scores:
    r"""F1 of whole events: a detection counts if it starts and ends when an event does.

    A detection :math:`[\hat s, \hat e)` matches an event :math:`[s, e)` of its class in its
    recording if :math:`|\hat s - s| \leq` `onset_collar` and :math:`|\hat e - e| \leq`
    max(`offset_collar`, `offset_share` :math:`\cdot (e - s)`). Each is matched once at most, and
    as many as possible are matched. This is the event-based F-score of sed_eval [1]_.

    Parameters
    ----------
    y_true, y_pred
        As for :func:`average_precision`. An event of no length counts as missed.
    onset_collar : float, >= 0, default=0.2
        Seconds by which a start may differ.
    offset_collar : float, >= 0, or None, default=0.2
        Seconds by which an end may always differ. None compares starts alone.
    offset_share : float, in [0, 1], default=0.2
        Share of the length of the event by which an end may differ, if that is more. DCASE
        challenges use 0.2; the default of sed_eval is 0.5.
    threshold : float, default=0.5
        Detections with a lower score are left out. :func:`label_agreement` finds a threshold.

    Returns
    -------
    scores : F1Scores

    Raises
    ------
    ValueError
        As for :func:`average_precision`, if `y_true` has no interval, or if a parameter is out
        of its range.

    References
    ----------
    .. [1] A. Mesaros, T. Heittola, T. Virtanen: Metrics for Polyphonic Sound Event Detection.
       Applied Sciences 6(6), 2016.

    Examples
    --------
    The bark is found; the ring starts half a second late:

    >>> from skdgam.intervals import make_intervals
    >>> from skdgam.metrics import event_f1
    >>> y_true = [[(1, 2, "bark"), (5, 15, "ring")]]
    >>> y_pred = [make_intervals([1.1, 5.5], [2.1, 13.5], ["bark", "ring"], [0.9, 0.8])]
    >>> event_f1(y_true, y_pred)
    F1Scores(f1=0.5, precision=0.5, recall=0.5, macro_f1=0.5, class_f1={'bark': 1.0, 'ring': 0.0})
    >>> event_f1(y_true, y_pred, onset_collar=0.5).f1
    1.0
    """
    check_range("onset_collar", onset_collar, "a number of seconds, 0 or more")
    if offset_collar is not None:
        check_range("offset_collar", offset_collar, "a number of seconds, 0 or more, or None")
    check_range("offset_share", offset_share, "a number in [0, 1]", most=1)
    classes, truth, detections = check_videos(y_true, y_pred, threshold)
    counts = np.zeros((3, len(classes)), dtype=int)
    for true, found in zip(truth, detections, strict=True):
        length = (true["end"] - true["start"])[:, None]
        hits = (true["label"][:, None] == found["label"]) & (length > 0)
        hits &= np.abs(true["start"][:, None] - found["start"]) <= onset_collar
        if offset_collar is not None:
            collar = np.maximum(offset_collar, offset_share * length)
            hits &= np.abs(true["end"][:, None] - found["end"]) <= collar
        is_found = maximum_bipartite_matching(csr_array(hits), perm_type="column") >= 0
        for row, counted in enumerate((true, found, true[is_found])):
            counts[row] += (counted["label"] == classes[:, None]).sum(axis=1)
    return _scores(classes, *counts)


def segment_f1(
    y_true: Sequence[Any],
    y_pred: Sequence[np.ndarray],
    *,
    resolution: float = 1.0,
    threshold: float = 0.5,
    durations: npt.ArrayLike | None = None,
) -> F1Scores:
    r"""F1 of segments: recordings are cut into pieces, in each of which a class occurs or not.

    Segment :math:`k` lasts from :math:`k` to :math:`k + 1` times `resolution`. An interval is in
    every segment from :math:`\lfloor` start / `resolution` :math:`\rfloor` up to, but not
    including, :math:`\lceil` end / `resolution` :math:`\rceil`; in one that it meets only at the
    edge it is not. This is the segment-based F-score of sed_eval, of the article cited for
    :func:`event_f1`. With a small `resolution` it is the F1 of frames. What nothing occurs in is
    no class of its own; the page on evaluation shows how to count a null class.

    Parameters
    ----------
    y_true, y_pred, threshold
        As for :func:`event_f1`, but an interval of no length is in no segment.
    resolution : float, > 0, default=1.0
        Length of a segment, in seconds.
    durations : array-like of shape (n,), optional
        Length of each recording, in seconds. The segment that it ends in is the last to count.

    Returns
    -------
    scores : F1Scores

    Raises
    ------
    ValueError
        As for :func:`average_precision`, if no segment has an interval of `y_true`, or if a
        parameter is out of its range.

    Examples
    --------
    A bark is in the seconds 0 and 1, and found in 1, 2 and 3:

    >>> from skdgam.intervals import make_intervals
    >>> from skdgam.metrics import segment_f1
    >>> scores = segment_f1([[(0, 1.5, "bark")]], [make_intervals([1], [3.5], "bark", [0.9])])
    >>> scores.recall, round(scores.precision, 2), scores.f1
    (0.5, 0.33, 0.4)
    """
    if not (isinstance(resolution, Real) and 0 < resolution < np.inf):
        raise ValueError(f"resolution is {resolution!r}; it must be a positive number of seconds.")
    classes, truth, detections = check_videos(y_true, y_pred, threshold)
    n = len(truth)
    ends = np.full(n, np.inf) if durations is None else check_durations_of(y_true, durations, n)
    counts = np.zeros((3, len(classes)), dtype=int)
    for true, found, end in zip(truth, detections, ends, strict=True):
        true = true[true["end"] > true["start"]]
        for column, label in enumerate(classes):
            in_true, in_found = (
                _segments(intervals[intervals["label"] == label], resolution, end)
                for intervals in (true, found)
            )
            n_true, n_found = _n_covered(in_true), _n_covered(in_found)
            n_both = n_true + n_found - _n_covered(np.hstack([in_true, in_found]))
            counts[:, column] += n_true, n_found, n_both
    if not counts[0].any():
        raise ValueError("No interval of y_true has a length and starts before its video ends.")
    return _scores(classes, *counts)


def check_range(
    name: str, value: float, needs: str, least: float = 0, most: float = np.inf
) -> None:
    if not (isinstance(value, Real) and least <= value <= most):
        raise ValueError(f"{name} is {value!r}; it must be {needs}.")


def check_videos(
    y_true: Any, y_pred: Any, threshold: float = -np.inf
) -> tuple[np.ndarray, list, list]:
    """All classes, the intervals of each video, and its detections that reach the threshold."""
    check_range("threshold", threshold, "a number, as scores are", least=-np.inf)
    truth, detections = check_evaluation(y_true, y_pred)
    if not any(map(len, truth)):
        raise ValueError("y_true has no interval in any video; one at least is needed.")
    true, found = (np.concatenate(videos)["label"] for videos in (truth, detections))
    check_same_kind(true, found)
    # If nothing is detected, the dtype of its labels means nothing.
    classes = np.unique(np.concatenate([true, found]) if len(found) else true)
    return classes, truth, [found[found["score"] >= threshold] for found in detections]


def check_durations_of(y_true: Any, durations: Any, n: int) -> np.ndarray:
    """Check durations of the videos of `y_true`, in its order, which may be one of names."""
    named = by_name(y_true)
    if named is not None:
        if by_name(durations) is None:
            raise TypeError(
                "y_true goes by the names of videos, but durations do not; pass a dict by name."
            )
        durations = in_order(durations, [*named], "durations")
    return check_durations(durations, n)


def _segments(intervals: np.ndarray, resolution: float, end: float) -> np.ndarray:
    """First segment of each interval and the one after its last, of shape (2, n)."""
    last = np.minimum(intervals["end"], end)
    return np.array([np.floor(intervals["start"] / resolution), np.ceil(last / resolution)])


def _n_covered(ranges: np.ndarray) -> int:
    """How many whole numbers are in one or more of the ranges [first, stop), (2, n)."""
    first, stop = ranges[:, ranges[0].argsort()]
    reached = np.maximum.accumulate(stop)
    first[1:] = np.maximum(first[1:], reached[:-1])
    return int(np.maximum(stop - first, 0).sum())


def _scores(
    classes: np.ndarray, n_true: np.ndarray, n_found: np.ndarray, n_hits: np.ndarray
) -> F1Scores:
    """Scores from counts of each class."""
    occurs = n_true > 0
    f1 = 2 * n_hits[occurs] / (n_true + n_found)[occurs]
    return F1Scores(
        f1=float(2 * n_hits.sum() / (n_true + n_found).sum()),
        precision=float(n_hits.sum() / max(n_found.sum(), 1)),
        recall=float(n_hits.sum() / n_true.sum()),
        macro_f1=float(f1.mean()),
        class_f1=dict(zip(classes[occurs].tolist(), f1.tolist(), strict=True)),
    )
