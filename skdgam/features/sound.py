"""From sound files to snippet features: the energy in mel bands."""

import os
import warnings
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain
from math import ceil, gcd
from numbers import Integral
from typing import Any

import numpy as np
from scipy.signal import firwin, resample_poly
from sklearn.utils._param_validation import Interval

from skdgam.features import snippet_times
from skdgam.features._mel import (
    CONSTRAINTS,
    check_finite,
    in_samples,
    log_mel,
    log_mel_of,
    overlapping,
)
from skdgam.features._sources import SourceTransformer, refuse_folder

__all__ = ["SoundFeatures", "log_mel"]

SAMPLES_AT_ONCE = 1 << 17  # that are read
MOST_PHASES = 1_000_000  # of a resampling filter; what needs more is no rate of a recording


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

    def _times(self) -> dict[str, float]:
        _, n_span, n_step = in_samples(self.rate, self.window, self.hop, self.snippet_seconds)
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
                return log_mel_of(signal, self.rate, name, **parameters)
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


def _mono(file: Any, name: str) -> Iterator[np.ndarray]:
    """Yield the mean of all channels, some samples at a time."""
    n_read = 0
    while len(block := file.read(SAMPLES_AT_ONCE, dtype="float32", always_2d=True)):
        mono = sum(block.T[1:], start=block[:, 0]) / np.float32(block.shape[1])
        check_finite(mono, n_read, file.samplerate, name)
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
    for piece in overlapping(padded, (n + 2 * n_edge) * down, n * down):
        yield resample_poly(piece, up, down, window=taps)[n_edge * up : -n_edge * up]


@lru_cache(maxsize=4)
def _low_pass(phases: int) -> np.ndarray:
    """The filter that ``resample_poly`` designs by default."""
    return firwin(20 * phases + 1, 1 / phases, window=("kaiser", 5.0)).astype(np.float32)
