"""From recordings to snippet features: windows, what describes them, and networks of one's own."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from skdgam.features._sources import rows_of, tracked

__all__ = ["describe", "extract", "snippet_times", "windows"]

# Power of a sensor's own noise, about, in its unit squared; keeps the logarithm of silence finite.
NOISE_POWER = 1e-6


def windows(signal: npt.ArrayLike, rate: float, window: float, hop: float) -> np.ndarray:
    """Cut a recording into windows, each of which becomes a snippet.

    Parameters
    ----------
    signal : array-like of shape (n_samples, ...)
        Samples of sensors, audio, or frames of a video.
    rate : float
        Samples a second.
    window : float
        Seconds of each window; rounded to samples, as `hop` is.
    hop : float
        Seconds from window to window. Less than `window` makes them overlap.

    Returns
    -------
    windows : ndarray of shape (n_snippets, n_window, ...)
        A read-only view. What is left at the end, and is no whole window, is in none.

    Raises
    ------
    ValueError
        If the recording is shorter than a window, or a window or hop than a sample.

    Examples
    --------
    >>> from skdgam.features import windows
    >>> windows([0, 1, 2, 3, 4, 5, 6], rate=2, window=2.0, hop=1.0)
    array([[0, 1, 2, 3],
           [2, 3, 4, 5]])
    """
    signal = np.asarray(signal)
    n_window, n_hop = _in_samples(rate, window, hop)
    if not signal.ndim or len(signal) < n_window:
        raise ValueError(
            f"The recording has shape {signal.shape}, and a window of {window} s at {rate} samples "
            f"a second takes {n_window} samples, along the first axis."
        )
    return np.moveaxis(sliding_window_view(signal, n_window, axis=0)[::n_hop], -1, 1)


def snippet_times(rate: float, window: float, hop: float) -> dict[str, float]:
    """Say which seconds such windows stand for, in the words of a localizer.

    Parameters
    ----------
    rate, window, hop
        As for :func:`windows`.

    Returns
    -------
    times : dict
        ``snippet_seconds``, the hop, and ``snippet_offset``: a snippet stands for the middle of its
        window, in seconds.

    Examples
    --------
    >>> from skdgam import DGAMLocalizer
    >>> from skdgam.features import snippet_times
    >>> snippet_times(rate=50, window=1.28, hop=0.32)
    {'snippet_seconds': 0.32, 'snippet_offset': 0.48}
    >>> model = DGAMLocalizer(**snippet_times(rate=50, window=1.28, hop=0.32))
    """
    n_window, n_hop = _in_samples(rate, window, hop)
    return {"snippet_seconds": n_hop / rate, "snippet_offset": (n_window - n_hop) / 2 / rate}


def describe(signal: npt.ArrayLike, rate: float, window: float, hop: float) -> np.ndarray:
    """Describe the windows of a sensor by what they are like and how they change.

    Of each channel, and with several of their magnitude (the length of the vector that they make):
    mean, deviation, range, mean absolute change from sample to sample, how far the mean is from
    that of the window before and of the window after which do not overlap it, and the logarithm of
    the power in octaves, from one cycle a window up.

    Parameters
    ----------
    signal : array-like of shape (n_samples, n_channels) or (n_samples,)
        Of one sensor, such as the three axes of an accelerometer. Describe each sensor by itself,
        and put the features side by side.
    rate, window, hop
        As for :func:`windows`.

    Returns
    -------
    features : float32 ndarray of shape (n_snippets, n_features)
        Grouped by kind, in the order above.

    Raises
    ------
    ValueError
        As of :func:`windows`, or if the signal has more than two axes.

    Examples
    --------
    >>> import numpy as np
    >>> from skdgam.features import describe
    >>> accelerometer = np.random.default_rng(0).normal(size=(3000, 3))  # a minute
    >>> describe(accelerometer, rate=50, window=1.28, hop=0.32).shape
    (184, 44)
    """
    signal = np.asarray(signal, dtype=np.float64)
    if signal.ndim == 1:
        signal = signal[:, None]
    if signal.ndim != 2:
        raise ValueError(
            f"The signal has shape {signal.shape}; it must be (n_samples, n_channels) or "
            "(n_samples,)."
        )
    if signal.shape[1] > 1:
        signal = np.column_stack([signal, np.linalg.norm(signal, axis=1)])
    cut = np.moveaxis(windows(signal, rate, window, hop), 1, 2)  # (n_snippets, n_channels, n)
    n_window, n_hop = _in_samples(rate, window, hop)
    mean = cut.mean(axis=2)
    i, step = np.arange(len(mean)), -(-n_window // n_hop)
    before, after = mean[np.maximum(i - step, 0)], mean[np.minimum(i + step, len(mean) - 1)]
    power = np.abs(np.fft.rfft(cut - mean[:, :, None])) ** 2 / n_window**2
    octaves = 2 ** np.arange(max(n_window // 2, 1).bit_length() - 1)  # first bin of each
    in_octaves = np.log(np.add.reduceat(power, octaves, axis=2) + NOISE_POWER)
    parts = [
        mean,
        cut.std(axis=2),
        np.ptp(cut, axis=2),
        np.abs(np.diff(cut)).mean(axis=2) if n_window > 1 else np.zeros_like(mean),
        mean - before,
        after - mean,
        in_octaves.reshape(len(mean), -1),
    ]
    return np.concatenate(parts, axis=1, dtype=np.float32)


def extract(
    function: Callable[[Any], Any],
    signals: Iterable[npt.ArrayLike],
    rate: float,
    window: float,
    hop: float,
    *,
    batch_size: int = 32,
    progress: bool = False,
) -> list[np.ndarray]:
    """Let a network, or any function of windows, make the features of recordings.

    Parameters
    ----------
    function : torch.nn.Module or callable
        From windows (n, n_window, ...) to features (n, n_features). A module is given tensors, on
        the device and of the dtype of its parameters, in evaluation mode and without gradients;
        it is left as it was. Anything else is given arrays.
    signals : iterable of n array-likes of shape (n_samples_i, ...)
        The recordings; a generator may load them one at a time.
    rate, window, hop
        As for :func:`windows`.
    batch_size : int, default=32
        Windows at a time.
    progress : bool, default=False
        Show a bar, by rich: ``pip install "skdgam[progress]"``.

    Returns
    -------
    features : list of n float32 ndarrays of shape (n_snippets_i, n_features)

    Raises
    ------
    ValueError
        As of :func:`windows`, or if the function returns something else than a row a window.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from skdgam.features import extract
    >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64 * 3, 16))
    >>> recordings = [np.zeros((3000, 3)), np.ones((1000, 3))]
    >>> [x.shape for x in extract(network, recordings, rate=50, window=1.28, hop=0.32)]
    [(184, 16), (59, 16)]
    """
    if progress:
        signals = tracked(signals)
    if not hasattr(function, "parameters"):
        return [_in_batches(function, windows(x, rate, window, hop), batch_size) for x in signals]
    import torch

    module: Any = function
    like = next(module.parameters(), torch.empty(0))

    def of_arrays(batch: np.ndarray) -> np.ndarray:
        given = torch.tensor(batch, device=like.device)
        given = given.to(like.dtype) if given.is_floating_point() else given
        with torch.inference_mode():
            return module(given).float().cpu().numpy()

    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        return [_in_batches(of_arrays, windows(x, rate, window, hop), batch_size) for x in signals]
    finally:
        for part, training in modes.items():
            part.training = training


def _in_batches(
    function: Callable[[np.ndarray], Any], cut: np.ndarray, batch_size: int
) -> np.ndarray:
    """Features of the windows of one recording, some windows at a time."""
    parts = []
    for first in range(0, len(cut), batch_size):
        batch = np.ascontiguousarray(cut[first : first + batch_size])
        parts.append(rows_of(function(batch), len(batch), "function", "windows"))
    return np.concatenate(parts)


def _in_samples(rate: float, window: float, hop: float) -> tuple[int, int]:
    """Samples of a window, and from window to window."""
    n_window, n_hop = round(window * rate), round(hop * rate)
    if n_window < 1 or n_hop < 1:
        raise ValueError(
            f"window={window} s and hop={hop} s come to {n_window} and {n_hop} samples at "
            f"rate={rate}; both must be one sample or more."
        )
    return n_window, n_hop
