"""DELULocalizer: evidence of classes, and uncertainty about snippets."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skdgam import losses
from skdgam.clock import SnippetClock
from skdgam.localization import Activation
from skdgam.methods._settings import COUNT, SHARE, WEIGHT
from skdgam.methods._suppression import guide
from skdgam.methods.co2net import CO2NetLocalizer
from skdgam.training.batches import Batch
from skdgam.training.protocol import LossTerms

__all__ = ["DELULocalizer"]

BOUND = 10.0  # of logits, before they are exponents


class DELULocalizer(CO2NetLocalizer):
    r"""Dual-evidential learning for uncertainty of Chen, Gao, Yang and Xu [1]_.

    The network and the losses of :class:`CO2NetLocalizer`, and two more. With the suppressed
    logits :math:`s_t`, the evidence of a class is :math:`e_c = \exp s_c`, and the uncertainty is
    :math:`C / \sum_c (e_c + 1)`: of a video over its C actions, of a snippet over background, too.

    - ``evidence``: the mean :math:`s_t` of the snippets of highest attention shall be evidence of
      the labels of the video; the more uncertain the video is, the less it counts.
    - ``uncertainty``: the same as ``guide``, in which each snippet has a weight, which follows a
      curve over the order of uncertainty,
      :math:`\kappa_i = 1 + a \tanh(((2 i + 1) / T - 1) (1 - 2 \tau))`. Over the training, as
      :math:`\tau` goes from 0 to 1, it turns from rising to falling.

    Parameters
    ----------
    evidence_topk : int, default=9
        One snippet in so many, those of highest attention, gives evidence.
    guide : float, default=0.4
        Weight of the distance of attention from the probability of any action.
    evidence : float, default=1.3
        Weight of this loss.
    uncertainty : float, default=0.4
        Weight of this loss.
    amplitude : float, in [0, 1), default=0.7
        a: how much the weights of snippets differ.
    squared_evidence : bool, default=False
        Whether evidence is the positive part of the mean logit, and its loss the squared distance
        of its shares from the labels; released for ActivityNet.
    hidden, attention_width, topk, smoothing_radius : int
        As for :class:`CO2NetLocalizer`, with the same defaults.
    dropout, attention_dropout, coactivity, mutual, sparsity, weight_decay : float
        As for :class:`CO2NetLocalizer`, with the same defaults.
    {shared}

    Attributes
    ----------
    {fitted}
    history_ : dict of ndarrays of shape (n_epochs,)
        Mean of each loss term in each epoch: those of :class:`CO2NetLocalizer`, ``evidence`` and
        ``uncertainty``.

    Notes
    -----
    All is by default as released for THUMOS14, and the presets have the released training, too;
    what :class:`CO2NetLocalizer` says of training and evaluation holds here. Detections of a
    single snippet are dropped after soft non-maximum suppression.

    As released, snippet t has the weight :math:`\kappa_{\pi(t)}`, where :math:`\pi(t)` is the
    number of the t-th most certain snippet. What was meant is surely the rank of snippet t, by
    which uncertain snippets would count more at first and less in the end; as it is, weights have
    little to do with uncertainty.

    References
    ----------
    .. [1] M. Chen, J. Gao, S. Yang, C. Xu: Dual-Evidential Learning for Weakly-supervised Temporal
       Action Localization. ECCV 2022.

    Examples
    --------
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.methods import DELULocalizer
    >>> X, y = make_untrimmed(n_videos=20, n_classes=2, n_features=(8, 8), random_state=0)
    >>> model = DELULocalizer(attention_width=16, max_epochs=3, random_state=0).fit(X, y)
    >>> model.predict(X).shape
    (20,)
    """

    presets = {  # noqa: RUF012
        "DELU_THUMOS14": {**CO2NetLocalizer.presets["CO2NET_THUMOS14"]},
        "DELU_ACTIVITYNET12": {
            **CO2NetLocalizer.presets["CO2NET_ACTIVITYNET12"],
            **{"evidence_topk": 5, "guide": 0.8, "evidence": 1.2, "uncertainty": 0.2},
            **{"amplitude": 0.2, "squared_evidence": True},
        },
    }

    evidence_topk: int = 9
    guide: float = 0.4
    evidence: float = 1.3
    uncertainty: float = 0.4
    amplitude: float = 0.7
    squared_evidence: bool = False
    n_snippets: int | None = 320
    proposal_threshold: Any = tuple(np.linspace(0.1, 0.9, 20).tolist())

    _parameter_constraints = CO2NetLocalizer._parameter_constraints | {
        "evidence_topk": COUNT,
        **dict.fromkeys(("evidence", "uncertainty"), WEIGHT),
        "amplitude": SHARE,
        "squared_evidence": ["boolean"],
    }

    def _terms(
        self, batch: Batch, features: Tensor, logits: Tensor, attention: Tensor
    ) -> LossTerms:
        suppressed = losses.suppress(logits, attention[:, 0])
        attended = [
            s[a.topk(max(len(a) // self.evidence_topk, 1)).indices].mean(dim=0)
            for s, a in zip(
                batch.of_videos(suppressed[:, :-1]), batch.of_videos(attention[:, 0]), strict=True
            )
        ]
        loss = squared_evidential_loss if self.squared_evidence else evidential_loss
        evidence = loss(torch.stack(attended), batch.labels)
        weights = uncertainty_weights(suppressed, batch, self.amplitude)
        uncertainty = batch.mean(weights * guide(attention, logits))
        return super()._terms(batch, features, logits, attention) | {
            "evidence": (self.evidence, batch.mean_of_videos(evidence)),
            "uncertainty": (self.uncertainty, uncertainty),
        }

    def _propose(
        self, activation: Activation, clock: SnippetClock, others: Sequence[Activation] = ()
    ) -> np.ndarray:
        found = super()._propose(activation, clock, others)
        return found[found["end"] - found["start"] > 1.5 * clock.seconds]


def evidential_loss(logits: Tensor, labels: Tensor) -> Tensor:
    r"""Loss (n_videos,) of the evidence of pooled logits for labels, both (n_videos, n_classes).

    With :math:`A_c = \exp(s_c) + 1`, their sum S and n labels it is :math:`\sum_c g_c \log (S /
    A_c)`, in which :math:`g_c = (1 - C / S)\, n\, \frac{y_c / A_c}{\sum_j y_j / A_j}` gives labels
    of little evidence more weight. No gradient flows through the uncertainty :math:`C / S`.
    """
    alpha = _evidence(logits) + 1
    total = alpha.sum(dim=1, keepdim=True)
    certainty = 1 - alpha.shape[1] / total.detach()
    shares = labels / alpha
    shares = shares / shares.sum(dim=1, keepdim=True).clamp_min(torch.finfo(shares.dtype).tiny)
    weights = certainty * labels.sum(dim=1, keepdim=True) * shares
    return (weights * (total / alpha).log()).sum(dim=1)


def squared_evidential_loss(logits: Tensor, labels: Tensor) -> Tensor:
    r"""Squared distance (n_videos,) of the shares of evidence from the labels.

    With :math:`A_c = [s_c]_+ + 1` and their sum S it is :math:`\sum_c (y_c - A_c / S)^2`.
    """
    alpha = logits.relu() + 1
    return (labels - alpha / alpha.sum(dim=1, keepdim=True)).square().sum(dim=1)


def uncertainty_weights(logits: Tensor, batch: Batch, amplitude: float) -> Tensor:
    """Weight (n_rows,) of each snippet by its logits (n_rows, n_columns), as released."""
    certainty = _evidence(logits.detach()).sum(dim=1)
    weights = torch.zeros_like(certainty)
    slope = 1 - 2 * batch.progress
    first = 0
    for of_video in batch.of_videos(certainty):
        n = len(of_video)
        place = (2 * torch.arange(n, device=logits.device) + 1) / n - 1
        curve = 1 + amplitude * (place * slope).tanh()
        weights[first : first + n] = curve[of_video.argsort(descending=True)]
        first += n
    return weights


def _evidence(logits: Tensor) -> Tensor:
    return logits.clamp(-BOUND, BOUND).exp()
