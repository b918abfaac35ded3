"""BaSNetLocalizer: background suppression network."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skdgam import losses
from skdgam.clock import SnippetClock
from skdgam.layers import Linear, TemporalConv
from skdgam.localization import Activation, check_proposal_thresholds
from skdgam.methods._localization import ContrastLocalizer, contrast_proposals, scaled
from skdgam.methods._settings import COUNT, SHARE, THUMOS14, WEIGHT
from skdgam.training.batches import Batch
from skdgam.training.protocol import LossTerms, Stage

__all__ = ["BaSNetLocalizer"]

TOP = 8  # one snippet in so many is pooled


class BaSNetLocalizer(ContrastLocalizer):
    r"""Background suppression network of Lee, Uh and Byun [1]_.

    One classifier sees each video twice: as it is, where it has to find background beside the
    actions, and with each snippet multiplied by an attention, where it has to find none.

    Parameters
    ----------
    hidden : int or None, default=None
        Units of both convolutions over time of the classifier; None is as many as there are
        features, which are 2,048 in the publication.
    attention_width : int, default=512
        Hidden units of the attention.
    dropout : float, in [0, 1), default=0.7
        Share of the units before the last layer of the classifier that training leaves out.
    sparsity : float, default=1e-4
        Weight of the sum of attention over the `n_snippets` of a video.
    {shared}

    Attributes
    ----------
    {fitted}
    history_ : dict of ndarrays of shape (n_epochs,)
        Mean of each loss term in each epoch: ``base``, ``suppressed`` and ``sparsity``.

    Notes
    -----
    Network, losses and localization are by default as released; ``BASNET_THUMOS14`` has the
    released training, too. The weights kept are the last ones; the release keeps those that are
    best on the test set. For localization, each class activation is scaled to [0, 1] in its video,
    and thresholded; no attention takes part. Of the shared parameters, `proposal_smoothing` and
    `stream_weight` have no effect: proposals of streams compete in non-maximum suppression alone.

    References
    ----------
    .. [1] P. Lee, Y. Uh, H. Byun: Background Suppression Network for Weakly-supervised Temporal
       Action Localization. AAAI 2020.

    Examples
    --------
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.methods import BaSNetLocalizer
    >>> X, y = make_untrimmed(n_videos=12, n_classes=2, random_state=0)
    >>> model = BaSNetLocalizer(hidden=32, min_snippets=1, max_epochs=2, random_state=0)
    >>> model.fit(X, y).predict(X).shape
    (12,)
    """

    _architecture = ("hidden", "attention_width")
    presets = {  # noqa: RUF012
        "BASNET_THUMOS14": {
            **THUMOS14,
            "max_epochs": 125,  # 1,500 steps on 200 videos
            "learning_rate": 1e-4,
        }
    }

    hidden: int | None = None
    attention_width: int = 512
    dropout: float = 0.7
    sparsity: float = 1e-4
    learning_rate: float = 1e-3
    class_threshold: float = 0.25
    nms_threshold: float = 0.7
    min_snippets: int = 750

    _exclusive_classes = True
    _parameter_constraints = ContrastLocalizer._parameter_constraints | {
        "hidden": [*COUNT, None],
        "attention_width": COUNT,
        "dropout": SHARE,
        "sparsity": WEIGHT,
    }

    class _network(nn.Module):  # noqa: N801
        """Attention, and a classifier of C + 1 columns, of which background is the last."""

        reach = 2

        def __init__(
            self, n_features: int, n_classes: int, *, hidden: int | None, attention_width: int
        ):
            super().__init__()
            hidden = hidden or n_features
            self.attention = nn.ModuleList(
                [Linear(n_features, attention_width), Linear(attention_width, 1)]
            )
            self.convolutions = nn.ModuleList(
                TemporalConv(n_inputs, hidden, 1, padding="zeros")
                for n_inputs in (n_features, hidden)
            )
            self.classifier = Linear(hidden, n_classes + 1, bias=False)

        def forward(self, batch: Batch, dropout: float = 0.0) -> tuple[Tensor, Tensor]:
            """Attention (n_rows,), and class activation of the suppressed branch."""
            first, last = self.attention
            attention = last(F.leaky_relu(first(batch.x)))[:, 0].float().sigmoid()
            suppressed = batch.x * attention[:, None].to(batch.x.dtype)
            return attention, self.classify(suppressed, batch, dropout)

        def classify(self, x: Tensor, batch: Batch, dropout: float) -> Tensor:
            """Class activation (n_rows, n_classes + 1) of features x (n_rows, n_features)."""
            for convolution in self.convolutions:
                x = F.leaky_relu(convolution(x, batch))
            return self.classifier(batch.dropout(x, dropout)).float()

    def _stages(self) -> list[Stage]:
        return [Stage("network", ("",), self._losses, weight_decay=5e-4)]

    def _losses(self, network: Any, batch: Batch) -> LossTerms:
        base = network.classify(batch.x, batch, self.dropout)
        attention, suppressed = network(batch, self.dropout)
        of_branches = {
            "base": (base, losses.with_background(batch.labels, 1.0)),
            "suppressed": (suppressed, losses.with_background(batch.labels, 0.0)),
        }
        terms: LossTerms = {}
        for name, (activation, target) in of_branches.items():
            probability = losses.top_k_mean(batch.of_videos(activation), TOP).softmax(dim=1)
            target = losses.equal_shares(target)
            # Of softmax outputs, as released: classes that are not there count, too.
            loss = batch.mean_of_videos(losses.probability_loss(probability, target))
            terms[name] = 1.0, loss / target.shape[1]
        terms["sparsity"] = self.sparsity, batch.mean_of_videos(batch.membership @ attention)
        return terms

    def _activation(self, network: Any, attention: np.ndarray, logits: np.ndarray) -> Activation:
        pooled = losses.top_k_mean([torch.from_numpy(logits)], TOP)
        probability = pooled.softmax(dim=1)[0, :-1].numpy()
        return Activation(attention, logits[:, :-1], np.zeros(len(probability)), probability)

    def _class_probability(self, network: Any, logits: Tensor) -> Tensor:
        return logits.softmax(dim=1)[:, :-1]

    def _propose(self, activation: Activation, clock: SnippetClock, others: Any = ()) -> np.ndarray:
        proposals = contrast_proposals(
            scaled(activation.tcam),
            np.flatnonzero(activation.probability >= self.class_threshold),
            check_proposal_thresholds(self.proposal_threshold, self.localization),
            np.ones(len(activation.probability)),  # of a class that is there
            self.eta,
        )
        return self._in_seconds(proposals, clock)
