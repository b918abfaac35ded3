"""The gate for weights: how much each video counts in training.

``sample_weight`` says it of each video, and ``class_weight`` of each class; a video counts by the
product of both. Nothing passed in is changed.
"""

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np

from skdgam._labels import short
from skdgam._names import alike, in_order

__all__ = ["check_sample_weight", "weigh_videos"]

RANGE = "a weight must be finite and not negative, and 0 leaves out"


def check_sample_weight(sample_weight: Any, n_videos: int, names: Any = None) -> np.ndarray:
    """Check weights of videos.

    Parameters
    ----------
    sample_weight : array-like of shape (n_videos,), or by name, or None
        None is 1 for each.
    n_videos : int
    names : sequence or None
        Of the videos, if they have any.

    Returns
    -------
    weights : ndarray of shape (n_videos,), not negative
    """
    if sample_weight is None:
        return np.ones(n_videos)
    if hasattr(sample_weight, "columns"):
        raise TypeError("sample_weight is a frame; pass the one column of it that has the weights.")
    given = in_order(sample_weight, names, "sample_weight")
    if hasattr(given, "detach"):
        given = given.detach().cpu()
    try:
        array = np.asarray(given)
        if array.dtype.kind not in "fiubO":
            raise TypeError(f"its dtype is {array.dtype}")
        weights = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"sample_weight is {short(sample_weight)}; it must be one number for each video."
        ) from error
    if weights.shape != (n_videos,):
        raise ValueError(
            f"sample_weight has shape {weights.shape}, but there are {n_videos} videos; pass one "
            "number for each."
        )
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        i = wrong[0]
        name = "" if names is None else f" ({names[i]})"
        raise ValueError(f"sample_weight[{i}]{name} is {weights[i]:g}; {RANGE} a video.")
    return weights


def weigh_videos(
    sample_weight: np.ndarray,
    class_weight: Mapping[Any, float] | str | None,
    classes: np.ndarray,
    is_labelled: np.ndarray,
    relative: bool = True,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Weight of each video in training, by the weights of videos and of classes.

    Parameters
    ----------
    sample_weight : ndarray of shape (n_videos,), not negative
    class_weight : dict from class to weight, "balanced" or None
        A video counts by the mean over its classes; one of background alone counts 1.
    classes : ndarray of shape (n_classes,)
    is_labelled : ndarray of bool of shape (n_videos, n_classes)
    relative : bool, default=True
        Whether the weights compare videos with each other: they are then divided by their mean.

    Returns
    -------
    is_kept : ndarray of bool of shape (n_videos,)
        Which videos weigh more than 0.
    weights : ndarray of shape (n_kept,), or None
        Of those that do; None if each weighs 1.
    """
    n_labels = is_labelled.sum(axis=1)
    of_classes = _weigh_classes(class_weight, classes, is_labelled, sample_weight)
    of_labels = is_labelled @ of_classes / np.maximum(n_labels, 1)
    weights = sample_weight * np.where(n_labels > 0, of_labels, 1.0)
    is_kept = weights > 0
    if not is_kept[n_labels > 0].any() and (n_labels.any() or not is_kept.any()):
        raise ValueError(
            "The weight of every video with an action is zero, by sample_weight and class_weight; "
            "at least one must count to learn."
        )
    weights = weights[is_kept]
    if relative:
        weights /= weights.max()  # equal ones are then 1 to the bit, and so is their mean
        weights /= weights.mean()
    return is_kept, None if (weights == 1).all() else weights


def _weigh_classes(
    class_weight: Any, classes: np.ndarray, is_labelled: np.ndarray, sample_weight: np.ndarray
) -> np.ndarray:
    """Weight of each class (n_classes,)."""
    weights = np.ones(len(classes))
    if class_weight is None:
        return weights
    if isinstance(class_weight, str):  # "balanced"
        counts = sample_weight @ is_labelled
        occurs = counts > 0
        weights[occurs] = counts.sum() / (occurs.sum() * counts[occurs])
        return weights
    known = classes.tolist()
    for label, weight in class_weight.items():
        if label not in known:
            near = [each for each in known if alike(each, label)]
            there = ", ".join(map(repr, known[:10])) + ", …" * (len(known) > 10)
            mend = f"is {near[0]!r} meant?" if near else "leave it out."
            raise ValueError(
                f"class_weight has the class {label!r}, but there is nothing but {there}; {mend}"
            )
        if not isinstance(weight, Real) or not 0 <= float(weight) < math.inf:
            raise ValueError(
                f"class_weight[{label!r}] is {weight!r}; {RANGE} videos of this class alone."
            )
        weights[known.index(label)] = weight
    return weights
