"""AutoLocLocalizer: boundaries are predicted, by the contrast of inside and outside."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import softmax

from skdgam.clock import SnippetClock
from skdgam.localization import Activation
from skdgam.methods._box_localizer import BoxLocalizer
from skdgam.methods._boxes import Boxes, Evaluation, outer_inner_contrast
from skdgam.methods._localization import fused
from skdgam.methods._settings import COUNT

__all__ = ["AutoLocLocalizer"]

TEMPERATURE = 3.0  # of attention over the snippets of a whole video


class AutoLocLocalizer(BoxLocalizer):
    r"""AutoLoc of Shou, Gao, Zhang, Miyazawa and Chang [1]_: boundaries are predicted.

    At each snippet, a network moves and stretches anchors of several lengths to boxes. It learns
    from heat, the probability of a labelled class where attention is high: the mean heat inside a
    box is to exceed that around it (outer-inner-contrast loss). Probability
    and attention are trained beside it, by the soft selection of
    :class:`~skdgam.methods.UntrimmedNetLocalizer`.

    Parameters
    ----------
    n_anchors : int, default=6
        Anchors at each snippet, each twice as long as the one before.
    shortest_anchor : int, default=1
        Snippets of the shortest anchor; 16 on ActivityNet.
    hidden : int, default=128
        Units of each of the three convolutions over three snippets that predict boxes.
    box_rate : float, default=1e-3
        Learning rate of the network that predicts boxes, by plain gradient descent.
    n_searched : int, default=2
        A video is searched for so many classes, those of the highest mean probability.
    dropout : float, in [0, 1), default=0.8
        Share of the features that training leaves out, for probability and attention.
    {shared}

    Attributes
    ----------
    {fitted}
    history_ : dict of ndarrays of shape (n_epochs,)
        Mean of each loss term in each epoch: ``classification`` and ``contrast``.

    Notes
    -----
    Boxes, their loss and its gradient, and their selection are as released, but without the
    lengths of true intervals, which the release for THUMOS14 weighs anchors by: they are no weak
    labels. Other points differ: the release takes probability and attention from an UntrimmedNet
    that was trained before, and attention is high above a fixed 7, which is that network's; here
    it is above its mean in the video. Batch normalization and weight decay are left out. So there
    is no preset.

    Of the shared parameters, `class_threshold`, `proposal_threshold`, `proposal_smoothing` and
    `eta` have no effect.

    References
    ----------
    .. [1] Z. Shou, H. Gao, L. Zhang, K. Miyazawa, S.-F. Chang: AutoLoc: Weakly-supervised Temporal
       Action Localization in Untrimmed Videos. ECCV 2018.

    Examples
    --------
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.methods import AutoLocLocalizer
    >>> X, y = make_untrimmed(n_videos=20, n_classes=2, random_state=0)
    >>> AutoLocLocalizer(hidden=16, max_epochs=3, random_state=0).fit(X, y).predict(X).shape
    (20,)
    """

    n_searched: int = 2

    _parameter_constraints = BoxLocalizer._parameter_constraints | {"n_searched": COUNT}

    def _evaluate(self, heat: np.ndarray, boxes: Boxes) -> Evaluation:
        return outer_inner_contrast(heat, boxes)

    def _activation(self, network: Any, attention: np.ndarray, logits: np.ndarray) -> Activation:
        n_classes = network.classifier.out_features
        pooled = softmax(logits[:, n_classes] / TEMPERATURE) @ logits[:, :n_classes]
        return Activation(attention, logits, np.zeros(n_classes), softmax(pooled))

    def _propose(
        self, activation: Activation, clock: SnippetClock, others: Sequence[Activation] = ()
    ) -> np.ndarray:
        streams = self._streams(activation, others)
        mean = fused([p.mean(axis=0) for p, _ in streams], self.stream_weight)
        columns = np.argsort(-mean, kind="stable")[: self.n_searched]
        found = self._in_seconds(self._kept(activation, streams, columns), clock)
        for edge in ("start", "end"):
            found[edge] = np.clip(found[edge], 0, clock.end(len(activation.tcam)))
        return found[found["end"] > found["start"]]  # the release keeps boxes of one position
