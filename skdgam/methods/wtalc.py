"""WTALCLocalizer: multiple-instance learning and co-activity similarity."""

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from scipy.special import expit, softmax
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn

from skdgam import losses
from skdgam.base import BaseLocalizer
from skdgam.clock import SnippetClock
from skdgam.layers import Linear, xavier_uniform
from skdgam.localization import Activation, check_proposal_thresholds
from skdgam.methods._localization import logit_proposals, top_k_of_video
from skdgam.methods._settings import COUNT, SHARE, THUMOS14, WEIGHT
from skdgam.training.batches import Batch
from skdgam.training.protocol import LossTerms, Stage

__all__ = ["WTALCLocalizer"]

N_PAIRS = 3  # of videos that share a class, in each batch
VIDEO_WEIGHT = 0.7  # of the pooled logit of a class, in scores of its proposals


class WTALCLocalizer(BaseLocalizer):
    r"""W-TALC of Paul, Roy and Roy-Chowdhury [1]_: top-k pooling, and videos in pairs.

    One hidden layer describes each snippet, :math:`h_t`, and a linear one gives its logits
    :math:`s_t`. The mean of the highest logits of each class gives the probabilities p of a video
    by softmax, and :math:`L_{MIL} = -\sum_c \hat y_c \log p_c`, in which its labels have equal
    shares. Two videos that share a class should look alike where it is, and unlike where it is
    not, :math:`L_{CAS}` (:func:`skdgam.losses.coactivity_loss`). The loss is
    :math:`\lambda L_{MIL} + (1 - \lambda) L_{CAS}`.

    Parameters
    ----------
    hidden : int or None, default=None
        Units of the hidden layer; None is as many as there are features.
    topk : int, default=8
        s: one snippet in so many is pooled, rounded up.
    margin : float, default=0.5
        How much farther from the other video what is outside a class must be than what is inside.
    coactivity : float, in [0, 1], default=0.5
        1 - λ: weight of the co-activity loss; multiple-instance learning has the rest.
    dropout : float, in [0, 1), default=0.7
        Share of the hidden units that training leaves out, for both losses.
    {shared}

    Attributes
    ----------
    {fitted}
    history_ : dict of ndarrays of shape (n_epochs,)
        Mean of each loss term in each epoch: ``classification`` and ``coactivity``.

    Notes
    -----
    Network, losses and localization are by default as released; ``WTALC_THUMOS14`` has the
    released training, too. An epoch has as many batches as the videos fill, but its videos are
    drawn: each batch begins with three pairs (:func:`skdgam.sampling.batches_of_pairs`). As
    released, the co-activity of all pairs of a batch has one divisor, where the paper averages
    class by class. Softmax excludes no background: a video without labels has no loss by itself.

    A class is searched for where the sigmoid of its pooled logit exceeds `class_threshold`, which
    at 0.5 is a positive logit; a video may yield nothing. `proposal_threshold` is a share of the
    range of the logits. `proposal_smoothing`, `eta` and `stream_weight` have no effect, and with
    one threshold no proposals overlap. Released intervals are whole snippets, and so are these.
    Attention is the probability of the surest class.

    References
    ----------
    .. [1] S. Paul, S. Roy, A. K. Roy-Chowdhury: W-TALC: Weakly-supervised Temporal Activity
       Localization and Classification. ECCV 2018.

    Examples
    --------
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.methods import WTALCLocalizer
    >>> X, y = make_untrimmed(n_videos=20, n_classes=2, random_state=0)
    >>> WTALCLocalizer(max_epochs=3, random_state=0).fit(X, y).predict(X).shape
    (20,)
    """

    _architecture = ("hidden", "topk")
    _crops = True
    presets = {  # noqa: RUF012
        "WTALC_THUMOS14": {
            **THUMOS14,
            "n_snippets": 750,
            "max_epochs": 5000,  # 100,000 steps on 200 videos
            "learning_rate": 1e-4,
        }
    }

    hidden: int | None = None
    topk: int = 8
    margin: float = 0.5
    coactivity: float = 0.5
    dropout: float = 0.7
    n_snippets: int | None = 750
    batch_size: int = 10
    learning_rate: float = 1e-3
    proposal_threshold: Any = 0.5
    class_threshold: float = 0.5

    _exclusive_classes = True
    _parameter_constraints = BaseLocalizer._parameter_constraints | {
        "hidden": [*COUNT, None],
        "topk": COUNT,
        "margin": WEIGHT,
        "coactivity": [Interval(Real, 0, 1, closed="both")],
        "dropout": SHARE,
        "localization": [StrOptions({"tcam"})],
    }

    class _network(nn.Module):  # noqa: N801
        """A hidden layer on single snippets, and a linear classifier."""

        reach = 0

        def __init__(self, n_features: int, n_classes: int, *, hidden: int | None, topk: int):
            super().__init__()
            self.topk = topk
            self.body = Linear(n_features, hidden or n_features)
            self.classifier = Linear(hidden or n_features, n_classes)

        def initialize(self, generator: torch.Generator) -> None:
            """Draw all weights by the rule of Glorot."""
            xavier_uniform(self, generator)

        def describe(self, batch: Batch, dropout: float = 0.0) -> tuple[Tensor, Tensor]:
            """Hidden features (n_rows, hidden) and logits (n_rows, n_classes)."""
            features = batch.dropout(self.body(batch.x).relu(), dropout)
            return features.float(), self.classifier(features).float()

        def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
            """Probability (n_rows,) of the surest class, and logits (n_rows, n_classes)."""
            _, logits = self.describe(batch)
            return logits.amax(dim=1).sigmoid(), logits

    def _stages(self) -> list[Stage]:
        return [Stage("network", ("",), self._losses, weight_decay=5e-4, n_pairs=N_PAIRS)]

    def _losses(self, network: Any, batch: Batch) -> LossTerms:
        features, logits = (
            batch.of_videos(values) for values in network.describe(batch, self.dropout)
        )
        pooled = losses.top_k_mean(logits, network.topk, round_up=True)
        loss = losses.classification_loss(pooled, losses.equal_shares(batch.labels))
        in_pairs = slice(2 * batch.n_pairs)
        of_pairs = losses.coactivity_of_pairs(
            features[in_pairs], logits[in_pairs], batch.labels, self.margin
        )
        return {
            "classification": (1 - self.coactivity, batch.mean_of_videos(loss)),
            "coactivity": (self.coactivity, batch.mean_of_pairs(*of_pairs)),
        }

    def _activation(self, network: Any, attention: np.ndarray, logits: np.ndarray) -> Activation:
        pooled = top_k_of_video(logits, network.topk, round_up=True)
        probability = softmax(pooled)
        return Activation(attention, logits, np.zeros(len(probability)), probability)

    def _propose(
        self, activation: Activation, clock: SnippetClock, others: Sequence[Activation] = ()
    ) -> np.ndarray:
        topk = self._fitted_architecture()["topk"]
        # Here the number of snippets that are pooled is rounded down, as released.
        pooled = top_k_of_video(activation.tcam, topk)
        proposals = logit_proposals(
            activation,
            np.flatnonzero(expit(pooled) > self.class_threshold),
            check_proposal_thresholds(self.proposal_threshold, self.localization),
            pooled,
            VIDEO_WEIGHT,
        )
        return self._in_seconds(proposals, clock)
