"""Tables, a row for each interval or label: CSV, and the TSV of sound-event detection."""

import csv
import io
import math
import os
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any, TextIO

import numpy as np

from skdgam.intervals import make_intervals

__all__ = [
    "as_table",
    "find_header",
    "intervals_of_table",
    "rounded",
    "table_rows",
    "to_array",
    "to_cell",
    "to_number",
]

# What other programs call the columns: sed_eval and DCASE, ELAN.
ALIASES = {
    **{"filename": "video", "file": "video", "onset": "start", "offset": "end"},
    **{"event_label": "label", "begin": "start", "annotation": "label"},
}
NUMBERS = {"start", "end", "score"}
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
CLOCK = re.compile(r"(?:(\d{1,6}):)?(\d{1,2}):(\d{1,2}(?:[.,]\d*)?)")
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
SEPARATOR = re.compile(r'"?sep=([^\s"]|\t)"?\s*', re.IGNORECASE)
FORMULA = re.compile(r"'*[=+\-@]")


def intervals_of_table(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Interval arrays of a table with the columns video, start, end and label, and maybe score."""
    videos: dict[str, list[tuple[list[float], str]]] = {}
    scored = False
    for row, line in table_rows(path, ("video", "start", "end", "label")):
        scored = "score" in row
        of_video = videos.setdefault(row["video"], [])
        if not any(value for name, value in row.items() if name != "video"):
            continue  # a video without intervals
        names = ["start", "end", *(["score"] if scored else [])]
        numbers = [to_number(row[name]) for name in names]
        if not (all(map(math.isfinite, numbers)) and numbers[1] >= numbers[0] and row["label"]):
            given = ", ".join(f"{name} {row[name]!r}" for name in [*names, "label"])
            raise ValueError(
                f"{path}, line {line}, video {row['video']!r}: {given}; times must be seconds such "
                "as 61.5, or 1:01.5, with the end not before the start, scores numbers, and no "
                "cell may be empty."
            )
        of_video.append((numbers, row["label"]))
    return {video: to_array(rows, scored) for video, rows in videos.items()}


def to_array(rows: list[tuple[list[float], str]], scored: bool) -> np.ndarray:
    """Put (start, end[, score]) and labels into an interval array."""
    numbers = np.array([row for row, _ in rows]).reshape(len(rows), 2 + scored)
    labels = np.array([label for _, label in rows], dtype=str)
    return make_intervals(numbers[:, 0], numbers[:, 1], labels, numbers[:, 2] if scored else None)


def to_number(text: str) -> float:
    """A number, or seconds of a clock time; nan for anything else."""
    if NUMBER.fullmatch(text):
        return float(text)
    if clock := CLOCK.fullmatch(text):
        hours, minutes, seconds = clock.groups()
        return 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds.replace(",", "."))
    return math.nan


def find_header(file: TextIO) -> tuple[str, str, int]:
    """Read an open table up to the line that names its columns, the first but for comments.

    Returns that line, what separates its cells, and how many lines are before it.
    """
    separator, n_before = "", 0
    for n_before, line in enumerate(iter(file.readline, "")):
        line = line.removeprefix("\ufeff")
        if said := SEPARATOR.fullmatch(line):  # of Excel
            separator = said[1]
        elif line.strip() and not line.startswith("#"):
            # Spreadsheets separate by semicolons where numbers have commas.
            return line, separator or max(",;\t", key=line.count), n_before
    return "", separator or ",", n_before


def table_rows(
    path: str | os.PathLike[str], columns: tuple[str, ...]
) -> Iterator[tuple[dict[str, str], int]]:
    """Yield the rows of a table by column, and the line that each is on."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        try:
            first, delimiter, n_before = find_header(file)
            reader = csv.reader(chain([first], file), strict=True, delimiter=delimiter)
            header = [name.strip().lower() for name in next(reader, [])]
            header = [ALIASES.get(name, name) for name in header]
            missing = [name for name in columns if name not in header]
            twice = [name for name in header if name and header.count(name) > 1]
            if missing or twice:
                wrong = f"lacks {', '.join(missing)}" if missing else f"has {twice[0]} twice"
                raise ValueError(
                    f"{path} has the columns {', '.join(header) or 'none'}, by its first line; it "
                    f"{wrong}."
                )
            for cells in reader:
                if not any(map(str.strip, cells)):
                    continue
                line = n_before + reader.line_num
                if len(cells) != len(header):
                    raise ValueError(
                        f"{path}, line {line}: a row must have {len(header)} values, as "
                        "the first line has names."
                    )
                row = dict(zip(header, map(_from_cell, cells), strict=True))
                if delimiter != ",":
                    row |= {
                        name: row[name].replace(",", ".")
                        for name in NUMBERS & row.keys()
                        if DECIMAL_COMMA.fullmatch(row[name])
                    }
                if "video" in columns and not row["video"]:
                    raise ValueError(f"{path}, line {line}: the row names no video.")
                yield row, line
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path} is not in UTF-8, as tables must be here ({error}). Save it so: in a "
                'spreadsheet, as "CSV UTF-8".'
            ) from error
        except csv.Error as error:
            line = n_before + reader.line_num
            raise ValueError(f"{path}, line {line}, is no CSV: {error}.") from error


def as_table(intervals: dict[str, np.ndarray], *, tabs: bool) -> str:
    """A table of the intervals of videos: CSV, or TSV with the headings of sound events."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", delimiter="\t" if tabs else ",")
    scored = any("score" in (found.dtype.names or ()) for found in intervals.values())
    fields = ["start", "end", "label", *(["score"] if scored else [])]
    if tabs:
        header = ["filename", "onset", "offset", "event_label", *fields[3:]]
    else:
        header = ["video", *fields]
    writer.writerow(header)
    for video, found in intervals.items():
        for start, end, label, *score in found[fields].tolist():
            times = rounded(start), rounded(end)
            writer.writerow([to_cell(video), *times, to_cell(str(label)), *score])
        if not len(found):
            writer.writerow([to_cell(video), *[""] * len(fields)])
    return text.getvalue()


def rounded(seconds: Any) -> float:
    """Seconds without the digits that are rounding alone."""
    return round(float(seconds), 6)


def to_cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula, and whose blanks at the ends stay."""
    return f"'{text}" if FORMULA.match(text) or text != text.strip() else text


def _from_cell(text: str) -> str:
    inner = text.removeprefix("'")
    is_quoted = inner != text and (FORMULA.match(inner) or inner != inner.strip())
    return inner if is_quoted else text.strip()
