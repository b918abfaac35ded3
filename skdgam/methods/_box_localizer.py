"""What methods that predict boxes have in common: the network, the losses, and boxes of videos."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn
from torch.nn import functional as F

from skdgam import losses
from skdgam.base import BaseLocalizer
from skdgam.intervals import make_intervals
from skdgam.layers import Linear, TemporalConv
from skdgam.localization import Activation
from skdgam.methods._boxes import Boxes, Evaluation, box_loss, lengths_of_anchors, select_boxes
from skdgam.methods._localization import fused
from skdgam.methods._settings import COUNT, SHARE, WEIGHT
from skdgam.training.batches import Batch
from skdgam.training.protocol import LossTerms, Stage

__all__ = ["BoxLocalizer", "BoxNetwork"]

OVERLAP = 0.4  # tIoU of boxes of which training keeps the best one

Stream = tuple[np.ndarray, np.ndarray]  # probability (n_snippets, n_classes), attention logits


class BoxNetwork(nn.Module):
    """Linear probability and attention, and three convolutions that predict boxes.

    Parameters
    ----------
    n_features, n_classes : int
    n_anchors, shortest_anchor : int
        Anchors at each snippet, and snippets of the shortest one; each is twice the one before.
    hidden : int
        Units of each convolution.
    """

    reach = 3

    def __init__(
        self, n_features: int, n_classes: int, *, n_anchors: int, shortest_anchor: int, hidden: int
    ):
        super().__init__()
        self.n_anchors, self.shortest_anchor = n_anchors, shortest_anchor
        self.classifier, self.attention = Linear(n_features, n_classes), Linear(n_features, 1)
        widths = n_features, hidden, hidden, hidden
        self.convolutions = nn.ModuleList(
            TemporalConv(a, b, 1, padding="zeros") for a, b in zip(widths, widths[1:], strict=False)
        )
        self.boxes = Linear(hidden, 2 * n_anchors)

    def initialize(self, generator: torch.Generator) -> None:
        """Draw weights of the last layer from a normal distribution of deviation 0.01."""
        nn.init.normal_(self.boxes.weight, std=0.01, generator=generator)
        nn.init.zeros_(self.boxes.bias)

    def select(self, batch: Batch, dropout: float = 0.0) -> tuple[Tensor, Tensor]:
        """Logits (n_rows, n_classes), and those (n_rows,) of attention."""
        x = batch.dropout(batch.x, dropout)
        return self.classifier(x).float(), self.attention(x)[:, 0].float()

    def regress(self, batch: Batch) -> Tensor:
        """The δx and δw (n_rows, 2 * n_anchors) of all anchors."""
        x = batch.x
        for convolution in self.convolutions:
            x = F.leaky_relu(convolution(x, batch), 0.1)
        return self.boxes(x).float()

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Sigmoid (n_rows,) of attention; logits of classes and attention, δx and δw."""
        logits, attention = self.select(batch)
        return attention.sigmoid(), torch.column_stack([logits, attention, self.regress(batch)])


class BoxLocalizer(BaseLocalizer):
    """A method that predicts boxes, which learn to stand out of heat.

    Heat is the probability of a class where attention is high. Probability and attention are
    trained beside the boxes, by soft selection. A subclass says how boxes are scored,
    ``_evaluate``, and which classes of a video are searched for.
    """

    _network = BoxNetwork
    _architecture = ("n_anchors", "shortest_anchor", "hidden")

    n_anchors: int = 6
    shortest_anchor: int = 1
    hidden: int = 128
    box_rate: float = 1e-3
    dropout: float = 0.8
    n_snippets: int | None = None
    nms_threshold: float = 0.4

    _exclusive_classes = True
    _parameter_constraints = BaseLocalizer._parameter_constraints | {
        **dict.fromkeys(("shortest_anchor", "hidden"), COUNT),
        "n_anchors": [Interval(Integral, 1, 16, closed="both")],
        "box_rate": WEIGHT,
        "dropout": SHARE,
        "localization": [StrOptions({"tcam"})],
    }

    def _evaluate(self, heat: np.ndarray, boxes: Boxes) -> Evaluation:
        """Score boxes by the heat of a class."""
        raise NotImplementedError

    def _stages(self) -> list[Stage]:
        plain = {"convolutions.": self.box_rate, "boxes.": self.box_rate}
        return [Stage("network", ("",), self._losses, plain=plain)]

    def _losses(self, network: Any, batch: Batch) -> LossTerms:
        logits, attention = map(batch.of_videos, network.select(batch, self.dropout))
        p = torch.stack(
            [losses.soft_selection(s, a) for s, a in zip(logits, attention, strict=True)]
        )
        loss = -(losses.equal_shares(batch.labels) * p.clamp_min(1e-20).log()).sum(dim=1)
        with torch.no_grad():  # boxes have no part in what is hot
            streams = zip(*map(batch.of_videos, network.select(batch)), strict=True)
            heats = [_heat([(s.softmax(dim=1).cpu().numpy(), a.cpu().numpy())]) for s, a in streams]
        anchors = lengths_of_anchors(network.n_anchors, network.shortest_anchor, batch.x.device)
        boxes = [Boxes.of(delta, anchors) for delta in batch.of_videos(network.regress(batch))]
        classes = [labels.nonzero()[:, 0].tolist() for labels in batch.labels]
        contrasts = [
            box_loss(*of_video, self._evaluate, OVERLAP)
            for of_video in zip(heats, classes, boxes, strict=True)
        ]
        return {
            "classification": (1.0, batch.mean_of_videos(loss)),
            "contrast": (1.0, batch.mean_of_videos(torch.stack(contrasts))),
        }

    def _class_probability(self, network: Any, logits: Tensor) -> Tensor:
        return logits[:, : network.classifier.out_features].softmax(dim=1)

    def _streams(self, activation: Activation, others: Sequence[Activation]) -> list[Stream]:
        """What each stream says of the snippets, that of this one first."""
        n_classes = len(activation.probability)
        return [
            (softmax(stream.tcam[:, :n_classes], axis=1), stream.tcam[:, n_classes])
            for stream in (activation, *others)
        ]

    def _kept(
        self, activation: Activation, streams: Sequence[Stream], columns: np.ndarray
    ) -> np.ndarray:
        """Boxes of these classes that are kept: first and last snippet, column and score."""
        heat = _heat(streams, self.stream_weight)
        shape = self._fitted_architecture()
        anchors = lengths_of_anchors(shape["n_anchors"], shape["shortest_anchor"])
        # Behind the logits of the classes are that of attention, δx and δw.
        delta = activation.tcam[:, len(activation.probability) + 1 :]
        boxes = Boxes.of(torch.from_numpy(delta), anchors)
        kept = [make_intervals([], [], np.zeros(0, dtype=int), [])]
        for column in columns:
            chosen, score, _ = select_boxes(
                heat[:, column], boxes, self._evaluate, self.nms_threshold
            )
            first, last = (edge[chosen] for edge in boxes.inner)
            kept.append(make_intervals(first, last, column, score))
        return np.concatenate(kept)


def _heat(streams: Sequence[Stream], stream_weight: float = 1.0) -> np.ndarray:
    """Mean probability (n_snippets, n_classes) of streams, times the share whose attention is high.

    Attention is high above its mean in the video.
    """
    probability = fused([p for p, _ in streams], stream_weight)
    is_high = fused([(a > a.mean()).astype(float) for _, a in streams], stream_weight)
    return probability * is_high[:, None]
