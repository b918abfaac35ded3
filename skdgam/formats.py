"""Annotations, labels and detections in files: ActivityNet's JSON, CSV, subtitles, label tracks."""

import csv
import json
import math
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from skdgam.intervals import make_intervals
from skdgam.io import replacing

__all__ = ["read_intervals", "read_labels", "write_intervals", "write_track"]


def read_intervals(
    path: str | os.PathLike[str], subset: str | None = None
) -> dict[str, np.ndarray]:
    r"""Read the intervals of videos: annotations, or detections with scores.

    Parameters
    ----------
    path : path
        ActivityNet's JSON, of annotations (``database``) or detections (``results``), or CSV with
        the columns ``video``, ``start``, ``end`` and ``label``, and for detections ``score``. A
        row with nothing but a name is a video without intervals.
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
        If it is of neither form; the message says where.

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
    if Path(path).suffix.lower() == ".csv":
        if subset is not None:
            raise ValueError(_no_subsets(path))
        return _from_rows(path)
    return _from_json(path, *_read_json(path), subset)


def read_labels(
    path: str | os.PathLike[str], subset: str | None = None, *, background: bool = False
) -> dict[str, list[str]]:
    """Read the labels of videos.

    Parameters
    ----------
    path : path
        CSV with the columns ``video`` and ``label``: a row for each label, so that a video may have
        several; one with an empty label shows none. Or anything that :func:`read_intervals` reads.
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
    if Path(path).suffix.lower() != ".csv":
        videos, scored = _read_json(path)
        if subset is None and len(subsets := _subsets(videos, scored)) > 1:
            raise ValueError(
                f"{path} has the subsets {', '.join(subsets)}; name the one to learn from."
            )
        intervals = _from_json(path, videos, scored, subset)
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
    if subset is not None:
        raise ValueError(_no_subsets(path))
    labels: dict[str, set[str]] = {}
    for row, _ in _rows(path, ("video", "label")):
        labels.setdefault(row["video"], set()).update({row["label"]} - {""})
    return {video: sorted(of_video) for video, of_video in labels.items()}


def write_intervals(path: str | os.PathLike[str], intervals: dict[str, np.ndarray]) -> None:
    """Write the intervals of videos, for :func:`read_intervals` and for ActivityNet's evaluation.

    Parameters
    ----------
    path : path
        ``.json`` or ``.csv``. In CSV a video without intervals has a row of its name alone, and a
        text that a spreadsheet would take for a formula begins with ', which reading takes away.
    intervals : dict of str to interval array
        With scores, JSON has them as ``results``, without as ``database``.

    Raises
    ------
    ValueError
        If the name ends otherwise.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".csv":
        text = _as_csv(intervals)
    elif suffix == ".json":
        text = _as_json(intervals)
    else:
        raise ValueError(f"{path} must end in .json or .csv, which says how it is written.")
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
    if suffix not in _TRACKS:
        raise ValueError(f"{path} must end in {', '.join(_TRACKS)}, which says what is written.")
    ordered = intervals[np.argsort(intervals["start"], kind="stable")]
    lines = _TRACKS[suffix](_entries(ordered))
    with replacing(path) as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _read_json(path: str | os.PathLike[str]) -> tuple[dict[str, Any], bool]:
    """What is said of each video, and whether that is detections."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        named = Path(path).suffix.lower() == ".json"
        other = "" if named else ", nor by its name a CSV file (.csv)"
        raise ValueError(f"{path} is no JSON file{other}: {error}.") from error
    content = content if isinstance(content, dict) else {}
    for key, kind in {"database": dict, "results": list}.items():
        videos = content.get(key)
        if isinstance(videos, dict) and all(isinstance(each, kind) for each in videos.values()):
            return videos, key == "results"
    raise ValueError(
        f'{path} holds neither annotations, {{"database": {{video: {{"annotations": […]}}}}}}, nor '
        'detections, {"results": {video: […]}}, as ActivityNet has them.'
    )


