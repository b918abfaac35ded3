"""Synthetic untrimmed videos in which context can be taken for action."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, validate_params

from skdgam._validation import check_annotations, check_durations
from skdgam.intervals import make_intervals

__all__ = ["make_untrimmed"]

CLASS_STRENGTH = 2.0
N_SCENES = 8  # places that videos are taken at


@validate_params(
    {
        "n_videos": [Interval(Integral, 1, None, closed="left")],
        "n_classes": [Interval(Integral, 1, None, closed="left")],
        "max_labels": [Interval(Integral, 1, None, closed="left")],
        "n_features": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "context": [Interval(Real, 0, None, closed="left")],
        "appearance": [Interval(Real, 0, None, closed="left")],
        "noise": [Interval(Real, 0, None, closed="left")],
        "snippet_seconds": [Interval(Real, 0, None, closed="neither")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_untrimmed(
    n_videos: int = 100,
    n_classes: int = 5,
    n_features: int | Sequence[int] = 32,
    *,
    max_labels: int = 2,
    context: float = 1.0,
    appearance: float = 3.0,
    noise: float = 0.5,
    annotations: Sequence[Any] | None = None,
    durations: npt.ArrayLike | None = None,
    snippet_seconds: float = 0.64,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Make features and annotations of untrimmed videos with planted actions.

    Each snippet is a scene, that of its video, plus noise. Snippets of an action carry the
    evidence of their class and an appearance that the actions of all classes share. On either side
    of an action lies its context, 0.3 to 1 times as long and no longer than 10 s: evidence of its
    class without the appearance. A classifier alone has no reason to tell the two apart, which is
    the confusion that DGAM is about; what does is that context looks different.

    Parameters
    ----------
    n_videos, n_classes : int, default=100 and 5
    n_features : int or sequence of int, default=32
        Features of a snippet; several numbers make several streams, side by side in the
        columns, in which the same things happen under independent noise.
    max_labels : int, default=2
        A video shows 1 to so many classes.
    context : float, default=1.0
        Strength of the class evidence in context, relative to that in action; 0 is none.
    appearance : float, default=3.0
        Strength of what actions share, and context lacks.
    noise : float, default=0.5
        Standard deviation of the noise in each feature.
    annotations : sequence of n annotations, optional
        Real intervals whose layout in time the videos follow, in place of `n_videos`,
        `n_classes` and `max_labels`.
    durations : array-like of shape (n,), optional
        Seconds of each video, with `annotations`. Intervals are cut at the end of their video.
    snippet_seconds : float, default=0.64
        Hop from snippet to snippet.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    features : list of n float32 ndarrays of shape (n_snippets_i, sum of n_features)
    annotations : list of n interval arrays
        In seconds, sorted by start. Labels are those given, or "action 0", "action 1", ….

    Raises
    ------
    ValueError
        If a parameter is out of its range, or one of `annotations` and `durations` is missing.

    Examples
    --------
    >>> from skdgam.datasets import make_untrimmed
    >>> X, y = make_untrimmed(n_videos=3, n_features=(16, 8), random_state=0)
    >>> len(X), X[0].shape[1], y[0].dtype.names
    (3, 24, ('start', 'end', 'label'))
    """
    rng = check_random_state(random_state)
    if (annotations is None) != (durations is None):
        raise ValueError(
            "annotations and durations go together: pass the intervals of each video and its "
            "seconds, or neither."
        )
    if annotations is None:
        lengths = rng.uniform(60, 180, n_videos)
        layout = [_random_layout(seconds, n_classes, max_labels, rng) for seconds in lengths]
    else:
        layout = check_annotations(annotations)
        lengths = check_durations(durations, len(layout))
        layout = [_cut(video, end) for video, end in zip(layout, lengths, strict=True)]
    classes = np.unique(np.concatenate([video["label"] for video in layout]))
    widths = np.atleast_1d(n_features)
    if widths.ndim != 1 or not widths.size or widths.dtype.kind not in "iu" or widths.min() < 1:
        raise ValueError(
            f"n_features is {n_features!r}; it must be a positive integer, or a list of them, one "
            "for each stream."
        )
    worlds = [_world(len(classes), width, rng) for width in widths]

    features = []
    for video, seconds in zip(layout, lengths, strict=True):
        n_snippets = max(int(seconds / snippet_seconds), 1)
        columns = np.searchsorted(classes, video["label"])
        evidence, is_action = _content(
            video, columns, (n_snippets, len(classes)), context, snippet_seconds, rng
        )
        scene = rng.randint(N_SCENES)
        streams = [
            CLASS_STRENGTH * evidence @ world["class"]
            + appearance * is_action * world["action"]
            + world["scene"][scene]
            + noise * rng.standard_normal((n_snippets, world["scene"].shape[1]))
            for world in worlds
        ]
        features.append(np.concatenate(streams, axis=1, dtype=np.float32))
    return features, layout


def _world(n_classes: int, n_features: int, rng: np.random.RandomState) -> dict[str, np.ndarray]:
    """What classes, actions and scenes look like in one stream: random directions."""
    n_rows = {"class": n_classes, "action": 1, "scene": N_SCENES}
    directions = {name: rng.standard_normal((n, n_features)) for name, n in n_rows.items()}
    return {
        name: rows / np.linalg.norm(rows, axis=1, keepdims=True)
        for name, rows in directions.items()
    }


def _content(
    video: np.ndarray,
    columns: np.ndarray,
    shape: tuple[int, int],
    context: float,
    snippet_seconds: float,
    rng: np.random.RandomState,
) -> tuple[np.ndarray, np.ndarray]:
    """Evidence (n_snippets, n_classes) of each class, and the mask (n_snippets, 1) of action."""
    evidence, is_action = np.zeros(shape), np.zeros((shape[0], 1))
    for interval, column in zip(video, columns, strict=True):
        start, end = interval["start"], interval["end"]
        strength = rng.uniform(0.7, 1.3)
        beside = np.clip((end - start) * rng.uniform(0.3, 1.0, 2), 2 * snippet_seconds, 10.0)
        around = _rows(start - beside[0], end + beside[1], snippet_seconds)
        inside = _rows(start, end, snippet_seconds)
        np.maximum(evidence[around, column], context * strength, out=evidence[around, column])
        evidence[inside, column] = strength
        is_action[inside] = 1
    return evidence, is_action


def _random_layout(
    seconds: float, n_classes: int, max_labels: int, rng: np.random.RandomState
) -> np.ndarray:
    """Intervals of one video of that many seconds, one after the other with gaps between."""
    labels = rng.choice(n_classes, rng.randint(1, min(max_labels, n_classes) + 1), replace=False)
    starts, ends = [], []
    time = rng.uniform(4, 20)
    while (end := time + rng.uniform(3, 15)) < seconds - 4:
        starts.append(time)
        ends.append(end)
        time = end + rng.uniform(8, 30)
    names = np.array([f"action {label}" for label in rng.choice(labels, len(starts))], dtype=str)
    return make_intervals(starts, ends, names)


def _cut(intervals: np.ndarray, end: float) -> np.ndarray:
    """Intervals sorted by start, none of which runs past the end of its video."""
    intervals = np.sort(intervals[intervals["start"] < end], order="start")
    intervals["end"] = np.minimum(intervals["end"], end)
    return intervals


def _rows(start: float, end: float, snippet_seconds: float) -> slice:
    """Snippets of an interval, at least one."""
    first, stop = (max(round(time / snippet_seconds), 0) for time in (start, end))
    return slice(first, max(stop, first + 1))
