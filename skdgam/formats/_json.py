"""ActivityNet's JSON, of annotations or of detections."""

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from skdgam.formats._tables import rounded, to_array

__all__ = ["as_json", "from_json", "read_json", "subsets"]


def read_json(path: str | os.PathLike[str]) -> tuple[dict[str, Any], bool]:
    """What is said of each video, and whether that is detections."""
    try:
        content = json.loads(
            Path(path).read_text(encoding="utf-8"), object_pairs_hook=_of_different_names
        )
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


def _of_different_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it has {twice!r} twice")
    return dict(pairs)


def from_json(
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
        there = ", ".join(subsets(videos, scored)) or "none"
        raise ValueError(f"{path} has no video of the subset {subset!r}; there are {there}.")
    return found


def subsets(videos: dict[str, Any], scored: bool) -> list[str]:
    """Names of the subsets that annotations in JSON have."""
    return [] if scored else sorted({str(v["subset"]) for v in videos.values() if "subset" in v})


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
    return to_array(rows, scored)


def as_json(intervals: dict[str, np.ndarray]) -> str:
    scored = any("score" in (found.dtype.names or ()) for found in intervals.values())
    lists = {
        video: [
            {"segment": [rounded(row["start"]), rounded(row["end"])], "label": str(row["label"])}
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
