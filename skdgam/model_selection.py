"""Splits and scores that understand weak labels."""

import warnings
from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import average_precision_score, make_scorer
from sklearn.model_selection import BaseCrossValidator
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import _num_samples, check_is_fitted

from skdgam._features import check_features
from skdgam._labels import check_weak_labels
from skdgam._names import in_order, names_of
from skdgam._typing import Indexed
from skdgam.metrics import check_thresholds, mean_average_precision
from skdgam.sampling import balanced_folds

__all__ = [
    "WeakLabelKFold",
    "localization_scorer",
    "separability_scorer",
    "video_level_scorer",
    "weak_label_scorer",
]


class WeakLabelKFold(BaseCrossValidator):
    """Folds of videos that each hold their share of every class.

    Parameters
    ----------
    n_splits : int, default=5
        Folds, at least 2.
    shuffle : bool, default=True
        Whether videos are shuffled first; without, their order decides between equals.
    random_state : int, RandomState instance or None, default=None
        Of the shuffling. An int gives the same folds at each call.

    Warns
    -----
    UserWarning
        If all videos of a class are in one fold, so that a model is tested on a class that it
        was not trained on, which ``score`` refuses.

    Examples
    --------
    Folds by person, with the labels in any form that ``fit`` takes:

    >>> from skdgam.model_selection import WeakLabelKFold
    >>> y = [["walk"], ["walk", "sit"], [], ["sit"], ["walk"], ["walk", "sit"], [], ["sit"]]
    >>> person = [1, 1, 1, 1, 2, 2, 2, 2]
    >>> cv = WeakLabelKFold(n_splits=2, random_state=0)
    >>> for train, test in cv.split(y, y, groups=person):
    ...     print(train, test)
    [4 5 6 7] [0 1 2 3]
    [0 1 2 3] [4 5 6 7]
    """

    # Groups that are passed are meant; no further request is needed.
    __metadata_request__split = {"groups": True}

    def __init__(self, n_splits=5, *, shuffle=True, random_state=None):
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state

    def split(
        self, X: Indexed, y: Indexed, groups: npt.ArrayLike | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the indices of training and test videos of each fold.

        Parameters
        ----------
        X : sequence of n videos
            Anything with a length.
        y : sequence of n entries, or indicator matrix of shape (n, n_classes)
            As for the ``fit`` of a localizer.
        groups : array-like of shape (n,), optional
            The videos of one group, such as a person, stay in one fold.

        Yields
        ------
        train, test : ndarray of int
            Ascending.

        Raises
        ------
        ValueError
            If there are fewer videos or groups than folds, or `y` or `groups` are not of the
            length of `X`.
        """
        n_videos = _num_samples(X)
        if not isinstance(self.n_splits, Integral) or self.n_splits < 2:
            raise ValueError(f"n_splits={self.n_splits!r}; it must be an integer of at least 2.")
        n_units, units = n_videos, "videos"
        if groups is not None:
            groups = check_array(groups, input_name="groups", ensure_2d=False, dtype=None)
            if groups.shape != (n_videos,):
                raise ValueError(
                    f"groups has shape {groups.shape}, but there are {n_videos} videos; pass one "
                    "name or number for each."
                )
            n_units, units = len(np.unique(groups)), "groups"
        if n_units < self.n_splits:
            raise ValueError(f"n_splits={self.n_splits}, but there are only {n_units} {units}.")
        classes, is_labelled = check_weak_labels(in_order(y, names_of(X)), n_videos)
        rng = None
        if self.shuffle:
            rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))
        fold = balanced_folds(is_labelled, self.n_splits, rng, groups)
        occurs = is_labelled.any(axis=0)
        missing = [
            classes[occurs & ~is_labelled[fold != k].any(axis=0)] for k in range(self.n_splits)
        ]
        if any(map(len, missing)):
            k = next(k for k, labels in enumerate(missing) if len(labels))
            warnings.warn(
                f"{sum(map(len, missing))} of {occurs.sum()} classes have all their {units} in one "
                f"fold, such as {missing[k][0].item()!r} in fold {k}: a model is tested on what it "
                "was not trained on, and its score fails. Use fewer folds, or leave them out.",
                UserWarning,
                stacklevel=2,
            )
        for k in range(self.n_splits):
            yield np.flatnonzero(fold != k), np.flatnonzero(fold == k)

    def get_n_splits(self, X=None, y=None, groups=None):
        """Count the folds.

        Parameters
        ----------
        X, y, groups : ignored

        Returns
        -------
        n_splits : int
        """
        return self.n_splits


def localization_scorer(tiou_thresholds: npt.ArrayLike = 0.5) -> Any:
    """Make a scorer of localization: mAP, averaged over tIoU thresholds.

    For ``scoring=`` of scikit-learn's searches; several of them go into a dict, for which
    videos are searched only once. Annotations are taken as they are, as by
    :func:`skdgam.metrics.mean_average_precision`, while ``score`` ends them with their videos.

    Parameters
    ----------
    tiou_thresholds : float or sequence of float, in (0, 1], default=0.5

    Returns
    -------
    scorer : callable (estimator, X, y) -> float in [0, 1]
        `y` holds the intervals of each video. Where it holds labels, give the intervals by
        metadata routing: ``scorer.set_score_request(intervals=True)``.

    Examples
    --------
    >>> from skdgam.model_selection import localization_scorer
    >>> scoring = {f"mAP@{t}": localization_scorer(t) for t in (0.3, 0.5, 0.7)}
    """
    return make_scorer(_mean_map, tiou_thresholds=check_thresholds(tiou_thresholds).tolist())


def _mean_map(y_true, y_pred, tiou_thresholds, intervals=None):
    y_true = y_true if intervals is None else intervals
    return float(mean_average_precision(y_true, y_pred, tiou_thresholds).mean())


def video_level_scorer(estimator: Any, X: Indexed, y: Indexed) -> float:
    """Score the classes of videos as a whole, for which labels without times suffice.

    For each class, videos are ranked by ``predict_proba``; returned is the mean over classes of
    the average precision. It is for ``scoring=`` of scikit-learn's searches where no interval
    is known.

    Parameters
    ----------
    estimator : localizer, or Pipeline that ends in one
        Fitted.
    X : sequence of n arrays of shape (n_snippets_i, n_features)
    y : sequence of n entries, or indicator matrix of shape (n, n_classes)
        As for the ``fit`` of a localizer.

    Returns
    -------
    score : float, in [0, 1]
        Over the classes that occur in `y`.

    Raises
    ------
    ValueError
        If `y` holds a label that the model was not fitted on, or none at all.

    Examples
    --------
    >>> from skdgam import DGAMLocalizer
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.model_selection import video_level_scorer
    >>> from sklearn.model_selection import cross_val_score
    >>> X, y = make_untrimmed(n_videos=20, n_classes=2, random_state=0)
    >>> labels = [set(video["label"]) for video in y]
    >>> model = DGAMLocalizer(max_epochs=5, random_state=0)
    >>> cross_val_score(model, X, labels, scoring=video_level_scorer, cv=2).shape
    (2,)
    """
    check_is_fitted(estimator)
    y = in_order(y, names_of(X))
    _, is_labelled = check_weak_labels(y, len(X), estimator.classes_)
    occurs = is_labelled.any(axis=0)
    if not occurs.any():
        raise ValueError("y has no label for any video, so that there is no class to score.")
    probability = estimator.predict_proba(X)
    return float(average_precision_score(is_labelled[:, occurs], probability[:, occurs]))


def separability_scorer(estimator: Any, X: Indexed, y: Indexed) -> float:
    """Score localization without intervals: by how well features tell detected snippets apart.

    Snippets are grouped by the detection that they are in, of those classes that their video is
    known to show, and by background. Linear discriminant analysis learns these groups from half of
    the videos, and finds them in the other half: where detections begin and end when features
    change, it finds them well; where they take context in, or leave out a part of an action, it
    mixes them up. Returned is the mean over groups of its average precision.

    On videos that were held out of training, below 0.6 means that localization has most likely
    failed; above it may have, where context is detected together with the action beside it. How
    often that is right on ten data sets is in the benchmarks. It says nothing of whether the class
    is right: compare candidates by :func:`weak_label_scorer`, which asks for both.

    Parameters
    ----------
    estimator : localizer, or Pipeline that ends in one
        Fitted.
    X : sequence of n arrays of shape (n_snippets_i, n_features)
        At best several videos of each class.
    y : sequence of n entries, or indicator matrix of shape (n, n_classes)
        As for the ``fit`` of a localizer: nothing but labels is read.

    Returns
    -------
    score : float, in [0, 1]
        A group counts 0 if its class occurs and it is not detected, or in one snippet only of
        those to learn from.

    Raises
    ------
    ValueError
        If `y` holds a label that the model was not fitted on, or none, or there are fewer than two
        videos.

    Warns
    -----
    UserWarning
        If a class occurs in one video only, and so counts 0.

    Examples
    --------
    >>> from skdgam import DGAMLocalizer
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.model_selection import separability_scorer
    >>> from sklearn.model_selection import cross_val_score
    >>> X, y = make_untrimmed(n_videos=20, n_classes=2, random_state=0)
    >>> labels = [set(video["label"]) for video in y]
    >>> model = DGAMLocalizer(max_epochs=5, random_state=0)
    >>> cross_val_score(model, X, labels, scoring=separability_scorer, cv=2).shape
    (2,)
    """
    check_is_fitted(estimator)
    if isinstance(estimator, Pipeline):
        X, estimator = estimator[:-1].transform(X), estimator[-1]
    videos = check_features(X)
    if len(videos) < 2:
        raise ValueError("separability_scorer needs two videos or more, to learn from and to test.")
    y = in_order(y, videos.names)
    _, is_labelled = check_weak_labels(y, len(videos), estimator.classes_)
    n_videos = is_labelled.sum(axis=0)
    if not n_videos.any():
        raise ValueError("y has no label for any video, so that there is no action to tell apart.")
    if (n_videos == 1).any():
        alone = estimator.classes_[n_videos == 1]
        warnings.warn(
            f"{alone[0].item()!r} occurs in one video only ({len(alone)} such classes), and counts "
            "0: separability_scorer learns from one half of the videos and tests on the other.",
            UserWarning,
            stacklevel=2,
        )
    # A snippet a second, so that times are rows.
    detections = estimator.predict(X, durations=videos.lengths)
    found = [
        _detected(*video, estimator.classes_)
        for video in zip(detections, videos.lengths, is_labelled, strict=True)
    ]
    fold = balanced_folds(is_labelled, 2, np.random.default_rng(0))
    precision = []
    for half in (0, 1):
        (X_train, group), (X_test, true) = (
            (
                np.concatenate([videos[i] for i in chosen]),
                np.concatenate([found[i] for i in chosen]),
            )
            for chosen in (np.flatnonzero(fold != half), np.flatnonzero(fold == half))
        )
        occurs = np.append(True, is_labelled[fold == half].any(axis=0))
        of_group = np.zeros(len(occurs))
        known = np.flatnonzero(np.bincount(group) > 1)  # one snippet has no spread to learn from
        if len(known) > 1:
            model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
            model.fit(X_train[np.isin(group, known)], group[np.isin(group, known)])
            probability = model.predict_proba(X_test)
            for k, column in zip(known, probability.T, strict=True):
                if (true == k).any():
                    of_group[k] = average_precision_score(true == k, column)
        precision.extend(of_group[occurs])
    return float(np.mean(precision))


def weak_label_scorer(estimator: Any, X: Indexed, y: Indexed) -> float:
    """Score localization without intervals: the product of what labels say of it.

    Of :func:`separability_scorer`, whether detections begin and end when features change, and
    :func:`video_level_scorer`, whether videos are classified well. In the project's benchmarks each
    of them ranks candidates much like mAP on one data set and not on the other; their product did
    on both, with rank correlations of 0.55 and 0.75.

    Parameters
    ----------
    estimator, X, y
        As for :func:`separability_scorer`.

    Returns
    -------
    score : float, in [0, 1]

    Raises
    ------
    ValueError
        As of both.

    Examples
    --------
    >>> from skdgam import DGAMLocalizer
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.model_selection import weak_label_scorer
    >>> from sklearn.model_selection import GridSearchCV
    >>> X, y = make_untrimmed(n_videos=20, n_classes=2, random_state=0)
    >>> labels = [set(video["label"]) for video in y]
    >>> model = DGAMLocalizer(max_epochs=5, random_state=0)
    >>> search = GridSearchCV(model, {"r": [0.5, 1.0]}, scoring=weak_label_scorer, cv=2)
    >>> bool(0 <= search.fit(X, labels).best_score_ <= 1)
    True
    """
    return separability_scorer(estimator, X, y) * video_level_scorer(estimator, X, y)


def _detected(detections, n_snippets, is_labelled, classes):
    """Which class each snippet (n_snippets,) is detected as, from 1 on; 0 is background."""
    group = np.zeros(n_snippets, dtype=int)
    column = np.searchsorted(classes, detections["label"])
    known = is_labelled[column]
    detections, column = detections[known], column[known]
    middle = np.arange(n_snippets) + 0.5
    for i in np.argsort(detections["score"], kind="stable"):  # the best has the last word
        inside = (detections["start"][i] <= middle) & (middle < detections["end"][i])
        group[inside] = column[i] + 1
    return group
