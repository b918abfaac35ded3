"""STPNLocalizer: sparse temporal pooling network."""

from typing import Any

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor, nn
from torch.nn import functional as F

from skdgam import losses
from skdgam.layers import Linear, xavier_uniform
from skdgam.localization import Activation
from skdgam.methods._localization import WeightedTCAMLocalizer
from skdgam.methods._settings import THUMOS14, WEIGHT
from skdgam.training.batches import Batch
from skdgam.training.protocol import LossTerms, Stage

__all__ = ["STPNLocalizer", "STPNetwork"]


class STPNetwork(nn.Module):
    """An attention of two layers, and a linear classifier of the same features.

    Parameters
    ----------
    n_features, n_classes : int
    attention_width : int
        Hidden units of the attention.
    """

    reach = 0

    def __init__(self, n_features: int, n_classes: int, *, attention_width: int):
        super().__init__()
        self.attention = nn.ModuleList(
            [Linear(n_features, attention_width), Linear(attention_width, 1)]
        )
        self.classifier = Linear(n_features, n_classes)

    def initialize(self, generator: torch.Generator) -> None:
        """Draw all weights by the rule of Glorot."""
        xavier_uniform(self, generator)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Attention λ (n_rows,), and class activation (n_rows, n_classes) without bias."""
        first, last = self.attention
        attention = last(first(batch.x).relu())[:, 0].float().sigmoid()
        return attention, F.linear(batch.x, self.classifier.weight.to(batch.x.dtype)).float()


class STPNLocalizer(WeightedTCAMLocalizer):
    r"""Sparse temporal pooling network of Nguyen, Liu, Prasad and Han [1]_.

    An attention :math:`\lambda_t` weighs the snippets of a video. Their mean,
    :math:`\bar x = \tfrac1T \sum_t \lambda_t x_t`, is classified, each class by itself, and the
    sum of attention costs:
    :math:`L = L_{class}(\sigma(W \bar x + b), y) + \beta \sum_t \lambda_t`.

    Intervals are where the weighted T-CAM
    :math:`\psi_{tc} = \lambda_t \sigma(w_c^T x_t)` is high, and score the mean of
    :math:`\lambda_t w_c^T x_t`.

    Parameters
    ----------
    attention_width : int, default=256
        Hidden units of the attention.
    sparsity : float, default=1e-4
        β: weight of the sum of attention over the `n_snippets` of a video.
    {shared}

    Attributes
    ----------
    {fitted}
    history_ : dict of ndarrays of shape (n_epochs,)
        Mean of each loss term in each epoch: ``classification`` and ``sparsity``.

    Notes
    -----
    Network, losses and localization are by default those of a reproduction that reaches the
    published figures, since the authors have published no code; it divides by T, where the paper
    may only sum. The preset ``STPN_THUMOS14`` has its training, too, one network for each stream
    (:class:`skdgam.MultiStreamLocalizer`), on features of ten frames a second. By default training
    takes larger steps, for data of some hundred videos.

    Classes that are no more probable than `class_threshold` are not searched for, and a video may
    yield nothing. `proposal_smoothing` and `eta` have no effect.

    References
    ----------
    .. [1] P. Nguyen, T. Liu, G. Prasad, B. Han: Weakly Supervised Action Localization by Sparse
       Temporal Pooling Network. CVPR 2018.

    Examples
    --------
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.methods import STPNLocalizer
    >>> X, y = make_untrimmed(n_videos=12, n_classes=2, random_state=0)
    >>> model = STPNLocalizer(min_snippets=1, max_epochs=2, random_state=0)
    >>> model.fit(X, y).predict(X).shape
    (12,)
    """

    _network = STPNetwork
    _remedies = {0: "lower sparsity, or train longer", 1: "raise sparsity"}  # noqa: RUF012
    presets = {  # noqa: RUF012
        "STPN_THUMOS14": {
            **THUMOS14,
            "max_epochs": 727,  # 24,000 steps on 200 videos
            "batch_size": 6,
            "learning_rate": 1e-4,
            "snippet_seconds": 1.6,
            "tiou_thresholds": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
        }
    }

    sparsity: float = 1e-4

    _parameter_constraints = WeightedTCAMLocalizer._parameter_constraints | {
        "sparsity": WEIGHT,
    }

    def _stages(self) -> list[Stage]:
        return [Stage("network", ("",), self._losses)]

    def _losses(self, network: Any, batch: Batch) -> LossTerms:
        attention, activation = network(batch)
        weighted = attention[:, None] * activation
        # Pooling and the classifier are linear, so that logits are pooled and not features.
        mean = losses.pool(weighted, torch.ones_like(attention), batch.membership)
        loss = losses.multilabel_loss(mean + network.classifier.bias, batch.labels)
        sum_of_attention = batch.membership @ attention
        return {
            "classification": (1.0, batch.mean_of_videos(loss / batch.labels.shape[1])),
            "sparsity": (self.sparsity, batch.mean_of_videos(sum_of_attention)),
        }

    def _activation(self, network: Any, attention: np.ndarray, logits: np.ndarray) -> Activation:
        bias = network.classifier.bias.detach().cpu().numpy()
        pooled = attention @ logits / len(attention)
        return Activation(attention, logits, bias, expit(pooled + bias))
