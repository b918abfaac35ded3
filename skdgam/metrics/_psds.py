"""Polyphonic sound detection score: a measure over all thresholds of the score at once."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from skdgam.intervals import intersection
from skdgam.metrics._events import check_durations_of, check_range, check_videos

__all__ = ["psds"]

HOUR = 3600.0
ROUNDING = 1e-9  # of shares


def psds(
    y_true: Sequence[Any],
    y_pred: Sequence[np.ndarray],
    *,
    durations: npt.ArrayLike,
    dtc_threshold: float = 0.5,
    gtc_threshold: float = 0.5,
    cttc_threshold: float = 0.3,
    alpha_ct: float = 0.0,
    alpha_st: float = 0.0,
    max_efpr: float = 100.0,
) -> float:
    r"""Polyphonic sound detection score (PSDS): how many events are found at how few false alarms.

    Detections of a class with a score of :math:`t` or more are compared with its events:

    - A detection is tolerated if the events of its class cover `dtc_threshold` of it or more
      (detection tolerance criterion). All others are false alarms.
    - An event is found if tolerated detections of its class together cover `gtc_threshold` of it
      or more (ground truth intersection criterion).
    - A false alarm is a cross-trigger of every other class whose events cover `cttc_threshold` of
      it or more (cross-trigger tolerance criterion).

    With :math:`N^{FP}_c` false alarms in :math:`T` hours of recordings, and :math:`N^{CT}_{c,k}`
    cross-triggers in the :math:`T_k` hours of the events of :math:`k`, class :math:`c` has the
    effective rate of false positives

    .. math:: e_c = \frac{N^{FP}_c}{T} + \frac{\alpha_{CT}}{C - 1}
              \sum_{k \neq c} \frac{N^{CT}_{c,k}}{T_k}.

    Every score is a threshold :math:`t`. :math:`r_c(e)` is the share of the events of a class that
    is found at a rate of :math:`e` or less, and the score is the area under their mean over
    classes, less `alpha_st` times their standard deviation, up to :math:`e_{max}` = `max_efpr`:

    .. math:: \mathrm{PSDS} = \frac{1}{e_{max}} \int_0^{e_{max}}
              \max(\mu_c(r_c(e)) - \alpha_{ST}\, \sigma_c(r_c(e)),\, 0)\, \mathrm{d}e

    as in [1]_. Its evaluation takes no events or detections of one class that overlap each other;
    here they may, and what they cover counts once.

    Parameters
    ----------
    y_true, y_pred
        As for :func:`average_precision`. An event of no length counts as missed. Detections of
        classes that `y_true` has no event of are left out.
    durations : array-like of shape (n,)
        Length of each recording, in seconds.
    dtc_threshold, gtc_threshold, cttc_threshold : float, in (0, 1], default=0.5, 0.5, 0.3
        DCASE 2021 to 2023 report two scenarios. The first, where times matter, has 0.7 and 0.7
        with `alpha_st` = 1; the second, where confusion does, has 0.1, 0.1 and 0.3 with `alpha_ct`
        = 0.5 and `alpha_st` = 1.
    alpha_ct : float, in [0, 1], default=0.0
        Weight of cross-triggers.
    alpha_st : float, >= 0, default=0.0
        Weight of differences between classes.
    max_efpr : float, > 0, default=100.0
        Highest rate of false positives, per hour, that is looked at.

    Returns
    -------
    score : float, in [0, 1]
        1 if all events of all classes are found without any false alarm.

    Raises
    ------
    TypeError, ValueError
        As for :func:`segment_f1`.

    References
    ----------
    .. [1] C. Bilen, G. Ferroni, F. Tuveri, J. Azcarreta, S. Krstulovic: A Framework for the Robust
       Evaluation of Sound Event Detection. ICASSP, 2020.

    Examples
    --------
    In an hour, one bark is found at once, the other after one false alarm. So the score loses half
    of one of the four false alarms that are allowed:

    >>> from skdgam.intervals import make_intervals
    >>> from skdgam.metrics import psds
    >>> y_true = [[(10, 12, "bark"), (60, 62, "bark")]]
    >>> y_pred = [make_intervals([10, 30, 60], [12, 35, 61], "bark", [0.9, 0.8, 0.7])]
    >>> psds(y_true, y_pred, durations=[3600], max_efpr=4)
    0.875
    """
    for name, value in [
        *[("dtc_threshold", dtc_threshold), ("gtc_threshold", gtc_threshold)],
        ("cttc_threshold", cttc_threshold),
    ]:
        check_range(name, value, "a number in (0, 1]", least=np.nextafter(0, 1), most=1)
    check_range("alpha_ct", alpha_ct, "a number in [0, 1]", most=1)
    check_range("alpha_st", alpha_st, "a number, 0 or more")
    most = np.finfo(np.float64).max
    check_range("max_efpr", max_efpr, "a positive number per hour", np.nextafter(0, 1), most)
    _, truth, detections = check_videos(y_true, y_pred)
    hours = check_durations_of(y_true, durations, len(truth)).sum() / HOUR
    classes, n_events = np.unique(np.concatenate(truth)["label"], return_counts=True)
    covers = [[_union(video[video["label"] == label]) for label in classes] for video in truth]
    lengths = [[(cover["end"] - cover["start"]).sum() for cover in video] for video in covers]
    event_hours = np.sum(lengths, axis=0) / HOUR
    costs = []
    for c, label in enumerate(classes):
        found_at, alarm, share = _judge(
            [video[video["label"] == label] for video in truth],
            [video[video["label"] == label] for video in detections],
            covers,
            c,
            dtc_threshold,
            gtc_threshold,
        )
        trigger = np.zeros(len(classes))  # what a cross-trigger of each class adds to the rate
        others = np.flatnonzero((event_hours > 0) & (np.arange(len(classes)) != c))
        trigger[others] = alpha_ct / max(len(classes) - 1, 1) / event_hours[others]
        rate = 1 / hours + trigger @ (share >= cttc_threshold - ROUNDING)
        best_first = np.argsort(-alarm)
        total = np.append(0.0, rate[best_first].cumsum())
        # An event costs the false alarms whose scores are not below the one that it is found at.
        before = np.searchsorted(-alarm[best_first], -found_at, side="right")
        costs.append(np.sort(total[before]))
    edges = np.unique(np.concatenate([[0.0, max_efpr], *costs]))
    edges = edges[edges <= max_efpr]
    recall = np.array([np.searchsorted(cost, edges[:-1], side="right") for cost in costs])
    recall = recall / n_events[:, None]
    height = np.maximum(recall.mean(axis=0) - alpha_st * recall.std(axis=0), 0)
    return float((np.diff(edges) * height).sum() / max_efpr)


def _judge(
    events: list[np.ndarray],
    detections: list[np.ndarray],
    covers: list[list[np.ndarray]],
    c: int,
    dtc_threshold: float,
    gtc_threshold: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What happens to the events and detections of class `c`, given as one array for each video.

    The scores at which those events that can be found are, the scores of false alarms, and the
    share of each false alarm that each class covers, (n_classes, n_alarms).
    """
    found_at, alarms, shares = [], [], []
    for true, found, of_video in zip(events, detections, covers, strict=True):
        share = np.array([intersection(found, cover).sum(axis=1) for cover in of_video])
        share /= found["end"] - found["start"]
        is_false = share[c] < dtc_threshold - ROUNDING
        found_at.append(_found_at(true, found[~is_false], gtc_threshold))
        alarms.append(found["score"][is_false])
        shares.append(share[:, is_false])
    return np.concatenate(found_at), np.concatenate(alarms), np.hstack(shares)


