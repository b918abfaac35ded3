"""The gate for what goes with features: labels, annotations, detections, durations.

Every error names the video by its index in what was passed, says what is there, and what
would be right. Nothing passed in is changed.
"""

import warnings
from numbers import Number
from typing import Any

import numpy as np
import numpy.typing as npt

from skdgam.intervals import make_intervals

__all__ = [
    "check_annotations",
    "check_detections",
    "check_durations",
    "check_weak_labels",
    "clip_to_videos",
]


def check_weak_labels(y: Any, n_videos: int) -> tuple[np.ndarray, np.ndarray]:
    """Reduce whatever `y` says to the set of labels of each video.

    This is all that fitting ever sees of `y`: the times of an annotation are not even read.

    Parameters
    ----------
    y : sequence of n entries, or indicator matrix of shape (n, n_classes)
        For each video a label, a collection of labels, or its annotation: a list of
        ``(start, end, label)`` or an interval array.
    n_videos : int

    Returns
    -------
    classes : ndarray of shape (n_classes,)
        Sorted labels; for an indicator matrix, the indices of its columns.
    is_labelled : ndarray of bool of shape (n_videos, n_classes)
    """
    indicator = _indicator(y)
    if indicator is not None:
        _check_length(indicator, n_videos)
        return np.arange(indicator.shape[1]), indicator
    entries = _entries(y, n_videos)
    labels = [_labels(entry, i) for i, entry in enumerate(entries)]
    dtype = _common_dtype(labels)
    labels = [label.astype(dtype) for label in labels]
    classes = np.unique(np.concatenate(labels))
    if not len(classes):
        raise ValueError(
            "y has no label for any video; at least one video must show an action to learn."
        )
    return classes, np.stack([np.isin(classes, label) for label in labels])


def check_annotations(y: Any, n_videos: int | None = None) -> list[np.ndarray]:
    """Check the annotated intervals of each video.

    Parameters
    ----------
    y : sequence of n annotations
        Each a list of ``(start, end, label)`` or an interval array, in seconds; empty for a
        video without actions.
    n_videos : int, optional

    Returns
    -------
    annotations : list of n interval arrays
        All with the same label dtype.

    Raises
    ------
    ValueError
        If an entry holds labels without times, or an interval is not finite or not of
        positive length.
    """
    if _indicator(y) is not None:
        raise ValueError(_needs_intervals("y is an indicator matrix"))
    entries = _entries(y, n_videos)
    annotations = [_intervals(entry, i) for i, entry in enumerate(entries)]
    for i, intervals in enumerate(annotations):
        _check_times(intervals, f"y[{i}]")
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
    for i, entry in enumerate(entries):
        names = getattr(getattr(entry, "dtype", None), "names", None) or ()
        if not {"start", "end", "label", "score"} <= set(names):
            raise ValueError(
                f"y_pred[{i}] is {_short(entry)}; detections must be interval arrays with the "
                "fields start, end, label and score, as predict returns them."
            )
        _check_times(entry, f"y_pred[{i}]")
        if not np.isfinite(entry["score"]).all():
            raise ValueError(f"y_pred[{i}] has a score that is not finite.")
    return _with_common_labels([entry[["start", "end", "label", "score"]] for entry in entries])


def check_durations(durations: Any, n_videos: int) -> np.ndarray:
    """Check durations: one positive, finite number of seconds for each video."""
    checked = np.asarray(durations, dtype=np.float64)
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


