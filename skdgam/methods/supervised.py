"""SupervisedLocalizer: a network that is told the intervals, the yardstick of all other methods."""

from numbers import Integral
from typing import Any, cast

import numpy as np
import torch
from sklearn.utils._param_validation import Interval
from torch import Tensor, nn

from skdgam import losses
from skdgam._features import Videos
from skdgam._validation import clip_to_videos, label_snippets, read_annotations
from skdgam.base import BaseLocalizer
from skdgam.clock import SnippetClock
from skdgam.layers import Linear, TemporalConv, xavier_uniform
from skdgam.localization import Activation, linear_softmax
from skdgam.methods._settings import COUNT, SHARE
from skdgam.training.batches import Batch
from skdgam.training.protocol import LossTerms, Stage

__all__ = ["SupervisedLocalizer"]


class SupervisedLocalizer(BaseLocalizer):
    r"""A classifier of snippets that is told the intervals: how far weak labels are from full ones.

    It is the one estimator whose ``fit`` reads times, and no weakly-supervised method. A snippet
    shows the classes of those intervals that its middle lies in; an interval between two middles
    labels the snippet that its own middle lies in. A perceptron on each snippet beside its
    neighbours learns these labels by the cross-entropy of each class. What it says is localized as
    by the default of :class:`skdgam.DGAMLocalizer`, so that the two differ in what they are taught.

    Parameters
    ----------
    hidden : int, default=128
        Units of the hidden layer.
    temporal_context : int, default=3
        Snippets to each side that the hidden layer looks at. Beyond the ends of a video, features
        are 0, which is their mean with ``standardize=True``.
    dropout : float, in [0, 1), default=0.2
        Share of the hidden units that training leaves out, others each time.
    {shared}

    Attributes
    ----------
    {fitted}
    history_ : dict of ndarrays of shape (n_epochs,)
        Mean of the loss in each epoch: ``classification``.

    Notes
    -----
    `y` holds the annotation of each video: a list of ``(start, end, label)`` or an interval array,
    in seconds; labels alone are an error. `snippet_seconds` and `snippet_offset` tell which
    snippets an interval covers, so that here they matter for ``fit``, too. Intervals are clipped
    at the end of their video, with a warning.

    The probability of class c in a video is :math:`\sum_t p_{tc}^2 / \sum_t p_{tc}`, and attention
    is the probability of the surest class. The learning rate falls along a cosine. Batches are
    small, since the snippets of a few videos teach enough, and what is hard to tell takes many
    steps. Each video counts alike in the loss, however long it is.

    Examples
    --------
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.methods import SupervisedLocalizer
    >>> X, y = make_untrimmed(n_videos=40, n_classes=2, random_state=0)
    >>> model = SupervisedLocalizer(max_epochs=40, random_state=0).fit(X[:30], y[:30])
    >>> model.score(X[30:], y[30:]) > 0.9
    True
    """

    learns_from_intervals = True
    _architecture = ("hidden", "temporal_context")

    hidden: int = 128
    temporal_context: int = 3
    dropout: float = 0.2
    n_snippets: int | None = None
    max_epochs: int | None = 100
    batch_size: int = 4
    learning_rate: float = 2e-3
    localization: str = "activation"

    _parameter_constraints = BaseLocalizer._parameter_constraints | {
        "hidden": COUNT,
        "temporal_context": [Interval(Integral, 0, None, closed="left")],
        "dropout": SHARE,
    }

    class _network(nn.Module):  # noqa: N801
        """A perceptron on windows of snippets."""

        def __init__(self, n_features: int, n_classes: int, *, hidden: int, temporal_context: int):
            super().__init__()
            self.reach = temporal_context
            self.body = TemporalConv(n_features, hidden, temporal_context, padding="zeros")
            self.classifier = Linear(hidden, n_classes)

        def initialize(self, generator: torch.Generator) -> None:
            """Draw the weights."""
            xavier_uniform(self, generator)

        def forward(self, batch: Batch, dropout: float = 0.0) -> tuple[Tensor, Tensor]:
            """Probability (n_rows,) of the surest class, and logits (n_rows, n_classes)."""
            hidden = batch.dropout(self.body(batch.x, batch).relu_(), dropout)
            logits = self.classifier(hidden).float()
            return logits.amax(dim=1).sigmoid(), logits

    def _tell(self, videos: Videos, y: Any, classes: np.ndarray, clock: SnippetClock) -> Videos:
        needs = f"{type(self).__name__} learns from {{}}. Other methods need labels alone."
        annotations = read_annotations(y, len(videos), "y", videos.keys, needs)
        annotations = clip_to_videos(annotations, clock.end(videos.lengths), names=videos.keys)
        return videos.labelled(label_snippets(annotations, videos.lengths, clock, classes))

    def _stages(self) -> list[Stage]:
        return [Stage("classifier", ("",), self._losses, cosine=True)]

    def _losses(self, network: Any, batch: Batch) -> LossTerms:
        _, logits = network(batch, self.dropout)
        loss = losses.multilabel_loss(logits, cast(Tensor, batch.snippet_labels))
        return {"classification": (1.0, batch.mean(loss))}

    def _activation(self, network: Any, attention: np.ndarray, logits: np.ndarray) -> Activation:
        return linear_softmax(attention, logits)
