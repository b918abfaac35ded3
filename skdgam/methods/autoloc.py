"""AutoLocLocalizer: boundaries are predicted, by the contrast of inside and outside."""

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
from skdgam.clock import SnippetClock
from skdgam.intervals import make_intervals
from skdgam.layers import Linear, TemporalConv
from skdgam.localization import Activation
from skdgam.methods._boxes import Boxes, contrast_loss, select_boxes
from skdgam.methods._localization import fused
from skdgam.methods._settings import COUNT, SHARE, WEIGHT
from skdgam.training.batches import Batch
from skdgam.training.protocol import LossTerms, Stage

__all__ = ["AutoLocLocalizer"]

OVERLAP = 0.4  # tIoU of boxes of which training keeps the best one
TEMPERATURE = 3.0  # of attention over the snippets of a whole video


class AutoLocLocalizer(BaseLocalizer):
    r"""AutoLoc of Shou, Gao, Zhang, Miyazawa and Chang [1]_: boundaries are predicted.

    At each snippet, a network moves and stretches anchors of several lengths to boxes. It learns
    from heat, the probability of a labelled class where attention is high: the mean heat inside a
    box is to exceed that around it (outer-inner-contrast loss). Probability
    and attention are trained beside it, by the soft selection of
    :class:`~skdgam.methods.UntrimmedNetLocalizer`.

    Parameters
    ----------
    n_anchors : int, default=6
        Anchors at each snippet, each twice as long as the one before.
    shortest_anchor : int, default=1
        Snippets of the shortest anchor; 16 on ActivityNet.
    hidden : int, default=128
        Units of each of the three convolutions over three snippets that predict boxes.
    box_rate : float, default=1e-3
        Learning rate of the network that predicts boxes, by plain gradient descent.
    n_searched : int, default=2
        A video is searched for so many classes, those of the highest mean probability.
    dropout : float, in [0, 1), default=0.8
        Share of the features that training leaves out, for probability and attention.
    {shared}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    n_features_in_ : int
    n_epochs_ : int
    history_ : dict of ndarrays of shape (n_epochs,)
        Mean of each loss term in each epoch: ``classification`` and ``contrast``.
    weights_ : dict of ndarrays

    Notes
    -----
    Boxes, their loss and its gradient, and their selection are as released, but without the
    lengths of true intervals, which the release for THUMOS14 weighs anchors by: they are no weak
    labels. Other points differ: the release takes probability and attention from an UntrimmedNet
    that was trained before, and attention is high above a fixed 7, which is that network's; here
    it is above its mean in the video. Batch normalization and weight decay are left out. So there
    is no preset.

    Of the shared parameters, `class_threshold`, `proposal_threshold`, `proposal_smoothing` and
    `eta` have no effect.

    References
    ----------
    .. [1] Z. Shou, H. Gao, L. Zhang, K. Miyazawa, S.-F. Chang: AutoLoc: Weakly-supervised Temporal
       Action Localization in Untrimmed Videos. ECCV 2018.

    Examples
    --------
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.methods import AutoLocLocalizer
    >>> X, y = make_untrimmed(n_videos=20, n_classes=2, random_state=0)
    >>> AutoLocLocalizer(hidden=16, max_epochs=3, random_state=0).fit(X, y).predict(X).shape
    (20,)
    """

    _architecture = ("n_anchors", "shortest_anchor", "hidden")

    n_anchors: int = 6
    shortest_anchor: int = 1
    hidden: int = 128
    box_rate: float = 1e-3
    n_searched: int = 2
    dropout: float = 0.8
    n_snippets: int | None = None
    max_epochs: int | None = 100
    nms_threshold: float = 0.4

    _exclusive_classes = True
    _parameter_constraints = BaseLocalizer._parameter_constraints | {
        **dict.fromkeys(("shortest_anchor", "hidden", "n_searched"), COUNT),
        "n_anchors": [Interval(Integral, 1, 16, closed="both")],
        "box_rate": WEIGHT,
        "dropout": SHARE,
        "localization": [StrOptions({"tcam"})],
    }

    class _network(nn.Module):  # noqa: N801
        """Linear probability and attention, and three convolutions that predict boxes."""

        reach = 3

        def __init__(
            self,
            n_features: int,
            n_classes: int,
            *,
            n_anchors: int,
            shortest_anchor: int,
            hidden: int,
        ):
            super().__init__()
            self.lengths = [float(shortest_anchor * 2**k) for k in range(n_anchors)]
            self.classifier, self.attention = Linear(n_features, n_classes), Linear(n_features, 1)
            widths = n_features, hidden, hidden, hidden
            self.convolutions = nn.ModuleList(
                TemporalConv(a, b, 1, padding="zeros")
                for a, b in zip(widths, widths[1:], strict=False)
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

        def anchors(self, device: torch.device) -> Tensor:
            """Lengths of the anchors, in snippets."""
            return torch.tensor(self.lengths, dtype=torch.float64, device=device)

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
        anchors, deltas = network.anchors(batch.x.device), batch.of_videos(network.regress(batch))
        contrasts = [
            contrast_loss(heat, labels.nonzero()[:, 0].tolist(), Boxes.of(delta, anchors), OVERLAP)
            for heat, labels, delta in zip(heats, batch.labels, deltas, strict=True)
        ]
        return {
            "classification": (1.0, batch.mean_of_videos(loss)),
            "contrast": (1.0, batch.mean_of_videos(torch.stack(contrasts))),
        }

    def _activation(self, network: Any, attention: np.ndarray, logits: np.ndarray) -> Activation:
        n_classes = network.classifier.out_features
        pooled = softmax(logits[:, n_classes] / TEMPERATURE) @ logits[:, :n_classes]
        # Behind the logits of the classes are that of attention, δx and δw.
        return Activation(attention, logits, np.zeros(n_classes), softmax(pooled))

    def _class_probability(self, network: Any, logits: Tensor) -> Tensor:
        return logits[:, : network.classifier.out_features].softmax(dim=1)

    def _propose(
        self, activation: Activation, clock: SnippetClock, others: Sequence[Activation] = ()
    ) -> np.ndarray:
        n_classes = len(activation.probability)
        streams = [
            (softmax(stream.tcam[:, :n_classes], axis=1), stream.tcam[:, n_classes])
            for stream in (activation, *others)
        ]
        mean = fused([p.mean(axis=0) for p, _ in streams], self.stream_weight)
        heat = _heat(streams, self.stream_weight)
        shape = self._fitted_architecture()
        anchors = torch.tensor(
            [shape["shortest_anchor"] * 2.0**k for k in range(shape["n_anchors"])]
        )
        boxes = Boxes.of(torch.from_numpy(activation.tcam[:, n_classes + 1 :]), anchors)
        proposals = [make_intervals([], [], np.zeros(0, dtype=int), [])]
        for column in np.argsort(-mean, kind="stable")[: self.n_searched]:
            chosen, contrast, _ = select_boxes(heat[:, column], boxes, self.nms_threshold)
            first, last = (edge[chosen] for edge in boxes.inner)
            proposals.append(make_intervals(first, last, column, 1 - contrast))
        found = self._in_seconds(np.concatenate(proposals), clock)
        for edge in ("start", "end"):
            found[edge] = np.clip(found[edge], 0, clock.end(len(heat)))
        return found[found["end"] > found["start"]]  # the release keeps boxes of one position


def _heat(
    streams: Sequence[tuple[np.ndarray, np.ndarray]], stream_weight: float = 1.0
) -> np.ndarray:
    """Mean probability (n_snippets, n_classes) of streams, times the share whose attention is high.

    A stream is its probability and its logit of attention (n_snippets,), which is high above its
    mean.
    """
    probability = fused([p for p, _ in streams], stream_weight)
    is_high = fused([(a > a.mean()).astype(float) for _, a in streams], stream_weight)
    return probability * is_high[:, None]
