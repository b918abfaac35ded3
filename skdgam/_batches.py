"""Sampled videos as rows of snippets, in pieces that fit a cache."""

import warnings
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from skdgam._features import Videos
from skdgam.sampling import mirrored_window

SMOOTHING_RADIUS = 4  # of the window of Eq. 13, in snippets
ROWS = 64  # that chunks have a multiple of
ROWS_AT_ONCE = 3_200  # in a chunk on a CPU: what one operation writes, the next finds in a cache
SHARE_OF_FREE = 0.7  # of a GPU's memory, that features may take


class Chunk(NamedTuple):
    """Some videos of a batch as rows of snippets, one video after the other."""

    features: Tensor  # (n_rows, n_features), of the dtype that products with them have
    seen: Tensor  # (n_rows, ...): what attention and classifier are given, see in_context
    shares: Tensor  # (n_rows,): those weights, as shares that sum to 1 in the batch
    membership: Tensor  # (n_videos, n_rows): weight of a row in its video, else 0
    video: Tensor  # (n_rows,): line of membership that a row belongs to
    neighbours: Tensor  # (n_rows, window): rows under the smoothing window
    is_labelled: Tensor  # (n_videos, n_classes + 1): labels as 0 and 1, background last
    n_videos: int  # in the batch
    keep: Tensor | None = None  # (width, n_rows): factors of dropout for the hidden layer


def split(lengths: np.ndarray, device: torch.device) -> Iterator[np.ndarray]:
    """Yield the videos of each chunk of a batch, as indices; lengths are those of videos."""
    if device.type != "cpu":
        yield np.arange(len(lengths))
        return
    n_chunks = max(round(lengths.sum() / ROWS_AT_ONCE), 1)
    middle = np.cumsum(lengths) - lengths / 2
    chunk = (middle * n_chunks / lengths.sum()).astype(int)
    for k in range(n_chunks):
        if (chunk == k).any():
            yield np.flatnonzero(chunk == k)


def make_chunk(
    features: Tensor,
    lengths: np.ndarray,
    n_snippets: int,
    is_labelled: np.ndarray,
    n_videos: int,
    seen: Tensor | None = None,
    keep: Tensor | None = None,
) -> Chunk:
    """Say of rows, (n_rows, ...), what belongs to which video and how much it counts.

    The first ``lengths.sum()`` rows are those of the videos. Each counts as `n_snippets` snippets
    in a batch of `n_videos`. A shorter one weighs each of its snippets more, which is what
    repeating them comes to, without the work. The rows behind have no weight.
    """
    n_rows, n_padded = lengths.sum(), len(features)
    video = np.zeros(n_padded, dtype=np.int64)
    video[:n_rows] = np.repeat(np.arange(len(lengths)), lengths)
    membership = np.zeros((len(lengths), n_padded), dtype=np.float32)
    membership[video[:n_rows], np.arange(n_rows)] = (n_snippets / lengths)[video[:n_rows]]
    background = np.zeros((len(lengths), 1))
    arrays = (
        membership.sum(axis=0) / np.float32(n_videos * n_snippets),
        membership,
        video,
        windows(lengths, SMOOTHING_RADIUS, n_padded),
        np.concatenate([is_labelled, background], axis=1, dtype=np.float32),
    )
    on_device = (torch.from_numpy(array).to(features.device) for array in arrays)
    return Chunk(features, features if seen is None else seen, *on_device, n_videos, keep)


def windows(lengths: np.ndarray, radius: int, n_rows: int) -> np.ndarray:
    """Rows (n_rows, 2 * radius + 1) around each row, mirrored at the ends of its video.

    `lengths` are those of the videos, which lie one after the other. Rows behind have row 0 around.
    """
    rows = np.zeros((n_rows, 2 * radius + 1), dtype=np.int64)
    first = np.cumsum(lengths) - lengths
    of_videos = [_window(int(n), radius) + start for n, start in zip(lengths, first, strict=True)]
    np.concatenate(of_videos, out=rows[: lengths.sum()])
    return rows


