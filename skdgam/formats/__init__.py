"""Annotations, labels and detections in files: JSON, CSV, RTTM, subtitles, tracks."""

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from skdgam._names import by_name
from skdgam.formats._json import as_json, from_json, read_json, subsets
from skdgam.formats._rttm import as_rttm, intervals_of_rttm
from skdgam.formats._tables import as_table, intervals_of_table, table_rows
from skdgam.formats._tracks import ENDINGS, as_track, intervals_of_track
from skdgam.io import replacing

__all__ = ["read_intervals", "read_labels", "read_track", "write_intervals", "write_track"]

TABLES = (".csv", ".tsv")
RTTM = ".rttm"


def read_intervals(
    path: str | os.PathLike[str], subset: str | None = None
) -> dict[str, np.ndarray]:
    r"""Read the intervals of videos: annotations, or detections with scores.

    Parameters
    ----------
    path : path
        ActivityNet's JSON, of annotations (``database``) or detections (``results``). Or a table,
        ``.csv`` or ``.tsv``, with the columns ``video``, ``start``, ``end`` and ``label``, and for
        detections ``score``; those of sound events, ``filename``, ``onset``, ``offset`` and
        ``event_label``, are the same. Times are seconds or clock times, such as 1:01.5; a row with
        nothing but a name is a video without intervals. Or ``.rttm``, of speaker diarization, where
        a confidence is a score. Or a folder of label tracks or subtitles, as :func:`read_track`
        reads them, each with the name of its recording.
    subset : str, optional
        Of annotations in JSON: only its videos, such as those of "validation".

    Returns
    -------
    intervals : dict of str to interval array
        By the name of the video, in the order of the file; times in seconds.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is of none of these forms; the message says where.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skdgam.formats import read_intervals
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "annotations.csv")
    ...     _ = path.write_text("video,start,end,label\na,1.5,4,jump\na,6,8,run\n")
    ...     intervals = read_intervals(path)
    >>> intervals["a"].tolist()
    [(1.5, 4.0, 'jump'), (6.0, 8.0, 'run')]
    """
    if _has_subsets(path):
        return from_json(path, *read_json(path), subset)
    if subset is not None:
        raise ValueError(f"{path} is no JSON file, and knows no subsets; leave subset out.")
    if Path(path).is_dir():
        return _of_folder(path)
    return intervals_of_rttm(path) if _is_rttm(path) else intervals_of_table(path)


def read_labels(
    path: str | os.PathLike[str], subset: str | None = None, *, background: bool = False
) -> dict[str, list[str]]:
    """Read the labels of videos.

    Parameters
    ----------
    path : path
        A table, ``.csv`` or ``.tsv``, with the columns ``video`` and ``label``: a row for each
        label, so that a video may have several; one with an empty label shows none. Or anything
        that :func:`read_intervals` reads.
    subset : str, optional
        Of annotations in JSON: only its videos, such as those of "training". A file of several
        subsets needs one.
    background : bool, default=False
        What annotations in JSON mean by a video without any interval: that it shows nothing but
        background, or by default that its labels are unknown, as those of a test set. Then it is
        left out, with a warning.

    Returns
    -------
    labels : dict of str to list of str
        Sorted labels, by the name of the video, in the order of the file.

    Raises
    ------
    OSError, ValueError
        As for :func:`read_intervals`; also if there are several subsets and none is named.
    """
    if _has_subsets(path):
        videos, scored = read_json(path)
        if subset is None and len(there := subsets(videos, scored)) > 1:
            raise ValueError(
                f"{path} has the subsets {', '.join(there)}; name the one to learn from."
            )
        intervals = from_json(path, videos, scored, subset)
        unknown = [video for video, found in intervals.items() if not len(found)]
        if unknown and not background:
            warnings.warn(
                f"{path} says nothing of {unknown[0]!r} ({len(unknown)} such videos of "
                f"{len(intervals)}), whose labels are taken for unknown: they are left out. If "
                "they show background alone, say background=True, or --background in a shell.",
                UserWarning,
                stacklevel=2,
            )
            intervals = {video: found for video, found in intervals.items() if len(found)}
        return {video: np.unique(found["label"]).tolist() for video, found in intervals.items()}
    if subset is not None or Path(path).is_dir() or _is_rttm(path):
        intervals = read_intervals(path, subset)
        return {video: np.unique(found["label"]).tolist() for video, found in intervals.items()}
    labels: dict[str, set[str]] = {}
    for row, line in table_rows(path, ("video", "label")):
        if line == 2 and "score" in row:
            warnings.warn(
                f"{path} has scores, as detections have; each of them counts as a label.",
                UserWarning,
                stacklevel=2,
            )
        labels.setdefault(row["video"], set()).update({row["label"]} - {""})
    return {video: sorted(of_video) for video, of_video in labels.items()}


