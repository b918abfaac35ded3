"""ContrastEvaluatorLocalizer: boundaries by the contrast at them, in the manner of CleanNet."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from skdgam import losses
from skdgam.clock import SnippetClock
from skdgam.localization import Activation, select_classes
from skdgam.methods._box_localizer import BoxLocalizer
from skdgam.methods._boxes import Boxes, Evaluation, edge_contrast
from skdgam.methods._localization import fused

__all__ = ["ContrastEvaluatorLocalizer"]


class ContrastEvaluatorLocalizer(BoxLocalizer):
    r"""Boundaries are predicted by the contrast at their edges, in the manner of Liu et al.

    This is one reading of CleanNet [1]_, of which nobody has published code, from its abstract:
    **do not report what it finds as CleanNet**.

    As in :class:`~skdgam.methods.AutoLocLocalizer`, a network moves and stretches anchors of
    several lengths to boxes, and learns from heat, the probability of a labelled class where
    attention is high. An evaluator tells how good a box is,
    :math:`E = E_a + \tfrac12 (E_s + E_e)`: the mean heat inside, and how much it rises at the start
    and falls at the end, over a quarter of the length to both sides. The loss of boxes is
    :math:`1 - E`. Probability and attention are trained beside it, by the soft selection of
    :class:`~skdgam.methods.UntrimmedNetLocalizer`.

    Parameters
    ----------
    n_anchors : int, default=6
        Anchors at each snippet, each twice as long as the one before.
    shortest_anchor : int, default=1
        Snippets of the shortest anchor.
    hidden : int, default=128
        Units of each of the three convolutions over three snippets that predict boxes.
    box_rate : float, default=1e-3
        Learning rate of the network that predicts boxes, by plain gradient descent.
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
    The abstract says that intervals are regressed, and that a score of their contrast in the
    predictions of snippets takes the place of labels, all in one training. Everything else is
    uncertain: the signal, the evaluator and its weights, the network and all settings, which are
    those of AutoLoc. So there is no preset.

    A video is searched for the classes that are more probable than `class_threshold`, or for the
    most probable one. What is found scores E and the probability of the class in the video.
    `proposal_threshold`, `proposal_smoothing` and `eta` have no effect.

    References
    ----------
    .. [1] Z. Liu, L. Wang, Q. Zhang, Z. Gao, Z. Niu, N. Zheng, G. Hua: Weakly Supervised Temporal
       Action Localization through Contrast based Evaluation Networks. ICCV 2019.

    Examples
    --------
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.methods import ContrastEvaluatorLocalizer
    >>> X, y = make_untrimmed(n_videos=20, n_classes=2, random_state=0)
    >>> model = ContrastEvaluatorLocalizer(hidden=16, max_epochs=3, random_state=0)
    >>> model.fit(X, y).predict(X).shape
    (20,)
    """

    def _evaluate(self, heat: np.ndarray, boxes: Boxes) -> Evaluation:
        return edge_contrast(heat, boxes)

    def _activation(self, network: Any, attention: np.ndarray, logits: np.ndarray) -> Activation:
        n_classes = network.classifier.out_features
        scores = torch.from_numpy(logits[:, : n_classes + 1])
        probability = losses.soft_selection(scores[:, :-1], scores[:, -1]).numpy()
        return Activation(attention, logits, np.zeros(n_classes), probability)

    def _propose(
        self, activation: Activation, clock: SnippetClock, others: Sequence[Activation] = ()
    ) -> np.ndarray:
        streams = [activation, *others]
        in_video = fused([stream.probability for stream in streams], self.stream_weight)
        columns = select_classes(in_video, self.class_threshold)
        found = self._kept(activation, self._streams(activation, others), columns)
        found["score"] += in_video[found["label"]]
        found["end"] += 1  # the last snippet is inside
        for edge in ("start", "end"):
            found[edge] = np.clip(found[edge], 0, len(activation.tcam))
        return self._in_seconds(found, clock)
