"""Ways of localization that several methods were published with."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from scipy.special import expit
from sklearn.utils._param_validation import StrOptions

from skdgam import losses
from skdgam.base import BaseLocalizer
from skdgam.clock import SnippetClock
from skdgam.intervals import make_intervals, non_maximum_suppression, runs
from skdgam.localization import Activation, check_proposal_thresholds, select_classes
from skdgam.methods._settings import COUNT, WEIGHT
from skdgam.proposals import (
    contrast_between,
    interpolate,
    join_proposals,
    joint_contrast,
    maximum_inside,
    mean_inside,
)

__all__ = [
    "ContrastLocalizer",
    "WeightedTCAMLocalizer",
    "attention_run_proposals",
    "contrast_proposals",
    "frame_proposals",
    "fused",
    "logit_proposals",
    "scaled",
    "top_k_of_video",
    "weighted_tcam_proposals",
]

POINTS = 24  # to a snippet, that proposals are looked for in
FRAMES = 16  # of a snippet
DILATION = 10, 9  # frames that a proposal gets more of before and behind
VIDEO_SHARE = 0.2  # weight of the score of a class in the video, in scores of its proposals


def top_k_of_video(logits: np.ndarray, share: int, round_up: bool = False) -> np.ndarray:
    """Mean (k,) of the highest logits (n_snippets, k) of one video, as losses.top_k_mean."""
    return losses.top_k_mean([torch.from_numpy(logits)], share, round_up)[0].numpy()


def fused(of_streams: Sequence[np.ndarray], stream_weight: float) -> np.ndarray:
    """Values of the first stream times its weight, and the mean of the others times the rest."""
    own, *others = of_streams
    if not others:
        return own
    return stream_weight * own + (1 - stream_weight) * np.mean(others, axis=0)


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
    tcam = [stream.tcam[:, classes].astype(np.float64) for stream in (activation, *others)]
    signal = interpolate(attention * expit(tcam[0]), POINTS)
    score = interpolate(attention * fused(tcam, stream_weight), POINTS)
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
    least: float | None = None,
    shortest: int = 2,
) -> np.ndarray:
    """Proposals where the logit of a class is high in relation to its range: as W-TALC does.

    They are runs of snippets whose logits exceed a share of the way from the least
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
    least : float, optional
        Where the range begins, in place of the least logit.
    shortest : int, default=2
        Snippets that a run has at least.

    Returns
    -------
    proposals : interval array of shape (n_proposals,)
        Times in snippets from the start of the video, labels as column indices, with scores.
    """
    found = []
    for column in classes:
        logits = activation.tcam[:, column].astype(np.float64)
        begin, most = logits.min() if least is None else least, logits.max()
        for threshold in thresholds:
            first, stop = runs(logits > begin + threshold * (most - begin))
            is_long = stop - first >= shortest
            first, stop = first[is_long], stop[is_long]
            score = maximum_inside(logits, first, stop) + video_weight * video_logits[column]
            found.append((first, stop, column, score))
    first, stop, columns, scores = join_proposals(found)
    return make_intervals(first, stop, columns, scores)


def frame_proposals(
    probability: np.ndarray, classes: np.ndarray, mean_share: float, eta: float
) -> np.ndarray:
    """Proposals in frames where the scaled probability of a class exceeds its mean: as CMCS does.

    The probability is scaled to [0, 1] in the video and interpolated to 16 frames a snippet, from
    the first frame of the first snippet to that of the last one. Runs of frames become ten frames
    longer before and nine behind. Their score is the mean inside, less η times one mean over a
    quarter of their length, one frame at least, before and behind.

    Parameters
    ----------
    probability : ndarray of shape (n_snippets, n_classes), in [0, 1]
    classes : ndarray of int of shape (n_selected,)
    mean_share : float
        What exceeds so many times the mean over the video is a proposal.
    eta : float
        Weight of the surroundings.

    Returns
    -------
    proposals : interval array of shape (n_proposals,)
        Times in snippets from the start of the video, labels as column indices, with scores.
    """
    n_frames = FRAMES * (len(probability) - 1) + 1
    found = []
    for column in classes:
        values = probability[:, [column]] - probability[:, column].min()
        values = values / (values.max() or 1.0)
        points = interpolate(values, FRAMES)[:n_frames, 0]
        mask = np.zeros(n_frames, dtype=bool)
        for a, b in zip(*runs(points > mean_share * points.mean()), strict=True):
            mask[max(a - DILATION[0], 0) : b + DILATION[1]] = True
        first, stop = runs(mask)
        quarter = (stop - first) / 4
        before = np.minimum(np.trunc(first - quarter), first - 1).astype(int)
        before = np.where(before < 0, first, before)  # as released, this side then counts nothing
        after = np.maximum(np.trunc(stop + quarter), stop + 1).astype(int)
        after = np.minimum(after, n_frames)
        score = contrast_between(points, first, stop, before, after, eta)
        found.append((first, stop, column, score))
    first, stop, columns, scores = join_proposals(found)
    return make_intervals(first / FRAMES, stop / FRAMES, columns, scores)


def attention_run_proposals(
    activation: Activation, classes: np.ndarray, thresholds: Iterable[float], eta: float
) -> np.ndarray:
    r"""Proposals where attention is high, the same for each class: as HAM-Net does.

    They are runs of snippets whose attention exceeds a threshold. With the logits
    :math:`s_{tc}`, their score is the mean inside of :math:`\lambda_t s_{tc}`, less η times one
    mean over a quarter of their length before and behind
    (:func:`skdgam.proposals.joint_contrast`), plus a fifth of the probability of the class in the
    video.

    Parameters
    ----------
    activation : Activation
        Of which the T-CAM are logits.
    classes : ndarray of int of shape (n_selected,)
        Columns of the T-CAM.
    thresholds : sequence of float, in [0, 1)
        Each gives proposals of its own.
    eta : float
        Weight of the surroundings.

    Returns
    -------
    proposals : interval array of shape (n_proposals,)
        Times in snippets from the start of the video, labels as column indices, with scores.
    """
    attention = activation.attention.astype(np.float64)
    weighted = attention[:, None] * activation.tcam
    found = []
    for threshold in thresholds:
        first, stop = runs(attention > threshold)
        for column in classes:
            score = joint_contrast(weighted[:, column], first, stop, eta)
            score += VIDEO_SHARE * activation.probability[column]
            found.append((first, stop, column, score))
    first, stop, columns, scores = join_proposals(found)
    return make_intervals(first, stop, columns, scores)


def scaled(values: np.ndarray) -> np.ndarray:
    """Scale each column of values (n_snippets, k) to [0, 1] by the range of what is not negative.

    What is negative stays so. A column without such a range is only shifted.
    """
    values = values.astype(np.float64)
    lowest, highest = np.maximum([values.min(axis=0), values.max(axis=0)], 0)
    return (values - lowest) / np.where(highest > lowest, highest - lowest, 1)


def contrast_proposals(
    score: np.ndarray,
    classes: np.ndarray,
    thresholds: Iterable[float],
    video_scores: np.ndarray,
    eta: float,
    signal: np.ndarray | None = None,
    shortest: int = 1,
) -> np.ndarray:
    """Proposals that score more inside than around them: as BaS-Net, UM and CoLA do.

    Scores are interpolated to 24 points a snippet. Runs of points that reach a threshold, and are
    positive, are proposals: of the score of the class itself, or of a signal that all classes
    share. They score their mean inside less η times one mean over a quarter of their length on
    both sides, and a fifth of the score of the class in the video. Where it is the score itself
    that reaches the threshold, points of less count 0.

    Parameters
    ----------
    score : ndarray of shape (n_snippets, n_classes), about in [0, 1]
    classes : ndarray of int of shape (n_selected,)
        Columns of the score.
    thresholds : sequence of float, in [0, 1)
        Each gives proposals of its own.
    video_scores : ndarray of shape (n_classes,)
    eta : float
        Weight of the surroundings.
    signal : ndarray of shape (n_snippets,), optional
        What has to reach the thresholds, in place of the score.
    shortest : int, default=1
        Points that a run has at least.

    Returns
    -------
    proposals : interval array of shape (n_proposals,)
        Times in snippets from the start of the video, labels as column indices, with scores.
    """
    of_classes = interpolate(score[:, classes], POINTS)
    of_all = None if signal is None else interpolate(signal[:, None], POINTS)
    found = []
    for k, column in enumerate(classes):
        points = of_classes[:, k]
        high = points if of_all is None else of_all[:, 0]
        for threshold in thresholds:
            mask = (high >= threshold) & (high > 0)
            first, stop = runs(mask)
            is_long = stop - first >= shortest
            first, stop = first[is_long], stop[is_long]
            values = np.where(mask, points, 0.0) if of_all is None else points
            scores = joint_contrast(values, first, stop, eta) + VIDEO_SHARE * video_scores[column]
            found.append((first, stop, column, scores))
    first, stop, columns, scores = join_proposals(found)
    return make_intervals(first / POINTS, stop / POINTS, columns, scores)


class ContrastLocalizer(BaseLocalizer):
    """A method that localizes by :func:`contrast_proposals`."""

    proposal_threshold: Any = (0.0, 0.025, 0.05, 0.075, 0.1, 0.125, 0.15, 0.175, 0.2, 0.225)
    eta: float = 1.0
    n_snippets: int | None = 750
    max_snippets: int | None = 750

    _parameter_constraints = BaseLocalizer._parameter_constraints | {
        "localization": [StrOptions({"tcam"})],
        "eta": WEIGHT,
    }

    def _two_kinds(
        self,
        activation: Activation,
        clock: SnippetClock,
        score: np.ndarray,
        signal: np.ndarray,
        thresholds: Iterable[float],
    ) -> np.ndarray:
        """Proposals by a score of each class, and by a signal of all, of two points at least."""
        probability = activation.probability
        classes = select_classes(probability, self.class_threshold)
        own = check_proposal_thresholds(self.proposal_threshold, self.localization)
        of_score, of_signal = (
            contrast_proposals(score, classes, of_kind, probability, self.eta, high, shortest=2)
            for of_kind, high in ((own, None), (thresholds, signal))
        )
        return self._in_seconds(np.concatenate([of_score, of_signal]), clock)

    def _suppress(self, proposals: np.ndarray) -> np.ndarray:
        # As released, every interval is a second longer when overlaps are computed, and those that
        # reach the threshold go, too.
        proposals["end"] += 1
        kept = non_maximum_suppression(proposals, np.nextafter(self.nms_threshold, 0))
        kept["end"] -= 1
        return kept


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
        "attention_width": COUNT,
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
