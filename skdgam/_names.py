"""What is given by the names of videos: dicts, pandas Series and tidy frames."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from skdgam.intervals import make_intervals

__all__ = ["by_name", "in_order", "matched", "names_of"]


def by_name(given: Any) -> Mapping[Any, Any] | None:
    """What is given by name, as a mapping; None for what goes by position.

    A Series and an indicator frame go by name if their index is text. A frame with the columns
    ``video`` and ``label`` is tidy: a row for each label or, with ``start`` and ``end``, for each
    interval. A row of a name alone stands for a video without any.
    """
    if isinstance(given, Mapping):
        return given
    if _is_frame(given):
        if {"video", "label"} <= set(given.columns):
            return {video: _of_video(rows) for video, rows in given.groupby("video", sort=False)}
        given = _labels_of_rows(given)
    if hasattr(given, "iloc") and len(given) and all(isinstance(name, str) for name in given.index):
        return dict(zip(given.index, given, strict=True))
    return None


def names_of(X: Any) -> Any:
    """Names of the videos of features, if they have any."""
    named = by_name(X)
    return getattr(X, "names", None) if named is None else [*named]


def in_order(given: Any, names: Any, name: str = "y", missing: Any = None) -> Any:
    """What is given of the videos, in their order; looked up, if it is given by name.

    Parameters
    ----------
    given : object
    names : sequence or None
        Of the videos, if they have any.
    name : str
        Of the argument, for messages.
    missing : object, optional
        Stands for a video of which nothing is given; by default that is an error.
    """
    named = by_name(given)
    if named is None or (names is None and not isinstance(given, Mapping) and _is_series(given)):
        return _labels_of_rows(given) if _is_frame(given) else given
    if names is None:
        raise TypeError(
            f"{name} goes by the names of videos, such as {next(iter(named), None)!r}, but X has "
            f"none; pass X as a dict or a FeatureFolder, too, or {name} as a list in its order."
        )
    names = np.asarray(names).tolist()
    absent = [video for video in names if video not in named]
    if absent and missing is None:
        raise ValueError(
            f"{name} says nothing of {absent[0]!r} ({len(absent)} such videos of {len(names)}), "
            f"but of {', '.join(map(repr, [*named][:3]))}, …; give each video an entry, which is "
            "empty for one without actions."
        )
    return [named.get(video, missing) for video in names]


def matched(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Truth and detections as sequences in one order, if one of them goes by name.

    Without names, truth goes by the index of the video, as frames of ``predict_frame`` do.
    """
    truth, found = by_name(y_true), by_name(y_pred)
    if found is None or (truth is not None and _is_series(y_pred)):
        if isinstance(y_true, Mapping):
            raise TypeError("y_true goes by the names of videos, but y_pred does not; pass a dict.")
        return in_order(y_true, None, "y_true"), y_pred
    if truth is None:
        y_true = in_order(y_true, None, "y_true")
        truth = dict(enumerate(y_true))
    unknown = [video for video in found if video not in truth]
    if unknown:
        raise ValueError(
            f"y_pred has detections in {unknown[0]!r} ({len(unknown)} such videos of "
            f"{len(found)}), of which y_true says nothing; leave them out, or give these videos "
            "an entry, which is empty for one without actions."
        )
    nothing = make_intervals([], [], [], [])
    return [*truth.values()], [found.get(video, nothing) for video in truth]


def _is_frame(given: Any) -> bool:
    return hasattr(given, "iloc") and hasattr(given, "columns")


def _is_series(given: Any) -> bool:
    """Whether a pandas object has an entry for each row, in the order of rows."""
    return hasattr(given, "iloc") and not {"video", "label"} <= set(getattr(given, "columns", ()))


def _labels_of_rows(frame: Any) -> Any:
    """A Series of the columns that each row of an indicator frame has a 1 in."""
    matrix = frame.to_numpy()
    if matrix.dtype.kind not in "fiub" or not ((matrix == 0) | (matrix == 1)).all():
        raise TypeError(
            f"A frame has the columns {', '.join(map(str, [*frame.columns][:6]))}; it must have "
            "video and label (and start, end of intervals; score of detections), or a column of 0 "
            "and 1 for each class."
        )
    columns = np.array(frame.columns)
    labels = frame.iloc[:, 0].astype(object)
    labels[:] = [columns[row.astype(bool)].tolist() for row in matrix]
    return labels


def _of_video(rows: Any) -> Any:
    """Labels or an interval array of the rows of one video in a tidy frame."""
    fields = [name for name in ("start", "end", "label", "score") if name in rows.columns]
    is_given = rows[fields].notna()
    rows = rows[is_given.any(axis=1)]
    if not {"start", "end"} <= set(fields):
        return rows["label"].tolist()
    return make_intervals(*(rows[name].to_numpy() for name in fields))