def read_track(path: str | os.PathLike[str]) -> np.ndarray:
    """Read the intervals of one recording from subtitles or a label track.

    Parameters
    ----------
    path : path
        ``.srt`` or ``.vtt``: subtitles. ``.txt``: a label track of Audacity. ``.tsv``: a table with
        the columns ``begin``, ``end`` and ``annotation``, as ELAN exports it.

    Returns
    -------
    intervals : interval array
        In the order of the file. If all texts end in a score, as :func:`write_track` writes it,
        there is a field ``score``.

    Raises
    ------
    OSError, ValueError
        If it cannot be read, or is of another form; the message says where.
    """
    if Path(path).suffix.lower() not in ENDINGS:
        raise ValueError(f"{path} must end in {', '.join(ENDINGS)}, which says what it is.")
    return intervals_of_track(path)


def write_intervals(path: str | os.PathLike[str], intervals: dict[str, np.ndarray]) -> None:
    """Write the intervals of videos, for :func:`read_intervals` and for others' evaluation.

    Parameters
    ----------
    path : path
        ``.json``, as ActivityNet's evaluation reads it; ``.csv``; ``.tsv``, with the columns of
        sound events; or ``.rttm``, which has no name or label with a blank, and nothing of videos
        without intervals. In a table a video without intervals has a row of its name alone, and a
        text that a spreadsheet would take for a formula, or that blanks begin or end, begins with
        ', which reading takes away.
    intervals : dict of str to interval array, or tidy frame
        With scores, JSON has them as ``results``, without as ``database``. Times are rounded to
        microseconds.

    Raises
    ------
    TypeError, ValueError
        If the name ends otherwise, intervals do not go by the names of videos, or RTTM cannot have
        a name or label.
    """
    intervals = _named(intervals)
    suffix = Path(path).suffix.lower()
    if suffix in TABLES:
        text = as_table(intervals, tabs=suffix == ".tsv")
    elif suffix == ".json":
        text = as_json(intervals)
    elif suffix == RTTM:
        text = as_rttm(intervals)
    else:
        raise ValueError(
            f"{path} must end in .json, .csv, .tsv or .rttm, which says how it is written."
        )
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def write_track(path: str | os.PathLike[str], intervals: np.ndarray) -> None:
    """Write the intervals of one video so that they can be watched over it.

    Parameters
    ----------
    path : path
        ``.srt`` or ``.vtt``: subtitles. ``.txt``: a label track of Audacity. ``.tsv``:
        tab-delimited text for ELAN's import, with the columns tier, begin, end (in seconds) and
        annotation.
    intervals : interval array
        Of one video; scores are shown if there are any.

    Raises
    ------
    ValueError
        If the name ends otherwise.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in ENDINGS:
        raise ValueError(f"{path} must end in {', '.join(ENDINGS)}, which says what is written.")
    with replacing(path) as part:
        part.write_text(as_track(suffix, intervals), encoding="utf-8")


def _named(intervals: Any) -> dict[str, np.ndarray]:
    """Intervals by the names of videos."""
    named = by_name(intervals)
    if named is None:
        raise TypeError(
            "intervals must go by the names of videos: a dict, such as dict(zip(names, "
            "detections)), or the frame that predict_frame returns."
        )
    return {str(video): found for video, found in named.items()}


def _has_subsets(path: str | os.PathLike[str]) -> bool:
    """Whether it is JSON, if it is anything that can be read."""
    return not Path(path).is_dir() and Path(path).suffix.lower() not in (*TABLES, RTTM)


def _is_rttm(path: str | os.PathLike[str]) -> bool:
    return Path(path).suffix.lower() == RTTM


def _of_folder(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The intervals of each track in a folder, by its name."""
    tracks = sorted(track for track in Path(path).iterdir() if track.suffix.lower() in ENDINGS)
    names = [track.stem for track in tracks]
    twice = [name for name in names if names.count(name) > 1]
    if not tracks or twice:
        wrong = f"two of {twice[0]!r}" if twice else "none"
        raise ValueError(
            f"{path} is a folder, which must hold a label track for each recording "
            f"({', '.join(ENDINGS)}); it has {wrong}."
        )
    return {track.stem: intervals_of_track(track) for track in tracks}
