"""ACMNetLocalizer: instances, their context and background have an attention each."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skdgam import losses
from skdgam.clock import SnippetClock
from skdgam.localization import Activation, check_proposal_thresholds, select_classes
from skdgam.methods._branches import BranchLocalizer, BranchNetwork, branch_proposals
from skdgam.methods._settings import ACTIVITYNET12, COUNT, SHARE, THUMOS14, WEIGHT
from skdgam.training.batches import Batch
from skdgam.training.protocol import LossTerms, Stage

__all__ = ["ACMNetLocalizer"]


class ACMNetLocalizer(BranchLocalizer):
    r"""ACM-Net of Qu, Chen, Li, Zhang, Lu and Knoll [1]_: context is neither action nor background.

    A convolution over time describes each snippet, :math:`f_t`. Three attentions, which sum to 1,
    divide it among instances of actions, their context and background, and multiply its logits,
    :math:`x^m_t = a^m_t x_t`. Of each branch m, the highest logits of each class are averaged and
    classified: instances as the labels of the video, context as labels and background together,
    and background as background. Beside these three cross-entropies there are

    - :math:`L_{guide} = \sum_t |1 - p(\text{background} | x^i_t) - \bar a^i_t|`, without a gradient
      through :math:`\bar a = a`;
    - :math:`L_{feat} = ([m - \|u^i\| + \|u^c\|]_+ + [m - \|u^c\| + \|u^b\|]_+ + \|u^b\|)^2`,
      where u is the mean feature of the snippets of highest attention in a branch;
    - :math:`L_{sparse} = \tfrac12 \sum_t (a^i_t + a^c_t)`.

    Parameters
    ----------
    hidden : int or None, default=None
        Units of the convolution; None is as many as there are features. Of a few units, dropout
        leaves too little: take 64 or more.
    topk : int, default=8
        One snippet in so many is pooled in the branch of instances; 2 on ActivityNet.
    topk_others : int, default=3
        One snippet in so many is pooled in the other branches; 10 on ActivityNet.
    instance : float, default=1.0
        Weight of classifying instances; 5 on ActivityNet.
    guide, feature, sparsity : float, default=2e-3, 5e-5 and 2e-4
        Weights of the three other losses.
    margin : float, default=50.0
        m: how much longer the features of one branch are to be than those of the next.
    dropout : float, in [0, 1), default=0.7
        Share of the snippets, and of the units of the others, whose logits training leaves out.
    input_dropout : float, in [0, 1), default=0.0
        Share of the features, and of the units that attention sees; 0.7 on ActivityNet.
    weight_decay : float, default=5e-5
        Of Adam: added to the gradient, times the weight.
    tcam_limit : float, default=0.2
        Thresholds in `proposal_threshold` up to this one are for the T-CAM, too.
    tcam_share : float, in [0, 1], default=1.0
        Share of the T-CAM in scores of proposals; attention has the rest.
    side : float, default=0.2
        Length of each side that a proposal stands out from, in lengths of the proposal.
    video_share : float, default=0.0
        Weight of the probability of a class in the video, in scores of proposals from attention.
    {shared}

    Attributes
    ----------
    {fitted}
    history_ : dict of ndarrays of shape (n_epochs,)
        Mean of each loss term in each epoch: ``classification`` of instances, ``context``,
        ``background``, ``guide``, ``feature`` and ``sparsity``.

    Notes
    -----
    Network, losses and localization are as released, by default for THUMOS14. Snippets are not
    drawn quite so: the release draws from parts that share their ends, and fills up short videos
    by drawing with replacement; here each snippet is used once, and weighs more. The released
    weights are those of the epoch that was best on the test set. A video without labels is
    background in all branches.

    Localization looks for runs of points in which the T-CAM, :math:`\operatorname{softmax}(x^i_t)`,
    or :math:`a^i_t` reaches a threshold. `proposal_smoothing` and `stream_weight` have no effect:
    proposals of streams compete in non-maximum suppression alone.

    References
    ----------
    .. [1] S. Qu, G. Chen, Z. Li, L. Zhang, F. Lu, A. Knoll: ACM-Net: Action Context Modeling
       Network for Weakly-Supervised Temporal Action Localization. arXiv:2104.02967, 2021.

    Examples
    --------
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.methods import ACMNetLocalizer
    >>> X, y = make_untrimmed(n_videos=20, n_classes=2, random_state=0)
    >>> ACMNetLocalizer(max_epochs=3, random_state=0).fit(X, y).predict(X).shape
    (20,)
    """

    presets = {  # noqa: RUF012
        "ACMNET_THUMOS14": {**THUMOS14, "max_epochs": 1000, "learning_rate": 1e-4},
        "ACMNET_ACTIVITYNET13": {
            **ACTIVITYNET12,  # which are 1.3's, too
            # The number of epochs is uncertain.
            **{"n_snippets": 75, "max_snippets": 75, "max_epochs": 1000, "batch_size": 64},
            **{"learning_rate": 1e-4, "weight_decay": 1e-3, "input_dropout": 0.7},
            **{"topk": 2, "topk_others": 10, "instance": 5.0, "guide": 5e-3, "sparsity": 0.0},
            **{"class_threshold": 0.1, "proposal_threshold": (0.005, 0.01, 0.015, 0.02)},
            **{"tcam_share": 0.7, "side": 0.15, "video_share": 0.25, "nms_threshold": 0.9},
        },
    }

    topk_others: int = 3
    instance: float = 1.0
    guide: float = 2e-3
    feature: float = 5e-5
    sparsity: float = 2e-4
    margin: float = 50.0
    input_dropout: float = 0.0
    tcam_limit: float = 0.2
    tcam_share: float = 1.0
    side: float = 0.2
    video_share: float = 0.0
    proposal_threshold: Any = tuple(round(0.15 + 0.05 * k, 2) for k in range(17))
    nms_threshold: float = 0.55

    _parameter_constraints = BranchLocalizer._parameter_constraints | {
        "topk_others": COUNT,
        **dict.fromkeys(("instance", "guide", "feature", "sparsity", "margin"), WEIGHT),
        **dict.fromkeys(("tcam_limit", "side", "video_share"), WEIGHT),
        "input_dropout": SHARE,
        "tcam_share": BranchLocalizer._parameter_constraints["stream_weight"],
    }

    class _network(BranchNetwork):  # noqa: N801
        """Branches of instances, context and background."""

        def __init__(self, n_features: int, n_classes: int, **shape: Any):
            super().__init__(n_features, n_classes, 3, **shape)

    def _stages(self) -> list[Stage]:
        return [Stage("network", ("",), self._losses, weight_decay=self.weight_decay)]

    def _losses(self, network: Any, batch: Batch) -> LossTerms:
        features = network.embed(batch, self.input_dropout)
        attention, logits = network.read(features, batch, self.dropout, self.input_dropout)
        is_empty = 1 - batch.labels.amax(dim=1)
        branches = {
            "classification": (self.instance, losses.with_background(batch.labels, is_empty)),
            "context": (1.0, losses.with_background(batch.labels, 1.0)),
            "background": (1.0, losses.with_background(torch.zeros_like(batch.labels), 1.0)),
        }
        terms: LossTerms = {}
        lengths = []  # of the mean features u of each branch
        for k, (name, (weight, target)) in enumerate(branches.items()):
            own, share = attention[:, k], self.topk_others if k else network.topk
            pooled = losses.top_k_mean(batch.of_videos(own[:, None] * logits), share)
            loss = losses.classification_loss(pooled, losses.equal_shares(target))
            terms[name] = weight, batch.mean_of_videos(loss)
            sides = zip(batch.of_videos(features.float()), batch.of_videos(own), strict=True)
            u = [f[a.topk(max(len(a) // share, 1)).indices].mean(dim=0) for f, a in sides]
            lengths.append(torch.stack(u).norm(dim=1))
        instances = attention[:, 0]
        is_action = 1 - (instances[:, None] * logits).softmax(dim=1)[:, -1]
        guide = batch.membership @ (is_action - instances.detach()).abs()
        sparsity = batch.membership @ attention[:, :2].sum(dim=1) / 2
        return terms | {
            "guide": (self.guide, batch.mean_of_videos(guide)),
            "feature": (self.feature, batch.mean_of_videos(step_loss(lengths, self.margin))),
            "sparsity": (self.sparsity, batch.mean_of_videos(sparsity)),
        }

    def _propose(
        self, activation: Activation, clock: SnippetClock, others: Sequence[Activation] = ()
    ) -> np.ndarray:
        thresholds = check_proposal_thresholds(self.proposal_threshold, self.localization)
        proposals = branch_proposals(
            activation,
            select_classes(activation.probability, self.class_threshold),
            thresholds[thresholds <= self.tcam_limit],
            thresholds,
            eta=self.eta,
            side=self.side,
            tcam_share=self.tcam_share,
            video_share=self.video_share,
        )
        return self._in_seconds(proposals, clock)


def step_loss(lengths: Sequence[Tensor], margin: float) -> Tensor:
    """L_feat (n_videos,) of the lengths (n_videos,) of the mean features of the three branches."""
    instance, context, background = lengths
    steps = (margin - instance + context).relu() + (margin - context + background).relu()
    return (steps + background).square()
