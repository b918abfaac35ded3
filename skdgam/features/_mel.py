"""The energy of sound in mel bands, of samples that come whole or in blocks."""

from collections.abc import Iterable, Iterator
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import rfft
from scipy.signal import get_window
from sklearn.utils._param_validation import Interval, validate_params

__all__ = ["CONSTRAINTS", "check_finite", "in_samples", "log_mel", "log_mel_of", "overlapping"]

# Relative to a full scale of 1, about what 16 bits can tell from silence; keeps its logarithm
# finite.
LOWEST_POWER = 1e-10
SNIPPETS_AT_ONCE = 32  # whose spectra fit a cache

POSITIVE = Interval(Real, 0, None, closed="neither")
CONSTRAINTS: dict[str, list[Any]] = {
    "window": [POSITIVE],
    "hop": [POSITIVE],
    "snippet_seconds": [POSITIVE],
    "n_mels": [Interval(Integral, 1, None, closed="left")],
    "fmin": [Interval(Real, 0, None, closed="left")],
    "fmax": [POSITIVE, None],
    "deltas": ["boolean"],
    "normalize": ["boolean"],
}


@validate_params(
    {"signal": ["array-like"], "rate": [POSITIVE], **CONSTRAINTS},
    prefer_skip_nested_validation=True,
)
def log_mel(
    signal: npt.ArrayLike,
    rate: float,
    *,
    window: float = 0.025,
    hop: float = 0.010,
    snippet_seconds: float = 0.1,
    n_mels: int = 64,
    fmin: float = 0.0,
    fmax: float | None = None,
    deltas: bool = False,
    normalize: bool = False,
) -> np.ndarray:
    r"""Describe the snippets of a sound by the logarithm of their power in mel bands.

    The power spectra :math:`p_j` of windows, each :math:`\left|\sum_n w_n x_n e^{-2 \pi i f n}
    \right|^2` with a Hann window :math:`w` whose sum is 1, are averaged over a snippet (Welch's
    method) and added up in triangular bands:

    .. math:: \log\Big(10^{-10} + \sum_f \max\big(0, 1 - |m(f) - c_k| / d\big)\,
              \operatorname{mean}_j p_j(f)\Big), \qquad m(f) = 2595 \log_{10}(1 + f / 700).

    The mel scale :math:`m` and the triangles, which are linear in it and have a peak of 1, are
    those of HTK (Young et al., The HTK Book, section 5.4). The centers :math:`c_k` of the bands
    are equally far from each other, by :math:`d`. A band reaches from the center of the one before
    to that of the one after; the outermost end at `fmin` and `fmax`.

    Parameters
    ----------
    signal : array-like of shape (n_samples,)
        Full scale is 1. It is computed with in float32.
    rate : float
        Samples a second.
    window, hop, snippet_seconds, n_mels, fmin, fmax, deltas, normalize
        As for :class:`SoundFeatures`.

    Returns
    -------
    features : float32 ndarray of shape (n_snippets, n_mels) or (n_snippets, 2 * n_mels)
        In nats: ten times as much power, 10 dB, is 2.3 more. With `deltas`, the slopes of lines
        fitted to five snippets follow, in nats a snippet. What is left at the end, and is no whole
        snippet, is in none.

    Raises
    ------
    ValueError
        If the signal is shorter than a snippet, holds nan or infinity, or has two axes; if `hop` is
        longer than `window`; if `fmin` is not below `fmax`, or `fmax` above half of `rate`; or if a
        mel band lies between two frequencies of the spectra, so that it would be empty.

    Examples
    --------
    >>> import numpy as np
    >>> from skdgam.features.sound import log_mel
    >>> chirp = np.sin(2 * np.pi * 1000 * np.arange(16_000) ** 2 / 16_000**2)  # 0 to 2000 Hz
    >>> features = log_mel(chirp, rate=16_000, n_mels=40)
    >>> features.shape
    (9, 40)
    >>> features.argmax(axis=1)  # the loudest band
    array([ 1,  5,  8, 10, 13, 14, 16, 18, 19])
    """
    samples = np.asarray(signal, dtype=np.float32)
    if samples.ndim != 1:
        raise ValueError(
            f"The signal has shape {samples.shape}; it must be (n_samples,). Take the mean of "
            "several channels."
        )
    check_finite(samples, 0, rate, "The signal")
    return log_mel_of(
        [samples],
        rate,
        "The signal",
        window=window,
        hop=hop,
        snippet_seconds=snippet_seconds,
        n_mels=n_mels,
        fmin=fmin,
        fmax=fmax,
        deltas=deltas,
        normalize=normalize,
    )


