"""What is given by the names of videos: dicts, pandas Series and tidy frames."""

import warnings
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np

from skdgam.intervals import make_intervals

__all__ = ["alike", "by_name", "in_order", "matched", "names_of", "twins"]


def by_name(given: Any) -> Mapping[Any, Any] | None:
    """What is given by name, as a mapping; None for what goes by position.

    A Series and an indicator frame go by name if their index is text. A frame with the columns
    ``video`` and ``label`` is tidy: a row for each label or, with ``start`` and ``end``, for each
    interval. A row of a name alone stands for a video without any.
    """
    if isinstance(given, Mapping):
        return given
    tidy = _tidy(given)
    if tidy is not None:
        named = {video: _of_video(video, rows) for video, rows in tidy.groupby("video", sort=False)}
        empty = [video for video, of_video in named.items() if not len(of_video)]
        if empty and "start" not in tidy.columns:
            warnings.warn(
                f"A frame has no label for {empty[0]!r} ({len(empty)} such videos), which is taken "
                "for background alone. If its labels are unknown, leave its rows and features out.",
                UserWarning,
                stacklevel=4,
            )
        return named
    if not _is_pandas(given) or not len(given) or not _is_text(given.index):
        return None
    if given.index.has_duplicates:
        raise ValueError(
            f"A Series or frame has {given.index[given.index.duplicated()][0]!r} twice in its "
            "index, but an entry stands for all of a video. A row for each label or interval is a "
            "frame with the columns video and label, as reset_index() makes it."
        )
    return dict(zip(given.index, _rows_as_labels(given), strict=True))


def names_of(X: Any) -> Any:
    """Names of the videos of features, or whatever the index of a Series of them is."""
    if _is_pandas(X):
        return [*X.index]
    return [*X] if isinstance(X, Mapping) else getattr(X, "names", None)


def in_order(given: Any, names: Any, name: str = "y") -> Any:
    """What is given of the videos, in their order; looked up, if it is given by name.

    Parameters
    ----------
    given : object
    names : sequence or None
        Of the videos, if they have any.
    name : str
        Of the argument, for messages.
    """
    named = by_name(given)
    names = None if names is None else np.asarray(names).tolist()
    if named is None:
        if not _is_pandas(given):
            return given
        rows = _rows_as_labels(given)
        if rows.dtype.kind in "OU":  # what is missing among text is unknown
            rows = rows.astype(object).where(rows.notna(), None)
        index = given.index.tolist()
        is_same = names is not None and len(index) == len(names) and {*index} == {*names}
        return (rows.loc[names] if is_same else rows).tolist()  # else by position
    if names is None:
        raise TypeError(
            f"{name} goes by the names of videos, such as {next(iter(named), None)!r}, but X has "
            f"none; pass X as a dict, a Series with names as its index, or a FeatureFolder, or "
            f"{name} as a list in the order of X."
        )
    absent = [video for video in names if video not in named]
    if absent:
        near = [each for each in named if alike(each, absent[0])]
        mend = f"is {near[0]!r} meant?" if near else "give each video of X an entry."
        there = ", ".join(map(repr, [*named][:3])) or "nothing"
        raise ValueError(
            f"{name} says nothing of {absent[0]!r} ({len(absent)} such videos of {len(names)}), "
            f"but of {there}; {mend}"
        )
    return [named[video] for video in names]


def matched(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Truth and detections as sequences in one order, if one of them goes by name.

    Without names, truth goes by the index of the video, as frames of ``predict_frame`` do.
    """
    truth, found = by_name(y_true), by_name(y_pred)
    if found is None and truth is not None:
        raise TypeError(
            "y_true goes by the names of videos, but y_pred does not; pass it as a dict by name, "
            "or as the frame that predict_frame returns for features by name."
        )
    if found is None:
        return in_order(y_true, None, "y_true"), y_pred
    if truth is None:
        y_true = in_order(y_true, None, "y_true")
        truth = dict(enumerate(y_true))
    unknown = [video for video in found if video not in truth]
    if unknown:
        near = [each for each in truth if alike(each, unknown[0])]
        mend = f"is {near[0]!r} meant?" if near else "leave them out, or give them an entry."
        raise ValueError(
            f"y_pred has detections in {unknown[0]!r} ({len(unknown)} such videos of "
            f"{len(found)}), of which y_true says nothing; {mend}"
        )
    nothing = make_intervals([], [], [], [])
    return [*truth.values()], [found.get(video, nothing) for video in truth]


def alike(a: Any, b: Any) -> bool:
    """Whether two names differ by what people write now so, now so.

    That is case, blanks, separators, and the ending of a file.
    """
    return a != b and bool({*_plain(a)} & {*_plain(b)} - {""})


def twins(some: Iterable[str], others: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of two sets of labels that differ by case, blanks and separators alone."""
    by_letters = {_letters(other): other for other in sorted(others, reverse=True)}
    pairs = [(one, by_letters.get(_letters(one))) for one in sorted(some) if _letters(one)]
    return [(one, other) for one, other in pairs if other is not None and other != one]


def _plain(name: Any) -> Iterable[str]:
    return map(_letters, (str(name), PurePath(str(name)).stem))


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text)).casefold()


def _is_pandas(given: Any) -> bool:
    return hasattr(given, "iloc") and hasattr(given, "index")


def _is_text(names: Iterable[Any]) -> bool:
    return all(isinstance(name, str) for name in names)


def _tidy(given: Any) -> Any:
    """A frame with a row for each label or interval, its columns in lower case; else None."""
    if not _is_pandas(given) or not hasattr(given, "columns"):
        return None
    names = [str(name).lower() for name in given.columns]
    return given.set_axis(names, axis=1) if {"video", "label"} <= {*names} else None


def _rows_as_labels(given: Any) -> Any:
    """A Series as it is; of an indicator frame, the columns that each row has a 1 in."""
    if not hasattr(given, "columns"):
        return given
    matrix = given.to_numpy()
    if matrix.dtype.kind not in "fiub" or not ((matrix == 0) | (matrix == 1)).all():
        raise TypeError(
            f"A frame has the columns {', '.join(map(str, [*given.columns][:6]))}; it must have "
            "video and label (and start, end of intervals; score of detections), or for each class "
            "a column of 0 and 1 alone, and names of videos as its index."
        )
    columns = np.array(given.columns)
    labels = given.iloc[:, 0].astype(object)
    labels[:] = [columns[row.astype(bool)].tolist() for row in matrix]
    return labels


def _of_video(video: Any, rows: Any) -> Any:
    """Labels or an interval array of the rows of one video in a tidy frame."""
    fields = [name for name in ("start", "end", "label", "score") if name in rows.columns]
    rows = rows[rows[fields].notna().any(axis=1)]
    if any(isinstance(label, list | tuple | set) for label in rows["label"]):
        raise ValueError(
            f"A frame has several labels in a row of {video!r}; it must have a row for each label, "
            "as frame.explode('label') makes them."
        )
    if not {"start", "end"} <= {*fields}:
        return rows["label"].tolist()
    try:
        return make_intervals(*(rows[name].to_numpy() for name in fields))
    except ValueError as error:
        raise ValueError(f"A frame has, for {video!r}: {error}") from error
