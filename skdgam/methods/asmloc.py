"""ASMLocLocalizer: what one model finds is what the next one learns."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.utils._param_validation import Interval
from torch import Tensor

from skdgam import losses
from skdgam.clock import SnippetClock
from skdgam.localization import Activation, check_proposal_thresholds, select_classes
from skdgam.methods._branches import (
    BranchLocalizer,
    branch_proposals,
)
from skdgam.methods._segments import (
    SIDE,
    ASMLocNetwork,
    labels_of,
    members_of,
)
from skdgam.methods._settings import THUMOS14, WEIGHT
from skdgam.training.batches import Batch
from skdgam.training.protocol import LossTerms, Stage

__all__ = ["ASMLocLocalizer"]

TOP_BACKGROUND = 3  # one snippet in so many is pooled in the branch of background
N_TURNS = 8  # at least, of which each network has one, and the last one the rest
UNCERTAINTY = 0.2  # weight of the mean uncertainty
TCAM_THRESHOLDS = 0.15, 0.2
LEAST_LOG = float(np.log(1e-7))  # of probabilities, in losses


class ASMLocLocalizer(BranchLocalizer):
    r"""ASM-Loc of He, Yang, Kang, Cheng, Zhou and Shrivastava [1]_, without its dynamic sampling.

    Networks are trained one after the other. Each has a convolution over time that describes the
    snippets, :math:`f_t`, two attentions, of foreground and of background, which sum to 1, and a
    classifier. Logits, multiplied by the attention of a branch, are pooled: the foreground is
    classified as the labels of the video, and the background half as background and half as these
    labels, too.

    Where the foreground attention of a network is high, there are its *pseudo segments*. The next
    network looks at them: in its features, snippets attend to those of the same segment, and
    segments to one another. And it learns them, as labels of snippets: to their cross-entropy
    :math:`H_t` belongs a learnt uncertainty :math:`\upsilon_t`, and the loss is
    :math:`e^{-\upsilon_t} H_t + 0.2\, \upsilon_t`. In a prediction, all networks take their turn.

    Parameters
    ----------
    n_refinements : int, default=3
        Networks after the first one. Each network has an eighth of the epochs, or less if they are
        more than eight, and the last one has the rest.
    hidden : int or None, default=None
        Units of the convolution; None is as many as there are features. Of a few units, dropout
        leaves too little: take 64 or more. The attention among snippets has 8 heads, if 8 divides
        them.
    topk : int, default=8
        One snippet in so many is pooled in the branch of foreground, and one in three in the other.
    background : float, default=0.5
        Weight of each of the two losses of the background.
    pseudo : float, default=1.0
        Weight of learning the pseudo segments.
    dropout : float, in [0, 1), default=0.7
        Share of the snippets, and of the units of the others, whose logits training leaves out.
    weight_decay : float, default=5e-5
        Of Adam: added to the gradient, times the weight.
    {shared}

    Attributes
    ----------
    {fitted}
    history_ : dict of ndarrays of shape (n_epochs,)
        Mean of each loss term in each epoch: ``foreground``, ``background``, ``actions`` (those in
        the background) and ``pseudo``, which is 0 for the first network.

    Notes
    -----
    Networks, losses, pseudo segments and localization are as released for THUMOS14. Left out is
    *dynamic segment sampling*, which has all but the first network see short segments at a higher
    rate, and stretches time for that; and with it the variant for ActivityNet. So published
    figures are not to be expected. Pseudo segments are found anew in each step, among the snippets
    that it draws, by the networks before, which no longer change; the release finds them once for
    all snippets. That is the same for videos that are not longer than `n_snippets`. The release
    stretches these to `n_snippets` in training; here they stay as they are. The released weights
    are those of the epoch that was best on the test set.

    Each network needs some hundred steps to find segments that are worth to be learned, or the next
    ones learn its errors: for few videos, lower `batch_size` or `n_refinements`. A training that
    goes on, by ``warm_start``, takes all networks through their turns again. Attention of snippets
    to one another takes time and memory with the square of their number: for long videos, keep
    `n_snippets` and `max_snippets`. Pseudo segments follow the released settings,
    whatever the parameters of localization are.

    `proposal_threshold` is for attention; the T-CAM has the thresholds 0.15 and 0.2.
    `proposal_smoothing` and `stream_weight` have no effect: proposals of streams compete in
    non-maximum suppression alone. A video without labels is background.

    References
    ----------
    .. [1] B. He, X. Yang, L. Kang, Z. Cheng, X. Zhou, A. Shrivastava: ASM-Loc: Action-aware Segment
       Modeling for Weakly-Supervised Temporal Action Localization. CVPR 2022.

    Examples
    --------
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.methods import ASMLocLocalizer
    >>> X, y = make_untrimmed(n_videos=20, n_classes=2, random_state=0)
    >>> ASMLocLocalizer(max_epochs=8, random_state=0).fit(X, y).predict(X).shape
    (20,)
    """

    _architecture = ("hidden", "topk", "n_refinements")
    _network = ASMLocNetwork
    presets = {  # noqa: RUF012
        "ASMLOC_THUMOS14": {**THUMOS14, "max_epochs": 800, "learning_rate": 1e-4}
    }

    n_refinements: int = 3
    background: float = 0.5
    pseudo: float = 1.0
    proposal_threshold: Any = tuple(round(0.1 + 0.025 * k, 3) for k in range(33))
    nms_threshold: float = 0.45

    _parameter_constraints = BranchLocalizer._parameter_constraints | {
        "n_refinements": [Interval(Integral, 0, None, closed="left")],
        **dict.fromkeys(("background", "pseudo"), WEIGHT),
    }

    def _stages(self) -> list[Stage]:
        learns = ("base.", "refinements.")  # those that the losses do not see stay as they are
        return [Stage("network", learns, self._losses, weight_decay=self.weight_decay, whole=True)]

    def _losses(self, network: Any, batch: Batch) -> LossTerms:
        last = len(network.refinements)
        k = min(int(batch.progress * max(N_TURNS, last + 1)), last)
        with torch.no_grad():
            network.n_refined.fill_(k)
            if k:
                before = network.run(batch, k - 1, batch.labels)
                segments = network.find(batch, *before, batch.labels)
        if k:
            members, target = members_of(batch, segments), labels_of(batch, segments)
            return self._losses_of(network.refinements[k - 1], batch, members, target)
        return self._losses_of(network.base, batch)

    def _losses_of(
        self,
        network: Any,
        batch: Batch,
        members: list[Tensor] | None = None,
        target: Tensor | None = None,
    ) -> LossTerms:
        """Losses of one network; a refinement is given proposals and pseudo labels of snippets."""
        features = network.embed(batch) if members is None else network.refine(batch, members, True)
        attention, logits = network.read(features, batch, self.dropout)
        foreground, background = (
            losses.top_k_mean(batch.of_videos(attention[:, [m]] * logits), share)
            for m, share in enumerate((network.topk, TOP_BACKGROUND))
        )
        labels = losses.with_background(batch.labels, 1 - batch.labels.amax(dim=1))
        actions = losses.with_background(batch.labels, 0.0)
        is_background = losses.with_background(torch.zeros_like(batch.labels), 1.0)
        of_videos = {
            "foreground": (1.0, cross_entropy(foreground, losses.equal_shares(labels))),
            "background": (self.background, cross_entropy(background, is_background)),
            "actions": (self.background, cross_entropy(background, losses.equal_shares(actions))),
        }
        pseudo = torch.zeros_like(attention[:, 0])
        if target is not None:
            uncertainty = network.uncertainty(features)[:, 0].float()
            pseudo = (-uncertainty).exp() * cross_entropy(logits, target)
            pseudo = pseudo + UNCERTAINTY * uncertainty
        return {
            **{name: (w, batch.mean_of_videos(loss)) for name, (w, loss) in of_videos.items()},
            "pseudo": (self.pseudo, batch.mean(pseudo)),
        }

    def _propose(
        self, activation: Activation, clock: SnippetClock, others: Sequence[Activation] = ()
    ) -> np.ndarray:
        proposals = branch_proposals(
            activation,
            select_classes(activation.probability, self.class_threshold),
            TCAM_THRESHOLDS,
            check_proposal_thresholds(self.proposal_threshold, self.localization),
            eta=self.eta,
            side=SIDE,
        )
        return self._in_seconds(proposals, clock)


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy (n,) of targets (n, n_classes + 1); probabilities count as 1e-7 at least."""
    return -(target * logits.log_softmax(dim=1).clamp_min(LEAST_LOG)).sum(dim=1)
