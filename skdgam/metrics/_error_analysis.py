"""Where mAP is lost, by kinds of error."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from skdgam._validation import check_evaluation
from skdgam.intervals import intersection, make_intervals, tiou
from skdgam.metrics._average_precision import (
    area_under_precision,
    check_thresholds,
    flatten,
    mean_average_precision,
)

__all__ = ["error_analysis"]

# What a false detection can be; of several, the first.
ERRORS = ("duplicate", "class", "merged", "split", "boundary", "context", "background")
NEAR = 0.1  # tIoU from which a detection is about an interval


def error_analysis(
    y_true: Sequence[Any], y_pred: Sequence[np.ndarray], tiou_threshold: float = 0.5
) -> Bunch:
    """Where mAP is lost: what each kind of error costs, as detection error analysis tells it.

    A false detection is, by the first of these that applies,

    - ``duplicate``: it reaches the threshold with an interval that a better one has taken;
    - ``class``: it reaches it with an interval of another class;
    - ``merged``: it covers half or more of each of two intervals of its class;
    - ``split``: half or more of it, and of another detection, lies in one interval of their class;
    - ``boundary``: its tIoU with an interval of its class is 0.1 or more;
    - ``context``: half or more of it lies beside an interval of its class, no further than that is
      long;
    - ``background``: none of these.

    An interval that nothing has found is ``missed``.

    Parameters
    ----------
    y_true, y_pred
        As for :func:`average_precision`.
    tiou_threshold : float, in (0, 1], default=0.5

    Returns
    -------
    analysis : Bunch
        mean_ap : float, in [0, 1]
            As of :func:`mean_average_precision`.
        cost : dict of str to float
            mAP gained if all errors of a kind were mended, and nothing else: the best ``class``,
            ``merged``, ``split`` or ``boundary`` error about an interval that nothing has found
            becomes that interval, other false detections of the kind go, and so do intervals
            that are missed. Costs do not add up: after one error comes the next.
        count : dict of str to int
            How many errors of each kind there are.
        errors : list of n ndarrays of str
            What each detection is, in the order of `y_pred`: ``""`` for a hit.

    Raises
    ------
    ValueError
        As for :func:`mean_average_precision`.

    References
    ----------
    .. [1] H. Alwassel, F. Caba Heilbron, V. Escorcia, B. Ghanem: Diagnosing Error in Temporal
       Action Detectors. ECCV 2018.
    .. [2] D. Bolya, S. Foley, J. Hays, J. Hoffman: TIDE: A General Toolbox for Identifying Object
       Detection Errors. ECCV 2020.

    Examples
    --------
    A jump is found, but too long, and a run in what is none:

    >>> from skdgam.intervals import make_intervals
    >>> from skdgam.metrics import error_analysis
    >>> y_true = [[(0, 4, "jump"), (20, 24, "run")]]
    >>> y_pred = [make_intervals([0, 40, 20], [9, 44, 24], ["jump", "run", "run"], [0.9, 0.8, 0.7])]
    >>> analysis = error_analysis(y_true, y_pred)
    >>> analysis.errors
    [array(['boundary', 'background', ''], dtype='<U10')]
    >>> analysis.mean_ap, analysis.cost["boundary"], analysis.cost["background"]
    (0.25, 0.5, 0.25)
    """
    (threshold,) = check_thresholds(tiou_threshold)
    truth, detections = check_evaluation(y_true, y_pred)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # which has been said by now
        mean_ap = float(mean_average_precision(truth, detections, threshold).item())
    truth_video, true = flatten(truth)
    _, found = flatten(detections)
    errors = np.empty(len(found), dtype="U10")
    about = np.empty(len(found), dtype=int)  # the interval that it has or should have found, or -1
    first_true, first_found = 0, 0
    for intervals, of_video in zip(truth, detections, strict=True):
        rows = slice(first_found, first_found + len(of_video))
        errors[rows], target = _errors(intervals, of_video, threshold)
        about[rows] = np.where(target < 0, -1, target + first_true)
        first_true, first_found = first_true + len(intervals), rows.stop

    best_first = np.argsort(-found["score"], kind="stable")
    is_hit = errors == ""
    is_found = np.isin(np.arange(len(true)), about[is_hit])

    def mean_ap_if(is_hit: np.ndarray, stays: np.ndarray, counts: np.ndarray) -> float:
        """Score the detections that stay, the hits with the class of their interval."""
        label = found["label"].astype(np.result_type(found["label"], true["label"]))
        label[is_hit] = true["label"][about[is_hit]]
        aps = []
        for of_class in np.unique(true["label"]):
            rows = best_first[(stays & (label == of_class))[best_first]]
            n_true = np.sum(counts & (true["label"] == of_class))
            if n_true:
                aps.append(area_under_precision(is_hit[rows][:, None], n_true).item())
        return float(np.mean(aps)) if aps else 0.0

    cost, every = {}, np.ones(len(true), dtype=bool)
    for kind in ERRORS:
        is_kind = errors == kind
        mended = np.zeros(len(found), dtype=bool)
        of_kind = best_first[(is_kind & (about >= 0))[best_first]]
        of_kind = of_kind[~is_found[about[of_kind]]]
        _, best = np.unique(about[of_kind], return_index=True)
        mended[of_kind[best]] = True
        cost[kind] = mean_ap_if(is_hit | mended, ~is_kind | mended, every) - mean_ap
    cost["missed"] = mean_ap_if(is_hit, np.ones(len(found), dtype=bool), is_found) - mean_ap
    count = {kind: int(np.sum(errors == kind)) for kind in ERRORS}
    count["missed"] = int(np.sum(~is_found))
    stops = np.cumsum([len(of_video) for of_video in detections])[:-1]
    return Bunch(mean_ap=mean_ap, cost=cost, count=count, errors=np.split(errors, stops))


def _errors(true: np.ndarray, found: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """What each detection of one video is, and the interval it is about, -1 for none."""
    errors = np.full(len(found), "background", dtype="U10")
    about = np.full(len(found), -1)
    if not len(true) or not len(found):
        return errors, about
    length = true["end"] - true["start"]
    around = make_intervals(true["start"] - length, true["end"] + length, true["label"])
    same = found["label"][:, None] == true["label"]
    overlap, shared = tiou(found, true), intersection(found, true)
    half_found = (found["end"] - found["start"])[:, None] / 2
    covers = same & (shared >= length / 2) & (length > 0)
    inside = same & (shared >= half_found)
    beside = same & (intersection(found, around) - shared >= half_found)

    taken = np.zeros(len(true), dtype=bool)
    for row in np.argsort(-found["score"], kind="stable"):
        own = np.where(same[row], overlap[row], 0.0)
        other = overlap[row] - own
        free = np.where(taken, 0.0, own)
        nearest = len(own) - 1 - free[::-1].argmax()  # the later one of equals
        if free[nearest] >= threshold:
            errors[row], about[row], taken[nearest] = "", nearest, True
            continue
        if own.max() >= threshold:
            errors[row] = "duplicate"
            continue
        if other.max() >= threshold:
            errors[row], about[row] = "class", other.argmax()
            continue
        if covers[row].sum() > 1:
            errors[row] = "merged"
        elif (inside[row] & (inside.sum(axis=0) > 1)).any():
            errors[row] = "split"
        elif own.max() >= NEAR:
            errors[row] = "boundary"
        elif beside[row].any():
            errors[row] = "context"
            continue
        else:
            continue
        about[row] = own.argmax()
    return errors, about