def _found_at(events: np.ndarray, detections: np.ndarray, threshold: float) -> np.ndarray:
    """The scores down to which detections cover this share of an event, of events where any do."""
    scores = []
    for i, event in enumerate(events):
        near = detections[intersection(events[i : i + 1], detections)[0] > 0]
        start = np.maximum(near["start"], event["start"])
        end = np.minimum(near["end"], event["end"])
        # Pieces between the times at which anything starts or ends, each with its best score.
        edges = np.unique([start, end])
        is_over = (start[:, None] <= edges[:-1]) & (edges[1:] <= end[:, None])
        best = np.where(is_over, near["score"][:, None], -np.inf).max(axis=0, initial=-np.inf)
        order = np.argsort(-best)
        best, length = best[order], np.diff(edges)[order]
        is_covered = length.cumsum() >= (threshold - ROUNDING) * (event["end"] - event["start"])
        scores += best[is_covered & np.isfinite(best)][:1].tolist()
    return np.array(scores, dtype=float)


def _union(intervals: np.ndarray) -> np.ndarray:
    """What intervals cover, as intervals that do not overlap."""
    intervals = np.sort(intervals, order=["start", "end"])
    reached = np.maximum.accumulate(intervals["end"])
    is_first = np.append(True, intervals["start"][1:] > reached[:-1])[: len(intervals)]
    union = intervals[is_first]
    union["end"] = reached[np.append(is_first[1:], True)[: len(intervals)]]
    return union
