"""Which snippets of a video are used."""

import numpy as np

__all__ = ["mirrored_window", "stratified_sample", "uniform_sample"]


def stratified_sample(n_available: int, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Draw one random snippet from each of `n_samples` equal parts of a video.

    For training (METHOD §2): the draw covers the whole video, and differs from time to time.

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