def _from_json(
    path: str | os.PathLike[str], videos: dict[str, Any], scored: bool, subset: str | None
) -> dict[str, np.ndarray]:
    """Interval arrays of what JSON says of each video, of one subset if it is named."""
    found = {}
    for video, content in videos.items():
        if not scored:
            if subset is not None and content.get("subset") != subset:
                continue
            content = content.get("annotations", [])
        found[video] = _from_objects(content, scored, f"{path}: {video!r}")
    if subset is not None and not found:
        there = ", ".join(_subsets(videos, scored)) or "none"
        raise ValueError(f"{path} has no video of the subset {subset!r}; there are {there}.")
    return found


def _subsets(videos: dict[str, Any], scored: bool) -> list[str]:
    """Names of the subsets that annotations in JSON have."""
    return [] if scored else sorted({str(v["subset"]) for v in videos.values() if "subset" in v})


def _no_subsets(path: str | os.PathLike[str]) -> str:
    return f"{path} is a CSV file, which knows no subsets; leave subset out."


def _from_objects(content: Any, scored: bool, where: str) -> np.ndarray:
    """An interval array from ActivityNet's list of objects."""
    if not isinstance(content, list):
        raise ValueError(f"{where} has no list of intervals.")
    rows = []
    for i, item in enumerate(content):
        try:
            start, end = item["segment"]
            numbers = [start, end, *([item["score"]] if scored else [])]
            label = item["label"]
            good = all(type(x) in (int, float) and math.isfinite(x) for x in numbers)
            good = good and end >= start
        except (TypeError, KeyError, ValueError, OverflowError):
            good = False
        if not good or type(label) not in (str, int):
            score = ', "score": number' if scored else ""
            raise ValueError(
                f"{where}, interval {i}, is {str(item)[:80]}; it must have "
                f'"segment": [start, end] in seconds, the end not before the start, "label": '
                f"text{score}."
            )
        rows.append((numbers, str(label)))
    return _to_array(rows, scored)


def _from_rows(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Interval arrays from CSV."""
    videos: dict[str, list[tuple[list[float], str]]] = {}
    scored = False
    for row, line in _rows(path, ("video", "start", "end", "label")):
        scored = "score" in row
        of_video = videos.setdefault(row["video"], [])
        if not any(value for name, value in row.items() if name != "video"):
            continue  # a video without intervals
        names = ["start", "end", *(["score"] if scored else [])]
        try:
            numbers = [float(row[name]) for name in names]
        except ValueError:
            numbers = [math.nan]
        if not (all(map(math.isfinite, numbers)) and numbers[1] >= numbers[0]):
            given = ", ".join(f"{name} {row[name]!r}" for name in names)
            raise ValueError(
                f"{path}, line {line}, video {row['video']!r}: {given}; these must be finite "
                "numbers, with the end not before the start."
            )
        of_video.append((numbers, row["label"]))
    return {video: _to_array(rows, scored) for video, rows in videos.items()}


def _to_array(rows: list[tuple[list[float], str]], scored: bool) -> np.ndarray:
    """Put (start, end[, score]) and labels into an interval array."""
    numbers = np.array([row for row, _ in rows]).reshape(len(rows), 2 + scored)
    labels = np.array([label for _, label in rows], dtype=str)
    return make_intervals(numbers[:, 0], numbers[:, 1], labels, numbers[:, 2] if scored else None)


def _rows(
    path: str | os.PathLike[str], columns: tuple[str, ...]
) -> Iterator[tuple[dict[str, str], int]]:
    """Yield the rows of a CSV file by column, and the line that each is on."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        try:
            first = file.readline()
            file.seek(0)
            # Spreadsheets separate by semicolons where numbers have commas.
            reader = csv.DictReader(file, strict=True, delimiter=max(",;\t", key=first.count))
            header = [name.strip() for name in reader.fieldnames or []]
            missing = [name for name in columns if name not in header]
            if missing:
                raise ValueError(
                    f"{path} has the columns {', '.join(header) or 'none'}; it lacks "
                    f"{', '.join(missing)}."
                )
            reader.fieldnames = header
            for row in reader:
                if None in row or None in row.values():
                    raise ValueError(
                        f"{path}, line {reader.line_num}: a row must have {len(header)} values, as "
                        "the first line has names."
                    )
                yield {name: _from_cell(value) for name, value in row.items()}, reader.line_num
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path} is not in UTF-8, as CSV files must be here ({error}). Save it so."
            ) from error
        except csv.Error as error:
            raise ValueError(f"{path}, line {reader.line_num}, is no CSV: {error}.") from error


