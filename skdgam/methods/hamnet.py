"""HAMNetLocalizer: an attention in several kinds, some without its highest values."""

from numbers import Real
from typing import Any

import numpy as np
import torch
from sklearn.utils._param_validation import Interval
from torch import Tensor, nn

from skdgam import losses
from skdgam.layers import Linear, TemporalConv, kaiming_uniform
from skdgam.localization import Activation
from skdgam.methods._settings import ACTIVITYNET12, COUNT, THUMOS14, WEIGHT
from skdgam.methods._suppression import (
    SuppressionLocalizer,
    TemporalAttention,
    guide,
    leaky,
    moving_average,
)
from skdgam.training.batches import Batch
from skdgam.training.protocol import LossTerms, Stage

__all__ = ["HAMNetLocalizer"]

SALIENT = 0.2  # share of the highest attention of a video, from which on snippets are erased


class HAMNetLocalizer(SuppressionLocalizer):
    r"""Hybrid attention mechanism of Islam, Long and Radke [1]_.

    Convolutions over time give each snippet logits :math:`s_t` of the actions and of background,
    and an attention :math:`\lambda_t`. To find more of an action than what is most telling,
    attention also comes without its highest values: semi-soft, which is :math:`\lambda_t` where
    that is below :math:`0.2 \max_u \lambda_u` and else 0, and hard, which is 1 where semi-soft
    attention is above 0. A loss (:func:`skdgam.losses.multiple_instance_loss`) looks at four maps:

    - ``base``: the logits as they are, in which there has to be background;
    - ``hard``: the logits suppressed by hard attention (:func:`skdgam.losses.suppress`), with
      background, too;
    - ``soft``: :math:`\lambda_t s_t`, in which there has to be no background;
    - ``semi_soft``: the logits suppressed by semi-soft attention, without background, too.

    The whole loss is :math:`w_1 ((1 - e) L_{base} + e L_{hard}) + w_2 ((1 - e) L_{soft} + e
    L_{semi})`, plus weighted means of :math:`\lambda_t` and of :math:`|1 - \lambda_t - p_{t0}|`,
    in which :math:`p_{t0}` is the probability of background.

    Parameters
    ----------
    hidden : int or None, default=None
        Units of both convolutions of the classifier; None is as many as there are features.
    attention_width : int, default=512
        Units of both convolutions of the attention.
    topk : int, default=10
        One snippet in so many is pooled, in training and in localization.
    dropout : float, in [0, 1), default=0.7
        Share of the units before the last layer of the classifier that training leaves out.
    base, attended : float, default=1.0
        w₁ and w₂: weights of the two losses with background, and of the two without it.
    erased : float, in [0, 1], default=0.2
        e: share of the losses without the highest attention in both.
    sparsity, guide : float, default=0.8
        Weights of the mean attention, and of its distance from the probability of any action.
    smoothing_radius : int, default=0
        Logits and attention are averaged over so many snippets to each side, in training, too;
        beyond the ends of a video there is 0.
    {shared}

    Attributes
    ----------
    {fitted}
    history_ : dict of ndarrays of shape (n_epochs,)
        Mean of each loss term in each epoch: the four above, ``sparsity`` and ``guide``.

    Notes
    -----
    Network, losses and localization are by default as released for THUMOS14; ``HAMNET_THUMOS14``
    has the released training, too. It is uncertain whether the paper erases at random; the released
    code erases all salient snippets, and weighs the losses by constants.

    A class is searched for where its probability exceeds `class_threshold`; a video may yield
    nothing. Proposals are runs of attention above each `proposal_threshold`, the same for every
    class; unlike the release, one of the first snippet alone counts, too. Their scores are logits,
    lowered by :func:`skdgam.intervals.soft_non_maximum_suppression`, for which each is a second
    longer, as released. `nms_threshold`, `proposal_smoothing` and `stream_weight` have no effect.

    References
    ----------
    .. [1] A. Islam, C. Long, R. J. Radke: A Hybrid Attention Mechanism for Weakly-Supervised
       Temporal Action Localization. AAAI 2021.

    Examples
    --------
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.methods import HAMNetLocalizer
    >>> X, y = make_untrimmed(n_videos=20, n_classes=2, random_state=0)
    >>> model = HAMNetLocalizer(attention_width=16, max_epochs=3, random_state=0).fit(X, y)
    >>> model.predict(X).shape
    (20,)
    """

    _architecture = ("hidden", "attention_width", "topk", "smoothing_radius")
    _margin = 1.0
    presets = {  # noqa: RUF012
        "HAMNET_THUMOS14": {**THUMOS14, "max_epochs": 100, "learning_rate": 1e-5},
        "HAMNET_ACTIVITYNET12": {
            **ACTIVITYNET12,
            **{"n_snippets": 80, "max_epochs": 20, "learning_rate": 1e-5},
            **{"topk": 20, "dropout": 0.5, "smoothing_radius": 8},
            **{"base": 0.25, "attended": 2.0, "erased": 0.5, "sparsity": 0.5, "guide": 0.1},
        },
    }

    topk: int = 10
    base: float = 1.0
    attended: float = 1.0
    erased: float = 0.2
    batch_size: int = 20

    _parameter_constraints = SuppressionLocalizer._parameter_constraints | {
        "topk": COUNT,
        **dict.fromkeys(("base", "attended"), WEIGHT),
        "erased": [Interval(Real, 0, 1, closed="both")],
    }

    class _network(nn.Module):  # noqa: N801
        """A classifier of C + 1 columns, of which background is the last, and an attention."""

        def __init__(
            self,
            n_features: int,
            n_classes: int,
            *,
            hidden: int | None,
            attention_width: int,
            topk: int,
            smoothing_radius: int,
        ):
            super().__init__()
            self.topk, self.radius, self.reach = topk, smoothing_radius, 2 + smoothing_radius
            hidden = hidden or n_features
            self.convolutions = nn.ModuleList(
                TemporalConv(n_inputs, hidden, 1, padding="zeros")
                for n_inputs in (n_features, hidden)
            )
            self.classifier = Linear(hidden, n_classes + 1)
            self.attention = TemporalAttention(n_features, attention_width)

        def initialize(self, generator: torch.Generator) -> None:
            """Draw all weights by the rule of He."""
            kaiming_uniform(self, generator)

        def forward(self, batch: Batch, dropout: float = 0.0) -> tuple[Tensor, Tensor]:
            """Attention (n_rows,) and logits (n_rows, n_classes + 1)."""
            x = batch.x
            for convolution in self.convolutions:
                x = leaky(convolution(x, batch))
            logits = self.classifier(batch.dropout(x, dropout)).float()
            attention = self.attention(batch.x, batch).float().sigmoid()
            both = moving_average(torch.cat([attention, logits], dim=1), batch, self.radius)
            return both[:, 0], both[:, 1:]

    def _stages(self) -> list[Stage]:
        return [Stage("network", ("",), self._losses, weight_decay=1e-3)]

    def _losses(self, network: Any, batch: Batch) -> LossTerms:
        attention, logits = network(batch, self.dropout)
        semi_soft = _without_salient(attention, batch)
        hard = (semi_soft > 0).to(semi_soft.dtype)
        maps = {
            "base": (self.base * (1 - self.erased), logits, 1.0),
            "hard": (self.base * self.erased, losses.suppress(logits, hard), 1.0),
            "soft": (self.attended * (1 - self.erased), attention[:, None] * logits, 0.0),
            "semi_soft": (self.attended * self.erased, losses.suppress(logits, semi_soft), 0.0),
        }
        terms: LossTerms = {}
        for name, (weight, values, background) in maps.items():
            loss = losses.multiple_instance_loss(
                batch.of_videos(values), batch.labels, network.topk, background
            )
            terms[name] = weight, batch.mean_of_videos(loss)
        terms["sparsity"] = self.sparsity, batch.mean(attention)
        terms["guide"] = self.guide, batch.mean(guide(attention[:, None], logits))
        return terms

    def _activation(self, network: Any, attention: np.ndarray, logits: np.ndarray) -> Activation:
        return self._attended(attention, logits, network.topk)

    def _select(self, probability: np.ndarray) -> np.ndarray:
        return np.flatnonzero(probability > self.class_threshold)


def _without_salient(attention: Tensor, batch: Batch) -> Tensor:
    """Attention (n_rows,), and 0 where it is near the highest one of its video or above."""
    highest = torch.stack([of_video.max() for of_video in batch.of_videos(attention.detach())])
    return torch.where(attention < SALIENT * highest[batch.video], attention, 0.0)
