"""What ways of localization are made of: points between snippets, and scores of runs (numpy)."""

import numpy as np
from scipy.sparse import csr_array

__all__ = [
    "POINTS_PER_SNIPPET",
    "align",
    "contrast_between",
    "interpolate",
    "join_proposals",
    "joint_contrast",
    "maximum_inside",
    "mean_inside",
    "separate_contrast",
]

POINTS_PER_SNIPPET = 20


def interpolate(values: np.ndarray, points: int = POINTS_PER_SNIPPET) -> np.ndarray:
    """Interpolate values (n_snippets, k) linearly to (n_snippets * points, k).

    Point j lies at snippet ``j / points``; beyond the last snippet, values are extrapolated.
    """
    last = 2 * values[-1:] - values[-2:-1] if len(values) > 1 else values
    left, right = values, np.concatenate([values[1:], last])
    share = np.arange(points)[:, None] / points
    return (left[:, None] + share * (right - left)[:, None]).reshape(
        len(values) * points, values.shape[1]
    )


def separate_contrast(
    score: np.ndarray, first: np.ndarray, stop: np.ndarray, side: np.ndarray, eta: float
) -> np.ndarray:
    """Mean score (n_points,) inside each run less η times the means of `side` points beside it."""
    before = mean_inside(score, np.maximum(first - side, 0), first)
    after = mean_inside(score, stop, np.minimum(stop + side, len(score)))
    return mean_inside(score, first, stop) - eta * (before + after)


def joint_contrast(
    score: np.ndarray, first: np.ndarray, stop: np.ndarray, eta: float, side: float = 0.25
) -> np.ndarray:
    """Mean score (n_points,) inside each run less η times one mean over both sides together.

    Each side is a quarter of the run long, or `side` times its length, rounded up before it and
    down behind it. Without any points there, the outer mean is 0.
    """
    before = np.maximum(np.floor(first - side * (stop - first)).astype(int), 0)
    after = np.minimum(np.floor(stop + side * (stop - first)).astype(int), len(score))
    return contrast_between(score, first, stop, before, after, eta)


def contrast_between(
    score: np.ndarray,
    first: np.ndarray,
    stop: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    eta: float,
) -> np.ndarray:
    """Mean score inside each run less η times one mean over [before, first) and [stop, after).

    Examples
    --------
    >>> import numpy as np
    >>> edges = [np.array([edge]) for edge in (2, 4, 0, 5)]
    >>> contrast_between(np.array([1.0, 2.0, 9.0, 7.0, 6.0, 0.0]), *edges, eta=1.0)
    array([5.])
    """
    n_outer = (first - before) + (after - stop)
    of_parts = mean_inside(score, np.stack([before, first, stop]), np.stack([first, stop, after]))
    sums = of_parts[0] * (first - before) + of_parts[2] * (after - stop)
    return of_parts[1] - eta * sums / np.maximum(n_outer, 1)


def mean_inside(values: np.ndarray, first: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Mean of values[first[k]:stop[k]] for each k, of any shape, and 0 where that is empty."""
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    return (sums[stop] - sums[first]) / np.maximum(stop - first, 1)


def join_proposals(found: list[tuple]) -> tuple[np.ndarray, ...]:
    """Concatenate (first, stop, column, score) of all classes and thresholds; column is one."""
    found = [(np.zeros(0, dtype=int),) * 2 + (0, np.zeros(0)), *found]
    column = np.repeat([c for _, _, c, _ in found], [len(first) for first, *_ in found])
    first, stop, score = (np.concatenate([item[k] for item in found]) for k in (0, 1, 3))
    return first, stop, column, score


def maximum_inside(values: np.ndarray, first: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Maximum of values[first[k]:stop[k]] for each k, none of which is empty.

    Examples
    --------
    >>> import numpy as np
    >>> maximum_inside(np.array([1.0, 5.0, 2.0, 3.0]), np.array([0, 2]), np.array([2, 4]))
    array([5., 3.])
    """
    # At an even place of the result is the maximum from a start to its end.
    padded = np.append(values, -np.inf)
    return np.maximum.reduceat(padded, np.column_stack([first, stop]).ravel())[::2]


def align(
    video: np.ndarray, start: np.ndarray, end: np.ndarray, n_bins: int = 12, margin: float = 0.25
) -> np.ndarray:
    """Mean features of equal parts of proposals and of what surrounds them.

    Features are interpolated linearly between the middles of snippets, and fall to 0 within one
    snippet beyond the ends of the video. A part is the mean of about a point a snippet.

    Parameters
    ----------
    video : ndarray of shape (n_snippets, n_features)
    start, end : ndarrays of shape (n_proposals,)
        In snippets from the start of the video.
    n_bins : int, default=12
        Parts of each proposal, with its surroundings.
    margin : float, default=0.25
        What belongs to its surroundings on each side, as a share of its length. With them, a
        proposal has at least one snippet.

    Returns
    -------
    bins : ndarray of shape (n_proposals, n_bins, n_features)

    Examples
    --------
    >>> import numpy as np
    >>> align(np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([1.0]), np.array([3.0]), 3)[0, :, 0]
    array([0.5, 1.5, 2.5])
    """
    side = margin * (end - start)
    width = np.maximum(end - start + 2 * side, 1.0) / n_bins
    n_points = np.ceil(width).astype(int)  # of a bin
    bins = np.repeat(np.arange(len(start) * n_bins), np.repeat(n_points, n_bins))
    of_proposal = np.repeat(np.arange(len(start)), n_points * n_bins)
    firsts = np.cumsum(n_points * n_bins) - n_points * n_bins
    point = np.arange(len(bins)) - firsts[of_proposal]
    step = (width / n_points)[of_proposal]
    # Snippet t has its middle at t + 1 in a video with a row of zeros at each end.
    position = (start - side)[of_proposal] + (point + 0.5) * step + 0.5
    position = position.clip(0, len(video) + 1)
    before = np.minimum(position.astype(int), len(video))
    share = (position - before) / n_points[of_proposal]
    weights = csr_array(
        (
            np.concatenate([1 / n_points[of_proposal] - share, share]),
            (np.tile(bins, 2), np.concatenate([before, before + 1])),
        ),
        shape=(len(start) * n_bins, len(video) + 2),
        dtype=video.dtype,
    )
    return (weights[:, 1:-1] @ video).reshape(len(start), n_bins, video.shape[1])
