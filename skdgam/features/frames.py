"""Frames of videos at a steady rate, by the time at which a player would show them."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from math import ceil, floor
from types import ModuleType
from typing import Any

import numpy as np

__all__ = ["import_av", "read_frames"]

LONGEST_STILL = 3600  # seconds for which a frame is repeated; more is a fault of the file
MISSING = 1  # seconds that may lack at the end before a file counts as cut off


def read_frames(
    path: str | os.PathLike[str],
    fps: float = 25,
    resize: int | tuple[int, int] | None = 256,
    *,
    damaged: str = "raise",
) -> Iterator[np.ndarray]:
    """Decode a video, and show it at a steady rate.

    Frame k is what a player shows k / `fps` seconds after the start of the file: the last frame
    whose time has come. So recordings of any and of changing rate come to one, as frames are
    repeated or left out. Times are those that the file gives to its frames; they are compared as
    fractions. What is rotated for display is upright.

    Parameters
    ----------
    path : path
        Any file that FFmpeg reads. Of several video streams the first is taken; the cover of a
        piece of music is none.
    fps : float, default=25
        Frames a second.
    resize : int, (int, int) or None, default=256
        Length of the shorter side, with the aspect ratio kept; or height and width; or as it is.
        The interpolation is FFmpeg's bilinear one, which does not alias.
    damaged : {"raise", "skip"}, default="raise"
        Whether a frame that cannot be decoded is an error, or is bridged by the frame before it,
        with a warning.

    Yields
    ------
    frame : uint8 ndarray of shape (height, width, 3)
        Red, green and blue. A frame that is shown again is the same array.

    Raises
    ------
    ImportError
        Without PyAV: ``pip install "skdgam[video]"``.
    OSError
        If the file cannot be opened.
    ValueError
        If it is no video or has no frame, or if it is damaged; the message says at which second.

    Warns
    -----
    UserWarning
        If the video ends more than a second before the end that its file states, if its frames
        have no times, so that the rate of the file is taken for true, or if frames were skipped.
    """
    if fps <= 0 or damaged not in ("raise", "skip"):
        raise ValueError(
            f'fps={fps!r} and damaged={damaged!r}, but fps must be positive, and damaged "raise" '
            'or "skip".'
        )
    rate = Fraction(fps).limit_denominator(1001)
    with _opened(path) as (container, stream):
        slot, to_image = 0, _Images(resize)
        for frame, end in _shown(_timed(path, container, stream, damaged), rate):
            if end - slot > LONGEST_STILL * rate:
                raise ValueError(
                    f"{path} shows nothing new from second {float(slot / rate):g} to "
                    f"{float(end / rate):g}; the times of its frames are damaged. Write it anew, "
                    "as with: ffmpeg -i old.mp4 new.mp4."
                )
            if slot < end:
                image = to_image(frame)
                yield from [image] * (end - slot)
                slot = end
        if not slot:
            raise ValueError(f"{path} has no frame that can be decoded.")


class _Images:
    """Makes upright images of one size of the frames of a video."""

    def __init__(self, resize: int | tuple[int, int] | None):
        from av.video.reformatter import Interpolation, VideoReformatter

        self.resize, self.reformatter = resize, VideoReformatter()
        # The same bits whatever instructions a processor has.
        exact = Interpolation.ACCURATE_RND | Interpolation.BITEXACT
        self.interpolation = Interpolation.BILINEAR | exact
        self.quarters: int | None = None

    def __call__(self, frame: Any) -> np.ndarray:
        if self.quarters is None:  # a whole video is held as it begins
            self.quarters = frame.rotation // 90 % 4 if frame.rotation % 90 == 0 else 0
        height, width = frame.height, frame.width
        if isinstance(self.resize, int):
            short = min(height, width)
            height, width = (max(self.resize * n // short, 1) for n in (height, width))
        elif self.resize is not None:
            height, width = self.resize[:: -1 if self.quarters % 2 else 1]
        scaled = self.reformatter.reformat(
            frame, width, height, "rgb24", interpolation=self.interpolation, threads=1
        )
        return np.ascontiguousarray(np.rot90(scaled.to_ndarray(), self.quarters))


def import_av() -> ModuleType:
    """Import PyAV, or say how it is installed."""
    try:
        import av
        import av.error
    except ImportError as error:
        raise ImportError('Videos need PyAV: pip install "skdgam[video]".') from error
    return av


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[tuple[Any, Any]]:
    """A file as FFmpeg sees it, and its video stream; no other file is opened for it."""
    av = import_av()
    with open(path, "rb") as file:
        try:
            # From what is read here, no name is a network's, and no playlist leads elsewhere.
            container = av.open(file, buffer_size=2**20, options={"protocol_whitelist": "none"})
        except (av.error.FFmpegError, OSError) as error:  # seeking where nothing is, for one
            raise ValueError(f"{path} cannot be read as a video: {error.strerror}.") from error
        with container:
            cover = av.stream.Disposition.attached_pic
            streams = [s for s in container.streams.video if not s.disposition & cover]
            if not streams:
                raise ValueError(f"{path} has no video stream, only {_held(container)}.")
            streams[0].thread_type = "AUTO"
            yield container, streams[0]


def _held(container: Any) -> str:
    """What a file without video holds."""
    kinds = [stream.type for stream in container.streams]
    return ", ".join("a cover" if kind == "video" else kind for kind in kinds) or "nothing at all"


def _shown(timed: Iterator[tuple[Fraction, Any]], rate: Fraction) -> Iterator[tuple[Any, int]]:
    """Frames, each with the slot at which it is no longer shown; the first is shown from 0 on."""
    shown, time = None, Fraction(0)
    for time, frame in timed:
        if shown is not None:
            yield shown, ceil(time * rate)
        shown = frame
    if shown is not None:
        yield shown, floor(time * rate) + 1


def _timed(path: Any, container: Any, stream: Any, damaged: str) -> Iterator[tuple[Fraction, Any]]:
    """Frames in the order of their times, in seconds from the start of the file."""
    from av.error import FFmpegError

    start, rate = Fraction(container.start_time or 0, 10**6), stream.average_rate or Fraction(25)
    last, has_times = Fraction(-1), True
    try:
        for i, frame in enumerate(_decoded(path, container, stream, damaged)):
            has_times = has_times and frame.pts is not None
            time = frame.pts * frame.time_base - start if has_times else i / rate
            if time > last:
                last = time
                yield time, frame
    except (FFmpegError, OSError) as error:
        raise ValueError(
            f"{path} is damaged after second {max(float(last), 0):g}: {error.strerror}. To keep "
            'what can be decoded, pass damaged="skip".'
        ) from error
    if not has_times:
        _warn(
            f"{path} gives no times to its frames; it is taken for a video of {float(rate):g} "
            "frames a second. If it is of another rate, all intervals are off."
        )
    claimed = (stream.duration or 0) * stream.time_base or Fraction(container.duration or 0, 10**6)
    end = last + max(start, Fraction(0))  # some files count their duration from their own time 0
    if claimed - end > MISSING + 1 / rate:
        _warn(
            f"{path} ends at second {max(float(end), 0):g}, and should have {float(claimed):g}; "
            "is it cut off?"
        )


def _decoded(path: Any, container: Any, stream: Any, damaged: str) -> Iterator[Any]:
    """Frames as they are decoded; damage is an error, or counted and told."""
    from av.error import FFmpegError

    packets, n_damaged = container.demux(stream), 0
    while True:
        try:
            packet = next(packets, None)
            frames = [] if packet is None else packet.decode()
        except (FFmpegError, OSError):
            if damaged == "raise":
                raise
            n_damaged += 1
            continue
        if packet is None:
            break
        yield from frames
    if n_damaged:
        _warn(
            f"{path} is damaged: {n_damaged} of its packets could not be decoded. What they would "
            "have shown is bridged by the frames before them."
        )


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=2)
