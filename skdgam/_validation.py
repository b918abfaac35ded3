"""The gate for intervals: annotations, detections, and durations of videos.

Every error names the video by its index in what was passed, says what is there, and what
would be right. Nothing passed in is changed.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from skdgam._labels import (
    common_dtype,
    entries_of,
    field_of,
    fields_of,
    indicator_of,
    is_bare_interval,
    is_interval,
    label_array,
    part_of,
    short,
)
from skdgam._names import by_name, matched, twins
from skdgam.clock import SnippetClock
from skdgam.intervals import intersection, make_intervals

__all__ = [
    "check_annotations",
    "check_detections",
    "check_durations",
    "check_evaluation",
    "clip_to_videos",
    "label_snippets",
    "read_annotations",
]


MANY = 20  # intervals, of which half are no accident
MANY_VIDEOS = 5  # that have the same in common
AT_ONCE = 0.02  # share of a video; minutes taken for seconds are in the first 60th
OTHER_UNIT = 20  # times as late: more than detections in the same recordings can be
FOR_SCORES = (
    "mAP needs {}. Where only labels are known, skdgam.model_selection.weak_label_scorer scores "
    "without intervals; in a search, scoring=weak_label_scorer."
)


def check_annotations(
    y: Any, n_videos: int | None = None, name: str = "y", names: Sequence[Any] | None = None
) -> list[np.ndarray]:
    """Check the annotated intervals of each video.

    Parameters
    ----------
    y : sequence of n annotations
        Each a list of ``(start, end, label)`` or an interval array, in seconds; empty for a
        video without actions.
    n_videos : int, optional
    name : str, default="y"
        Of the argument, for messages.
    names : sequence, optional
        Of the videos, for messages.

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
    annotations = read_annotations(y, n_videos, name, names)
    empty = [
        (video, k)
        for video, intervals in enumerate(annotations)
        for k in np.flatnonzero(intervals["start"] == intervals["end"])
    ]
    if empty:
        video, k = empty[0]
        where = f"{name}[{video if names is None else names[video]!r}]"
        have = "intervals of {} have" if len(empty) > 1 else "interval of {} has"
        warnings.warn(
            f"{len(empty)} {have.format(name)} no length, the first is {where}[{k}]. Nothing can "
            "find them; they count as missed, as in the evaluation of ActivityNet.",
            UserWarning,
            stacklevel=3,
        )
    return annotations


def read_annotations(
    y: Any,
    n_videos: int | None = None,
    name: str = "y",
    names: Sequence[Any] | None = None,
    needs: str = FOR_SCORES,
) -> list[np.ndarray]:
    """Read the annotated intervals of each video, whatever their length.

    Parameters
    ----------
    y, n_videos, name, names
        As for :func:`check_annotations`.
    needs : str
        Who needs intervals, and what to do where there are only labels: a sentence with a place for
        what is needed.

    Returns
    -------
    annotations : list of n interval arrays
        All with the same label dtype.
    """
    needs = needs.format(
        "the annotated intervals of each video: a list of (start, end, label) with times in seconds"
    )
    if indicator_of(y) is not None:
        raise ValueError(f"{name} is an indicator matrix, but {needs}")
    entries = entries_of(y, n_videos, name)
    known = range(len(entries)) if names is None else names
    wheres = [f"{name}[{video!r}]" for video in known]
    read = [_intervals(*entry, needs) for entry in zip(entries, wheres, strict=True)]
    return _with_common_labels(read)


def label_snippets(
    annotations: list[np.ndarray], n_snippets: npt.ArrayLike, clock: SnippetClock, classes: Any
) -> list[np.ndarray]:
    """Tell which classes each snippet shows: those of the intervals that its middle lies in.

    An interval in which no middle lies labels the snippet that its own middle lies in.

    Parameters
    ----------
    annotations : list of n interval arrays
    n_snippets : array-like of int of shape (n,)
        Snippets of each video.
    clock : SnippetClock
    classes : ndarray of shape (n_classes,)
        Sorted labels, with all that there are in the annotations.

    Returns
    -------
    is_shown : list of n ndarrays of bool of shape (n_snippets_i, n_classes)
    """
    of_videos = []
    for intervals, n in zip(annotations, np.asarray(n_snippets).tolist(), strict=True):
        is_shown = np.zeros((n, len(classes)), dtype=bool)
        first, stop = np.searchsorted(clock.middles(n), (intervals["start"], intervals["end"]))
        own = np.searchsorted(
            clock.edges(n), (intervals["start"] + intervals["end"]) / 2, side="right"
        )
        is_between = (first == stop) & (own > 0) & (own <= n)
        first, stop = np.where(is_between, (own - 1, own), (first, stop))
        columns = np.searchsorted(classes, intervals["label"])
        for a, b, column in zip(first.tolist(), stop.tolist(), columns.tolist(), strict=True):
            is_shown[a:b, column] = True
        of_videos.append(is_shown)
    return of_videos


