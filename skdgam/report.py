"""One page to look through what was found in many recordings, without a network."""

import html
import json
import os
import re
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote, urlsplit

import numpy as np

from skdgam._names import by_name
from skdgam.io import replacing
from skdgam.metrics import mean_average_precision

__all__ = ["write_report"]

TIOU = np.arange(1, 10) / 10
VIDEO = (".mp4", ".webm", ".ogv", ".mov", ".m4v")
AUDIO = (".wav", ".mp3", ".ogg", ".flac", ".m4a")


def write_report(
    path, detections, annotations=None, *, attention=None, media=None, title="Detections"
):
    """Write a page with a filterable list of recordings, and a timeline of each.

    The page needs no network: plotly's script and all data are in it. In a timeline, zoom by
    dragging, and point at an interval for its class, score and times. The recording's own video or
    audio is above the timeline, where there is one, and a line in the timeline follows it. A click
    on an interval plays it from its start; the keys n and p go to the next and the previous
    detection, and space plays and pauses. Only the recording that is looked at is loaded.

    Parameters
    ----------
    path : path
        Of the page, ``.html``. What is there is replaced.
    detections : dict of str to interval array with scores, or tidy frame
        By the name of the recording, as :func:`skdgam.formats.read_intervals` returns them.
    annotations : dict of str to interval array, optional
        The true intervals of the recordings that are known: drawn above detections, and mAP of
        these recordings is shown.
    attention : dict of str to pair of ndarrays, optional
        Of a recording, edges of its snippets in seconds (n_snippets + 1,) and attention
        (n_snippets,).
    media : dict of str to path or URL, optional
        Files of video or audio, such as ``{"run_7": "videos/run 7.mp4"}``. They are not copied: the
        page refers to them from where it is, so that a folder with both can be moved. What plays is
        up to the browser; H.264 in .mp4, and VP8 or VP9 in .webm, play in all.
    title : str, default="Detections"

    Raises
    ------
    ImportError
        Without plotly: ``pip install "skdgam[report]"``.
    OSError
        If the page cannot be written.
    ValueError
        If there is no recording, one has intervals without scores, or a file of `media` is neither
        video nor audio by its ending.

    Examples
    --------
    >>> from skdgam.intervals import make_intervals
    >>> from skdgam.report import write_report
    >>> found = {"a": make_intervals([1.0], [4.0], "jump", [0.9])}
    >>> write_report("report.html", found)  # doctest: +SKIP
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise ImportError('A report needs plotly: pip install "skdgam[report]".') from error
    detections = by_name(detections)
    annotations = {} if annotations is None else by_name(annotations)
    if detections is None or annotations is None:
        raise TypeError(
            "detections and annotations must go by the names of recordings: dicts, such as "
            "dict(zip(names, detections)), or tidy frames."
        )
    if not detections:
        raise ValueError("detections is empty; there must be a recording to show.")
    unscored = [name for name, found in detections.items() if "score" not in found.dtype.names]
    if unscored:
        raise ValueError(
            f"detections of {unscored[0]!r} have no scores; true intervals go to annotations."
        )
    attention, media = attention or {}, media or {}
    recordings = [
        {
            "name": name,
            "found": _rows(found, True),
            "true": _rows(annotations[name], False) if name in annotations else None,
            "attention": _curve(*attention[name]) if name in attention else None,
            "media": _medium(media[name], path) if name in media else None,
        }
        for name, found in detections.items()
    ]
    data = {"recordings": recordings, "metrics": _metrics(detections, annotations)}
    # Within a script nothing ends it but this, and JSON may write it otherwise.
    text = json.dumps(data, allow_nan=False).replace("</", "<\\/").replace("<!--", "<\\u0021--")
    parts = {"TITLE": html.escape(title), "PLOTLY": get_plotlyjs(), "DATA": text}
    page = files("skdgam").joinpath("report.html").read_text(encoding="utf-8")
    page = re.sub("@(TITLE|PLOTLY|DATA)@", lambda mark: parts[mark[1]], page)
    with replacing(path) as part:
        part.write_text(page, encoding="utf-8")


def _rows(intervals, scored):
    """Start, end, class and score of each interval, for JSON."""
    fields = ["start", "end", "label", *(["score"] if scored else [])]
    ordered = intervals[np.argsort(intervals["start"], kind="stable")]
    return [
        [round(start, 3), round(end, 3), str(label), *(round(x, 4) for x in score)]
        for start, end, label, *score in ordered[fields].tolist()
    ]


def _curve(edges, values):
    """Edges and values, with one more of these to draw steps to the end."""
    values = np.append(values, values[-1:])
    return [np.round(edges, 3).tolist(), np.round(values.astype(float), 3).tolist()]


def _medium(path, page):
    """Where a page finds a file or URL, and by what to play it."""
    is_url = isinstance(path, str) and re.match("https?://", path)
    suffix = Path(urlsplit(path).path if is_url else path).suffix.lower()
    if suffix not in VIDEO + AUDIO:
        raise ValueError(f"{path} ends in none of {', '.join(VIDEO + AUDIO)}.")
    if not is_url:
        relative = os.path.relpath(path, os.path.dirname(os.path.abspath(page)))
        path = quote(Path(relative).as_posix())
    return {"kind": "video" if suffix in VIDEO else "audio", "url": path}


def _metrics(detections, annotations):
    """What mAP is at each tIoU threshold, of the recordings that have annotations."""
    names = [name for name in detections if name in annotations]
    if not any(len(annotations[name]) for name in names):
        return None
    mean_ap = mean_average_precision(
        [annotations[name] for name in names], [detections[name] for name in names], TIOU
    )
    return {"tiou": TIOU.tolist(), "map": mean_ap.tolist(), "n": len(names)}
