"""StackedGridSearchCV: a grid search that trains its candidates side by side."""

from collections import defaultdict
from dataclasses import fields

from joblib import Parallel, delayed, parallel_config
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, ParameterGrid, check_cv
from sklearn.utils import _safe_indexing

from skdgam._features import check_features
from skdgam._inference import to_arrays
from skdgam._stages import Objective
from skdgam._training import Schedule, diverged, train
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
    training, which comes before.

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
            raise TypeError(
                f"The estimator is a {type(self.estimator).__name__}, but StackedGridSearchCV "
                "trains candidates of a DGAMLocalizer; use GridSearchCV."
            )
        videos = check_features(X)
        splits = list(check_cv(self.cv, y).split(videos, y, params.pop("groups", None)))
        recalling = clone(self.estimator)
        recalling.__class__ = _Recalling
        recalling._trained = self._train(videos, y, [videos.part(train) for train, _ in splits])
        settings = self.get_params(deep=False) | {"estimator": recalling, "cv": splits}
        search = GridSearchCV(**settings)
        with parallel_config("threading"):  # what is left are scores, of models that are here
            search.fit(videos, y, **params)
        fitted = {k: v for k, v in vars(search).items() if k.endswith("_")}
        if self.refit:
            fitted["best_estimator_"].__class__ = DGAMLocalizer
            del fitted["best_estimator_"]._trained
        vars(self).update(fitted)
        return self

    def _train(self, videos, y, parts):
        """Train all candidates on all parts of the videos."""
        stacks = defaultdict(dict)
        for set_to in ParameterGrid(self.param_grid):
            model = clone(self.estimator).set_params(**clone(set_to, safe=False))
            try:
                model._check_settings()
            except ValueError:
                continue  # its own fit will say what is wrong
            if not model.early_stopping:
                shape = _values(model, SHAPE), bool(model.gamma1)
                stacks[shape][_values(model, WEIGHTS + SHAPE)] = model
        jobs = [(part, stack) for part in parts for stack in stacks.values()]
        results = Parallel(self.n_jobs)(
            delayed(_fit_stack)([*stack.values()], part, _safe_indexing(y, part.indices))
            for part, stack in jobs
        )
        return {
            (key, part.indices.tobytes()): result
            for (part, stack), of_stack in zip(jobs, results, strict=True)
            for key, result in zip(stack, of_stack, strict=True)
        }


class _Recalling(DGAMLocalizer):
    """A localizer that has been trained before, and only recalls it."""

    def __sklearn_clone__(self):
        copied = super().__sklearn_clone__()
        copied._trained = self._trained
        return copied

    def fit(self, X, y):
        """Recall what training on these videos gave, or train if that has not been done."""
        trained = self._trained.get((_values(self, WEIGHTS + SHAPE), X.indices.tobytes()))
        if trained is None:
            return super().fit(X, y)
        if isinstance(trained, Exception):
            raise trained
        vars(self).update(trained)
        return self


def _values(model, names):
    """Parameters as a key; of equal ones the text is equal, whatever they are."""
    return tuple(repr(getattr(model, name)) for name in names)


def _fit_stack(models, videos, y):
    """Fit models side by side: the fitted attributes of each, or the error that it ended with."""
    try:
        classes, is_labelled = check_weak_labels(y, len(videos))
        objectives = [model._settings(Objective) for model in models]
        schedule = models[0]._settings(Schedule)
        training = models[0]._start(videos.n_features, len(classes), objectives, schedule)
        history = train(training, videos, is_labelled)
    except Exception as error:
        return [error] * len(models)
    return [
        {
            "classes_": classes,
            "n_features_in_": videos.n_features,
            "weights_": to_arrays(network),
            "history_": {name: values[:, k] for name, values in history.items()},
            "n_epochs_": training.epoch,
        }
        if training.finite[k]
        else FloatingPointError(diverged(f" with {objectives[k]}"))
        for k, network in enumerate(training.networks)
    ]
