"""StackedGridSearchCV: a grid search that trains its candidates side by side."""

import copy
from collections import defaultdict
from dataclasses import fields

import joblib
import numpy as np
from joblib import Parallel, delayed, parallel_config
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, ParameterGrid, check_cv
from sklearn.utils import _safe_indexing

from skdgam._features import check_features
from skdgam._inference import to_arrays
from skdgam._loop import train
from skdgam._stages import Objective
from skdgam._training import Schedule
from skdgam._validation import check_weak_labels
from skdgam.estimator import DGAMLocalizer

__all__ = ["StackedGridSearchCV"]

COMMON = ["pooling", "classification", "dropout"]
WEIGHTS = [field.name for field in fields(Objective) if field.name not in COMMON]
# What else a training depends on; models of one stack have it in common.
SHAPE = [field.name for field in fields(Schedule)]
SHAPE += [
    *COMMON,
    "temporal_context",
    "latent_dim",
    "device",
    "precision",
    "random_state",
    "early_stopping",
]


class StackedGridSearchCV(GridSearchCV):
    """Grid search over a DGAMLocalizer, whose candidates are trained side by side.

    Candidates that differ in `alpha`, `beta`, `gamma1` (unless it is 0), `gamma2`, `r` and
    `foreground_weight` learn from the same batches, with the same noise, as one program. Those
    that differ in parameters of localization alone share one training. Every other difference,
    and every fold, makes another stack. Candidates that stop early are fitted one by one.

    Parameters, attributes and methods are those of
    :class:`sklearn.model_selection.GridSearchCV`, and so are the results, up to rounding.
    `n_jobs` is the number of stacks that are trained at a time. `mean_fit_time` leaves out the
    training, which comes before; neither `verbose` nor a callback of the estimator reports it.

    Examples
    --------
    >>> from skdgam import DGAMLocalizer
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.model_selection import StackedGridSearchCV
    >>> X, y = make_untrimmed(n_videos=24, n_classes=2, random_state=0)
    >>> grid = {"alpha": [0.01, 0.1], "r": [0.5, 1.0, 1.5], "eta": [0.2, 0.4]}
    >>> search = StackedGridSearchCV(DGAMLocalizer(max_epochs=5, random_state=0), grid, cv=2)
    >>> len(search.fit(X, y).cv_results_["params"])  # from six models in each fold
    12
    """

    def fit(self, X, y, **params):
        """Search for the best parameters, and fit with them.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)
        y : sequence of n entries, or indicator matrix of shape (n, n_classes)
            As for ``DGAMLocalizer.fit``; with the intervals, if mAP is the score.
        **params
            As for ``GridSearchCV.fit``, such as ``groups``.

        Returns
        -------
        self : StackedGridSearchCV

        Raises
        ------
        TypeError
            If the estimator is no DGAMLocalizer.
        """
        if type(self.estimator) is not DGAMLocalizer:
            is_class = isinstance(self.estimator, type)
            raise TypeError(
                f"The estimator is a {'class' if is_class else type(self.estimator).__name__}, but "
                "StackedGridSearchCV trains candidates of a DGAMLocalizer; use GridSearchCV for "
                "others."
            )
        self._validate_params()
        trained: dict = {}
        search = copy.copy(self)
        search.__class__ = GridSearchCV
        search.estimator = clone(self.estimator)
        search.estimator.__class__ = _Recalling
        search.estimator._trained = trained
        search.cv = _TrainingSplitter(check_cv(self.cv, y), self._train, trained)
        with parallel_config("threading"):  # what is left are scores, of models that are here
            search.fit(X, y, rows=np.arange(len(X)), **params)
        trained.clear()  # the scorer still knows the estimator
        vars(self).update({k: v for k, v in vars(search).items() if k.endswith("_")})
        if self.refit and not hasattr(self.best_estimator_, "training_state_"):
            self.best_estimator_.fit(X, y)  # recalled, from a fold with all videos
        return self

    def _train(self, X, y, parts):
        """Train all candidates on all parts of the videos."""
        stacks = defaultdict(dict)
        for set_to in ParameterGrid(self.param_grid):
            model = clone(self.estimator).set_params(**clone(set_to, safe=False))
            try:
                model._check_settings()
            except (TypeError, ValueError):
                continue  # its own fit will say what is wrong
            if not model.early_stopping:
                shape = _values(model, SHAPE), bool(model.gamma1)
                stacks[shape][_values(model, WEIGHTS + SHAPE)] = model
        videos = check_features(X)
        jobs = [(rows, stack) for rows in parts for stack in stacks.values()]
        results = Parallel(self.n_jobs)(
            delayed(_fit_stack)([*stack.values()], videos.part(rows), _safe_indexing(y, rows))
            for rows, stack in jobs
        )
        return {
            (key, rows.tobytes()): attributes
            for (rows, stack), of_stack in zip(jobs, results, strict=True)
            for key, attributes in zip(stack, of_stack, strict=True)
        }


class _TrainingSplitter:
    """A splitter that has all candidates trained on its splits, as soon as these are known.

    That is after the search has checked what it was given, and before it fits anything.
    """

    def __init__(self, splitter, train, trained):
        self._splitter, self._train, self._trained = splitter, train, trained

    def __getattr__(self, name):
        return getattr(self._splitter, name)

    def split(self, X, y=None, **params):
        splits = list(self._splitter.split(X, y, **params))
        self._trained.update(self._train(X, y, [np.arange(len(X))[train] for train, _ in splits]))
        return splits


class _Recalling(DGAMLocalizer):
    """A localizer that recalls a training that has been done, and from then on is any other."""

    def __sklearn_clone__(self):
        copied = super().__sklearn_clone__()
        copied._trained = self._trained
        return copied

    def get_metadata_routing(self):
        routing = super().get_metadata_routing()
        routing.fit.add_request(param="rows", alias=True)
        return routing

    def fit(self, X, y, rows):
        """Recall what training on these videos gave; without, train, or fail as any other."""
        key = _values(self, WEIGHTS + SHAPE), rows.tobytes()
        attributes = vars(self).pop("_trained").get(key)
        self.__class__ = DGAMLocalizer
        if attributes is None:
            return self.fit(X, y)
        self._check_settings()  # those of localization may be others
        vars(self).update(copy.deepcopy(attributes))
        return self


def _values(model, names):
    """Parameters as a key; of equal ones it is equal, whatever they are."""
    return joblib.hash([getattr(model, name) for name in names])


def _fit_stack(models, videos, y):
    """Fit models side by side: the fitted attributes of each, or None for one that failed."""
    try:
        classes, is_labelled = check_weak_labels(y, len(videos))
        objectives = [model._settings(Objective) for model in models]
        schedule = models[0]._settings(Schedule)
        first = clone(models[0])  # so that a generator is in each fold what it was
        training = first._start(videos.n_features, len(classes), objectives, schedule)
        history = train(training, videos, is_labelled)
    except Exception:  # whoever fits one of them by itself will see it
        return [None] * len(models)
    return [
        {
            "classes_": classes,
            "n_features_in_": videos.n_features,
            "weights_": to_arrays(network),
            "history_": {name: values[:, k] for name, values in history.items()},
            "n_epochs_": training.epoch,
        }
        if training.finite[k]
        else None
        for k, network in enumerate(training.networks)
    ]