def _to_cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if re.match(r"'*[=+\-@]", text) else text


def _from_cell(text: str) -> str:
    text = text.strip()
    return text[1:] if re.match(r"'+[=+\-@]", text) else text


def _as_csv(intervals: dict[str, np.ndarray]) -> str:
    from io import StringIO

    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    scored = any("score" in (found.dtype.names or ()) for found in intervals.values())
    fields = ["start", "end", "label", *(["score"] if scored else [])]
    writer.writerow(["video", *fields])
    for video, found in intervals.items():
        for start, end, label, *score in found[fields].tolist():
            writer.writerow([_to_cell(video), start, end, _to_cell(str(label)), *score])
        if not len(found):
            writer.writerow([_to_cell(video), *[""] * len(fields)])
    return text.getvalue()


def _as_json(intervals: dict[str, np.ndarray]) -> str:
    scored = any("score" in (found.dtype.names or ()) for found in intervals.values())
    lists = {
        video: [
            {"segment": [row["start"].item(), row["end"].item()], "label": str(row["label"])}
            | ({"score": row["score"].item()} if scored else {})
            for row in found
        ]
        for video, found in intervals.items()
    }
    content: dict[str, Any] = {"version": "VERSION 1.3"}
    if scored:
        content |= {"results": lists, "external_data": {}}
    else:
        content["database"] = {video: {"annotations": found} for video, found in lists.items()}
    return json.dumps(content, indent=1) + "\n"


def _entries(intervals: np.ndarray) -> Iterator[tuple[float, float, str]]:
    """Start, end, and one line to show, of each interval."""
    scored = "score" in (intervals.dtype.names or ())
    for row in intervals:
        score = f" ({row['score']:.2f})" if scored else ""
        label = " ".join(str(row["label"]).split())
        yield max(row["start"].item(), 0.0), max(row["end"].item(), 0.0), f"{label}{score}"


def _clock(seconds: float, separator: str) -> str:
    minutes, milliseconds = divmod(round(1000 * seconds), 60_000)
    hours, minutes = divmod(minutes, 60)
    whole, milliseconds = divmod(milliseconds, 1000)
    return f"{hours:02d}:{minutes:02d}:{whole:02d}{separator}{milliseconds:03d}"


_Entries = Iterable[tuple[float, float, str]]


def _srt(entries: _Entries) -> Iterator[str]:
    for i, (start, end, text) in enumerate(entries, start=1):
        plain = text.translate({ord("<"): "‹", ord(">"): "›"})  # no tags, which cannot be escaped
        yield f"{i}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{plain}\n"


def _vtt(entries: _Entries) -> Iterator[str]:
    yield "WEBVTT\n"
    for start, end, text in entries:
        escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        yield f"{_clock(start, '.')} --> {_clock(end, '.')}\n{escaped}\n"


def _audacity(entries: _Entries) -> Iterator[str]:
    for start, end, text in entries:
        yield f"{start:.6f}\t{end:.6f}\t{text}"


def _elan(entries: _Entries) -> Iterator[str]:
    yield "tier\tbegin\tend\tannotation"
    for start, end, text in entries:
        yield f"skdgam\t{start:.3f}\t{end:.3f}\t{text}"


_TRACKS: dict[str, Callable[[_Entries], Iterator[str]]] = {
    ".srt": _srt,
    ".vtt": _vtt,
    ".txt": _audacity,
    ".tsv": _elan,
}
