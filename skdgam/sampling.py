"""Which snippets of a video are used, and which videos of a data set."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

__all__ = [
    "balanced_folds",
    "batches_of_pairs",
    "mirrored_window",
    "stratified_sample",
    "uniform_sample",
]


def stratified_sample(n_available: int, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Draw one random snippet from each of `n_samples` equal parts of a video.

    For training: the draw covers the whole video, and differs from time to time.

    Parameters
    ----------
    n_available : int
        Snippets of the video, at least `n_samples`.
    n_samples : int
        Parts.
    rng : numpy.random.Generator

    Returns
    -------
    indices : ndarray of int of shape (n_samples,)
        Strictly ascending, in [0, n_available).

    Examples
    --------
    >>> import numpy as np
    >>> from skdgam.sampling import stratified_sample
    >>> stratified_sample(10, 5, np.random.default_rng(0)) // 2  # one from each pair
    array([0, 1, 2, 3, 4])
    """
    edges = np.arange(n_samples + 1) * n_available // n_samples
    return rng.integers(edges[:-1], edges[1:])


def uniform_sample(n_available: int, n_samples: int) -> np.ndarray:
    """Take `n_samples` snippets at equal distances.

    For localization: snippet ``floor(i * n_available / n_samples)`` is the i-th one. A video
    with fewer snippets than samples repeats them.

    Parameters
    ----------
    n_available, n_samples : int

    Returns
    -------
    indices : ndarray of int of shape (n_samples,)
        Ascending, in [0, n_available).

    Examples
    --------
    >>> from skdgam.sampling import uniform_sample
    >>> uniform_sample(10, 4)
    array([0, 2, 5, 7])
    >>> uniform_sample(2, 4)
    array([0, 0, 1, 1])
    """
    return np.arange(n_samples) * n_available // n_samples


def mirrored_window(n: int, radius: int) -> np.ndarray:
    """List the snippets around each snippet, mirrored at the ends of the video.

    Parameters
    ----------
    n : int
        Snippets of the video.
    radius : int
        How far the window reaches to each side.

    Returns
    -------
    indices : ndarray of int of shape (n, 2 * radius + 1), in [0, n)

    Examples
    --------
    >>> from skdgam.sampling import mirrored_window
    >>> mirrored_window(3, 1)
    array([[0, 0, 1],
           [0, 1, 2],
           [1, 2, 2]])
    """
    padded = np.pad(np.arange(n), radius, mode="symmetric")
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * radius + 1)


def batches_of_pairs(
    is_labelled: np.ndarray,
    n_pairs: int,
    batch_size: int,
    rng: np.random.Generator,
    distinct: bool = False,
) -> Iterator[np.ndarray]:
    """Draw batches that begin with pairs of videos that have a class in common.

    For each pair, a class is drawn, and of the videos that show it two, with replacement: a class
    that is rare is seen as often as any other, and a video may be paired with itself. The rest of
    a batch is drawn from all videos, with replacement, too.

    Parameters
    ----------
    is_labelled : ndarray of bool of shape (n_videos, n_classes)
    n_pairs : int
        Pairs in each batch, as far as it has room for them.
    batch_size : int
        Videos in each batch.
    rng : numpy.random.Generator
    distinct : bool, default=False
        Whether a pair is of two videos, unless only one shows the class.

    Yields
    ------
    chosen : ndarray of int of shape (batch_size,), in [0, n_videos)
        Pair k is ``chosen[2 * k : 2 * k + 2]``. There are as many batches as the videos fill.

    Examples
    --------
    >>> import numpy as np
    >>> from skdgam.sampling import batches_of_pairs
    >>> is_labelled = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=bool)
    >>> for chosen in batches_of_pairs(is_labelled, 1, 2, np.random.default_rng(0)):
    ...     print(np.flatnonzero(is_labelled[chosen].all(axis=0)).size)
    1
    1
    """
    n_videos = len(is_labelled)
    with_class = [np.flatnonzero(column) for column in is_labelled.T if column.any()]
    for _ in range(n_videos // batch_size):
        chosen = rng.integers(n_videos, size=batch_size)
        for k in range(min(n_pairs, batch_size // 2) if with_class else 0):
            videos = with_class[rng.integers(len(with_class))]
            replace = not distinct or len(videos) < 2
            chosen[2 * k : 2 * k + 2] = rng.choice(videos, 2, replace)
        yield chosen


def balanced_folds(
    is_labelled: np.ndarray,
    n_folds: int,
    rng: np.random.Generator | None = None,
    groups: npt.ArrayLike | None = None,
) -> np.ndarray:
    """Divide videos into folds that each hold their share of every class.

    One by one, those with the rarest classes first, videos go to where they are missing most:
    where the squares of what each fold has of a class, as a share of all, grow least. That counts
    for every class, for videos without a label, and for videos as such.

    Parameters
    ----------
    is_labelled : ndarray of bool of shape (n_videos, n_classes)
    n_folds : int
    rng : numpy.random.Generator, optional
        Shuffles the videos first; without it the order given decides between equals.
    groups : array-like of shape (n_videos,), optional
        Videos of one group stay together.

    Returns
    -------
    fold : ndarray of int of shape (n_videos,), in [0, n_folds)

    Examples
    --------
    >>> import numpy as np
    >>> from skdgam.sampling import balanced_folds
    >>> is_labelled = np.array([[1, 0], [1, 0], [1, 0], [1, 0], [0, 1], [0, 1]], dtype=bool)
    >>> balanced_folds(is_labelled, 2)
    array([0, 1, 0, 1, 0, 1])
    """
    everything = np.ones((len(is_labelled), 1))
    is_empty = ~is_labelled.any(axis=1, keepdims=True)
    counted = np.concatenate([is_labelled, is_empty, everything], axis=1)
    groups = np.arange(len(counted)) if groups is None else np.asarray(groups)
    _, group = np.unique(groups, return_inverse=True)
    amount = np.zeros((group.max() + 1, counted.shape[1]))
    np.add.at(amount, group, counted)
    amount /= np.maximum(amount.sum(axis=0), 1)

    order = np.arange(len(amount)) if rng is None else rng.permutation(len(amount))
    order = order[np.argsort(-amount[order].max(axis=1), kind="stable")]
    fold = np.empty(len(amount), dtype=int)
    filled = np.zeros((n_folds, amount.shape[1]))
    for k in order:
        growth = ((2 * filled + amount[k]) * amount[k]).sum(axis=1)
        fold[k] = growth.argmin()
        filled[fold[k]] += amount[k]
    return fold[group]
