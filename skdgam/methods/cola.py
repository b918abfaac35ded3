"""CoLALocalizer: snippets that are hard to tell are compared with those that are easy."""

from typing import Any

import numpy as np
from scipy.special import softmax
from torch import Tensor
from torch.nn import functional as F

from skdgam import losses
from skdgam.clock import SnippetClock
from skdgam.layers import ColumnwiseConv
from skdgam.localization import Activation
from skdgam.methods._localization import ContrastLocalizer, scaled, top_k_of_video
from skdgam.methods._selection import (
    EmbeddingNetwork,
    beside_edges,
    extremes,
    highest,
    side_by_side,
)
from skdgam.methods._settings import ACTIVITYNET12, COUNT, POSITIVE, SHARE, THUMOS14, WEIGHT
from skdgam.training.batches import Batch
from skdgam.training.protocol import LossTerms, Stage

__all__ = ["CoLALocalizer"]

ACTIONNESS = np.arange(4, 37) * 0.025  # 0.1 to 0.9: thresholds of scaled actionness
TAPS, DILATION = 7, 2  # of the convolution over time of each class


class CoLALocalizer(ContrastLocalizer):
    r"""CoLA of Zhang, Cao, Yang, Chen and Zou [1]_: hard snippets are compared with easy ones.

    A convolution over time describes each snippet, and a linear layer with a rectifier gives its
    class activation, of which the sum is its actionness. Snippets of the highest actionness in a
    video are easy actions, and those of the lowest easy background. Snippets next to an edge of
    where it exceeds its median are hard: inside they are to look like easy actions and not like
    easy background, and outside the other way round (:func:`skdgam.losses.contrastive_loss`). The
    other loss is the cross-entropy of the mean of the highest activations of each class.

    Parameters
    ----------
    hidden : int or None, default=None
        Units of the convolution; None is as many as there are features.
    topk : int, default=5
        One snippet in so many is easy action, as many are easy background, and so many are pooled.
    topk_hard : int, default=20
        One snippet in so many is hard action, and as many are hard background.
    contrast, temperature : float, default=0.01 and 0.07
        Weight of the comparison, and its τ.
    temporal_conv : bool, default=False
        Whether both layers look at nine snippets, in place of three and one, and the class
        activation goes through a convolution over time of each class by itself, which has seven
        taps, two snippets apart; released for ActivityNet.
    dropout : float, in [0, 1), default=0.7
        Share of the units before the last layer that training leaves out.
    selection_dropout : float, in [0, 1), default=0.6
        Share of the snippets that training leaves out where it takes the easy ones.
    {shared}

    Attributes
    ----------
    {fitted}
    history_ : dict of ndarrays of shape (n_epochs,)
        Mean of each loss term in each epoch: ``classification`` and ``contrast``.

    Notes
    -----
    Network, losses and localization are by default as released, with settings that were tuned
    after publication; the presets have the released training, too. The paper may have other
    thresholds, and the same network on both data sets.

    Proposals are of two kinds: where the activation of a class, scaled to [0, 1] in its video, is
    high (`proposal_threshold`), and where the scaled actionness a exceeds 0.1, 0.125, ..., 0.9.
    ``attention`` is a / (1 + a), before it is scaled, of which the level means nothing.
    `proposal_smoothing` and `stream_weight` have no effect: proposals of streams compete in
    non-maximum suppression alone.

    References
    ----------
    .. [1] C. Zhang, M. Cao, D. Yang, J. Chen, Y. Zou: CoLA: Weakly-Supervised Temporal Action
       Localization with Snippet Contrastive Learning. CVPR 2021.

    Examples
    --------
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.methods import CoLALocalizer
    >>> X, y = make_untrimmed(n_videos=20, n_classes=2, random_state=0)
    >>> CoLALocalizer(max_epochs=3, random_state=0).fit(X, y).predict(X).shape
    (20,)
    """

    _architecture = ("hidden", "topk", "temporal_conv")
    presets = {  # noqa: RUF012
        "COLA_THUMOS14": {
            **THUMOS14,
            **{"max_epochs": 500, "learning_rate": 1e-4},  # 6,000 steps on 200 videos
        },
        "COLA_ACTIVITYNET12": {
            **ACTIVITYNET12,
            **{"max_epochs": 5556, "learning_rate": 1e-4},  # 100,000 steps on 4,819 videos
            **{"n_snippets": 50, "max_snippets": 50, "batch_size": 256},
            **{"temporal_conv": True, "topk": 10, "topk_hard": 8, "contrast": 0.005},
            "class_threshold": 0.1,
            "proposal_threshold": tuple((np.arange(10) * 0.015).round(3).tolist()),
        },
    }

    hidden: int | None = None
    topk: int = 5
    topk_hard: int = 20
    contrast: float = 0.01
    temperature: float = 0.07
    temporal_conv: bool = False
    dropout: float = 0.7
    selection_dropout: float = 0.6
    learning_rate: float = 1e-3
    class_threshold: float = 0.2
    nms_threshold: float = 0.6

    _exclusive_classes = True
    _parameter_constraints = ContrastLocalizer._parameter_constraints | {
        "hidden": [*COUNT, None],
        **{"topk": COUNT, "topk_hard": COUNT, "contrast": WEIGHT, "temperature": POSITIVE},
        **{"temporal_conv": ["boolean"], "dropout": SHARE, "selection_dropout": SHARE},
    }

    class _network(EmbeddingNetwork):  # noqa: N801
        """An embedding, a classifier without bias, and maybe a convolution of each class."""

        def __init__(
            self,
            n_features: int,
            n_classes: int,
            *,
            hidden: int | None,
            topk: int,
            temporal_conv: bool,
        ):
            super().__init__(n_features, n_classes, hidden, *((4, 4) if temporal_conv else (1, 0)))
            self.topk = topk
            self.taps = ColumnwiseConv(n_classes, TAPS, DILATION) if temporal_conv else None
            self.reach += 0 if self.taps is None else self.taps.radius

        def describe(self, batch: Batch, dropout: float = 0.0) -> tuple[Tensor, Tensor]:
            """Features (n_rows, hidden) and activation (n_rows, n_classes), not negative."""
            features, activation = super().describe(batch, dropout)
            if self.taps is not None:
                activation = self.taps(activation, batch)
            return features, activation.relu()

        def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
            """Scaled actionness (n_rows,), and class activation (n_rows, n_classes)."""
            _, activation = self.describe(batch)
            actionness = activation.sum(dim=1)
            return actionness / (1 + actionness), activation

    def _stages(self) -> list[Stage]:
        return [Stage("network", ("",), self._losses, weight_decay=5e-4)]

    def _losses(self, network: Any, batch: Batch) -> LossTerms:
        features, activation = network.describe(batch, self.dropout)
        actionness = activation.detach().sum(dim=1)
        shares = network.topk, network.topk
        easy = extremes(actionness, shares, self.selection_dropout, batch)
        of_videos = side_by_side(actionness, batch)
        hard = [of_videos * is_beside for is_beside in beside_edges(of_videos, batch.lengths)]
        contrast = features.new_zeros(())
        for values, (like, unlike) in zip(hard, (easy, easy[::-1]), strict=True):
            query = highest(values, self.topk_hard, batch).mean(features)
            others = F.embedding(unlike.rows, features)
            contrast = contrast + losses.contrastive_loss(
                query, like.mean(features), others, unlike.shares > 0, self.temperature
            )
        p = losses.top_k_mean(batch.of_videos(activation), network.topk).softmax(dim=1)
        # Of softmax outputs, as released: classes that are not there count, too.
        loss = losses.probability_loss(p, losses.equal_shares(batch.labels))
        return {
            "classification": (1.0, batch.mean_of_videos(loss) / p.shape[1]),
            "contrast": (self.contrast, batch.mean_of_videos(contrast)),
        }

    def _activation(self, network: Any, attention: np.ndarray, logits: np.ndarray) -> Activation:
        pooled = top_k_of_video(logits, network.topk)
        return Activation(attention, logits, np.zeros(len(pooled)), softmax(pooled))

    def _class_probability(self, network: Any, logits: Tensor) -> Tensor:
        return logits.softmax(dim=1)

    def _propose(self, activation: Activation, clock: SnippetClock, others: Any = ()) -> np.ndarray:
        actionness = scaled(activation.tcam.sum(axis=1, keepdims=True))[:, 0]
        score = scaled(activation.tcam)
        return self._two_kinds(activation, clock, score, actionness, ACTIONNESS)
