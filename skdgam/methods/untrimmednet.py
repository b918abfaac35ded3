"""UntrimmedNetLocalizer: selection of the parts of a video that classify it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from sklearn.utils._param_validation import StrOptions
from torch import Tensor, nn

from skdgam import losses
from skdgam.base import BaseLocalizer
from skdgam.clock import SnippetClock
from skdgam.intervals import make_intervals, runs
from skdgam.layers import Linear
from skdgam.localization import Activation, check_proposal_thresholds
from skdgam.methods._localization import fused
from skdgam.methods._settings import COUNT, SHARE
from skdgam.proposals import join_proposals, mean_inside
from skdgam.training.batches import Batch
from skdgam.training.protocol import LossTerms, Stage

__all__ = ["UntrimmedNetLocalizer"]

SHOT = 3  # snippets in a row that are one part of a video in training
N_SHOTS, N_SELECTED = 7, 3  # of so many parts, hard selection takes so many
TEMPERATURE = 3.0  # of attention over the snippets of a whole video
VIDEO_WEIGHT = 0.2  # of the probability of a class in the video, in scores of its proposals


class UntrimmedNetLocalizer(BaseLocalizer):
    r"""UntrimmedNet of Wang, Xiong, Lin and Van Gool [1]_, on features.

    A linear classifier and a linear attention look at parts of a video, each of which is the mean
    of three snippets in a row. With scores :math:`s_j` and attention :math:`a_j` of part j,

    - soft selection takes the mean of :math:`\operatorname{softmax}(s_j)`, weighted by the softmax
      of a over parts, for the probabilities p of the classes in the video
      (:func:`skdgam.losses.soft_selection`);
    - hard selection takes the softmax of the mean of the highest scores of each class.

    The loss is their cross-entropy with the labels, :math:`-\sum_c \hat y_c \log p_c`.

    Parameters
    ----------
    selection : {"soft", "hard"}, default="soft"
        How the parts that classify a video are selected.
    dropout : float, in [0, 1), default=0.8
        Share of the features of each snippet that training leaves out; 0.7 for flow, as released.
    {shared}

    Attributes
    ----------
    {fitted}
    history_ : dict of ndarrays of shape (n_epochs,)
        Mean of the loss in each epoch: ``classification``.

    Notes
    -----
    The release trains whole networks on frames, by gradient descent with momentum; here the two
    last layers are trained on features, by Adam. Of a longer video, 21 snippets are drawn, one
    from each equal part, which are seven parts of three. Hard selection takes three parts in seven.
    Classes exclude each other, there is none for background, and a video without labels has no
    loss.

    Whole videos are classified as released, by :math:`\operatorname{softmax}(\sum_t
    \operatorname{softmax}_t(a / 3)_t s_t)`; with hard selection, as in training. The probability
    of a class is averaged with that of the next snippet. Where it exceeds a share of its maximum,
    `proposal_threshold`, there is a proposal, which goes on for one more snippet. It scores the
    mean probability and a fifth of that of the video. A video may yield nothing.
    `proposal_smoothing` and `eta` have no effect. Attention is the sigmoid of a, of which the level
    means nothing, and with hard selection the probability of the surest class.

    References
    ----------
    .. [1] L. Wang, Y. Xiong, D. Lin, L. Van Gool: UntrimmedNets for Weakly Supervised Action
       Recognition and Detection. CVPR 2017.

    Examples
    --------
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.methods import UntrimmedNetLocalizer
    >>> X, y = make_untrimmed(n_videos=20, n_classes=2, random_state=0)
    >>> UntrimmedNetLocalizer(max_epochs=3, random_state=0).fit(X, y).predict(X).shape
    (20,)
    """

    _architecture = ("selection",)

    selection: str = "soft"
    dropout: float = 0.8
    n_snippets: int | None = N_SHOTS * SHOT
    learning_rate: float = 1e-3
    proposal_threshold: Any = 0.5

    _exclusive_classes = True
    _parameter_constraints = BaseLocalizer._parameter_constraints | {
        "selection": [StrOptions({"soft", "hard"})],
        "dropout": SHARE,
        "n_snippets": [*COUNT, None],
        "localization": [StrOptions({"tcam"})],
    }

    class _network(nn.Module):  # noqa: N801
        """A linear classifier, and with soft selection a linear attention."""

        reach = 0

        def __init__(self, n_features: int, n_classes: int, *, selection: str):
            super().__init__()
            self.classifier = Linear(n_features, n_classes)
            self.attention = Linear(n_features, 1) if selection == "soft" else None

        def initialize(self, generator: torch.Generator) -> None:
            """Draw weights from a normal distribution of deviation 0.001; biases are 0."""
            for layer in (self.classifier, self.attention):
                if layer is not None:
                    nn.init.normal_(layer.weight, std=1e-3, generator=generator)
                    nn.init.zeros_(layer.bias)

        def describe(self, batch: Batch, dropout: float = 0.0) -> tuple[Tensor, Tensor]:
            """Logits (n_rows, n_classes), and those (n_rows,) of attention, or of the surest."""
            x = batch.dropout(batch.x, dropout)
            logits = self.classifier(x).float()
            if self.attention is None:
                return logits, logits.softmax(dim=1).amax(dim=1).logit(eps=1e-6)
            return logits, self.attention(x)[:, 0].float()

        def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
            """Sigmoid (n_rows,) of attention logits; logits, and behind them those of attention."""
            logits, attention = self.describe(batch)
            return attention.sigmoid(), torch.column_stack([logits, attention])

    def _stages(self) -> list[Stage]:
        return [Stage("network", ("",), self._losses, weight_decay=5e-4)]

    def _losses(self, network: Any, batch: Batch) -> LossTerms:
        logits, attention = map(batch.of_videos, network.describe(batch, self.dropout))
        of_shots = [_means(s) for s in logits]
        if network.attention is None:
            log_p = _hard(of_shots).log_softmax(dim=1)
        else:
            shots = zip(of_shots, map(_means, attention), strict=True)
            p = torch.stack([losses.soft_selection(s, a) for s, a in shots])
            log_p = p.clamp_min(1e-20).log()
        loss = -(losses.equal_shares(batch.labels) * log_p).sum(dim=1)
        return {"classification": (1.0, batch.mean_of_videos(loss))}

    def _activation(self, network: Any, attention: np.ndarray, logits: np.ndarray) -> Activation:
        scores = logits[:, :-1].astype(np.float64)
        if network.attention is None:
            pooled = _hard([torch.from_numpy(scores)])[0].numpy()
        else:
            pooled = softmax(logits[:, -1] / TEMPERATURE) @ scores
        return Activation(attention, scores, np.zeros(len(pooled)), softmax(pooled))

    def _class_probability(self, network: Any, logits: Tensor) -> Tensor:
        return logits[:, :-1].softmax(dim=1)

    def _propose(
        self, activation: Activation, clock: SnippetClock, others: Sequence[Activation] = ()
    ) -> np.ndarray:
        streams = [activation, *others]
        signal = fused([softmax(s.tcam, axis=1) for s in streams], self.stream_weight)
        in_video = fused([stream.probability for stream in streams], self.stream_weight)
        signal = (signal + np.concatenate([signal[1:], signal[-1:]])) / 2
        thresholds = check_proposal_thresholds(self.proposal_threshold, self.localization)
        found = []
        for column in np.flatnonzero(in_video > self.class_threshold):
            values = signal[:, column]
            for threshold in thresholds:
                mask = values > threshold * values.max()
                mask[1:] |= mask[:-1].copy()
                first, stop = runs(mask)
                score = mean_inside(values, first, stop) + VIDEO_WEIGHT * in_video[column]
                found.append((first, stop, column, score))
        first, stop, columns, scores = join_proposals(found)
        return self._in_seconds(make_intervals(first, stop, columns, scores), clock)


def _means(values: Tensor) -> Tensor:
    """Means of values (n_snippets, ...) over the shots of a video; the last may be short."""
    return torch.stack([shot.mean(dim=0) for shot in values.split(SHOT)])


def _hard(logits: Sequence[Tensor]) -> Tensor:
    """Mean (n_videos, n_classes) of the highest logits of each class, of three parts in seven."""
    counts = [-(-len(x) * N_SELECTED // N_SHOTS) for x in logits]
    means = [x.topk(k, dim=0).values.mean(dim=0) for x, k in zip(logits, counts, strict=True)]
    return torch.stack(means)
