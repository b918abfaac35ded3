"""From attention and class activation to proposals (numpy)."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.special import expit

from skdgam.intervals import make_intervals, runs
from skdgam.proposals import (
    POINTS_PER_SNIPPET,
    interpolate,
    join_proposals,
    separate_contrast,
)

__all__ = [
    "Activation",
    "activation_proposals",
    "attention_proposals",
    "check_proposal_thresholds",
    "linear_softmax",
    "propose",
    "select_classes",
    "tcam_proposals",
]

DEFAULT_THRESHOLD: dict[str, float | tuple[float, ...]] = {
    "activation": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    "tcam": 0.05,
    "attention": 0.5,
}
DEFAULT_SMOOTHING = {"activation": 1.0, "tcam": 0.0, "attention": 0.0}
MOST_THRESHOLDS = 1000
DEFAULT_ETA = {"activation": 1.0, "tcam": 0.3, "attention": 0.3}
# Attention as low as this everywhere pools evenly; below it sigmoids run out of digits.
EVEN_ATTENTION = 1e-12
# Contrast of proposals of which every other one is right, and how steeply that changes with it.
EVEN_CONTRAST, SCORE_SLOPE = 0.7, 8.0
VIDEO_SHARE = 0.2  # weight of the probability of a class in the video, in scores of its proposals
SIGNAL_SHARE = 0.8  # of the W-TCAM in what is thresholded; squared attention has the rest


class Activation(NamedTuple):
    """What the networks say of one video.

    Attributes
    ----------
    attention : ndarray of shape (n_snippets,), in [0, 1]
    tcam : ndarray of shape (n_snippets, n_classes)
        w·x, the logits without bias, of the action classes.
    bias : ndarray of shape (n_classes,)
        Of the classifier.
    probability : ndarray of shape (n_classes,), in [0, 1]
        Of each action class in the video as a whole.
    """

    attention: np.ndarray
    tcam: np.ndarray
    bias: np.ndarray
    probability: np.ndarray


def linear_softmax(attention: np.ndarray, logits: np.ndarray) -> Activation:
    r"""What networks say of a video that each snippet classifies by its own probability.

    The probability of a class in the video is the mean of those of its snippets, each weighted by
    itself: :math:`\sum_t p_t^2 / \sum_t p_t`.

    Parameters
    ----------
    attention : ndarray of shape (n_snippets,), in [0, 1]
    logits : ndarray of shape (n_snippets, n_classes)
        Of the probability of each class in each snippet.

    Returns
    -------
    activation : Activation

    Examples
    --------
    >>> import numpy as np
    >>> from skdgam.localization import linear_softmax
    >>> logits = np.log([[1.0], [3.0]])  # of 1/2 and 3/4: (1/4 + 9/16) / (5/4)
    >>> linear_softmax(np.ones(2), logits).probability
    array([0.65])
    """
    probability = expit(logits.astype(np.float64))
    mass = np.maximum(probability.sum(axis=0), np.finfo(np.float64).tiny)
    in_video = (probability**2).sum(axis=0) / mass
    return Activation(attention, logits, np.zeros(logits.shape[1]), in_video)


def propose(
    activation: Activation,
    *,
    localization: str,
    thresholds: Iterable[float],
    smoothing: float | None,
    class_threshold: float,
    eta: float | None,
    others: Sequence[Activation] = (),
    stream_weight: float = 1.0,
) -> np.ndarray:
    """Proposals of one video.

    Parameters
    ----------
    activation : Activation
    localization : {"activation", "tcam", "attention"}
        By :func:`activation_proposals`, :func:`tcam_proposals` or :func:`attention_proposals`.
    class_threshold : float
        For :func:`select_classes`.
    thresholds, smoothing, eta, others, stream_weight
        As for that function, of which :func:`attention_proposals` knows no smoothing. None is the
        default of the way of localization.

    Returns
    -------
    proposals : interval array of shape (n_proposals,)
        Times in snippets from the start of the video, labels as column indices, with scores.
    """
    classes = select_classes(activation.probability, class_threshold)
    eta = DEFAULT_ETA[localization] if eta is None else eta
    smoothing = DEFAULT_SMOOTHING[localization] if smoothing is None else smoothing
    if localization == "attention":
        return attention_proposals(activation, classes, thresholds, eta, others, stream_weight)
    if localization == "activation":
        return activation_proposals(
            activation, classes, thresholds, eta, smoothing, others, stream_weight
        )
    return tcam_proposals(activation, classes, thresholds, eta, smoothing, others, stream_weight)


def check_proposal_thresholds(
    threshold: float | Sequence[float] | None, localization: str
) -> np.ndarray:
    """Check one or several thresholds of proposals, and return them as an array.

    Parameters
    ----------
    threshold : float or sequence of float, in [0, 1), or None
        None is the default of the way of localization.
    localization : {"activation", "tcam", "attention"}

    Raises
    ------
    ValueError
        If they are not such numbers.
    """
    if threshold is None:
        threshold = DEFAULT_THRESHOLD[localization]
    thresholds = np.atleast_1d(np.asarray(threshold, dtype=np.float64))
    within = np.all((thresholds >= 0) & (thresholds < 1))
    if thresholds.ndim != 1 or not 0 < thresholds.size <= MOST_THRESHOLDS or not within:
        raise ValueError(
            f"proposal_threshold is {str(threshold)[:80]}; it must be a number in [0, 1) or a list "
            f"of up to {MOST_THRESHOLDS} such numbers."
        )
    return thresholds


def select_classes(probability: np.ndarray, threshold: float) -> np.ndarray:
    """Choose the classes that a video is searched for.

    Parameters
    ----------
    probability : ndarray of shape (n_classes,), in [0, 1]
    threshold : float
        Classes above it are taken; if there is none, the most probable one.

    Returns
    -------
    classes : ndarray of int of shape (n_selected,)
        Ascending indices, at least one.

    Examples
    --------
    >>> import numpy as np
    >>> from skdgam.localization import select_classes
    >>> select_classes(np.array([0.3, 0.05, 0.6]), 0.1)
    array([0, 2])
    >>> select_classes(np.array([0.04, 0.05, 0.02]), 0.1)
    array([1])
    """
    above = np.flatnonzero(probability > threshold)
    return above if len(above) else np.array([probability.argmax()])


def activation_proposals(
    activation: Activation,
    classes: np.ndarray,
    thresholds: Iterable[float],
    eta: float,
    smoothing: float = 0.0,
    others: Sequence[Activation] = (),
    stream_weight: float = 1.0,
) -> np.ndarray:
    r"""Proposals where the probability of a class is high, in relation to its highest.

    The signal of a class is its probability in each snippet, smoothed. Runs of snippets in which
    it exceeds a share of its maximum in the video are proposals. Their contrast q is the mean of
    the signal inside, less η times its means over a quarter of the length, rounded up to whole
    snippets, before and after, plus a fifth of the probability of the class in the video. The
    score is :math:`\sigma(8 (q - 0.7))`, which makes it a probability of being right, about: on
    recordings that the default was developed with, half of the detections with a score of 0.5 had
    a tIoU of 0.5 or more with a true interval.

    Parameters
    ----------
    activation : Activation
    classes : ndarray of int of shape (n_selected,)
        Columns of the T-CAM.
    thresholds : sequence of float, in [0, 1)
        Shares of the maximum; each gives proposals of its own.
    eta : float
        Weight of the surroundings.
    smoothing : float, default=0.0
        Standard deviation, in snippets, of a Gaussian over the probability.
    others : sequence of Activation
        Of the same snippets in the other streams.
    stream_weight : float, default=1.0
        ρ: share of this stream's own probability in the signal, beside the mean of `others`.

    Returns
    -------
    proposals : interval array of shape (n_proposals,)
        Times in snippets from the start of the video, labels as column indices, with scores.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.special import logit
    >>> from skdgam.localization import Activation, activation_proposals
    >>> p = np.array([0.2, 0.8, 0.8, 0.2])
    >>> activation = Activation(p, logit(p)[:, None], np.zeros(1), np.ones(1))
    >>> proposals = activation_proposals(activation, np.array([0]), [0.5], eta=1.0)
    >>> proposals["score"].round(2).tolist()  # q is 0.8 - 0.2 - 0.2 + 0.2
    [0.31]
    """

    def probability(of_stream: Activation) -> np.ndarray:
        return expit(of_stream.tcam[:, classes] + of_stream.bias[classes])

    signal = probability(activation)
    if others:
        theirs = np.mean([probability(other) for other in others], axis=0)
        signal = stream_weight * signal + (1 - stream_weight) * theirs
    if smoothing:
        signal = gaussian_filter1d(signal, smoothing, axis=0)
    found = []
    for column, values in enumerate(signal.T):
        edges = [runs(values > threshold * values.max()) for threshold in thresholds]
        first, stop = np.unique(np.concatenate(edges, axis=1), axis=1)
        side = np.ceil((stop - first) / 4).astype(int)
        contrast = separate_contrast(values, first, stop, side, eta)
        contrast += VIDEO_SHARE * activation.probability[classes[column]]
        score = expit(SCORE_SLOPE * (contrast - EVEN_CONTRAST))
        found.append((first, stop, column, score))
    first, stop, columns, scores = join_proposals(found)
    return make_intervals(first, stop, classes[columns], scores)


def tcam_proposals(
    activation: Activation,
    classes: np.ndarray,
    thresholds: Iterable[float],
    eta: float,
    smoothing: float = 0.0,
    others: Sequence[Activation] = (),
    stream_weight: float = 1.0,
) -> np.ndarray:
    r"""Proposals where the attention-weighted class activation is high: the released way.

    Snippet t stands for :math:`[t, t + 1)`, and its values, as released, for the start of it:
    what is found lies about half a snippet early, which an offset of half a hop mends.

    The signal of a class is :math:`\lambda_t \sigma(w_c^T x_t)`. Interpolated to 20 points a
    snippet, runs of points where :math:`0.8\,\text{signal} + 0.2\,\lambda^2` exceeds a
    threshold are proposals. Their score is the outer-inner contrast: the mean of the score
    channel inside, less η times its means over a quarter of the length before and after. The
    score channel is the signal; beside other streams it mixes their activations in.

    Parameters
    ----------
    activation : Activation
    classes : ndarray of int of shape (n_selected,)
        Columns of the T-CAM.
    thresholds : sequence of float
        Each gives proposals of its own.
    eta : float
        Weight of the surroundings.
    smoothing : float, default=0.0
        Standard deviation, in points, of a Gaussian over what is thresholded.
    others : sequence of Activation
        Of the same snippets in the other streams.
    stream_weight : float, default=1.0
        ρ: share of this stream's own activation in the score, beside `others`.

    Returns
    -------
    proposals : interval array of shape (n_proposals,)
        Times in snippets from the start of the video, labels as column indices, with scores.

    Examples
    --------
    >>> import numpy as np
    >>> from skdgam.localization import Activation, tcam_proposals
    >>> attention = np.array([0.0, 1.0, 1.0, 0.0])
    >>> activation = Activation(attention, np.full((4, 1), 9.0), np.zeros(1), np.ones(1))
    >>> tcam_proposals(activation, np.array([0]), [0.5], eta=0.3)[["start", "end"]].tolist()
    [(0.55, 2.5)]
    """
    attention = activation.attention[:, None]
    signal = attention * expit(activation.tcam[:, classes])
    score = signal
    if others:
        # λ enters twice, as released.
        theirs = np.mean([expit(other.tcam[:, classes]) for other in others], axis=0)
        score = attention * (stream_weight * signal + (1 - stream_weight) * attention * theirs)
    signal, score, attention = (interpolate(values) for values in (signal, score, attention))
    evidence = SIGNAL_SHARE * signal + (1 - SIGNAL_SHARE) * attention**2
    if smoothing:
        evidence = gaussian_filter1d(evidence, smoothing, axis=0)

    found = [
        (
            *(first, stop, column),
            separate_contrast(score[:, column], first, stop, (stop - first) // 4 + 1, eta),
        )
        for column in range(len(classes))
        for threshold in thresholds
        for first, stop in [runs(evidence[:, column] > threshold)]
    ]
    first, stop, column, score = join_proposals(found)
    return make_intervals(
        first / POINTS_PER_SNIPPET, stop / POINTS_PER_SNIPPET, classes[column], score
    )


def attention_proposals(
    activation: Activation,
    classes: np.ndarray,
    thresholds: Iterable[float],
    eta: float,
    others: Sequence[Activation] = (),
    stream_weight: float = 1.0,
) -> np.ndarray:
    r"""Proposals where attention is high, scored by the classifier: the paper's way, Eq. 17.

    Runs of snippets with attention above a threshold are proposals of every selected class.
    :math:`s(t_s, t_e, c)` is the logit of class c on their attention-pooled feature, and a
    proposal scores
    :math:`s(t_s, t_e, c) - \eta\, s(t_s - \tfrac{t_e - t_s}{4}, t_s, c)
    - \eta\, s(t_e, t_e + \tfrac{t_e - t_s}{4}, c)`,
    where a quarter is rounded up to whole snippets, and a side beyond the video counts 0.

    Parameters
    ----------
    activation, classes, thresholds, eta
        As for :func:`tcam_proposals`.
    others, stream_weight
        Where and when is of this stream; the score is ρ times its own, and beside it the mean of
        what the other streams, each by its own attention, say of the same snippets.

    Returns
    -------
    proposals : interval array of shape (n_proposals,)
        Times in snippets from the start of the video, labels as column indices, with scores.

    Examples
    --------
    >>> import numpy as np
    >>> from skdgam.localization import Activation, attention_proposals
    >>> tcam = np.array([[1.0], [3.0], [5.0], [2.0]])
    >>> activation = Activation(np.array([0.1, 0.8, 0.8, 0.1]), tcam, np.zeros(1), np.ones(1))
    >>> attention_proposals(activation, np.array([0]), [0.5], eta=0.5).tolist()  # 4 - 0.5 - 1
    [(1.0, 3.0, 0, 2.5)]
    """
    streams = [activation, *others]
    shares = [stream_weight, *[(1 - stream_weight) / len(others)] * len(others)] if others else [1]
    attention = [stream.attention.astype(np.float64) for stream in streams]
    weights = [np.maximum(of_stream, EVEN_ATTENTION) for of_stream in attention]

    def logits(first: int, stop: int) -> np.ndarray:
        """Logits (n_selected,) of snippets [max(first, 0), stop), 0 if there are none."""
        rows = slice(max(first, 0), stop)
        mean = np.zeros(len(classes))
        for share, stream, weight in zip(shares, streams, weights, strict=True):
            if len(weight[rows]):
                pooled = weight[rows] @ stream.tcam[rows, classes] / weight[rows].sum()
                mean += share * (pooled + stream.bias[classes])
        return mean

    found = []
    for threshold in thresholds:
        firsts, stops = runs(attention[0] > threshold)
        score = np.zeros((len(firsts), len(classes)))
        for row, first, stop in zip(score, firsts, stops, strict=True):
            side = math.ceil((stop - first) / 4)
            outer = logits(first - side, first) + logits(stop, stop + side)
            row[:] = logits(first, stop) - eta * outer
        found += [(firsts, stops, column, score[:, column]) for column in range(len(classes))]
    first, stop, column, score = join_proposals(found)
    return make_intervals(first, stop, classes[column], score)
