"""UMLocalizer: uncertainty modeling, in which background is what has short features."""

from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor

from skdgam import losses
from skdgam.clock import SnippetClock
from skdgam.localization import Activation
from skdgam.methods._localization import ContrastLocalizer, scaled, top_k_of_video
from skdgam.methods._selection import EmbeddingNetwork, extremes
from skdgam.methods._settings import COUNT, POSITIVE, SHARE, THUMOS14, WEIGHT
from skdgam.training.batches import Batch
from skdgam.training.protocol import LossTerms, Stage

__all__ = ["UMLocalizer"]

MAGNITUDES = np.arange(16, 25) * 0.025  # 0.4 to 0.6: thresholds of scaled magnitudes


class UMLocalizer(ContrastLocalizer):
    r"""Uncertainty modeling of Lee, Wang, Lu and Byun [1]_: background has short features.

    A convolution over time describes each snippet by :math:`f_t`, and a linear layer gives its
    logits. What is long is taken for action: with the mean feature u of the longest snippets of a
    video, and u' of the shortest ones, the loss is
    :math:`L_{cls} + \alpha L_{um} + \beta L_{be}`:

    - :math:`L_{cls}`, the cross-entropy of the mean of the highest logits of each class;
    - :math:`L_{um} = ([m - \|u\|]_+ + \|u'\|)^2` (:func:`skdgam.losses.uncertainty_loss`);
    - :math:`L_{be}`, the cross-entropy of the mean logits of the shortest snippets with equal
      shares of all classes, so that background is no class more than another.

    Parameters
    ----------
    hidden : int or None, default=None
        Units of the convolution; None is as many as there are features.
    topk : int, default=9
        One snippet in so many is taken for action, and pooled.
    topk_background : int, default=4
        One snippet in so many is taken for background.
    margin : float, default=100.0
        m: how long the mean feature of an action is at least.
    uncertainty : float, default=5e-4
        α: weight of the lengths of features.
    entropy : float, default=1.0
        β: weight of classifying background as all classes alike.
    dropout : float, in [0, 1), default=0.7
        Share of the units before the last layer that training leaves out.
    selection_dropout : float, in [0, 1), default=0.7
        Share of the snippets that training leaves out where it takes the longest and shortest.
    {shared}

    Attributes
    ----------
    {fitted}
    history_ : dict of ndarrays of shape (n_epochs,)
        Mean of each loss term in each epoch: ``classification``, ``uncertainty`` and ``entropy``.

    Notes
    -----
    Network, losses and localization are by default as released; ``UM_THUMOS14`` has the released
    training, too. The cross-entropies are binary ones of softmax outputs, as released, where the
    paper may have others.

    For localization, the length of each feature is scaled by the mean lengths of what is taken for
    action, 1, and for background, 0. Proposals are of two kinds: where the probability of a class
    times this length is high in its video (`proposal_threshold`), and where the length exceeds
    0.4, 0.425, ..., 0.6. ``attention`` is r / (1 + r) with the root mean square r of the units, of
    which the level means nothing. `proposal_smoothing` and `stream_weight` have no effect:
    proposals of streams compete in non-maximum suppression alone.

    References
    ----------
    .. [1] P. Lee, J. Wang, Y. Lu, H. Byun: Weakly-supervised Temporal Action Localization by
       Uncertainty Modeling. AAAI 2021.

    Examples
    --------
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.methods import UMLocalizer
    >>> X, y = make_untrimmed(n_videos=20, n_classes=2, random_state=0)
    >>> UMLocalizer(max_epochs=3, random_state=0).fit(X, y).predict(X).shape
    (20,)
    """

    _architecture = ("hidden", "topk", "topk_background")
    presets = {  # noqa: RUF012
        "UM_THUMOS14": {
            **THUMOS14,
            "max_epochs": 833,  # 10,000 steps on 200 videos
            "learning_rate": 1e-4,
        }
    }

    hidden: int | None = None
    topk: int = 9
    topk_background: int = 4
    margin: float = 100.0
    uncertainty: float = 5e-4
    entropy: float = 1.0
    dropout: float = 0.7
    selection_dropout: float = 0.7
    learning_rate: float = 1e-3
    class_threshold: float = 0.2
    nms_threshold: float = 0.6

    _exclusive_classes = True
    _parameter_constraints = ContrastLocalizer._parameter_constraints | {
        "hidden": [*COUNT, None],
        **dict.fromkeys(("topk", "topk_background"), COUNT),
        **dict.fromkeys(("uncertainty", "entropy"), WEIGHT),
        "margin": POSITIVE,
        **dict.fromkeys(("dropout", "selection_dropout"), SHARE),
    }

    class _network(EmbeddingNetwork):  # noqa: N801
        """A convolution over three snippets, and a linear classifier without bias."""

        def __init__(
            self,
            n_features: int,
            n_classes: int,
            *,
            hidden: int | None,
            topk: int,
            topk_background: int,
        ):
            super().__init__(n_features, n_classes, hidden)
            self.topk, self.topk_background = topk, topk_background

        def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
            """Scaled length (n_rows,) of features; logits, and behind them the length itself."""
            features, logits = self.describe(batch)
            magnitude = features.norm(dim=1)
            r = magnitude / features.shape[1] ** 0.5
            return r / (1 + r), torch.column_stack([logits, magnitude])

    def _stages(self) -> list[Stage]:
        return [Stage("network", ("",), self._losses, weight_decay=5e-4)]

    def _losses(self, network: Any, batch: Batch) -> LossTerms:
        features, logits = network.describe(batch, self.dropout)
        shares = network.topk, network.topk_background
        magnitude = features.detach().norm(dim=1)
        action, background = extremes(magnitude, shares, self.selection_dropout, batch)
        u_action, u_background = action.mean(features), background.mean(features)
        p = losses.top_k_mean(batch.of_videos(logits), network.topk).softmax(dim=1)
        even = torch.full_like(p, 1 / p.shape[1])
        # Of softmax outputs, as released: classes that are not there count, too.
        loss = losses.probability_loss(p, losses.equal_shares(batch.labels))
        entropy = losses.probability_loss(background.mean(logits).softmax(dim=1), even)
        uncertainty = losses.uncertainty_loss(u_action, u_background, self.margin)
        return {
            "classification": (1.0, batch.mean_of_videos(loss) / p.shape[1]),
            "uncertainty": (self.uncertainty, batch.mean_of_videos(uncertainty)),
            "entropy": (self.entropy, batch.mean_of_videos(entropy) / p.shape[1]),
        }

    def _activation(self, network: Any, attention: np.ndarray, logits: np.ndarray) -> Activation:
        pooled = top_k_of_video(logits[:, :-1], network.topk)
        probability = softmax(pooled)
        magnitude = logits[:, -1].astype(np.float64)
        ascending = np.sort(magnitude)
        action = ascending[-max(len(magnitude) // network.topk, 1) :].mean()
        background = ascending[: max(len(magnitude) // network.topk_background, 1)].mean()
        length = np.clip((magnitude - background) / ((action - background) or 1.0), 0, 1)
        tcam = softmax(logits[:, :-1], axis=1) * length[:, None]
        return Activation(length, tcam, np.zeros(len(probability)), probability)

    def _class_probability(self, network: Any, logits: Tensor) -> Tensor:
        return logits[:, :-1].softmax(dim=1)

    def _propose(self, activation: Activation, clock: SnippetClock, others: Any = ()) -> np.ndarray:
        score = scaled(activation.tcam)
        return self._two_kinds(activation, clock, score, activation.attention, MAGNITUDES)
