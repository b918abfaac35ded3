"""BackgroundModelingLocalizer: a class for background, and an attention that agrees with it."""

from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor

from skdgam import losses
from skdgam.layers import Linear
from skdgam.localization import Activation
from skdgam.methods._localization import WeightedTCAMLocalizer
from skdgam.methods._settings import POSITIVE, WEIGHT
from skdgam.methods.stpn import STPNetwork
from skdgam.training.batches import Batch
from skdgam.training.protocol import LossTerms, Stage

__all__ = ["BackgroundModelingLocalizer"]

SMOOTHING_RADIUS = 4  # of the Gaussian over class probabilities, in its standard deviations


class BackgroundModelingLocalizer(WeightedTCAMLocalizer):
    r"""Background modeling of Nguyen, Ramanan and Fowlkes [1]_.

    The classifier of :class:`~skdgam.methods.STPNLocalizer` gets a class for background. Attention
    λ pools the foreground of a video, :math:`x_{fg} = \sum_t \lambda_t x_t / \sum_t \lambda_t`, and
    1 - λ its background. With :math:`p(\cdot | x)` the softmax over all classes, the loss is
    :math:`L_{fg} + \alpha L_{bg} + \beta L_{guide} + \gamma L_{cluster}`:

    - :math:`L_{fg} = -\log p(y | x_{fg})` and :math:`L_{bg} = -\log p(0 | x_{bg})`;
    - :math:`L_{guide}`, the distance of attention from smoothed probabilities of the label and of
      any action in each snippet (:func:`skdgam.losses.guide_loss`);
    - :math:`L_{cluster} = -\log z_{fg} - \log z_{bg}`, in which two learnt vectors tell the pooled
      features apart, :math:`z_{fg} = \operatorname{softmax}(u_{fg}^T x_{fg}, u_{bg}^T x_{fg})_1`
      and :math:`z_{bg} = \operatorname{softmax}(u_{fg}^T x_{bg}, u_{bg}^T x_{bg})_2`.

    Parameters
    ----------
    alpha : float, default=0.1
        Weight of classifying the background of each video as background.
    beta : float, default=0.1
        Weight of the guide.
    gamma : float, default=0.1
        Weight of the clusters.
    attention_width : int, default=256
        Hidden units of the attention.
    smoothing : float, default=1.0
        Standard deviation, in snippets, of the Gaussian over the probabilities that guide.
    {shared}

    Attributes
    ----------
    {fitted}
    history_ : dict of ndarrays of shape (n_epochs,)
        Mean of each loss term in each epoch: ``foreground``, ``background``, ``guide`` and
        ``cluster``.

    Notes
    -----
    Nobody has published code. The first three losses are those that DGAM took over from this
    method, in the form of DGAM's released code: several labels of a video have equal shares, a
    video without labels is background in its foreground, too, and no gradient flows through what
    guides. The rest is uncertain, above all the weights, of which no published value is known; so
    there is no preset. Localization is that of STPN. The paper's further training videos from the
    web are left out. `proposal_smoothing` and `eta` have no effect.

    References
    ----------
    .. [1] P. Nguyen, D. Ramanan, C. Fowlkes: Weakly-supervised Action Localization with Background
       Modeling. ICCV 2019.

    Examples
    --------
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.methods import BackgroundModelingLocalizer
    >>> X, y = make_untrimmed(n_videos=20, n_classes=2, random_state=0)
    >>> model = BackgroundModelingLocalizer(max_epochs=3, random_state=0).fit(X, y)
    >>> model.predict(X).shape
    (20,)
    """

    _remedies = {  # noqa: RUF012
        0: "raise beta, or train longer",
        1: "raise alpha, or train longer",
    }
    alpha: float = 0.1
    beta: float = 0.1
    gamma: float = 0.1
    smoothing: float = 1.0

    _exclusive_classes = True
    _parameter_constraints = WeightedTCAMLocalizer._parameter_constraints | {
        **dict.fromkeys(("alpha", "beta", "gamma"), WEIGHT),
        "smoothing": POSITIVE,
    }

    class _network(STPNetwork):  # noqa: N801
        """STPN's network with a class more, background, the last; and the two vectors u."""

        def __init__(self, n_features: int, n_classes: int, *, attention_width: int):
            super().__init__(n_features, n_classes + 1, attention_width=attention_width)
            self.classifier = Linear(n_features, n_classes + 1, bias=False)
            self.clusters = Linear(n_features, 2, bias=False)

    def _stages(self) -> list[Stage]:
        return [Stage("network", ("",), self._losses)]

    def _losses(self, network: Any, batch: Batch) -> LossTerms:
        attention, activation = network(batch)
        clusters = network.clusters(batch.x).float()
        target = losses.with_background(batch.labels, 1 - batch.labels.amax(dim=1))
        is_background = losses.with_background(torch.zeros_like(batch.labels), 1.0)

        def pool(values: Tensor) -> tuple[Tensor, ...]:  # logits, since pooling is linear
            sides = attention, 1 - attention
            return tuple(losses.pool(values, side, batch.membership) for side in sides)

        (fg, bg), (u_fg, u_bg) = pool(activation), pool(clusters)
        of_videos = {
            "foreground": (1.0, losses.classification_loss(fg, losses.equal_shares(target))),
            "background": (self.alpha, losses.classification_loss(bg, is_background)),
            "cluster": (self.gamma, -u_fg.log_softmax(dim=1)[:, 0] - u_bg.log_softmax(dim=1)[:, 1]),
        }
        guide = batch.mean(self._guide(attention, activation, batch))
        return {
            **{name: (w, batch.mean_of_videos(loss)) for name, (w, loss) in of_videos.items()},
            "guide": (self.beta, guide),
        }

    def _guide(self, attention: Tensor, activation: Tensor, batch: Batch) -> Tensor:
        """Distance (n_rows,) of attention from the two maps that guide it."""
        radius = round(SMOOTHING_RADIUS * self.smoothing)
        kernel = losses.gaussian(self.smoothing, radius, activation.device)
        tcam = losses.smooth(activation.softmax(dim=1), batch.neighbours(radius), kernel)
        labels_of_rows = losses.with_background(batch.labels, 0.0)[batch.video]
        return losses.guide_loss(attention, *losses.guidance(tcam, labels_of_rows))

    def _activation(self, network: Any, attention: np.ndarray, logits: np.ndarray) -> Activation:
        mass = max(attention.sum(dtype=np.float64), np.finfo(np.float64).tiny)
        probability = softmax((attention @ logits).astype(np.float64) / mass)[:-1]
        return Activation(attention, logits[:, :-1], np.zeros_like(probability), probability)

    def _class_probability(self, network: Any, logits: Tensor) -> Tensor:
        return logits.softmax(dim=1)[:, :-1]
