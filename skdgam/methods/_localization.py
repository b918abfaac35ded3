"""Ways of localization that several methods were published with."""

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.utils._param_validation import Interval, StrOptions

from skdgam.base import BaseLocalizer
from skdgam.clock import SnippetClock
from skdgam.intervals import make_intervals, runs
from skdgam.localization import Activation, check_proposal_thresholds
from skdgam.proposals import interpolate, join_proposals, maximum_inside, mean_inside

__all__ = ["WeightedTCAMLocalizer", "logit_proposals", "weighted_tcam_proposals"]

POINTS = 24  # to a snippet, that proposals are looked for in


def weighted_tcam_proposals(
    activation: Activation,
    classes: np.ndarray,
    thresholds: Iterable[float],
    others: Sequence[Activation] = (),
    stream_weight: float = 0.5,
) -> np.ndarray:
    r"""Proposals where the attention-weighted T-CAM is high, scored by their mean: as STPN does.

    With the class activation a of a stream, runs of points where
    :math:`\psi_{tc} = \lambda_t \sigma(a_{tc})` reaches a threshold are proposals. Their score is
    the mean inside of :math:`\lambda_t (\rho\, a_{tc} + (1 - \rho)\, a'_{tc})`, where a′ is that of
    the other streams, averaged. Both are interpolated to 24 points a snippet.

    Parameters
    ----------
    activation : Activation
    classes : ndarray of int of shape (n_selected,)
        Columns of the T-CAM.
    thresholds : sequence of float, in [0, 1)
        Each gives proposals of its own.
    others : sequence of Activation
        Of the same snippets in the other streams.
    stream_weight : float, default=0.5
        ρ: share of this stream's own activation.

    Returns
    -------
    proposals : interval array of shape (n_proposals,)
        Times in snippets from the start of the video, labels as column indices, with scores.
    """
    attention = activation.attention[:, None].astype(np.float64)
    own = fused = activation.tcam[:, classes].astype(np.float64)
    if others:
        theirs = np.mean([other.tcam[:, classes] for other in others], axis=0)
        fused = stream_weight * own + (1 - stream_weight) * theirs
    signal, score = (interpolate(attention * v, POINTS) for v in (expit(own), fused))
    found = []
    for k, column in enumerate(classes):
        for threshold in thresholds:
            first, stop = runs((signal[:, k] >= threshold) & (signal[:, k] > 0))
            found.append((first, stop, column, mean_inside(score[:, k], first, stop)))
    first, stop, columns, scores = join_proposals(found)
    return make_intervals(first / POINTS, stop / POINTS, columns, scores)


def logit_proposals(
    activation: Activation,
    classes: np.ndarray,
    thresholds: Iterable[float],
    video_logits: np.ndarray,
    video_weight: float,
) -> np.ndarray:
    """Proposals where the logit of a class is high in relation to its range: as W-TALC does.

    They are runs of at least two snippets whose logits exceed a share of the way from the least
    to the greatest one in the video. Their score is the greatest logit inside, plus the logit of
    the class in the video times a weight.

    Parameters
    ----------
    activation : Activation
        Of which the T-CAM are logits.
    classes : ndarray of int of shape (n_selected,)
        Columns of the T-CAM.
    thresholds : sequence of float, in [0, 1)
        Shares of the range; each gives proposals of its own.
    video_logits : ndarray of shape (n_classes,)
        Pooled logits.
    video_weight : float

    Returns
    -------
    proposals : interval array of shape (n_proposals,)
        Times in snippets from the start of the video, labels as column indices, with scores.
    """
    found = []
    for column in classes:
        logits = activation.tcam[:, column].astype(np.float64)
        least, most = logits.min(), logits.max()
        for threshold in thresholds:
            first, stop = runs(logits > least + threshold * (most - least))
            is_long = stop - first > 1
            first, stop = first[is_long], stop[is_long]
            score = maximum_inside(logits, first, stop) + video_weight * video_logits[column]
            found.append((first, stop, column, score))
    first, stop, columns, scores = join_proposals(found)
    return make_intervals(first, stop, columns, scores)


class WeightedTCAMLocalizer(BaseLocalizer):
    """A method with an attention of two layers that localizes by :func:`weighted_tcam_proposals`.

    Classes that are no more probable than `class_threshold` are not searched for.
    """

    _architecture = ("attention_width",)

    attention_width: int = 256
    learning_rate: float = 1e-3
    proposal_threshold: Any = 0.05
    min_snippets: int = 400
    max_snippets: int | None = 400

    _parameter_constraints = BaseLocalizer._parameter_constraints | {
        "attention_width": [Interval(Integral, 1, None, closed="left")],
        "localization": [StrOptions({"tcam"})],
    }

    def _propose(
        self, activation: Activation, clock: SnippetClock, others: Sequence[Activation] = ()
    ) -> np.ndarray:
        proposals = weighted_tcam_proposals(
            activation,
            np.flatnonzero(activation.probability > self.class_threshold),
            check_proposal_thresholds(self.proposal_threshold, self.localization),
            others,
            self.stream_weight,
        )
        return self._in_seconds(proposals, clock)
