"""Optical flow between the frames of a video, as networks that were trained on it take it."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import pairwise
from threading import local
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["BOUND", "METHODS", "import_cv2", "optical_flow", "quantized"]

BOUND = 20  # pixels from frame to frame; motion that is faster counts as this fast
METHODS = ("tvl1", "dis", "dis_fast")


def optical_flow(
    frames: Iterable[np.ndarray], method: str = "tvl1", n_jobs: int = 1
) -> Iterator[np.ndarray]:
    """Find how far what each frame shows has moved in the next one.

    Parameters
    ----------
    frames : iterable of n uint8 arrays of shape (height, width, 3)
        As :func:`skdgam.features.frames.read_frames` yields them, in the size in which a network
        sees them: flow is in pixels.
    method : {"tvl1", "dis", "dis_fast"}, default="tvl1"
        TV-L1 (Zach, Pock and Bischof, 2007), with the default parameters of OpenCV, is what the
        published networks were trained on. Dense inverse search (Kroeger et al., 2016), with
        OpenCV's presets "medium" and "fast", is about 60 and 500 times as fast, and is not the
        same: a network sees flow that it was not trained on.
    n_jobs : int, default=1
        Threads, each with a pair of frames.

    Yields
    ------
    flow : float32 ndarray of shape (height, width, 2)
        Motion to the right and down, in pixels. The last of n - 1 is yielded again, so that a
        video has as much flow as frames.

    Raises
    ------
    ImportError
        Without OpenCV, or for "tvl1" without its contributed modules:
        ``pip install "skdgam[flow]"``.
    ValueError
        If there is no such method, or if the frames differ in size.
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r}, but it must be one of {', '.join(METHODS)}.")
    cv2 = import_cv2(method)
    with ThreadPoolExecutor(n_jobs) as pool:
        flow = None
        for flow in _in_order(pool, _Flow(cv2, method), frames, at_once=2 * n_jobs):
            yield flow
        if flow is not None:
            yield flow


def quantized(flow: npt.ArrayLike) -> np.ndarray:
    """Turn flow into bytes, as the data sets that networks were trained on keep it.

    Parameters
    ----------
    flow : array-like
        In pixels.

    Returns
    -------
    quantized : uint8 ndarray
        0 for -20 pixels and less, 255 for 20 and more, and 128 for none, as denseflow has it:
        a network is given ``quantized / 127.5 - 1``.

    Examples
    --------
    >>> from skdgam.features.flow import quantized
    >>> quantized([-30.0, -20.0, 0.0, 1.0, 20.0])
    array([  0,   0, 128, 134, 255], dtype=uint8)
    """
    clipped = np.clip(np.asarray(flow), -BOUND, BOUND)
    return np.rint((clipped + BOUND) * (255 / (2 * BOUND))).astype(np.uint8)


class _Flow:
    """Flow of a pair of frames; each thread has an object of OpenCV's of its own."""

    def __init__(self, cv2: ModuleType, method: str):
        self.cv2, self.method, self.here = cv2, method, local()

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        if first.shape != second.shape:
            raise ValueError(
                f"A frame has shape {first.shape[:2]}, and the next {second.shape[:2]}; all "
                "must have one, such as by resize=(height, width)."
            )
        if first is second:  # a frame that is shown again
            return np.zeros((*first.shape[:2], 2), dtype=np.float32)
        if not hasattr(self.here, "flow"):
            self.here.flow = self._make()
        grey = (self.cv2.cvtColor(x, self.cv2.COLOR_RGB2GRAY) for x in (first, second))
        return self.here.flow.calc(*grey, None)

    def _make(self) -> Any:
        if self.method == "tvl1":
            return self.cv2.optflow.DualTVL1OpticalFlow_create()
        preset = "MEDIUM" if self.method == "dis" else "FAST"
        return self.cv2.DISOpticalFlow_create(getattr(self.cv2, f"DISOPTICAL_FLOW_PRESET_{preset}"))


def _in_order(
    pool: Executor, flow: _Flow, frames: Iterable[np.ndarray], at_once: int
) -> Iterator[np.ndarray]:
    """Flow of each pair in order, with so many pairs in work or waiting."""
    waiting: deque = deque()
    for first, second in pairwise(frames):
        waiting.append(pool.submit(flow, first, second))
        if len(waiting) == at_once:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def import_cv2(method: str) -> ModuleType:
    """Import what a method needs, or say how it is installed."""
    try:
        import cv2
    except ImportError as error:
        raise ImportError('Optical flow needs OpenCV: pip install "skdgam[flow]".') from error
    if method == "tvl1" and not hasattr(cv2, "optflow"):
        raise ImportError(
            'method="tvl1" needs OpenCV with its contributed modules, which are one package: '
            'pip uninstall opencv-python opencv-python-headless, then pip install "skdgam[flow]".'
        )
    return cv2