def log_mel_of(
    blocks: Iterable[np.ndarray],
    rate: float,
    name: str,
    *,
    window: float,
    hop: float,
    snippet_seconds: float,
    n_mels: int,
    fmin: float,
    fmax: float | None,
    deltas: bool,
    normalize: bool,
) -> np.ndarray:
    """Features of samples that come in blocks."""
    n_window, n_span, n_step = in_samples(rate, window, hop, snippet_seconds)
    n_hop = round(hop * rate)
    n_fft = 1 << (n_window - 1).bit_length()
    taper = get_window("hann", n_window)
    taper = (taper / taper.sum()).astype(np.float32)
    filters = _mel_filters(rate, n_fft, n_mels, fmin, rate / 2 if fmax is None else fmax)
    powers, n_samples = [], 0
    # Pieces are as long whatever the blocks are, so that nothing is rounded in another way.
    size = n_span + (SNIPPETS_AT_ONCE - 1) * n_step
    for piece in overlapping(blocks, size, SNIPPETS_AT_ONCE * n_step):
        n_snippets = (len(piece) - n_span) // n_step + 1
        n_samples += len(piece) if n_samples == 0 else 0
        if n_snippets < 1:
            continue
        frames = sliding_window_view(piece, n_window)[::n_hop][: n_snippets * (n_step // n_hop)]
        spectra = rfft(frames * taper, n_fft)
        power = spectra.real**2 + spectra.imag**2
        powers.append(power.reshape(n_snippets, n_step // n_hop, -1).mean(axis=1) @ filters)
    if not powers:
        raise ValueError(
            f"{name} lasts {n_samples / rate:.3g} s, and a snippet takes {n_span / rate:.3g} s. "
            "Leave it out, or lower snippet_seconds."
        )
    mel = np.concatenate(powers)
    if normalize and mel.any():
        mel /= mel.mean(dtype=np.float64)
    features = np.log(mel + np.float32(LOWEST_POWER))
    return np.hstack([features, _slopes(features)]) if deltas else features


def in_samples(
    rate: float, window: float, hop: float, snippet_seconds: float
) -> tuple[int, int, int]:
    """Samples of a window, of a snippet with all its windows, and from snippet to snippet."""
    n_window, n_hop = round(window * rate), round(hop * rate)
    if n_hop < 1 or n_window < 4:
        raise ValueError(
            f"window={window} s and hop={hop} s come to {n_window} and {n_hop} samples at "
            f"rate={rate}; a window must have 4 samples or more, and a hop 1."
        )
    if n_hop > n_window:
        raise ValueError(
            f"hop={hop} s is longer than window={window} s, so that sound would be left out."
        )
    n_windows = max(round(snippet_seconds * rate / n_hop), 1)
    return n_window, n_window + (n_windows - 1) * n_hop, n_windows * n_hop


def _mel_filters(rate: float, n_fft: int, n_mels: int, fmin: float, fmax: float) -> np.ndarray:
    """Weight of each frequency of a spectrum in each band, (n_fft // 2 + 1, n_mels)."""
    if not fmin < fmax <= rate / 2:
        raise ValueError(
            f"fmin={fmin} and fmax={fmax:g} Hz; fmin must be below fmax, and fmax at most half of "
            f"rate={rate}."
        )
    centers = np.linspace(_mel(fmin), _mel(fmax), n_mels + 2)
    step = centers[1] - centers[0]
    frequencies = _mel(np.arange(n_fft // 2 + 1) * rate / n_fft)
    filters = np.maximum(0, 1 - np.abs(frequencies[:, None] - centers[1:-1]) / step)
    empty = np.flatnonzero(~filters.any(axis=0))
    if len(empty):
        raise ValueError(
            f"n_mels={n_mels} makes bands so narrow that {len(empty)} of them would be empty: "
            f"spectra have a value every {rate / n_fft:.3g} Hz. Lower n_mels, or lengthen window."
        )
    return filters.astype(np.float32)


def _mel(frequency: Any) -> Any:
    """Position on the mel scale of HTK of a frequency in Hz."""
    return 2595 * np.log10(1 + np.asarray(frequency) / 700)


def _slopes(features: np.ndarray) -> np.ndarray:
    """Slope of the line that fits five snippets best; the ends go on as they are."""
    padded = np.pad(features, ((2, 2), (0, 0)), mode="edge")
    return (padded[3:-1] - padded[1:-3] + 2 * (padded[4:] - padded[:-4])) / 10


def check_finite(samples: np.ndarray, n_before: int, rate: float, name: str) -> None:
    """Refuse samples that are no numbers, by the first of them."""
    if not np.isfinite(samples).all():
        i = np.flatnonzero(~np.isfinite(samples))[0]
        raise ValueError(
            f"{name} holds {samples[i]} at {(n_before + i) / rate:.3f} s, sample {n_before + i}; "
            "every sample must be finite. Repair it, or leave it out."
        )


def overlapping(blocks: Iterable[np.ndarray], size: int, step: int) -> Iterator[np.ndarray]:
    """Cut what comes in blocks into pieces, each a step after the last one; the last is shorter."""
    held = np.empty(0, dtype=np.float32)
    for block in blocks:
        held = np.concatenate([held, block]) if len(held) else block
        while len(held) >= size:
            yield held[:size]
            held = held[step:]
    yield held
