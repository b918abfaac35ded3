"""Sampled videos as rows of snippets, in pieces that fit a cache."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor
from torch.nn import functional as F

from skdgam._features import Videos
from skdgam.sampling import mirrored_window

__all__ = ["Batch", "Deviates", "DeviceFeatures", "HostFeatures", "place", "split"]

ROWS = 64  # that batches have a multiple of
# Bytes of one layer's 128 units that a piece has on a CPU: what one operation writes, the next one
# finds in a cache.
BYTES_AT_ONCE = 3_200 * 128 * 4
SHARE_OF_FREE = 0.7  # of a GPU's memory, that features may take
# Normal deviates, drawn once: a piece of them from a random place is what a batch is given. To
# draw them anew each time would take a sixth of the training, and on one core only.
N_DEVIATES = 2**22


class Deviates:
    """Normal deviates, of which pieces from random places are taken; made when they are needed.

    Parameters
    ----------
    seed : int
    device, dtype
        Where the deviates are, and of which type.
    """

    def __init__(self, seed: int, device: torch.device, dtype: torch.dtype):
        self._seed, self._device, self._dtype = seed, device, dtype

    @cached_property
    def _drawn(self) -> Tensor:
        return self._draw((N_DEVIATES,), self._seed, self._device).to(self._dtype)

    def take(self, n: int, m: int, rng: np.random.Generator) -> Tensor:
        """Deviates (n, m). Few are a piece of those that were drawn; many are drawn anew."""
        if 2 * n * m > N_DEVIATES:
            return self._draw((n, m), int(rng.integers(2**63)), self._device).to(self._dtype)
        first = int(rng.integers(N_DEVIATES - n * m))
        return self._drawn[first : first + n * m].view(n, m)

    @staticmethod
    def _draw(shape: tuple[int, ...], seed: int, device: torch.device) -> Tensor:
        generator = torch.Generator(device).manual_seed(seed)
        return torch.randn(shape, generator=generator, dtype=torch.float32, device=device)


@dataclass(frozen=True, eq=False)
class Batch:
    """Whole videos as rows of snippets, one video after the other: what losses are computed on.

    Behind the rows of the videos there may be more, of zeros and without any weight, which fill
    up a number of rows that kernels are ready for.

    Attributes
    ----------
    x : Tensor of shape (n_rows, n_features)
        Features, in the dtype of products.
    lengths : ndarray of int
        Rows of each video.
    labels : Tensor of shape (n_videos_here, n_classes), of 0 and 1
    n_snippets : ndarray of int
        How many snippets each video counts as. A shorter one weighs each of its snippets more,
        which is what repeating them comes to, without the work.
    n_videos : int
        Videos of the whole batch, of which these may be a piece.
    weights : ndarray of shape (n_videos_here,), or None
        How much each video counts; their mean over all of a training is 1. None is 1 for each.
    epoch : int
        Epochs that have been trained before.
    progress : float, in [0, 1)
        How far the training is.
    n_pairs : int
        How many pairs of videos with a class in common there are: video 0 with 1, 2 with 3, ….
    snippet_labels : Tensor of shape (n_rows, n_classes), of 0 and 1, or None
        Which classes each row shows. None but for methods that learn from intervals.
    counts : Tensor of shape (n_videos_here, n_classes), or None
        How often each video shows each class; -1 is unknown. None but for methods that count.
    """

    x: Tensor
    lengths: np.ndarray
    labels: Tensor
    n_snippets: np.ndarray
    n_videos: int
    weights: np.ndarray | None = None
    epoch: int = 0
    progress: float = 0.0
    n_pairs: int = 0
    snippet_labels: Tensor | None = None
    counts: Tensor | None = None
    deviates: Deviates | None = None  # None: nothing is random, as for localization
    rng: np.random.Generator | None = None

    @cached_property
    def video(self) -> Tensor:
        """Which of the videos each row (n_rows,) belongs to; 0 for rows without weight."""
        video = np.zeros(len(self.x), dtype=np.int64)
        video[: self.lengths.sum()] = np.repeat(np.arange(len(self.lengths)), self.lengths)
        return torch.from_numpy(video).to(self.x.device)

    @cached_property
    def membership(self) -> Tensor:
        """Weight of each row in its video, (n_videos_here, n_rows), and 0 in the others."""
        weights = np.zeros((len(self.lengths), len(self.x)), dtype=np.float32)
        first = 0
        for row, n, counts_as in zip(weights, self.lengths, self.n_snippets, strict=True):
            row[first : first + n] = counts_as / n
            first += n
        return torch.from_numpy(weights).to(self.x.device)

    @cached_property
    def shares(self) -> Tensor:
        """What each row (n_rows,) is of the mean over snippets and videos."""
        shares = np.zeros(len(self.x), dtype=np.float32)
        weights = 1 if self.weights is None else self.weights
        of_rows = np.repeat(weights / (self.lengths * self.n_videos), self.lengths)
        shares[: len(of_rows)] = of_rows
        return torch.from_numpy(shares).to(self.x.device)

    def mean(self, values: Tensor) -> Tensor:
        """Mean of values (n_rows,) over the snippets of each video, and then over videos.

        Each video counts by its weight. Of a piece of a batch it is this piece's contribution.
        """
        return values.float() @ self.shares

    def mean_of_videos(self, values: Tensor) -> Tensor:
        """Mean of values (n_videos_here,) over videos, each of which counts by its weight.

        Of a piece of a batch it is this piece's contribution.
        """
        if self._weights_there is not None:
            values = values * self._weights_there
        return values.sum() / self.n_videos

    @cached_property
    def _weights_there(self) -> Tensor | None:
        """The weights of the videos where the rows are."""
        if self.weights is None:
            return None
        return torch.from_numpy(self.weights).to(self.x.device, torch.float32)

    def of_videos(self, values: Tensor) -> tuple[Tensor, ...]:
        """Split values (n_rows, ...) into those of each video."""
        return values[: self.lengths.sum()].split(self.lengths.tolist())

    def neighbours(self, radius: int) -> Tensor:
        """Rows (n_rows, 2 * radius + 1) around each row, mirrored at the ends of its video."""
        return self._around(radius, beyond=None)

    def _around(self, radius: int, beyond: int | None) -> Tensor:
        """Rows around each row, made and brought to the device once for all layers."""
        if (radius, beyond) not in self._windows_made:
            rows = torch.from_numpy(_windows(self.lengths, radius, len(self.x), beyond))
            self._windows_made[radius, beyond] = rows.to(self.x.device)
        return self._windows_made[radius, beyond]

    @cached_property
    def _windows_made(self) -> dict[tuple[int, int | None], Tensor]:
        return {}

    def windows(self, values: Tensor, radius: int, padding: str = "mirror") -> Tensor:
        """Each row of values (n_rows, k) beside those around it: (n_rows, (2 * radius + 1) * k).

        The earliest row comes first. Beyond the ends of a video they are mirrored, or 0 for
        ``padding="zeros"``.
        """
        if not radius:
            return values
        if padding == "mirror":
            return values[self.neighbours(radius)].flatten(1)
        rows = self._around(radius, beyond=len(values))
        return F.pad(values, (0, 0, 0, 1))[rows].flatten(1)

    def noise(self, width: int) -> Tensor:
        """Standard normal deviates (n_rows, width), in the dtype of products."""
        if self.deviates is None or self.rng is None:
            raise ValueError("A batch for localization has no noise.")
        return self.deviates.take(len(self.x), width, self.rng)

    def dropout(self, values: Tensor, share: float) -> Tensor:
        """Set a share of the values (n_rows, k) to 0 in training, and scale up the others."""
        if not share or self.deviates is None:
            return values
        dropout_mask = self.noise(values.shape[1]) > ndtri(share)
        return values * dropout_mask.to(values.dtype).mul_(1 / (1 - share))

    def channel_dropout(self, values: Tensor, share: float) -> Tensor:
        """Dropout of whole columns: all rows of a video lack the same of the values (n_rows, k)."""
        if not share or self.deviates is None:
            return values
        first = torch.from_numpy(np.cumsum(self.lengths) - self.lengths).to(values.device)
        return values * self.dropout(torch.ones_like(values), share)[first][self.video]

    def mean_of_pairs(self, values: Sequence[Tensor], counts: Sequence[Tensor]) -> Tensor:
        """Sum of values of all pairs over the sum of their counts, a scalar of each for a pair.

        A pair counts by the product of the weights of its videos. Without any count it is 0.
        """
        if not self.n_pairs:
            return torch.zeros((), device=self.x.device, dtype=torch.float32)
        of_pairs = torch.stack([*values])
        if self._weights_there is not None:
            of_pairs = of_pairs * self._weights_there[: 2 * self.n_pairs].view(-1, 2).prod(dim=1)
        return of_pairs.sum() / torch.stack([*counts]).sum().clamp_min(1)


class PlacedVideos:
    """What batches take of videos, wherever their features are.

    Parameters
    ----------
    videos : Videos
    device : torch.device
    dtype : torch.dtype
        Of the rows.
    """

    def __init__(self, videos: Videos, device: torch.device, dtype: torch.dtype):
        self.lengths, self.weights, self._counts = videos.lengths, videos.weights, videos.counts
        self.device, self.dtype = device, dtype
        self._snippet_labels = videos.snippet_labels

    def snippet_labels(self, chosen: np.ndarray, drawn: list[slice | np.ndarray]) -> Tensor | None:
        """Labels of the rows that ``rows`` returns for the same videos, if there are any."""
        if self._snippet_labels is None:
            return None
        labels = [self._snippet_labels[i][drawn[i]] for i in chosen]
        return to_rows(labels, torch.float32).to(self.device)

    def counts(self, chosen: np.ndarray) -> Tensor | None:
        """How often some videos show each class, if that is known."""
        return (
            None if self._counts is None else torch.from_numpy(self._counts[chosen]).to(self.device)
        )


class HostFeatures(PlacedVideos):
    """Features that stay where they are; those of a batch are brought to the device."""

    def __init__(self, videos: Videos, device: torch.device, dtype: torch.dtype):
        super().__init__(videos, device, dtype)
        self._videos = videos

    def rows(self, chosen: np.ndarray, drawn: list[slice | np.ndarray]) -> Tensor:
        """Drawn snippets of some videos, one after the other, and behind them rows of zeros.

        These fill up a number of rows that kernels are ready for: some are prepared anew for each
        shape that they meet.
        """
        return to_rows([self._videos.rows(i, drawn[i]) for i in chosen], self.dtype).to(self.device)


class DeviceFeatures(PlacedVideos):
    """Features that are on the device once and for all; as :class:`HostFeatures` otherwise."""

    def __init__(self, videos: Videos, device: torch.device, dtype: torch.dtype):
        super().__init__(videos, device, dtype)
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


def split(lengths: np.ndarray, device: torch.device, dtype: torch.dtype) -> Iterator[np.ndarray]:
    """Yield the videos of each piece of a batch, as indices; lengths are those of videos."""
    if device.type != "cpu":
        yield np.arange(len(lengths))
        return
    rows_at_once = BYTES_AT_ONCE / (128 * dtype.itemsize)
    n_pieces = max(round(lengths.sum() / rows_at_once), 1)
    middle = np.cumsum(lengths) - lengths / 2
    piece = (middle * n_pieces / lengths.sum()).astype(int)
    for k in range(n_pieces):
        if (piece == k).any():
            yield np.flatnonzero(piece == k)


def to_rows(videos: list[np.ndarray], dtype: torch.dtype) -> Tensor:
    """Put the snippets of videos one after the other, and rows of zeros behind them."""
    stops = np.cumsum([len(video) for video in videos])
    rows = torch.empty((padded(stops[-1]), videos[0].shape[1]), dtype=dtype)
    for video, stop in zip(videos, stops, strict=True):
        rows[stop - len(video) : stop] = to_tensor(video)
    rows[stops[-1] :] = 0
    return rows


def padded(n_rows: int) -> int:
    """Round a number of rows up to one that kernels are ready for."""
    return -(-int(n_rows) // ROWS) * ROWS


def to_tensor(array: np.ndarray) -> Tensor:
    """Wrap an array; what is read-only, as memory maps are, is copied, for no tensor is."""
    return torch.from_numpy(np.require(array, requirements="W"))


def _windows(
    lengths: np.ndarray, radius: int, n_rows: int, beyond: int | None = None
) -> np.ndarray:
    """Rows (n_rows, 2 * radius + 1) around each row of videos that lie one after the other.

    Beyond the ends of a video they are mirrored, or `beyond` if it is given. Rows behind the
    videos have row 0 around.
    """
    rows = np.zeros((n_rows, 2 * radius + 1), dtype=np.int64)
    first = 0
    for n in lengths.tolist():
        window, inside = _window(n, radius)
        rows[first : first + n] = window + first
        if beyond is not None:
            rows[first : first + n][~inside] = beyond
        first += n
    return rows


@lru_cache(maxsize=1024)
def _window(n: int, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Mirrored window around each snippet of a video, and which of its places are inside."""
    position = np.arange(n)[:, None] + np.arange(-radius, radius + 1)
    return mirrored_window(n, radius), (position >= 0) & (position < n)
