"""MAANLocalizer: marginalized average attentional network."""

from typing import Any

import numpy as np
import torch
from scipy.special import expit

from skdgam import losses
from skdgam.localization import Activation
from skdgam.methods._localization import WeightedTCAMLocalizer
from skdgam.methods.stpn import STPNetwork
from skdgam.training.batches import Batch
from skdgam.training.protocol import LossTerms, Stage

__all__ = ["MAANLocalizer"]


class MAANLocalizer(WeightedTCAMLocalizer):
    r"""Marginalized average attentional network of Yuan et al. [1]_.

    Attention :math:`p_t` is the probability that a snippet is kept. A video is described by the
    expected mean of its kept snippets, :math:`\bar x = E[\sum_t z_t x_t / \sum_t z_t]` with
    :math:`z_t \sim \text{Bernoulli}(p_t)` (:func:`skdgam.losses.marginal_weights`), and each class
    is decided by itself: :math:`L = L_{class}(\sigma(W \bar x + b), y)`. No class gains from a few
    snippets alone, so that attention covers more of an action.

    Parameters
    ----------
    attention_width : int, default=256
        Hidden units of the attention.
    {shared}

    Attributes
    ----------
    {fitted}
    history_ : dict of ndarrays of shape (n_epochs,)
        Mean of the loss in each epoch: ``classification``.

    Notes
    -----
    The pooling is that of the released layer. Its authors have published no more code: the network
    is that of their figures, :class:`~skdgam.methods.STPNLocalizer`'s but for the pooling and
    without the sparsity loss. The loss, 20 snippets of a video in training, and everything of the
    training are uncertain, so that there is no preset; localization is that of STPN, unchanged.
    A video of fewer than `n_snippets` snippets is pooled as it is, without repetitions.

    A video may yield nothing. `proposal_smoothing` and `eta` have no effect.

    References
    ----------
    .. [1] Y. Yuan, Y. Lyu, X. Shen, I. W. Tsang, D.-Y. Yeung: Marginalized Average Attentional
       Network for Weakly-Supervised Learning. ICLR 2019.

    Examples
    --------
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.methods import MAANLocalizer
    >>> X, y = make_untrimmed(n_videos=20, n_classes=2, random_state=0)
    >>> MAANLocalizer(max_epochs=3, random_state=0).fit(X, y).predict(X).shape
    (20,)
    """

    n_snippets: int | None = 20

    _network = STPNetwork

    def _stages(self) -> list[Stage]:
        return [Stage("network", ("",), self._losses)]

    def _losses(self, network: Any, batch: Batch) -> LossTerms:
        attention, activation = map(batch.of_videos, network(batch))
        # Pooling and the classifier are linear, so that logits are pooled and not features.
        pooled = torch.stack(
            [losses.marginal_weights(p) @ a for p, a in zip(attention, activation, strict=True)]
        )
        loss = losses.multilabel_loss(pooled + network.classifier.bias, batch.labels)
        return {"classification": (1.0, batch.mean_of_videos(loss / batch.labels.shape[1]))}

    def _activation(self, network: Any, attention: np.ndarray, logits: np.ndarray) -> Activation:
        bias = network.classifier.bias.detach().cpu().numpy()
        weights = losses.marginal_weights(torch.from_numpy(attention)).numpy()
        return Activation(attention, logits, bias, expit(weights @ logits + bias))
