"""What methods share that suppress snippets by attention, and find actions in its runs."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.special import softmax
from sklearn.utils._param_validation import StrOptions
from torch import Tensor, nn
from torch.nn import functional as F

from skdgam import losses
from skdgam.base import BaseLocalizer
from skdgam.clock import SnippetClock
from skdgam.intervals import soft_non_maximum_suppression
from skdgam.layers import Linear, TemporalConv
from skdgam.localization import Activation, check_proposal_thresholds, select_classes
from skdgam.methods._localization import attention_run_proposals
from skdgam.methods._settings import COUNT, RADIUS, SHARE, WEIGHT
from skdgam.training.batches import Batch

__all__ = ["SuppressionLocalizer", "TemporalAttention", "guide", "leaky", "moving_average"]

SLOPE = 0.2  # of the leaky rectifier below 0


def leaky(values: Tensor) -> Tensor:
    """Multiply values below 0 by 0.2."""
    return F.leaky_relu(values, SLOPE)


def moving_average(values: Tensor, batch: Batch, radius: int) -> Tensor:
    """Mean of values (n_rows, k) over the snippets around each one; there is 0 beyond a video."""
    windows = batch.windows(values, radius, padding="zeros")
    return windows.view(len(values), -1, values.shape[1]).mean(dim=1)


def guide(attention: Tensor, logits: Tensor) -> Tensor:
    r"""How far attention is from the probability of any action, :math:`|1 - \lambda_t - p_{t0}|`.

    Parameters
    ----------
    attention : Tensor of shape (n_rows, k), in [0, 1]
        Several kinds of attention, over which the distance is averaged.
    logits : Tensor of shape (n_rows, n_classes + 1)
        Background is the last column.

    Returns
    -------
    distance : Tensor of shape (n_rows,), in [0, 1]
    """
    return (1 - attention - logits.softmax(dim=1)[:, -1:]).abs().mean(dim=1)


class TemporalAttention(nn.Module):
    """Two convolutions over time and a linear layer: the logit of an attention."""

    def __init__(self, n_features: int, width: int):
        super().__init__()
        self.first = TemporalConv(n_features, width, 1, padding="zeros")
        self.second = TemporalConv(width, width, 1, padding="zeros")
        self.last = Linear(width, 1)

    def forward(self, x: Tensor, batch: Batch, dropout: float = 0.0) -> Tensor:
        """Logits (n_rows, 1) of features x (n_rows, n_features); the first units are dropped."""
        x = batch.dropout(leaky(self.first(x, batch)), dropout)
        return self.last(leaky(self.second(x, batch)))


class SuppressionLocalizer(BaseLocalizer):
    """A method with a column for background, which localizes by runs of attention.

    See :func:`skdgam.methods._localization.attention_run_proposals`. Proposals are rescored by
    soft non-maximum suppression.
    """

    _remedies = {0: "lower sparsity, or train longer", 1: "raise sparsity"}  # noqa: RUF012
    _margin: ClassVar[float | None] = None  # of overlaps, in seconds; None is a snippet

    hidden: int | None = None
    attention_width: int = 512
    dropout: float = 0.7
    sparsity: float = 0.8
    guide: float = 0.8
    smoothing_radius: int = 0
    n_snippets: int | None = 500
    max_epochs: int | None = None
    learning_rate: float = 1e-3
    localization: str = "attention"
    proposal_threshold: Any = tuple(np.linspace(0.1, 0.9, 10).tolist())
    class_threshold: float = 0.2
    eta: float = 1.0

    _exclusive_classes = True
    _parameter_constraints = BaseLocalizer._parameter_constraints | {
        "hidden": [*COUNT, None],
        "attention_width": COUNT,
        "dropout": SHARE,
        "sparsity": WEIGHT,
        "guide": WEIGHT,
        "smoothing_radius": RADIUS,
        "localization": [StrOptions({"attention"})],
        "eta": WEIGHT,
    }

    def _attended(self, attention: np.ndarray, logits: np.ndarray, topk: int) -> Activation:
        """Classify a video by its logits times attention, of which one in `topk` is pooled."""
        weighted = torch.from_numpy(attention[:, None] * logits)
        probability = softmax(losses.top_k_mean([weighted], topk)[0].numpy())[:-1]
        return Activation(attention, logits[:, :-1], np.zeros(len(probability)), probability)

    def _class_probability(self, network: Any, logits: Tensor) -> Tensor:
        return logits.softmax(dim=1)[:, :-1]

    def _select(self, probability: np.ndarray) -> np.ndarray:
        """The classes that a video is searched for."""
        return select_classes(probability, self.class_threshold)

    def _propose(
        self, activation: Activation, clock: SnippetClock, others: Sequence[Activation] = ()
    ) -> np.ndarray:
        proposals = attention_run_proposals(
            activation,
            self._select(activation.probability),
            check_proposal_thresholds(self.proposal_threshold, self.localization),
            self.eta,
        )
        margin = clock.seconds if self._margin is None else self._margin
        return soft_non_maximum_suppression(self._in_seconds(proposals, clock), margin=margin)

    def _suppress(self, proposals: np.ndarray) -> np.ndarray:
        return proposals  # their scores are lowered already, and none is dropped
