"""What labels of whole videos say of detections."""

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import average_precision_score
from sklearn.utils import Bunch

from skdgam._labels import check_weak_labels
from skdgam._names import matched
from skdgam._typing import Indexed
from skdgam._validation import check_detections
from skdgam.metrics._average_precision import check_same_kind

__all__ = ["label_agreement"]


def label_agreement(y: Indexed, y_pred: Sequence[np.ndarray]) -> Bunch:
    """Compare detections with labels of whole videos, where no interval is known.

    Of each class in each video the highest score of a detection is taken, and those that are
    labelled should have the high ones. Nothing of this says whether a detection begins and ends
    when the action does.

    Parameters
    ----------
    y : sequence of n entries, or indicator matrix of shape (n, n_classes)
        As for the ``fit`` of a localizer. For an indicator matrix, classes are column indices.
    y_pred : sequence of n interval arrays
        As ``predict`` returns them.

    Returns
    -------
    agreement : Bunch
        average_precision : float, in [0, 1]
            Of the ranking of videos by each class of `y`, averaged over classes.
        threshold : float
            The score that a detection must reach for the classes detected in videos to be most
            often those of `y`, by F1 over all pairs of video and class. To keep no others:
            ``[found[found["score"] >= threshold] for found in y_pred]``.
        precision, recall, f1 : float, in [0, 1]
            Share of the pairs that are detected which are labelled, share of those labelled which
            are detected, and their harmonic mean, at this threshold.

    Raises
    ------
    TypeError, ValueError
        If `y` or `y_pred` is not of that form, they differ in length, or no video has a label.

    Examples
    --------
    >>> from skdgam.intervals import make_intervals
    >>> from skdgam.metrics import label_agreement
    >>> y = [["jump"], ["jump", "run"], []]
    >>> y_pred = [
    ...     make_intervals([0, 9], [4, 12], ["jump", "run"], [0.9, 0.2]),
    ...     make_intervals([0, 9], [4, 12], ["jump", "run"], [0.8, 0.7]),
    ...     make_intervals([5], [6], ["jump"], [0.3]),
    ... ]
    >>> agreement = label_agreement(y, y_pred)
    >>> agreement.threshold, agreement.f1
    (0.7, 1.0)
    """
    y, y_pred = matched(y, y_pred)
    classes, is_labelled = check_weak_labels(y, len(y))
    detections = check_detections(y_pred, len(y))
    labels = np.concatenate([found["label"] for found in detections])
    check_same_kind(classes, labels)
    every = np.union1d(classes, labels)
    target = np.zeros((len(y), len(every)), dtype=bool)
    target[:, np.searchsorted(every, classes)] = is_labelled
    # The lowest number stands for no detection, since no infinity can be ranked.
    score = np.full(target.shape, np.finfo(np.float64).min)
    is_detected = np.zeros(target.shape, dtype=bool)
    for i, found in enumerate(detections):
        column = np.searchsorted(every, found["label"])
        np.maximum.at(score[i], column, found["score"])
        is_detected[i, column] = True
    if not is_detected.any():  # a ranking in which all are equal is none
        return Bunch(average_precision=0.0, threshold=np.inf, precision=0.0, recall=0.0, f1=0.0)
    occurs = target.any(axis=0)
    mean_ap = average_precision_score(target[:, occurs], score[:, occurs])
    mean_ap = min(float(mean_ap), 1.0)  # rounding
    ranked, is_hit = score[is_detected], target[is_detected]
    lowest_first = np.argsort(ranked)
    ranked, is_hit = ranked[lowest_first], is_hit[lowest_first]
    threshold, first = np.unique(ranked, return_index=True)
    n_hits = is_hit[::-1].cumsum()[::-1][first]
    n_kept = len(ranked) - first
    f1 = 2 * n_hits / (n_kept + target.sum())
    best = int(f1.argmax())  # of equals, the one that keeps most
    return Bunch(
        average_precision=mean_ap,
        threshold=float(threshold[best]),
        precision=float(n_hits[best] / n_kept[best]),
        recall=float(n_hits[best] / target.sum()),
        f1=float(f1[best]),
    )
