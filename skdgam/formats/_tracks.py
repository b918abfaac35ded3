"""Subtitles and label tracks: the intervals of one recording, to be watched over it."""

import html
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from skdgam.formats._tables import table_rows, to_array, to_cell, to_number

__all__ = ["ENDINGS", "as_track", "intervals_of_track"]

SCORED = re.compile(r"(.*) \((-?\d+\.\d\d)\)", re.DOTALL)  # as texts are written


def as_track(suffix: str, intervals: np.ndarray) -> str:
    """The text of a file of this ending."""
    ordered = intervals[np.argsort(intervals["start"], kind="stable")]
    return "\n".join(WRITERS[suffix](_entries(ordered))) + "\n"


def intervals_of_track(path: str | os.PathLike[str]) -> np.ndarray:
    """Interval array of a track; with scores, if all texts end in one as they are written."""
    suffix = Path(path).suffix.lower()
    try:
        entries = [*READERS[suffix](path)]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not in UTF-8, as tracks must be here ({error}).") from error
    rows = []
    for line, start, end, text in entries:
        times = [to_number(start), to_number(end)]
        if not (all(map(math.isfinite, times)) and times[1] >= times[0] and text):
            raise ValueError(
                f"{path}, line {line}: from {start!r} to {end!r}, {text!r}; an interval needs two "
                "times, the end not before the start, and a label, in a label track behind tabs."
            )
        rows.append((times, text))
    scored = [SCORED.fullmatch(text) for _, text in rows]
    if rows and all(scored):
        rows = [([*t, float(m[2])], m[1]) for (t, _), m in zip(rows, scored, strict=True) if m]
    return to_array(rows, bool(rows) and all(map(bool, scored)))


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
        cell = to_cell(text)
        if '"' in cell:
            cell = '"' + cell.replace('"', '""') + '"'
        yield f"skdgam\t{start:.3f}\t{end:.3f}\t{cell}"


WRITERS: dict[str, Callable[[_Entries], Iterator[str]]] = {
    ".srt": _srt,
    ".vtt": _vtt,
    ".txt": _audacity,
    ".tsv": _elan,
}
ENDINGS = tuple(WRITERS)

# What readers yield: line of the file, start, end, text.
_Read = Iterator[tuple[int, str, str, str]]


def _read_subtitles(path: str | os.PathLike[str]) -> _Read:
    lines = enumerate(Path(path).read_text(encoding="utf-8-sig").splitlines(), start=1)
    for number, line in lines:
        start, arrow, rest = line.partition("-->")
        if not arrow:
            continue  # numbers, headings and comments
        said = []
        for _, text in lines:
            if not text.strip():
                break
            said.append(text.strip())
        end = rest.split()[0] if rest.split() else ""  # behind it, VTT has settings
        yield number, start.strip(), end, html.unescape(" ".join(said))


def _read_audacity(path: str | os.PathLike[str]) -> _Read:
    for number, line in enumerate(Path(path).read_text("utf-8-sig").splitlines(), start=1):
        if line.strip() and not line.startswith("\\"):  # which begins a range of frequencies
            start, end, text = [*line.split("\t", 2), "", ""][:3]
            # Where numbers have commas, Audacity writes them so.
            start, end = (time.strip().replace(",", ".") for time in (start, end))
            yield number, start, end, text.strip()


def _read_elan(path: str | os.PathLike[str]) -> _Read:
    for row, line in table_rows(path, ("start", "end", "label")):
        yield line, row["start"], row["end"], row["label"]


READERS: dict[str, Callable[[str | os.PathLike[str]], _Read]] = {
    ".srt": _read_subtitles,
    ".vtt": _read_subtitles,
    ".txt": _read_audacity,
    ".tsv": _read_elan,
}