def clip_to_videos(annotations: list[np.ndarray], ends: npt.ArrayLike) -> list[np.ndarray]:
    """End annotated intervals with their videos, with one warning for all of them.

    Annotations of real recordings run past the end. An interval that starts there cannot be
    found by anybody, and goes.

    Parameters
    ----------
    annotations : list of n interval arrays
    ends : array-like of shape (n,)
        Where each video ends, in seconds.

    Returns
    -------
    clipped : list of n interval arrays
    """
    ends = np.asarray(ends)
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
            f"is y[{i}]: {_short(interval)} in {ends[i]:.2f} s. They are clipped; those that "
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
            f"{name} is None; pass one entry for each video: a label, a list of labels, or a "
            "list of (start, end, label)."
        )
    names = getattr(getattr(y, "dtype", None), "names", None)
    if isinstance(y, str | bytes | dict | set) or not hasattr(y, "__len__") or names:
        raise TypeError(
            f"{name} is {_short(y)}; it must be a sequence with one entry for each video. If it "
            "is that of a single video, wrap it as [y]."
        )
    entries = list(y)
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
    if getattr(y, "ndim", None) != 2:
        return None
    matrix = np.asarray(y)
    if matrix.dtype.kind not in "fiub":
        return None
    if not ((matrix == 0) | (matrix == 1)).all():
        raise ValueError(
            f"y is a matrix of shape {matrix.shape} with values other than 0 and 1; as a "
            "matrix it must be the indicator (n_videos, n_classes). Labels of any other form "
            "go into a list with one entry for each video."
        )
    return matrix.astype(bool)


def _is_interval(item: Any) -> bool:
    return isinstance(item, np.void) or (
        isinstance(item, tuple | list | np.ndarray) and len(item) == 3
    )


def _labels(entry: Any, i: int) -> np.ndarray:
    """The labels that one entry of y names, with repetitions."""
    items: list[Any]
    if getattr(getattr(entry, "dtype", None), "names", None):
        return np.asarray(entry["label"])
    if isinstance(entry, str | Number | np.generic):
        items = [entry]
    elif isinstance(entry, list | tuple | set | frozenset | np.ndarray):
        items = list(entry)
    else:
        raise TypeError(
            f"y[{i}] is {_short(entry)}; it must be a label, a collection of labels, or a list "
            "of (start, end, label)."
        )
    return _label_array([item[2] if _is_interval(item) else item for item in items], i)


def _label_array(labels: list[Any], i: int) -> np.ndarray:
    """Labels of one video as an array of text or numbers."""
    is_text = [isinstance(label, str) for label in labels]
    wrong = [
        label
        for label, text in zip(labels, is_text, strict=True)
        if not text and (not isinstance(label, Number | np.generic) or label != label)
    ]
    if wrong or (any(is_text) and not all(is_text)):
        raise ValueError(
            f"y[{i}] has the labels {_short(labels)}; labels must be all text or all numbers, "
            "and none may be missing. An interval is (start, end, label) inside a list: "
            "[(0.0, 2.5, 'jump')]."
        )
    return np.array(labels, dtype=None if labels else "U1")


def _intervals(entry: Any, i: int) -> np.ndarray:
    """One entry of y as an interval array."""
    names = getattr(getattr(entry, "dtype", None), "names", None) or ()
    if {"start", "end", "label"} <= set(names):
        start, end, label = entry["start"], entry["end"], entry["label"]
    elif isinstance(entry, list | tuple | np.ndarray) and all(map(_is_interval, entry)):
        start = np.array([item[0] for item in entry], dtype=np.float64)
        end = np.array([item[1] for item in entry], dtype=np.float64)
        label = _label_array([item[2] for item in entry], i)
    else:
        raise ValueError(_needs_intervals(f"y[{i}] is {_short(entry)}"))
    return make_intervals(start, end, label)


def _needs_intervals(what: str) -> str:
    return (
        f"{what}, but mAP needs the annotated intervals of each video: a list of "
        "(start, end, label) with times in seconds. Where only labels are known, compare "
        "predict_proba with them instead, for example by "
        "sklearn.metrics.average_precision_score."
    )


def _check_times(intervals: np.ndarray, where: str) -> None:
    start, end = intervals["start"], intervals["end"]
    wrong = np.flatnonzero(~(np.isfinite(start) & np.isfinite(end) & (end > start)))
    if len(wrong):
        raise ValueError(
            f"{where}[{wrong[0]}] is {_short(intervals[wrong[0]])}; an interval needs finite "
            "times in seconds with end > start."
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
    return np.result_type(*used) if used else np.dtype("U1")


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
