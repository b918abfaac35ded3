"""The gate for labels: what a label is, and what `y` says of each video.

Every error names the video by its index in what was passed, says what is there, and what
would be right. Nothing passed in is changed.
"""

import math
import re
import warnings
from collections.abc import Iterable, Sequence
from numbers import Number
from typing import Any

import numpy as np

from skdgam._names import alike
from skdgam.intervals import plain_labels

__all__ = ["check_classes", "check_known", "check_weak_labels", "count_labels", "known_entries"]

UNKNOWN = -1  # times that a video shows a class


def check_weak_labels(
    y: Any,
    n_videos: int,
    classes: Iterable[Any] | None = None,
    names: Sequence[Any] | None = None,
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
    names : sequence, optional
        Of the videos, for messages; by default their indices.

    Returns
    -------
    classes : ndarray of shape (n_classes,)
        Sorted labels; for an indicator matrix, the indices of its columns.
    is_labelled : ndarray of bool of shape (n_videos, n_classes)
    """
    names = range(n_videos) if names is None else names
    labels, found = _labels_of_videos(y, names)
    if classes is None and not any(map(len, labels)):
        raise ValueError(
            "y has no label for any video; at least one video must show an action to learn."
        )
    known = found if classes is None else np.unique(check_classes(classes))
    check_known(labels, known, names=names)
    return known, np.stack([np.isin(known, label) for label in labels])


def count_labels(y: Any, classes: np.ndarray, n_videos: int) -> np.ndarray:
    """How often `y` names each of the classes in each video, (n_videos, n_classes).

    An annotation names the label of each interval. A set, a single label and a row of an indicator
    matrix do not say how often: then all are UNKNOWN, if there is any.
    """
    labels, _ = _labels_of_videos(y, range(n_videos))
    counts = np.stack([(label[:, None] == classes).sum(axis=0) for label in labels])
    if indicator_of(y) is None:
        is_told = [isinstance(entry, list | tuple) or getattr(entry, "ndim", 0) > 0 for entry in y]
    else:
        is_told = [False] * n_videos
    counts[counts.any(axis=1) & ~np.array(is_told, dtype=bool)] = UNKNOWN
    return counts


def _labels_of_videos(y: Any, names: Sequence[Any]) -> tuple[list[np.ndarray], np.ndarray]:
    """The labels that `y` names of each video, with repetitions, and all that there are."""
    indicator = indicator_of(y)
    if indicator is not None:
        _check_length(indicator, len(names))
        return [np.flatnonzero(row) for row in indicator], np.arange(indicator.shape[1])
    entries = entries_of(y, len(names))
    if _is_nested_indicator(entries):
        raise ValueError(
            "y has a list of 0 and 1 for each video. If that is an indicator matrix, pass "
            "np.asarray(y); if 0 and 1 are labels, give sets of them."
        )
    named = zip(entries, names, strict=True)
    labels = [_labels(entry, f"y[{video!r}]") for entry, video in named]
    dtype = common_dtype(labels)
    labels = [label.astype(dtype) for label in labels]
    return labels, np.unique(np.concatenate(labels))


def known_entries(y: Any) -> np.ndarray | None:
    """Mask of the entries of `y` that are not None, which stands for unknown; None if all are."""
    if isinstance(y, list | tuple) or getattr(getattr(y, "dtype", None), "kind", "") == "O":
        known = np.array([entry is not None for entry in y], dtype=bool)
        if len(known) and not known.any():
            raise ValueError("y has no label for any video; each entry is None, for unknown.")
        return None if known.all() else known
    return None


def warn_of_alike(classes: np.ndarray) -> None:
    """Warn of classes that are likely meant to be one, or to be several."""
    names = [str(label) for label in classes.tolist()]
    known = set(names)
    for k, name in enumerate(names):
        twin = next((other for other in names[:k] if alike(name, other)), None)
        parts = {part.strip() for part in re.split("[,;|/]", name)}
        if twin is not None:
            hint = f"{twin!r} and {name!r} are two classes; are they meant to be one?"
        elif len(parts) > 1 and parts <= known:
            hint = f"{name!r} is one class; is it meant to be {', '.join(sorted(parts))}?"
        else:
            continue
        warnings.warn(f"{hint} Labels are taken as they are.", UserWarning, stacklevel=5)


def check_classes(classes: Iterable[Any]) -> np.ndarray:
    """Check all labels that there are: an array of them, in the order given."""
    if isinstance(classes, str | bytes) or not isinstance(classes, Iterable):
        raise TypeError(f"classes is {classes!r}; it must be a list of labels.")
    return label_array(list(classes), "classes")


def check_known(
    labels: list[np.ndarray],
    classes: np.ndarray,
    name: str = "y",
    names: Sequence[Any] | None = None,
) -> None:
    """Check that the labels of each video are among the classes of a model."""
    known = set(classes.tolist())
    named = range(len(labels)) if names is None else names
    for video, of_video in zip(named, labels, strict=True):
        unknown = [label for label in of_video.tolist() if label not in known]
        if unknown:
            there = ", ".join(map(repr, classes[:10].tolist())) + ", …" * (len(classes) > 10)
            raise ValueError(
                f"{name}[{video!r}] has the label {unknown[0]!r}, but the model knows nothing but "
                f"{there}."
            )


def entries_of(y: Any, n_videos: int | None, name: str = "y") -> list[Any]:
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
        or fields_of(y)
    ):
        raise TypeError(
            f"{name} is {short(y)}; it must be a sequence with one entry for each video: a list, "
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


def indicator_of(y: Any) -> np.ndarray | None:
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


def is_interval(item: Any) -> bool:
    return isinstance(item, np.void) or (
        isinstance(item, tuple | list | np.ndarray) and len(item) in (3, 4)
    )


def _is_misplaced(item: Any) -> bool:
    """Whether an item of a list is an interval whose label is not in the third place."""
    if isinstance(item, np.void) or not isinstance(item, tuple | list):
        return False
    is_text = [isinstance(part, str) for part in item]
    return len(item) < 3 or (not is_text[2] and any(is_text[:2]))


def is_bare_interval(entry: Any) -> bool:
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
    if fields_of(entry):
        return label_array(field_of(entry, "label", where), where)
    if is_bare_interval(entry):
        raise ValueError(
            f"{where} is {short(entry)}, which reads as the start, end and label of one interval. "
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
            f"{where} is {short(entry)}; it must be a label, a collection of labels, or a list "
            "of (start, end, label)."
        )
    if any(map(_is_misplaced, items)):
        raise ValueError(
            f"{where} is {short(entry)}; an interval is (start, end, label), with times in seconds."
        )
    return label_array(
        [part_of(item, "label") if is_interval(item) else item for item in items], where
    )


def fields_of(array: Any) -> tuple[str, ...]:
    """Fields of a structured array or of one of its rows; none for anything else."""
    return getattr(getattr(array, "dtype", None), "names", None) or ()


def field_of(intervals: Any, name: str, where: str) -> np.ndarray:
    if name not in fields_of(intervals):
        raise ValueError(
            f"{where} has the fields {', '.join(fields_of(intervals))}; an interval array needs "
            "start, end and label."
        )
    return np.atleast_1d(intervals[name])


def part_of(interval: Any, name: str) -> Any:
    """Start, end or label of a triple or of a row of an interval array."""
    if name in fields_of(interval):
        return interval[name]
    return interval[("start", "end", "label").index(name)]


def label_array(labels: Any, where: str) -> np.ndarray:
    """Labels of one video as an array of text or of whole numbers."""
    try:
        array = plain_labels(labels)
        if array.ndim == 1:
            return array
    except ValueError as error:
        if "NUL" in str(error) or "is empty" in str(error):
            raise ValueError(f"{where}: {error}") from error
    given = labels.tolist() if isinstance(labels, np.ndarray) else labels
    raise ValueError(
        f"{where} has the labels {short(given)}; labels must be all text or all whole numbers, "
        "and none may be missing. An interval is (start, end, label) inside a list: "
        "[(0.0, 2.5, 'jump')]."
    )


def common_dtype(labels: list[np.ndarray]) -> np.dtype:
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


def short(value: Any) -> str:
    """A value as it fits into a sentence."""
    if isinstance(value, np.void):
        value = value.item()
    elif type(value) in (list, tuple, set, frozenset):  # of NumPy's scalars, maybe
        value = type(value)(x.item() if isinstance(x, np.generic) else x for x in value)
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
