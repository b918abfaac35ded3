"""An embedding of snippets, and those that are chosen, in all videos of a batch at once."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from skdgam.layers import TemporalConv
from skdgam.training.batches import Batch

__all__ = [
    "Chosen",
    "EmbeddingNetwork",
    "beside_edges",
    "extremes",
    "highest",
    "side_by_side",
]


class EmbeddingNetwork(nn.Module):
    """A convolution over time that describes snippets, and a classifier of what it says.

    Parameters
    ----------
    n_features, n_classes : int
    hidden : int or None
        Units of the convolution; None is as many as there are features.
    radius, classifier_radius : int, default=1 and 0
        Snippets to each side that the two layers look at.
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        hidden: int | None,
        radius: int = 1,
        classifier_radius: int = 0,
    ):
        super().__init__()
        self.reach = radius + classifier_radius
        width = hidden or n_features
        self.embedding = TemporalConv(n_features, width, radius, "zeros")
        self.classifier = TemporalConv(width, n_classes, classifier_radius, "zeros", bias=False)

    def describe(self, batch: Batch, dropout: float = 0.0) -> tuple[Tensor, Tensor]:
        """Features (n_rows, hidden), not negative, and logits (n_rows, n_classes).

        Dropout is that of the features before the classifier alone.
        """
        features = self.embedding(batch.x, batch).relu()
        logits = self.classifier(batch.dropout(features, dropout), batch)
        return features.float(), logits.float()


class Chosen(NamedTuple):
    """Rows of a batch, of which so many of each video count; the most that any video has.

    Attributes
    ----------
    rows : Tensor of int of shape (n_videos_here, most)
        Those of the highest value first.
    shares : Tensor of shape (n_videos_here, most)
        What each row is of the mean of its video: 0 where there is none.
    """

    rows: Tensor
    shares: Tensor

    def mean(self, values: Tensor) -> Tensor:
        """Mean of the rows of values (n_rows, k) in each video, (n_videos_here, k)."""
        return F.embedding_bag(self.rows, values, mode="sum", per_sample_weights=self.shares)


def side_by_side(values: Tensor, batch: Batch) -> Tensor:
    """Values (n_rows,) as (n_videos_here, longest), with 0 behind those of shorter videos."""
    return pad_sequence([*batch.of_videos(values)], batch_first=True)


def highest(values: Tensor, share: int, batch: Batch) -> Chosen:
    """Choose one snippet in `share` of each video, at least one: those of the highest values.

    Parameters
    ----------
    values : Tensor of shape (n_videos_here, longest), not negative
        As :func:`side_by_side` returns them. Of equal ones, the earlier goes first.
    share : int
    batch : Batch
    """
    counts = np.maximum(batch.lengths // share, 1)
    is_chosen = np.arange(counts.max()) < counts[:, None]
    shares = torch.from_numpy(np.float32(is_chosen / counts[:, None])).to(values.device)
    first = torch.from_numpy(np.cumsum(batch.lengths) - batch.lengths).to(values.device)
    position = values.sort(dim=1, descending=True, stable=True).indices[:, : counts.max()]
    return Chosen(first[:, None] + position * (shares > 0), shares)


def extremes(
    values: Tensor, shares: tuple[int, int], dropout: float, batch: Batch
) -> tuple[Chosen, Chosen]:
    """Choose the snippets of the highest values of each video, and those of the lowest.

    Parameters
    ----------
    values : Tensor of shape (n_rows,), not negative
    shares : pair of int
        One snippet in so many is among the highest, and among the lowest, at least one.
    dropout : float, in [0, 1)
        Share of the snippets that training leaves out, as long as there are others.
    batch : Batch
    """
    kept = batch.dropout(torch.ones_like(values)[:, None], dropout)[:, 0]
    below = side_by_side(values, batch).amax(dim=1)[batch.video] - values
    high, low = (side_by_side(kept * of_rows, batch) for of_rows in (values, below))
    return highest(high, shares[0], batch), highest(low, shares[1], batch)


def beside_edges(actionness: Tensor, lengths: np.ndarray) -> tuple[Tensor, Tensor]:
    """Where snippets are next to an edge of what exceeds its median, inside of it and outside.

    Both are what the windows -1 to 1 and -3 to 2 (inside: erosion), or -2 to 3 (outside: dilation)
    around a snippet do not agree on. Beyond the ends of a video nothing is high.

    Parameters
    ----------
    actionness : Tensor of shape (n_videos, longest), not negative
        With 0 behind shorter videos.
    lengths : ndarray of int of shape (n_videos,)

    Returns
    -------
    inside, outside : Tensors of shape (n_videos, longest), of 0 and 1
    """
    middle = torch.from_numpy(np.column_stack([(lengths - 1) // 2, lengths // 2]))
    falling = actionness.sort(dim=1, descending=True).values
    median = falling.gather(1, middle.to(actionness.device)).mean(dim=1, keepdim=True)
    around = F.pad((actionness > median).float(), (3, 3)).unfold(1, 7, 1)  # from -3 to 3
    near = around[..., 2:5]
    inside = near.amin(dim=-1) - around[..., :6].amin(dim=-1)
    outside = around[..., 1:].amax(dim=-1) - near.amax(dim=-1)
    return inside, outside