def in_context(features: Tensor, lengths: np.ndarray, temporal_context: int) -> Tensor:
    """Each row, (n_rows, n_features), beside those around it in its video.

    That is (n_rows, (2 * temporal_context + 1) * n_features), with the earliest row first.
    """
    if not temporal_context:
        return features
    rows = windows(lengths, temporal_context, len(features))
    return features[torch.from_numpy(rows).to(features.device)].flatten(1)


class HostFeatures:
    """Features that stay where they are; those of a chunk are brought to the device.

    Parameters
    ----------
    videos : Videos
    device : torch.device
    dtype : torch.dtype
        Of the rows.
    """

    def __init__(self, videos: Videos, device: torch.device, dtype: torch.dtype):
        self.lengths, self.device = videos.lengths, device
        self._videos, self._dtype = videos, dtype

    def rows(self, chosen: np.ndarray, drawn: list[slice | np.ndarray]) -> Tensor:
        """Drawn snippets of some videos, one after the other, and behind them rows of zeros.

        These fill up a number of rows that kernels are ready for: some are prepared anew for each
        shape that they meet.
        """
        videos = [self._videos[i][drawn[i]] for i in chosen]
        stops = np.cumsum([len(video) for video in videos])
        rows = torch.empty((padded(stops[-1]), videos[0].shape[1]), dtype=self._dtype)
        for video, stop in zip(videos, stops, strict=True):
            rows[stop - len(video) : stop] = to_tensor(video)
        rows[stops[-1] :] = 0
        return rows.to(self.device)


class DeviceFeatures:
    """Features that are on the device once and for all; as :class:`HostFeatures` otherwise."""

    def __init__(self, videos: Videos, device: torch.device, dtype: torch.dtype):
        self.lengths, self.device = videos.lengths, device
        stops = np.cumsum(videos.lengths)
        self._first = stops - videos.lengths
        self._rows = torch.zeros((stops[-1] + 1, videos.n_features), dtype=dtype, device=device)
        for video, stop in zip(videos, stops, strict=True):
            self._rows[stop - len(video) : stop] = to_tensor(video).to(device)

    def rows(self, chosen: np.ndarray, drawn: list[slice | np.ndarray]) -> Tensor:
        """Drawn snippets of some videos, one after the other, and behind them rows of zeros."""
        index = [self._first[i] + np.arange(self.lengths[i])[drawn[i]] for i in chosen]
        n_rows = sum(map(len, index))
        zeros = np.full(padded(n_rows) - n_rows, len(self._rows) - 1)
        return self._rows[torch.from_numpy(np.concatenate([*index, zeros])).to(self.device)]


def place(
    videos: Videos, device: torch.device, dtype: torch.dtype
) -> HostFeatures | DeviceFeatures:
    """Put features where training reads them: on the device, if it has room for them."""
    if device.type == "cpu":
        return HostFeatures(videos, device, dtype)
    size = videos.lengths.sum() * videos.n_features * dtype.itemsize
    free, _ = torch.cuda.mem_get_info(device)
    if size > SHARE_OF_FREE * free:
        warnings.warn(
            f"The features take {size / 2**30:.1f} GiB, but {device} has {free / 2**30:.1f} GiB "
            "free; every batch is copied to it anew, which is slower.",
            UserWarning,
            stacklevel=2,
        )
        return HostFeatures(videos, device, dtype)
    return DeviceFeatures(videos, device, dtype)


def padded(n_rows: int) -> int:
    """Round a number of rows up to one that kernels are ready for."""
    return -(-int(n_rows) // ROWS) * ROWS


@lru_cache(maxsize=1024)
def _window(n: int, radius: int) -> np.ndarray:
    return mirrored_window(n, radius)


def to_tensor(array: np.ndarray) -> Tensor:
    """Wrap an array; what is read-only, as memory maps are, is copied, for no tensor is."""
    return torch.from_numpy(np.require(array, requirements="W"))
