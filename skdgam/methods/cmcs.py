"""CMCSLocalizer: completeness modeling and context separation."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn

from skdgam import losses
from skdgam.base import BaseLocalizer
from skdgam.clock import SnippetClock
from skdgam.layers import Linear, TemporalConv
from skdgam.localization import Activation
from skdgam.methods._localization import frame_proposals, fused
from skdgam.methods._settings import ACTIVITYNET12, COUNT, SHARE, THUMOS14, WEIGHT
from skdgam.training.batches import Batch
from skdgam.training.protocol import LossTerms, Stage

__all__ = ["CMCSLocalizer"]

VIDEO_WEIGHT = 0.25  # of the probability of a class in the video, in scores of its proposals


class CMCSLocalizer(BaseLocalizer):
    r"""Completeness modeling and context separation of Liu, Jiang and Wang [1]_.

    Several classifiers that must find an action in different snippets together find the whole of
    it. Their mean score :math:`S_t`, weighted by an attention that is a softmax over time,
    classifies a video. The loss is :math:`L_{cls} + \alpha L_{div} + \beta L_{norm}`: cross-entropy
    with background as a class, :func:`skdgam.losses.similarity_of_branches`
    and :func:`skdgam.losses.imbalance_of_branches`.

    Parameters
    ----------
    n_branches : int, default=4
        K: classifiers, at least two.
    hidden : int, default=32
        Units of the layer that they share.
    branch_width, attention_width : int, default=16
        Hidden units of each classifier, a convolution over three snippets, and of the attention.
    diversity : float, default=0.2
        α: weight of the similarity of branches.
    balance : float, default=0.2
        β: weight of the differences of their magnitudes.
    dropout : float, in [0, 1), default=0.5
        Share of the features of a video that training leaves out in all its snippets.
    weight_decay : float, default=1e-3
        Of Adam, for losses that are added up over a batch.
    mean_share : float, default=1.0
        What exceeds so many times the mean of the scaled probability of a class is a proposal.
    late_rate : float, in (0, 1], default=1.0
        Factor of the learning rate in the second half of the training.
    {shared}

    Attributes
    ----------
    {fitted}
    history_ : dict of ndarrays of shape (n_epochs,)
        Mean of each loss term in each epoch: ``classification``, ``diversity`` and ``balance``.

    Notes
    -----
    Network, losses and localization are by default as released. The release trains each label of a
    video apart, under a dropout of its own; here they are one item, with equal shares.

    The release separates context by training videos of class background: still parts, found by
    optical flow. Give yours as further videos with an empty list of labels. Without any,
    background is what no label explains.

    Released predictions average ten crops; here one is given. Attention, a softmax over time, takes
    part in classification alone. ``attention`` is the sigmoid of its logits, of which the level
    means nothing. A video may yield nothing. `proposal_threshold` and `proposal_smoothing` have no
    effect.

    References
    ----------
    .. [1] D. Liu, T. Jiang, Y. Wang: Completeness Modeling and Context Separation for Weakly
       Supervised Temporal Action Localization. CVPR 2019.

    Examples
    --------
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.methods import CMCSLocalizer
    >>> X, y = make_untrimmed(n_videos=20, n_classes=2, random_state=0)
    >>> CMCSLocalizer(max_epochs=3, random_state=0).fit(X, y).predict(X).shape
    (20,)
    """

    _architecture = ("n_branches", "hidden", "branch_width", "attention_width")
    presets = {  # noqa: RUF012
        "CMCS_THUMOS14": {
            **THUMOS14,
            "max_epochs": 1875,  # 15,000 steps on 200 videos
            "learning_rate": 1e-4,
        },
        "CMCS_ACTIVITYNET12": {
            **ACTIVITYNET12,
            **{"hidden": 256, "branch_width": 128, "attention_width": 128},
            "max_epochs": 133,  # 20,000 steps on 4,819 videos
            "batch_size": 32,
            **{"learning_rate": 1e-3, "late_rate": 0.1, "weight_decay": 1e-4},
            "mean_share": 1e-7,
        },
    }

    n_branches: int = 4
    hidden: int = 32
    branch_width: int = 16
    attention_width: int = 16
    diversity: float = 0.2
    balance: float = 0.2
    dropout: float = 0.5
    weight_decay: float = 1e-3
    mean_share: float = 1.0
    late_rate: float = 1.0
    n_snippets: int | None = None
    batch_size: int = 24
    learning_rate: float = 1e-3
    eta: float = 1.0

    _exclusive_classes = True
    _parameter_constraints = BaseLocalizer._parameter_constraints | {
        "n_branches": [Interval(Integral, 2, None, closed="left")],
        **dict.fromkeys(("hidden", "branch_width", "attention_width"), COUNT),
        **dict.fromkeys(("diversity", "balance", "weight_decay", "mean_share", "eta"), WEIGHT),
        "dropout": SHARE,
        "late_rate": [Interval(Real, 0, 1, closed="right")],
        "localization": [StrOptions({"tcam"})],
    }

    class _network(nn.Module):  # noqa: N801
        """A layer, and on it several classifiers and an attention of two layers each."""

        reach = 1

        def __init__(
            self,
            n_features: int,
            n_classes: int,
            *,
            n_branches: int,
            hidden: int,
            branch_width: int,
            attention_width: int,
        ):
            super().__init__()
            self.body = Linear(n_features, hidden)
            self.convolutions = nn.ModuleList(
                TemporalConv(hidden, branch_width, 1, padding="zeros") for _ in range(n_branches)
            )
            self.classifiers = nn.ModuleList(
                Linear(branch_width, n_classes + 1) for _ in range(n_branches)
            )
            self.attention = nn.ModuleList(
                [Linear(hidden, attention_width), Linear(attention_width, 1)]
            )

        def describe(self, batch: Batch, dropout: float = 0.0) -> tuple[Tensor, Tensor]:
            """Scores (n_rows, n_branches, n_classes + 1) and logits (n_rows,) of attention."""
            x = self.body(batch.channel_dropout(batch.x, dropout)).relu()
            scores = [
                last(convolution(x, batch).relu()).float()
                for convolution, last in zip(self.convolutions, self.classifiers, strict=True)
            ]
            first, last = self.attention
            return torch.stack(scores, dim=1), last(first(x).relu())[:, 0].float()

        def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
            """Sigmoid (n_rows,) of attention logits; mean scores, and behind them these logits."""
            scores, attention = self.describe(batch)
            return attention.sigmoid(), torch.column_stack([scores.mean(dim=1), attention])

    def _stages(self) -> list[Stage]:
        # Adam takes the same steps on the sum of a batch and on its mean, if decay is divided, too.
        decay = self.weight_decay / self.batch_size
        return [Stage("network", ("",), self._losses, weight_decay=decay, late_rate=self.late_rate)]

    def _losses(self, network: Any, batch: Batch) -> LossTerms:
        scores, attention = map(batch.of_videos, network.describe(batch, self.dropout))
        pooled = torch.stack(
            [a.softmax(dim=0) @ s.mean(dim=1) for a, s in zip(attention, scores, strict=True)]
        )
        target = losses.with_background(batch.labels, 1 - batch.labels.amax(dim=1))
        loss = losses.classification_loss(pooled, losses.equal_shares(target))
        similar = torch.stack([*map(losses.similarity_of_branches, scores)])
        unequal = torch.stack([*map(losses.imbalance_of_branches, scores)])
        return {
            "classification": (1.0, batch.mean_of_videos(loss)),
            "diversity": (self.diversity, batch.mean_of_videos(similar)),
            "balance": (self.balance, batch.mean_of_videos(unequal)),
        }

    def _activation(self, network: Any, attention: np.ndarray, logits: np.ndarray) -> Activation:
        scores = logits[:, :-1].astype(np.float64)
        pooled = softmax(logits[:, -1].astype(np.float64)) @ scores
        tcam = scores[:, :-1] - scores[:, -1:]  # in relation to background
        return Activation(attention, tcam, np.zeros(tcam.shape[1]), softmax(pooled)[:-1])

    def _class_probability(self, network: Any, logits: Tensor) -> Tensor:
        return logits[:, :-1].softmax(dim=1)[:, :-1]

    def _propose(
        self, activation: Activation, clock: SnippetClock, others: Sequence[Activation] = ()
    ) -> np.ndarray:
        signal = _softmax(fused([s.tcam for s in (activation, *others)], self.stream_weight))
        odds = [_odds(stream.probability) for stream in (activation, *others)]
        probability = _softmax(fused(odds, self.stream_weight))
        classes = np.flatnonzero(probability > self.class_threshold)
        proposals = frame_proposals(signal, classes, self.mean_share, self.eta)
        proposals["score"] += VIDEO_WEIGHT * probability[proposals["label"]]
        return self._in_seconds(proposals, clock)


def _odds(probability: np.ndarray) -> np.ndarray:
    """Logits (n_classes,) in relation to background, from probabilities without it."""
    tiny = np.finfo(np.float64).tiny
    background = max(1 - probability.sum(dtype=np.float64), np.finfo(np.float64).eps)
    return np.log(np.maximum(probability, tiny) / background)


def _softmax(odds: np.ndarray) -> np.ndarray:
    """Probabilities of the classes from logits (..., n_classes) in relation to background."""
    background = np.zeros_like(odds[..., :1])
    return softmax(np.concatenate([odds, background], axis=-1), axis=-1)[..., :-1]
