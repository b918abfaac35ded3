"""The network of methods with two streams that filter each other."""

import torch
from torch import Tensor, nn

from skdgam.layers import Linear, TemporalConv, kaiming_uniform
from skdgam.methods._suppression import TemporalAttention, leaky, moving_average
from skdgam.training.batches import Batch

__all__ = ["ConsensusNetwork"]


class Consensus(nn.Module):
    """What the whole of one stream and each snippet of the other one let through of it."""

    def __init__(self, n_main: int, n_other: int, attention_width: int):
        super().__init__()
        self.of_video = Linear(n_main, n_main)
        self.of_snippets = TemporalConv(n_other, n_main, 1, padding="zeros")
        self.attention = TemporalAttention(n_main, attention_width)

    def initialize(self, generator: torch.Generator) -> None:
        """Draw all weights by the rule of He.

        Released, the layer on whole videos is a convolution of three snippets, two of which are 0.
        """
        kaiming_uniform(self, generator)
        bound = (6 / (3 * self.of_video.in_features)) ** 0.5
        nn.init.uniform_(self.of_video.weight, -bound, bound, generator=generator)

    def forward(
        self, main: Tensor, other: Tensor, batch: Batch, dropout: float
    ) -> tuple[Tensor, Tensor]:
        """Filtered features (n_rows, n_main), and their attention (n_rows, 1)."""
        mean = batch.membership @ main.float() / batch.membership.sum(dim=1, keepdim=True)
        of_video = leaky(self.of_video(mean.to(main.dtype)))[batch.video]
        of_video = batch.channel_dropout(of_video, dropout)
        of_snippets = batch.dropout(leaky(self.of_snippets(other, batch)), dropout)
        main = main * (of_video * of_snippets).sigmoid()
        logits = batch.dropout(self.attention(main, batch, dropout), dropout)
        return main, logits.float().sigmoid()


class ConsensusNetwork(nn.Module):
    """Two streams that filter each other, and a classifier of C + 1 columns, background the last.

    The streams are the two halves of the features; of an odd number, the second one has one more.
    """

    reach = None  # what is let through depends on the whole of a video

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        *,
        hidden: int | None,
        attention_width: int,
        smoothing_radius: int,
    ):
        super().__init__()
        hidden, first = hidden or n_features, max(n_features // 2, 1)
        second = n_features - n_features // 2
        self.columns = slice(0, first), slice(n_features - second, n_features)
        self.radius = smoothing_radius
        self.first = Consensus(first, second, attention_width)
        self.second = Consensus(second, first, attention_width)
        self.fusion = Linear(first + second, hidden)
        self.convolution = TemporalConv(hidden, hidden, 1, padding="zeros")
        self.classifier = Linear(hidden, n_classes + 1)

    def initialize(self, generator: torch.Generator) -> None:
        """Draw the weights behind the two streams by the rule of He."""
        for layer in (self.fusion, self.convolution, self.classifier):
            kaiming_uniform(layer, generator)

    def describe(
        self, batch: Batch, dropout: float = 0.0, attention_dropout: float = 0.0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Features (n_rows, hidden), logits (n_rows, n_classes + 1) and attention (n_rows, 3).

        Columns of attention are the mean of both streams, the first stream and the second one.
        """
        one, other = (batch.x[:, columns] for columns in self.columns)
        first, of_first = self.first(one, other, batch, attention_dropout)
        second, of_second = self.second(other, one, batch, attention_dropout)
        fused = leaky(self.fusion(torch.cat([first, second], dim=1)))
        features = batch.dropout(fused, dropout)
        x = leaky(self.convolution(batch.dropout(features, dropout), batch))
        logits = self.classifier(batch.dropout(x, dropout)).float()
        columns = [(of_first + of_second) / 2, of_first, of_second, logits]
        smoothed = moving_average(torch.cat(columns, dim=1), batch, self.radius)
        return features.float(), smoothed[:, 3:], smoothed[:, :3]

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean attention (n_rows,) of both streams, and logits (n_rows, n_classes + 1)."""
        _, logits, attention = self.describe(batch)
        return attention[:, 0], logits
