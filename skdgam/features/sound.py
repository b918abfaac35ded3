"""From sound files to snippet features: the energy in mel bands."""

import os
import warnings
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain
from math import ceil, gcd
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import rfft
from scipy.signal import firwin, get_window, resample_poly
from sklearn.utils._param_validation import Interval, validate_params

from skdgam.features import snippet_times
from skdgam.features._sources import SourceTransformer, refuse_folder

__all__ = ["SoundFeatures", "log_mel"]

# Relative to a full scale of 1, about what 16 bits can tell from silence; keeps its logarithm
# finite.
LOWEST_POWER = 1e-10
SAMPLES_AT_ONCE = 1 << 17  # that are read
SNIPPETS_AT_ONCE = 32  # whose spectra fit a cache
MOST_PHASES = 1_000_000  # of a resampling filter; what needs more is no rate of a recording

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


class SoundFeatures(SourceTransformer):
    """Turn sound files into snippet features: :func:`log_mel` of what they hold.

    A recording is decoded, brought to one channel (the mean of all) and to one rate, and described,
    some seconds at a time: memory grows by its features alone. It needs soundfile, which reads
    .wav, .flac, .ogg and .mp3, among others: ``pip install "skdgam[sound]"``.

    Parameters
    ----------
    rate : int, default=16_000
        Samples a second that recordings are brought to, by ``scipy.signal.resample_poly``. Sounds
        above half of it, 8 kHz by default, are not heard.
    window, hop : float, default=0.025 and 0.010
        Seconds of a spectrum, and from one to the next; `hop` is at most `window`.
    snippet_seconds : float, default=0.1
        Seconds from snippet to snippet, rounded to a multiple of `hop`. The power of all spectra
        that begin in a snippet is averaged. A tenth of a second is half of the 0.2 s by which
        starts and ends of sound events are commonly allowed to be wrong; single spectra would
        make ten times as many snippets, each much noisier.
    n_mels : int, default=64
        Mel bands.
    fmin, fmax : float, default=0.0 and None
        Lowest and highest frequency, in Hz; None is half of `rate`. Where it rumbles and nothing
        of interest sounds below 500 Hz, ``fmin=500`` spends all bands on the rest.
    deltas : bool, default=False
        Add how fast each band changes, over two snippets to either side.
    normalize : bool, default=False
        Divide the powers of each recording by their mean, so that it does not matter how loud it
        was recorded. How loud recordings are in comparison is lost.
    n_jobs : int or None, default=None
        Files to read at a time, in threads; None is one, -1 as many as there are cores.
    progress : bool, default=False
        Let ``transform`` show a bar, by rich: ``pip install "skdgam[progress]"``.

    See Also
    --------
    log_mel : The same for samples in memory, with the equations.

    Notes
    -----
    ``features_of`` and ``transform`` take paths, or files that are open for reading in binary mode.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import soundfile
    >>> from skdgam import DGAMLocalizer
    >>> from skdgam.features.sound import SoundFeatures
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name, hertz in {"high": 2000, "low": 200}.items():
    ...     tone = 0.1 * np.sin(2 * np.pi * hertz * np.arange(3 * 44_100) / 44_100)
    ...     soundfile.write(folder / f"{name}.wav", tone, 44_100)
    >>> sounds = SoundFeatures()
    >>> X = sounds.transform(sorted(folder.glob("*.wav")))
    >>> [x.shape for x in X]
    [(29, 64), (29, 64)]
    >>> sounds.snippet_times()
    {'snippet_seconds': 0.1, 'snippet_offset': 0.0075}
    >>> model = DGAMLocalizer(**sounds.snippet_times())
    """

    _parameter_constraints = {
        "rate": [Interval(Integral, 1, None, closed="left")],
        **CONSTRAINTS,
        "n_jobs": [Integral, None],
        "progress": ["boolean"],
    }

    def __init__(
        self,
        rate: int = 16_000,
        *,
        window: float = 0.025,
        hop: float = 0.010,
        snippet_seconds: float = 0.1,
        n_mels: int = 64,
        fmin: float = 0.0,
        fmax: float | None = None,
        deltas: bool = False,
        normalize: bool = False,
        n_jobs: int | None = None,
        progress: bool = False,
    ):
        self.rate = rate
        self.window = window
        self.hop = hop
        self.snippet_seconds = snippet_seconds
        self.n_mels = n_mels
        self.fmin = fmin
        self.fmax = fmax
        self.deltas = deltas
        self.normalize = normalize
        self.n_jobs = n_jobs
        self.progress = progress

    def snippet_times(self) -> dict[str, float]:
        """Say which seconds snippets stand for, in the words of a localizer.

        Returns
        -------
        times : dict
            ``snippet_seconds`` and ``snippet_offset``, as of
            :func:`skdgam.features.snippet_times`.
        """
        self._validate_params()
        _, n_span, n_step = _in_samples(self.rate, self.window, self.hop, self.snippet_seconds)
        return snippet_times(self.rate, n_span / self.rate, n_step / self.rate)

    def _features_of(self, source: Any, name: str) -> np.ndarray:
        try:
            import soundfile
        except ImportError as error:
            raise ImportError(
                'SoundFeatures needs soundfile: pip install "skdgam[sound]".'
            ) from error
        if isinstance(source, str | os.PathLike):
            refuse_folder(source, "*.wav")
            with open(source, "rb"):  # that it is missing is said by the usual error
                pass
        elif not hasattr(source, "read"):
            raise TypeError(
                f"{name} is of type {type(source).__name__}; it must be a path or an open file. "
                "log_mel takes samples."
            )
        parameters = {key: getattr(self, key) for key in CONSTRAINTS}
        try:
            with soundfile.SoundFile(source) as file:
                self._warn_of_lower_rate(file.samplerate, name)
                signal = _resampled(_mono(file, name), file.samplerate, self.rate, name)
                return _log_mel(signal, self.rate, name, **parameters)
        except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: samples without header
            reason = getattr(error, "error_string", str(error)).rstrip(".")
            raise ValueError(
                f"{name} cannot be read as sound: {reason}. WAV, FLAC, OGG and MP3 are read; "
                "convert other files, and the sound of videos, to one of them."
            ) from error

    def _warn_of_lower_rate(self, given: int, name: str) -> None:
        highest = self.rate / 2 if self.fmax is None else self.fmax
        if given < self.rate and given / 2 < highest:
            warnings.warn(
                f"{name} has {given} samples a second, and so no sound above {given / 2:g} Hz, but "
                f"bands reach to {highest:g} Hz: it differs from recordings with a higher rate by "
                f"that alone. Set fmax={given / 2:g}, or rate={given}, for all.",
                UserWarning,
                stacklevel=2,
            )


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
    _check_finite(samples, 0, rate, "The signal")
    return _log_mel(
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


def _log_mel(
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
    n_window, n_span, n_step = _in_samples(rate, window, hop, snippet_seconds)
    n_hop = round(hop * rate)
    n_fft = 1 << (n_window - 1).bit_length()
    taper = get_window("hann", n_window)
    taper = (taper / taper.sum()).astype(np.float32)
    filters = _mel_filters(rate, n_fft, n_mels, fmin, rate / 2 if fmax is None else fmax)
    powers, n_samples = [], 0
    # Pieces are as long whatever the blocks are, so that nothing is rounded in another way.
    size = n_span + (SNIPPETS_AT_ONCE - 1) * n_step
    for piece in _overlapping(blocks, size, SNIPPETS_AT_ONCE * n_step):
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


def _in_samples(
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


def _mono(file: Any, name: str) -> Iterator[np.ndarray]:
    """Yield the mean of all channels, some samples at a time."""
    n_read = 0
    while len(block := file.read(SAMPLES_AT_ONCE, dtype="float32", always_2d=True)):
        mono = sum(block.T[1:], start=block[:, 0]) / np.float32(block.shape[1])
        _check_finite(mono, n_read, file.samplerate, name)
        n_read += len(mono)
        yield mono
    if not n_read:
        raise ValueError(f"{name} holds no sound: it has no samples. Leave it out.")
    seconds, claimed = n_read / file.samplerate, file.frames / file.samplerate
    if claimed > seconds + 1:  # where samples are counted by an estimate, it is close
        warnings.warn(
            f"{name} ends after {seconds:.1f} s, but claims to last {claimed:.1f} s: it may have "
            "been copied in part. What is there is used.",
            UserWarning,
            stacklevel=2,
        )


def _check_finite(samples: np.ndarray, n_before: int, rate: float, name: str) -> None:
    """Refuse samples that are no numbers, by the first of them."""
    if not np.isfinite(samples).all():
        i = np.flatnonzero(~np.isfinite(samples))[0]
        raise ValueError(
            f"{name} holds {samples[i]} at {(n_before + i) / rate:.3f} s, sample {n_before + i}; "
            "every sample must be finite. Repair it, or leave it out."
        )


def _resampled(
    blocks: Iterable[np.ndarray], given: int, rate: int, name: str
) -> Iterator[np.ndarray]:
    """What ``scipy.signal.resample_poly`` makes of the whole, some samples at a time."""
    up, down = rate // gcd(given, rate), given // gcd(given, rate)
    if up == down:
        yield from blocks
        return
    if max(up, down) > MOST_PHASES:
        raise ValueError(
            f"{name} claims {given} samples a second, which cannot be brought to rate={rate}."
        )
    taps = _low_pass(max(up, down))
    # An output depends on so many inputs to either side; pieces start where phases do.
    n_edge = ceil(len(taps) / 2 / up / down)
    n = ceil(SAMPLES_AT_ONCE / down)
    silence = np.zeros(n_edge * down, dtype=np.float32)
    padded = chain([silence], blocks, [silence])
    for piece in _overlapping(padded, (n + 2 * n_edge) * down, n * down):
        yield resample_poly(piece, up, down, window=taps)[n_edge * up : -n_edge * up]


@lru_cache(maxsize=4)
def _low_pass(phases: int) -> np.ndarray:
    """The filter that ``resample_poly`` designs by default."""
    return firwin(20 * phases + 1, 1 / phases, window=("kaiser", 5.0)).astype(np.float32)


def _overlapping(blocks: Iterable[np.ndarray], size: int, step: int) -> Iterator[np.ndarray]:
    """Cut what comes in blocks into pieces, each a step after the last one; the last is shorter."""
    held = np.empty(0, dtype=np.float32)
    for block in blocks:
        held = np.concatenate([held, block]) if len(held) else block
        while len(held) >= size:
            yield held[:size]
            held = held[step:]
    yield held
