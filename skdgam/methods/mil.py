"""MILLocalizer: plain multiple-instance learning, to compare other methods with."""

from numbers import Integral
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn

from skdgam import losses
from skdgam.base import BaseLocalizer
from skdgam.layers import Linear, TemporalConv
from skdgam.localization import Activation
from skdgam.methods._localization import top_k_of_video
from skdgam.methods._settings import COUNT, SHARE, WEIGHT
from skdgam.training.batches import Batch
from skdgam.training.protocol import LossTerms, Stage

__all__ = ["MILLocalizer"]


class MILLocalizer(BaseLocalizer):
    r"""Multiple-instance learning: the logits of a video are pooled from those of its snippets.

    They are trained by the cross-entropy of each label. The logits, and with `pooling="attention"`
    an attention, come from one hidden layer, or with ``hidden=None`` from the features themselves.

    Parameters
    ----------
    pooling : {"topk", "attention"}, default="topk"
        "topk" is the mean of a class's highest logits, those of one snippet in `topk` [1]_;
        attention is then the probability of the surest class. "attention" is the mean of all
        logits, weighted by attention, which a penalty makes sparse [2]_.
    topk : int, default=8
        One snippet in so many counts, and at least one.
    sparsity : float, default=0.1
        Weight of the mean attention in the loss.
    hidden : int or None, default=128
        Units of the hidden layer; None is a linear classifier.
    temporal_context : int, default=0
        Snippets to each side that the network looks at.
    dropout : float, in [0, 1), default=0.5
        Share of the features and hidden units that training leaves out, others each time.
    {shared}

    Attributes
    ----------
    {fitted}
    history_ : dict of ndarrays of shape (n_epochs,)
        Mean of each loss term in each epoch: ``classification``, and ``sparsity``.

    References
    ----------
    .. [1] S. Paul, S. Roy, A. K. Roy-Chowdhury: W-TALC: Weakly-supervised Temporal Activity
       Localization and Classification. ECCV 2018.
    .. [2] P. Nguyen, T. Liu, G. Prasad, B. Han: Weakly Supervised Action Localization by Sparse
       Temporal Pooling Network. CVPR 2018.

    Examples
    --------
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.methods import MILLocalizer
    >>> X, y = make_untrimmed(n_videos=20, n_classes=2, random_state=0)
    >>> MILLocalizer(max_epochs=5, random_state=0).fit(X, y).predict(X).shape
    (20,)
    """

    _architecture = ("pooling", "topk", "hidden", "temporal_context")
    _remedies = {0: "lower sparsity, or train longer", 1: "raise sparsity"}  # noqa: RUF012

    pooling: str = "topk"
    topk: int = 8
    sparsity: float = 0.1
    hidden: int | None = 128
    temporal_context: int = 0
    dropout: float = 0.5
    n_snippets: int | None = None
    max_epochs: int | None = 150
    batch_size: int = 32
    learning_rate: float = 2e-3
    proposal_threshold: Any = 0.1

    _parameter_constraints = BaseLocalizer._parameter_constraints | {
        "pooling": [StrOptions({"topk", "attention"})],
        "topk": COUNT,
        "sparsity": WEIGHT,
        "hidden": [*COUNT, None],
        "temporal_context": [Interval(Integral, 0, None, closed="left")],
        "dropout": SHARE,
    }

    class _network(nn.Module):  # noqa: N801
        """A classifier and an attention on a hidden layer over time."""

        def __init__(
            self,
            n_features: int,
            n_classes: int,
            *,
            pooling: str,
            topk: int,
            hidden: int | None,
            temporal_context: int,
        ):
            super().__init__()
            self.pooling, self.topk, self.reach = pooling, topk, temporal_context
            width = (2 * temporal_context + 1) * n_features
            layers = [TemporalConv(n_features, hidden, temporal_context)] if hidden else []
            self.body = nn.ModuleList(layers)
            self.classifier = Linear(hidden or width, n_classes)
            self.attention = Linear(hidden or width, 1)

        def forward(self, batch: Batch, dropout: float = 0.0) -> tuple[Tensor, Tensor]:
            """Attention λ (n_rows,) and logits (n_rows, n_classes)."""
            x = batch.dropout(batch.x, dropout)
            for layer in self.body:
                x = batch.dropout(layer(x, batch).relu_(), dropout)
            if not self.body:
                x = batch.windows(x, self.reach)
            logits = self.classifier(x).float()
            if self.pooling == "topk":
                return logits.amax(dim=1).sigmoid(), logits
            return self.attention(x)[:, 0].float().sigmoid(), logits

    def _stages(self) -> list[Stage]:
        return [Stage("classifier", ("body.", "classifier.", "attention."), self._losses)]

    def _losses(self, network: Any, batch: Batch) -> LossTerms:
        attention, logits = network(batch, self.dropout)
        if self.pooling == "topk":
            pooled = losses.top_k_mean(batch.of_videos(logits), self.topk)
        else:
            pooled = losses.pool(logits, attention, batch.membership)
        loss = batch.mean_of_videos(losses.multilabel_loss(pooled, batch.labels))
        if self.pooling == "topk":
            return {"classification": (1.0, loss)}
        return {"classification": (1.0, loss), "sparsity": (self.sparsity, batch.mean(attention))}

    def _activation(self, network: Any, attention: np.ndarray, logits: np.ndarray) -> Activation:
        if network.pooling == "topk":
            pooled = top_k_of_video(logits, network.topk)
        else:
            pooled = attention @ logits / max(attention.sum(), np.finfo(np.float32).tiny)
        return Activation(attention, logits, np.zeros(logits.shape[1]), expit(pooled))