def check_detections(y_pred: Any, n_videos: int) -> list[np.ndarray]:
    """Check the detections of each video: intervals with finite scores.

    Parameters
    ----------
    y_pred : sequence of n interval arrays with a field ``score``
        Or of n lists of ``(start, end, label, score)``.
    n_videos : int

    Returns
    -------
    detections : list of n interval arrays
        All with the same label dtype.
    """
    entries = entries_of(y_pred, n_videos, name="y_pred")
    return _with_common_labels([_detections(e, f"y_pred[{i}]") for i, e in enumerate(entries)])


def _detections(entry: Any, where: str) -> np.ndarray:
    """One entry of y_pred as an interval array with scores."""
    fields = ("start", "end", "label", "score")
    if set(fields) <= set(fields_of(entry)):
        columns = [entry[name] for name in fields]
    elif isinstance(entry, list | tuple) and all(
        isinstance(row, tuple | list) and len(row) == 4 for row in entry
    ):
        columns = [[row[k] for row in entry] for k in range(4)]
    else:
        raise ValueError(
            f"{where} is {short(entry)}; detections must be interval arrays with the fields start, "
            "end, label and score, as predict returns them, or lists of (start, end, label, score)."
        )
    try:
        plain = make_intervals(*columns)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    empty = np.flatnonzero(plain["start"] == plain["end"])
    if len(empty):
        raise ValueError(
            f"{where}[{empty[0]}] is {short(plain[empty[0]])}; a detection must end after it "
            "starts."
        )
    if not np.isfinite(plain["score"]).all():
        raise ValueError(f"{where} has a score that is not finite.")
    return plain


