"""Sampled videos as rows of snippets, in pieces that fit a cache."""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from skdgam.sampling import mirrored_window

SMOOTHING_RADIUS = 4  # of the window of Eq. 13, in snippets
ROWS = 64  # that chunks have a multiple of
ROWS_AT_ONCE = 3_200  # in a chunk on a CPU: what one operation writes, the next finds in a cache


class Chunk(NamedTuple):
    """Some videos of a batch as rows of snippets, one video after the other."""

    features: Tensor  # (n_rows, n_features), of the dtype that products with them have
    shares: Tensor  # (n_rows,): those weights, as shares that sum to 1 in the batch
    membership: Tensor  # (n_videos, n_rows): weight of a row in its video, else 0
    video: Tensor  # (n_rows,): line of membership that a row belongs to
    neighbours: Tensor  # (n_rows, window): rows under the smoothing window
    is_labelled: Tensor  # (n_videos, n_classes + 1): labels as 0 and 1, background last
    n_videos: int  # in the batch


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
    videos: list[np.ndarray],
    n_snippets: int,
    is_labelled: np.ndarray,
    n_videos: int,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Chunk:
    """Put sampled videos, each of (n_snippets_i, n_features), together.

    Every video counts as `n_snippets` snippets in a batch of `n_videos`. A shorter one weighs
    each of its snippets more, which is what repeating them comes to, without the work. Features
    are of the `dtype` that products with them shall have. Rows of no weight fill up a number of
    them that kernels are ready for: some are prepared anew for each shape that they meet.
    """
    lengths = np.array([len(video) for video in videos])
    n_rows = lengths.sum()
    n_padded = -(-n_rows // ROWS) * ROWS
    first = np.cumsum(lengths) - lengths
    features = torch.empty((n_padded, videos[0].shape[1]), dtype=dtype)
    features[n_rows:] = 0
    for video, start in zip(videos, first, strict=True):
        features[start : start + len(video)] = to_tensor(video)
    video = np.zeros(n_padded, dtype=np.int64)
    video[:n_rows] = np.repeat(np.arange(len(videos)), lengths)
    membership = np.zeros((len(videos), n_padded), dtype=np.float32)
    membership[video[:n_rows], np.arange(n_rows)] = (n_snippets / lengths)[video[:n_rows]]
    neighbours = np.zeros((n_padded, 2 * SMOOTHING_RADIUS + 1), dtype=np.int64)
    windows = [_window(int(n)) + start for n, start in zip(lengths, first, strict=True)]
    np.concatenate(windows, out=neighbours[:n_rows])
    background = np.zeros((len(videos), 1))
    arrays = (
        membership.sum(axis=0) / np.float32(n_videos * n_snippets),
        membership,
        video,
        neighbours,
        np.concatenate([is_labelled, background], axis=1, dtype=np.float32),
    )
    return Chunk(
        features.to(device), *(torch.from_numpy(array).to(device) for array in arrays), n_videos
    )


@lru_cache(maxsize=1024)
def _window(n: int) -> np.ndarray:
    return mirrored_window(n, SMOOTHING_RADIUS)


def to_tensor(array: np.ndarray) -> Tensor:
    """Wrap an array; what is read-only, as memory maps are, is copied, for no tensor is."""
    return torch.from_numpy(np.require(array, requirements="W"))
