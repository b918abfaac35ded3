"""RTTM, the text of speaker diarization: a line for each interval of each recording."""

import math
import os
import re
import warnings
from pathlib import Path

import numpy as np

from skdgam.formats._tables import rounded, to_array, to_number

__all__ = ["as_rttm", "intervals_of_rttm"]

# Type, recording, channel, start, length, spelling, subtype, label, score and, in some, a delay.
N_FIELDS = (9, 10)
NOTHING = "<NA>"


def intervals_of_rttm(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Interval arrays of the lines SPEAKER, whatever their channel; others are passed over."""
    videos: dict[str, list[tuple[list[float], str]]] = {}
    scored = set()
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not in UTF-8, as RTTM must be here ({error}).") from error
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if not fields or fields[0] != "SPEAKER":
            continue
        fits = len(fields) in N_FIELDS and fields[7] != NOTHING
        numbers = [to_number(fields[k]) for k in (3, 4)] if fits else [math.nan]
        if fits and fields[8] != NOTHING:
            numbers.append(to_number(fields[8]))
        if not (all(map(math.isfinite, numbers)) and numbers[1] >= 0):
            raise ValueError(
                f"{path}, line {number}, is {line.strip():.80}; it must be SPEAKER, recording, "
                "channel, start, length, <NA>, <NA>, label, score or <NA>, with times in seconds."
            )
        start, length, *score = numbers
        scored.add(bool(score))
        row = [start, max(rounded(start + length), start), *score]
        videos.setdefault(fields[1], []).append((row, fields[7]))
    if not videos and any(map(str.strip, lines)):
        raise ValueError(f"{path} has no line that begins with SPEAKER, as intervals in RTTM do.")
    if len(scored) == 2:
        raise ValueError(f"{path} has scores in some lines and {NOTHING} in others.")
    return {video: to_array(rows, *scored) for video, rows in videos.items()}


def as_rttm(intervals: dict[str, np.ndarray]) -> str:
    """The text of a file; without a line for recordings that have no interval."""
    empty = [video for video, found in intervals.items() if not len(found)]
    labels = {str(label) for found in intervals.values() for label in found["label"]}
    wrong = [text for text in [*intervals, *sorted(labels)] if re.search(r"\s|^<NA>$|^$", text)]
    if wrong:
        raise ValueError(
            f"RTTM cannot have the name {wrong[0]!r}: blanks separate what it says, and {NOTHING} "
            "stands for nothing. Write it otherwise, for example with _."
        )
    if empty:
        warnings.warn(
            f"RTTM says nothing of recordings without intervals, such as {empty[0]!r} "
            f"({len(empty)} of {len(intervals)}); they are left out.",
            UserWarning,
            stacklevel=3,
        )
    lines = []
    for video, found in intervals.items():
        for start, end, label, *score in found.tolist():
            start, length = rounded(start), rounded(rounded(end) - rounded(start))
            said = score[0] if score else NOTHING
            lines.append(
                f"SPEAKER {video} 1 {start:.6f} {length:.6f} {NOTHING} {NOTHING} {label} {said} "
                f"{NOTHING}\n"
            )
    return "".join(lines)
