"""PhasePathLocalizer: actions as circles of phases, in the manner of TSM."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch
from scipy.special import expit
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from skdgam import losses
from skdgam.base import BaseLocalizer
from skdgam.clock import SnippetClock
from skdgam.intervals import make_intervals, runs
from skdgam.layers import Linear
from skdgam.localization import Activation, select_classes
from skdgam.methods._localization import fused
from skdgam.methods._paths import path_scores
from skdgam.proposals import join_proposals, mean_inside
from skdgam.training.batches import Batch
from skdgam.training.protocol import LossTerms, Stage

__all__ = ["PhasePathLocalizer"]


class PhasePathLocalizer(BaseLocalizer):
    r"""Actions as circles of phases, in the manner of the temporal structure mining of Yu et al.

    This is one reading of a method [1]_ of which nobody has published code, made from its abstract:
    **do not report what it finds as TSM**.

    An action goes through phases 1 to K, and when it is repeated, it begins again with phase 1. A
    linear layer gives each snippet the score :math:`M^c_{kt}` of each phase of each class;
    background scores 0. Of the paths of phases that are allowed, the one of the greatest sum says
    which phase of a class each snippet shows. The mean score
    :math:`g_c` of those that are not background classifies the video, and the loss is the
    cross-entropy of :math:`\sigma(g_c)` with its labels, each class by itself. In each step, paths
    are found with the weights as they are, and no gradient flows through the choice.

    Parameters
    ----------
    n_phases : int, default=4
        K: phases of each class, at least two.
    {shared}

    Attributes
    ----------
    {fitted}
    history_ : dict of ndarrays of shape (n_epochs,)
        Mean of the loss in each epoch: ``classification``.

    Notes
    -----
    All but the idea is uncertain: how many phases there are, how background scores, which steps are
    allowed, the loss, and all settings of the training. So there is no preset. A path that is
    background throughout has the best score of any phase in any snippet in place of its mean, so
    that a class that is found nowhere can still be learned.

    A proposal is a part of the path that is not background, and ends where a circle begins again.
    It scores the mean inside and :math:`g_c`. The scores of several streams are averaged, by
    `stream_weight`. Attention is the probability of the likeliest phase of any class.
    `proposal_threshold`, `proposal_smoothing` and `eta` have no effect, and no proposals overlap.

    References
    ----------
    .. [1] T. Yu, Z. Ren, Y. Li, E. Yan, N. Xu, J. Yuan: Temporal Structure Mining for Weakly
       Supervised Action Detection. ICCV 2019.

    Examples
    --------
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.methods import PhasePathLocalizer
    >>> X, y = make_untrimmed(n_videos=20, n_classes=2, random_state=0)
    >>> PhasePathLocalizer(max_epochs=3, random_state=0).fit(X, y).predict(X).shape
    (20,)
    """

    _architecture = ("n_phases",)

    n_phases: int = 4

    _parameter_constraints = BaseLocalizer._parameter_constraints | {
        "n_phases": [Interval(Integral, 2, None, closed="left")],
        "localization": [StrOptions({"tcam"})],
    }

    class _network(nn.Module):  # noqa: N801
        """A linear layer: the scores of all phases of one class, then of the next."""

        reach = 0

        def __init__(self, n_features: int, n_classes: int, *, n_phases: int):
            super().__init__()
            self.n_phases = n_phases
            self.phases = Linear(n_features, n_classes * n_phases)

        def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
            """Probability (n_rows,) of the likeliest phase; scores (n_rows, n_classes * K)."""
            scores = self.phases(batch.x).float()
            return scores.amax(dim=1).sigmoid(), scores

    def _stages(self) -> list[Stage]:
        return [Stage("network", ("",), self._losses)]

    def _losses(self, network: Any, batch: Batch) -> LossTerms:
        scores = network.phases(batch.x).float().unflatten(1, (-1, network.n_phases))
        # Before shorter videos are zeros, which no path minds.
        of_videos = pad_sequence([*batch.of_videos(scores)], padding_side="left")
        n_before = torch.from_numpy(len(of_videos) - batch.lengths).to(scores.device)
        _, of_classes = path_scores(of_videos, n_before)
        loss = losses.multilabel_loss(of_classes, batch.labels)
        return {"classification": (1.0, batch.mean_of_videos(loss) / batch.labels.shape[1])}

    def _activation(self, network: Any, attention: np.ndarray, logits: np.ndarray) -> Activation:
        _, in_video = _of_one_video(logits, network.n_phases)
        return Activation(attention, logits, np.zeros(len(in_video)), expit(in_video))

    def _class_probability(self, network: Any, logits: Tensor) -> Tensor:
        return logits.unflatten(1, (-1, network.n_phases)).amax(dim=2).sigmoid()

    def _propose(
        self, activation: Activation, clock: SnippetClock, others: Sequence[Activation] = ()
    ) -> np.ndarray:
        n_phases = self._fitted_architecture()["n_phases"]
        scores = fused([stream.tcam for stream in (activation, *others)], self.stream_weight)
        path, in_video = _of_one_video(scores, n_phases)
        scores = scores.reshape(len(path), -1, n_phases)
        found = []
        for column in select_classes(expit(in_video), self.class_threshold):
            phase = path[:, column]
            on_path = np.take_along_axis(scores[:, column], np.maximum(phase - 1, 0)[:, None], 1)
            first, stop = runs(phase > 0)
            again = 1 + np.flatnonzero((phase[:-1] == n_phases) & (phase[1:] == 1))
            first, stop = (np.sort(np.append(edges, again)) for edges in (first, stop))
            score = mean_inside(on_path[:, 0], first, stop) + in_video[column]
            found.append((first, stop, column, score))
        first, stop, columns, score = join_proposals(found)
        return self._in_seconds(make_intervals(first, stop, columns, score), clock)


def _of_one_video(scores: np.ndarray, n_phases: int) -> tuple[np.ndarray, np.ndarray]:
    """Path (n_snippets, n_classes) and means (n_classes,) of scores (n_snippets, n_classes * K)."""
    of_video = torch.from_numpy(scores.reshape(len(scores), 1, -1, n_phases))
    path, means = path_scores(of_video.double(), torch.zeros(1, dtype=torch.int64))
    return path[:, 0].numpy(), means[0].numpy()