def check_evaluation(y_true: Any, y_pred: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Check annotations and detections of the same videos, in one order or by their names."""
    named = by_name(y_true)
    y_true, y_pred = matched(y_true, y_pred)
    names = None if named is None else [*named]
    truth = check_annotations(y_true, name="y_true", names=names)
    detections = check_detections(y_pred, len(truth))
    last_true, last_found = (
        max((video["end"].max() for video in videos if len(video)), default=np.nan)
        for videos in (truth, detections)
    )
    apart = last_true > OTHER_UNIT * last_found or last_found > OTHER_UNIT * last_true
    n = sum(map(len, truth))
    if n >= MANY and 2 * sum(len(np.unique(video)) for video in truth if len(video)) <= n:
        warnings.warn(
            "Every interval of y_true is there twice, and each counts; was a file joined with "
            "itself?",
            UserWarning,
            stacklevel=3,
        )
    _warn_of_other_classes(truth, detections)
    if apart and not any(intersection(*of).any() for of in zip(truth, detections, strict=True)):
        warnings.warn(
            f"No detection meets a true interval, and the last of y_true ends at {last_true:g}, "
            f"that of y_pred at {last_found:g}. Both must be in seconds, not in milliseconds, "
            "frames or snippets.",
            UserWarning,
            stacklevel=3,
        )
    return truth, detections


def _warn_of_other_classes(truth: list[np.ndarray], detections: list[np.ndarray]) -> None:
    """Warn of classes that are spelled in two ways.

    That some are on one side alone is usual: a fold may lack a class, or a model never find one.
    """
    true, found = (
        {*np.concatenate(videos)["label"].tolist()} if videos else set()
        for videos in (truth, detections)
    )
    if not all(isinstance(label, str) for label in true | found):
        return
    pairs = twins(true - found, found - true)
    if pairs:
        one, other = pairs[0]
        warnings.warn(
            f"{one!r} and {other!r} are two classes; are they meant to be one? y_true has the "
            f"first alone, y_pred the second ({len(pairs)} such pairs).",
            UserWarning,
            stacklevel=4,
        )
    elif found and not found & true and min(sum(map(len, v)) for v in (truth, detections)) >= MANY:
        mine, theirs = (", ".join(map(repr, sorted(labels)[:3])) for labels in (true, found))
        warnings.warn(
            f"No class of y_pred ({theirs}) is in y_true ({mine}), so that nothing is found.",
            UserWarning,
            stacklevel=4,
        )


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
    annotations: list[np.ndarray],
    ends: npt.ArrayLike,
    name: str = "y",
    names: Sequence[Any] | None = None,
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
    names : sequence, optional
        Of the videos, for messages.

    Returns
    -------
    clipped : list of n interval arrays

    Raises
    ------
    ValueError
        If all intervals start past the end.
    """
    ends = np.asarray(ends)
    names = range(len(annotations)) if names is None else names
    _check_units(annotations, ends, name, names)
    late = [
        i
        for i, (a, end) in enumerate(zip(annotations, ends, strict=True))
        if (a["end"] > end).any()
    ]
    if late:
        i = late[0]
        interval = short(annotations[i][annotations[i]["end"] > ends[i]][0])
        warnings.warn(
            f"{len(late)} of {len(annotations)} videos have intervals past their end, the first "
            f"is {name}[{names[i]!r}]: {interval} in {ends[i]:.2f} s. They are clipped; those that "
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


def _check_units(
    annotations: list[np.ndarray], ends: np.ndarray, name: str, names: Sequence[Any]
) -> None:
    """Refuse intervals that all start past the end of their videos, as milliseconds do.

    Warn of those that all lie in the first moments of their videos, as minutes do.
    """
    inside = [a["start"] < end for a, end in zip(annotations, ends, strict=True)]
    if any(map(len, inside)) and not any(map(np.any, inside)):
        i = next(i for i, of_video in enumerate(inside) if len(of_video))
        raise ValueError(
            f"Every interval of {name} starts after the end of its video, such as "
            f"{short(annotations[i][0])} in {name}[{names[i]!r}], which ends at {ends[i]:.2f} s. "
            "Times are in seconds, not in milliseconds or frames; check them, snippet_seconds and "
            "durations."
        )
    last = [(a["end"].max(), end) for a, end in zip(annotations, ends, strict=True) if len(a)]
    if (
        sum(map(len, annotations)) >= MANY
        and len(last) >= MANY_VIDEOS
        and all(time <= AT_ONCE * end for time, end in last)
    ):
        warnings.warn(
            f"Every interval of {name} lies in the first {AT_ONCE:.0%} of its video; the last of "
            f"all ends at {max(last)[0]:g}, and the longest of these videos at "
            f"{max(end for _, end in last):.2f} s. Times are in seconds, not in minutes or hours.",
            UserWarning,
            stacklevel=4,
        )


def _intervals(entry: Any, where: str, needs: str) -> np.ndarray:
    """One entry of y as an interval array; an error says who needs what."""
    columns: list[Any]
    if fields_of(entry):
        columns = [field_of(entry, name, where) for name in ("start", "end", "label")]
    elif is_bare_interval(entry):
        raise ValueError(
            f"{where} is {short(entry)}, which is one interval; the intervals of a video go into a "
            "list, [(start, end, label)]."
        )
    elif isinstance(entry, list | tuple | np.ndarray) and all(map(is_interval, entry)):
        columns = [[part_of(item, name) for item in entry] for name in ("start", "end", "label")]
    else:
        raise ValueError(f"{where} is {short(entry)}, but {needs}")
    start, end = (_as_seconds(times, where) for times in columns[:2])
    labels = label_array(columns[2], where)
    try:
        return make_intervals(start, end, labels)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _as_seconds(values: Any, where: str) -> np.ndarray:
    """Times as float64; what is no number has no unit that is known."""
    try:
        seconds = np.asarray(values)
    except ValueError:  # ragged
        seconds = np.array(None)
    if seconds.dtype.kind not in "fiu" and seconds.size:
        raise ValueError(
            f"{where} has the times {short(values)}; times must be numbers, in seconds."
        )
    return seconds.astype(np.float64)


def _with_common_labels(videos: list[np.ndarray]) -> list[np.ndarray]:
    """The same interval arrays with one label dtype."""
    if not videos:
        return videos
    label = common_dtype([video["label"] for video in videos])
    names = videos[0].dtype.names or ()
    dtype = [(name, label if name == "label" else "f8") for name in names]
    return [video.astype(dtype) for video in videos]
