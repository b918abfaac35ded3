"""The gate for what goes with features: labels, annotations, detections, durations.

Every error names the video by its index in what was passed, says what is there, and what
would be right. Nothing passed in is changed.
"""

import math
import warnings
from collections.abc import Iterable
from numbers import Number
from typing import Any

import numpy as np
import numpy.typing as npt

from skdgam.intervals import make_intervals

__all__ = [
    "check_annotations",
    "check_classes",
    "check_detections",
    "check_durations",
    "check_known",
    "check_weak_labels",
    "clip_to_videos",
    "known_entries",
]


def check_weak_labels(
    y: Any, n_videos: int, classes: Iterable[Any] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Reduce whatever `y` says to the set of labels of each video.

    This is all that fitting ever sees of `y`: the times of an annotation are not even read.

    Parameters
    ----------
    y : sequence of n entries, or indicator matrix of shape (n, n_classes)
        For each video a label, a collection of labels, or its annotation: a list of
        ``(start, end, label)`` or an interval array.
    n_videos : int
    classes : array-like of shape (n_classes,), optional
        All labels that `y` may hold; it need not hold any. By default those that it holds.

    Returns
    -------
    classes : ndarray of shape (n_classes,)
        Sorted labels; for an indicator matrix, the indices of its columns.
    is_labelled : ndarray of bool of shape (n_videos, n_classes)
    """
    indicator = _indicator(y)
    if indicator is not None:
        _check_length(indicator, n_videos)
        labels, found = [np.flatnonzero(row) for row in indicator], np.arange(indicator.shape[1])
    else:
        entries = _entries(y, n_videos)
        if _is_nested_indicator(entries):
            raise ValueError(
                "y has a list of 0 and 1 for each video. If that is an indicator matrix, pass "
                "np.asarray(y); if 0 and 1 are labels, give sets of them."
            )
        labels = [_labels(entry, f"y[{i}]") for i, entry in enumerate(entries)]
        dtype = _common_dtype(labels)
        labels = [label.astype(dtype) for label in labels]
        found = np.unique(np.concatenate(labels))
    if classes is None and not any(map(len, labels)):
        raise ValueError(
            "y has no label for any video; at least one video must show an action to learn."
        )
    known = found if classes is None else np.unique(check_classes(classes))
    check_known(labels, known)
    return known, np.stack([np.isin(known, label) for label in labels])


def known_entries(y: Any) -> np.ndarray | None:
    """Mask of the entries of `y` that are not None, which stands for unknown; None if all are."""
    if isinstance(y, list | tuple) or getattr(getattr(y, "dtype", None), "kind", "") == "O":
        known = np.array([entry is not None for entry in y], dtype=bool)
        if len(known) and not known.any():
            raise ValueError("y has no label for any video; each entry is None, for unknown.")
        return None if known.all() else known
    return None


def check_classes(classes: Iterable[Any]) -> np.ndarray:
    """Check all labels that there are: an array of them, in the order given."""
    if isinstance(classes, str | bytes) or not isinstance(classes, Iterable):
        raise TypeError(f"classes is {classes!r}; it must be a list of labels.")
    return _label_array(list(classes), "classes")


def check_known(labels: list[np.ndarray], classes: np.ndarray, name: str = "y") -> None:
    """Check that the labels of each video are among the classes of a model."""
    known = set(classes.tolist())
    for i, of_video in enumerate(labels):
        unknown = [label for label in of_video.tolist() if label not in known]
        if unknown:
            names = ", ".join(map(repr, classes[:10].tolist())) + ", …" * (len(classes) > 10)
            raise ValueError(
                f"{name}[{i}] has the label {unknown[0]!r}, but the model knows nothing but "
                f"{names}."
            )


def check_annotations(y: Any, n_videos: int | None = None, name: str = "y") -> list[np.ndarray]:
    """Check the annotated intervals of each video.

    Parameters
    ----------
    y : sequence of n annotations
        Each a list of ``(start, end, label)`` or an interval array, in seconds; empty for a
        video without actions.
    n_videos : int, optional
    name : str, default="y"
        Of the argument, for messages.

    Returns
    -------
    annotations : list of n interval arrays
        All with the same label dtype.

    Raises
    ------
    ValueError
        If an entry holds labels without times, or an interval is not finite or ends before it
        starts.

    Warns
    -----
    UserWarning
        If intervals have no length, as there are some in ActivityNet's annotations.
    """
    if _indicator(y) is not None:
        raise ValueError(_needs_intervals(f"{name} is an indicator matrix"))
    entries = _entries(y, n_videos, name)
    annotations = [_intervals(entry, f"{name}[{i}]") for i, entry in enumerate(entries)]
    for i, intervals in enumerate(annotations):
        _check_times(intervals, f"{name}[{i}]", may_be_empty=True)
    n_empty = sum(int((a["start"] == a["end"]).sum()) for a in annotations)
    if n_empty:
        i = next(i for i, a in enumerate(annotations) if (a["start"] == a["end"]).any())
        warnings.warn(
            f"{n_empty} intervals of {name} have no length, the first in {name}[{i}]. Nothing can "
            "find them; they count as missed, as in the evaluation of ActivityNet.",
            UserWarning,
            stacklevel=3,
        )
    return _with_common_labels(annotations)


def check_detections(y_pred: Any, n_videos: int) -> list[np.ndarray]:
    """Check the detections of each video: interval arrays with finite scores.

    Parameters
    ----------
    y_pred : sequence of n interval arrays with a field ``score``
    n_videos : int

    Returns
    -------
    detections : list of n interval arrays
        All with the same label dtype.
    """
    entries = _entries(y_pred, n_videos, name="y_pred")
    detections = []
    for i, entry in enumerate(entries):
        if not {"start", "end", "label", "score"} <= set(_fields(entry)):
            raise ValueError(
                f"y_pred[{i}] is {_short(entry)}; detections must be interval arrays with the "
                "fields start, end, label and score, as predict returns them."
            )
        _check_times(entry, f"y_pred[{i}]")
        if not np.isfinite(entry["score"]).all():
            raise ValueError(f"y_pred[{i}] has a score that is not finite.")
        try:
            plain = make_intervals(*(entry[name] for name in ("start", "end", "label", "score")))
        except ValueError as error:
            raise ValueError(f"y_pred[{i}]: {error}") from error
        detections.append(plain)
    return _with_common_labels(detections)


def check_durations(durations: Any, n_videos: int) -> np.ndarray:
    """Check durations: one positive, finite number of seconds for each video."""
    checked = _as_seconds(durations, "durations")
    if checked.shape != (n_videos,):
        raise ValueError(
            f"durations has shape {checked.shape}, but X has {n_videos} videos; "
            "pass one number of seconds for each video."
        )
    wrong = np.flatnonzero(~(np.isfinite(checked) & (checked > 0)))
    if len(wrong):
        raise ValueError(
            f"durations[{wrong[0]}] is {checked[wrong[0]]}; a duration must be a positive, "
            "finite number of seconds."
        )
    return checked


def clip_to_videos(
    annotations: list[np.ndarray], ends: npt.ArrayLike, name: str = "y"
) -> list[np.ndarray]:
    """End annotated intervals with their videos, with one warning for all of them.

    Annotations of real recordings run past the end. An interval that starts there cannot be
    found by anybody, and goes.

    Parameters
    ----------
    annotations : list of n interval arrays
    ends : array-like of shape (n,)
        Where each video ends, in seconds.
    name : str, default="y"
        Of the argument, for messages.

    Returns
    -------
    clipped : list of n interval arrays

    Raises
    ------
    ValueError
        If all intervals start past the end.
    """
    ends = np.asarray(ends)
    inside = [a["start"] < end for a, end in zip(annotations, ends, strict=True)]
    if any(map(len, inside)) and not any(map(np.any, inside)):
        i = next(i for i, of_video in enumerate(inside) if len(of_video))
        raise ValueError(
            f"Every interval of {name} starts after the end of its video, such as "
            f"{_short(annotations[i][0])} in {name}[{i}], which ends at {ends[i]:.2f} s. Times are "
            "in seconds, not in milliseconds or frames; check them, snippet_seconds and durations."
        )
    late = [
        i
        for i, (a, end) in enumerate(zip(annotations, ends, strict=True))
        if (a["end"] > end).any()
    ]
    if late:
        i = late[0]
        interval = annotations[i][annotations[i]["end"] > ends[i]][0]
        warnings.warn(
            f"{len(late)} of {len(annotations)} videos have intervals past their end, the first "
            f"is {name}[{i}]: {_short(interval)} in {ends[i]:.2f} s. They are clipped; those that "
            "start past it are left out. If that is many, check snippet_seconds or durations.",
            UserWarning,
            stacklevel=3,
        )
    clipped = []
    for intervals, end in zip(annotations, ends, strict=True):
        intervals = intervals[intervals["start"] < end]
        intervals["end"] = np.minimum(intervals["end"], end)
        clipped.append(intervals)
    return clipped


def _entries(y: Any, n_videos: int | None, name: str = "y") -> list[Any]:
    """`y` as a list with one entry a video."""
    if y is None:
        raise ValueError(
            f"This requires {name} to be passed, but the target {name} is None; pass one entry for "
            "each video: a label, a list of labels, or a list of (start, end, label)."
        )
    if (
        isinstance(y, str | bytes | dict | set)
        or not hasattr(y, "__len__")
        or getattr(y, "ndim", 1) == 0
        or hasattr(y, "columns")
        or _fields(y)
    ):
        raise TypeError(
            f"{name} is {_short(y)}; it must be a sequence with one entry for each video: a list, "
            "or for an indicator matrix an array. An entry of a single video is wrapped as [y]."
        )
    entries = list(y.detach().cpu().numpy() if hasattr(y, "detach") else y)
    if n_videos is not None:
        _check_length(entries, n_videos, name)
    return entries


def _check_length(y: Any, n_videos: int, name: str = "y") -> None:
    if len(y) != n_videos:
        raise ValueError(
            f"{name} has {len(y)} entries, but there are {n_videos} videos; pass one entry for "
            "each video (an empty list for a video without actions)."
        )


def _indicator(y: Any) -> np.ndarray | None:
    """`y` as a bool matrix if it is an indicator matrix."""
    if hasattr(y, "toarray"):
        y = y.toarray()
    if getattr(y, "ndim", None) != 2 or hasattr(y, "columns"):
        return None
    matrix = np.asarray(y)
    if matrix.dtype.kind not in "fiub":
        return None
    if matrix.shape[1] == 1 and matrix.dtype.kind != "b":
        raise ValueError(
            f"y has shape {matrix.shape}; labels go into y.ravel(), and one class alone is "
            "labelled by lists: ['jump'] for a video that shows it, [] for one that does not."
        )
    if not ((matrix == 0) | (matrix == 1)).all():
        raise ValueError(
            f"y is a matrix of shape {matrix.shape} with values other than 0 and 1; as a "
            "matrix it must be the indicator (n_videos, n_classes). Labels of any other form "
            "go into a list with one entry for each video."
        )
    return matrix.astype(bool)


def _is_nested_indicator(entries: list[Any]) -> bool:
    """Whether entries are rows of 0 and 1 that labels would not make: repeated, or reordered."""
    rows = [entry for entry in entries if isinstance(entry, list | tuple | np.ndarray)]
    lengths = {len(row) for row in rows if np.ndim(row)}
    return (
        len(rows) == len(entries)
        and len(lengths) == 1
        and all(isinstance(v, Number | np.bool_) and v in (0, 1) for row in rows for v in row)
        and lengths != {1}
        and (any(len(set(row)) < len(row) for row in rows) or len({tuple(row) for row in rows}) > 1)
    )


def _is_interval(item: Any) -> bool:
    return isinstance(item, np.void) or (
        isinstance(item, tuple | list | np.ndarray) and len(item) == 3
    )


def _is_bare_interval(entry: Any) -> bool:
    """Whether an entry reads as start, end and label of one interval, in no list."""
    if not isinstance(entry, list | tuple | np.ndarray) or np.shape(entry) != (3,):
        return False
    start, end, label = entry
    if isinstance(label, str):  # times may be text, as in rows of a CSV file
        return _number(start) < _number(end) and math.isnan(_number(label))
    # Whole numbers could be labels, but nobody writes those as a tuple in the order of time.
    return isinstance(entry, tuple) and not isinstance(start, str) and start < end


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _labels(entry: Any, where: str) -> np.ndarray:
    """The labels that one entry of y names, with repetitions."""
    items: list[Any]
    if entry is None:
        raise TypeError(
            f"{where} is None, for labels that are unknown, which only fit passes over; leave out "
            "such videos, or give an empty list for a video without actions."
        )
    if _fields(entry):
        return _label_array(_field(entry, "label", where), where)
    if _is_bare_interval(entry):
        raise ValueError(
            f"{where} is {_short(entry)}, which reads as the start, end and label of one interval. "
            "Intervals go into a list, [(start, end, label)]; labels alone into a set."
        )
    if isinstance(entry, str | Number | np.generic):
        items = [entry]
    elif isinstance(entry, np.ndarray):
        items = list(np.atleast_1d(entry))
    elif isinstance(entry, list | tuple | set | frozenset):
        items = list(entry)
    else:
        raise TypeError(
            f"{where} is {_short(entry)}; it must be a label, a collection of labels, or a list "
            "of (start, end, label)."
        )
    return _label_array(
        [_part(item, "label") if _is_interval(item) else item for item in items], where
    )


def _fields(array: Any) -> tuple[str, ...]:
    """Fields of a structured array or of one of its rows; none for anything else."""
    return getattr(getattr(array, "dtype", None), "names", None) or ()


def _field(intervals: Any, name: str, where: str) -> list[Any]:
    if name not in _fields(intervals):
        raise ValueError(
            f"{where} has the fields {', '.join(_fields(intervals))}; an interval array needs "
            "start, end and label."
        )
    return np.atleast_1d(intervals[name]).tolist()


def _part(interval: Any, name: str) -> Any:
    """Start, end or label of a triple or of a row of an interval array."""
    if name in _fields(interval):
        return interval[name]
    return interval[("start", "end", "label").index(name)]


def _label_array(labels: list[Any], where: str) -> np.ndarray:
    """Labels of one video as an array of text or of whole numbers."""
    # A str method, so that a member of an enumeration of texts is its text.
    plain = [str.__str__(label) if isinstance(label, str) else label for label in labels]
    try:
        array = np.array(plain, dtype=None if plain else "U1")
    except ValueError:  # of several shapes
        array = np.array(None)
    is_text = [isinstance(label, str) for label in plain]
    if any(text and label.endswith("\0") for text, label in zip(is_text, plain, strict=True)):
        raise ValueError(
            f"{where} has the labels {_short(labels)}; NumPy drops a NUL character at the end of a "
            "text, so that no label may end in one."
        )
    whole = array.dtype.kind in "iub" or (array.dtype.kind == "f" and (array % 1 == 0).all())
    if array.ndim != 1 or not (all(is_text) or (whole and not any(is_text))):
        raise ValueError(
            f"{where} has the labels {_short(labels)}; labels must be all text or all whole "
            "numbers, and none may be missing. An interval is (start, end, label) inside a list: "
            "[(0.0, 2.5, 'jump')]."
        )
    return array


def _intervals(entry: Any, where: str) -> np.ndarray:
    """One entry of y as an interval array."""
    if _fields(entry):
        start, end, label = (_field(entry, name, where) for name in ("start", "end", "label"))
    elif isinstance(entry, list | tuple | np.ndarray) and all(map(_is_interval, entry)):
        start, end, label = (
            [_part(item, name) for item in entry] for name in ("start", "end", "label")
        )
    else:
        raise ValueError(_needs_intervals(f"{where} is {_short(entry)}"))
    return make_intervals(
        _as_seconds(start, where), _as_seconds(end, where), _label_array(label, where)
    )


def _as_seconds(values: Any, where: str) -> np.ndarray:
    """Times as float64; what is no number has no unit that is known."""
    try:
        seconds = np.asarray(values)
    except ValueError:  # ragged
        seconds = np.array(None)
    if seconds.dtype.kind not in "fiu" and seconds.size:
        raise ValueError(
            f"{where} has the times {_short(values)}; times must be numbers, in seconds."
        )
    return seconds.astype(np.float64)


def _needs_intervals(what: str) -> str:
    return (
        f"{what}, but mAP needs the annotated intervals of each video: a list of "
        "(start, end, label) with times in seconds. Where only labels are known, "
        "skdgam.model_selection.weak_label_scorer scores without intervals; in a search, "
        "scoring=weak_label_scorer."
    )


def _check_times(intervals: np.ndarray, where: str, may_be_empty: bool = False) -> None:
    start, end = intervals["start"], intervals["end"]
    in_order = end >= start if may_be_empty else end > start
    wrong = np.flatnonzero(~(np.isfinite(start) & np.isfinite(end) & in_order))
    if len(wrong):
        raise ValueError(
            f"{where}[{wrong[0]}] is {_short(intervals[wrong[0]])}; an interval needs finite "
            f"times in seconds with end {'>=' if may_be_empty else '>'} start."
        )


def _common_dtype(labels: list[np.ndarray]) -> np.dtype:
    """One dtype for the labels of all videos; text and numbers do not mix."""
    used = [label for label in labels if len(label)]
    text = [label for label in used if label.dtype.kind == "U"]
    if text and len(text) < len(used):
        number = next(label for label in used if label.dtype.kind != "U")
        raise ValueError(
            f"Some labels are text ({text[0][0].item()!r}) and some numbers "
            f"({number[0].item()!r}); use one kind."
        )
    common = np.result_type(*used) if used else np.dtype("U1")
    if all(label.dtype.kind in "iu" for label in used) and common.kind == "f":
        common = np.dtype("i8")  # of signed and unsigned ones
        if any(label.max() > np.iinfo(common).max for label in used):
            raise ValueError("Labels are numbers too large for a signed integer; use text.")
    if common.kind == "f" and any(label.astype(common).max() >= 2**53 for label in used):
        raise ValueError(
            "Labels are numbers too large for one kind of integer, of 2**53 and more; use text."
        )
    return common


def _with_common_labels(videos: list[np.ndarray]) -> list[np.ndarray]:
    """The same interval arrays with one label dtype."""
    if not videos:
        return videos
    label = _common_dtype([video["label"] for video in videos])
    names = videos[0].dtype.names or ()
    dtype = [(name, label if name == "label" else "f8") for name in names]
    return [video.astype(dtype) for video in videos]


def _short(value: Any) -> str:
    """A value as it fits into a sentence."""
    if isinstance(value, np.void):
        value = value.item()
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
