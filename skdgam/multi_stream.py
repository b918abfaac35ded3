"""MultiStreamLocalizer: a localizer for each stream of features, fused."""

import copy
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import _fit_context, clone
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.validation import check_is_fitted

from skdgam._features import Videos, check_features, count_columns
from skdgam._localizer import LocalizerMixin
from skdgam._typing import Indexed, PathOrName, keeps_type
from skdgam.base import BaseLocalizer
from skdgam.clock import SnippetClock
from skdgam.intervals import non_maximum_suppression
from skdgam.methods import METHODS
from skdgam.metrics import check_thresholds
from skdgam.training.callbacks import CallbackSupportMixin, Subtasks, with_callbacks

__all__ = ["MultiStreamLocalizer"]


class MultiStreamLocalizer(LocalizerMixin, CallbackSupportMixin, _BaseComposition):
    """Localize with several streams of features, such as RGB and optical flow.

    Each stream has a localizer of its own, trained alone on its columns. In localization the
    score of a stream's proposals takes the activation of those others in that localize by the same
    rules, by its ``stream_weight``; the proposals of all streams then compete in non-maximum
    suppression, class by class.

    Parameters
    ----------
    streams : list of (name, localizer, columns)
        Columns are a slice or a list of indices into the features of `X`. Parameters of a
        localizer are reached as ``name__parameter``.
    nms_threshold : float, default=0.5
        Of two detections of one class whose tIoU is greater, the better stays.
    tiou_thresholds : float or sequence of float, default=0.5
        Where ``score`` evaluates mAP.

    Attributes
    ----------
    localizers_ : dict of localizers
        The fitted localizers by the names of their streams. Parameters set in `streams` after
        fitting are those of the next fit; what is fitted has its own.
    columns_ : dict of slice or list
        Of each stream, as fitted.
    classes_ : ndarray of shape (n_classes,)
    n_features_in_ : int
        Of all streams together.

    Examples
    --------
    >>> from skdgam import DGAMLocalizer, MultiStreamLocalizer
    >>> from skdgam.datasets import make_untrimmed
    >>> X, y = make_untrimmed(n_videos=24, n_classes=2, n_features=(16, 24), random_state=0)
    >>> model = MultiStreamLocalizer([
    ...     ("rgb", DGAMLocalizer(gamma1=0.5, max_epochs=20, random_state=0), slice(0, 16)),
    ...     ("flow", DGAMLocalizer(gamma1=0.3, max_epochs=20, random_state=0), slice(16, 40)),
    ... ]).fit(X, y)
    >>> model.predict(X).shape
    (24,)
    """

    _parameter_constraints: dict = {
        "streams": [list],
        "nms_threshold": BaseLocalizer._parameter_constraints["nms_threshold"],
        "tiou_thresholds": BaseLocalizer._parameter_constraints["tiou_thresholds"],
    }

    def __init__(self, streams, *, nms_threshold=0.5, tiou_thresholds=0.5):
        self.streams = streams
        self.nms_threshold = nms_threshold
        self.tiou_thresholds = tiou_thresholds

    @classmethod
    def from_fitted(cls, streams: Sequence[tuple[str, BaseLocalizer, Any]], **params: Any) -> Self:
        """Put fitted localizers together, without fitting; they are shared, not copied.

        Parameters
        ----------
        streams : list of (name, fitted localizer, columns)
        **params
            Further parameters of MultiStreamLocalizer.

        Returns
        -------
        localizer : MultiStreamLocalizer
            Fitted. It shares the localizers that were given.

        Raises
        ------
        ValueError
            If the localizers do not know the same classes, or the columns of one do not fit
            its number of features.
        """
        model = cls(streams, **params)
        for _, localizer, _ in model._checked_streams():
            check_is_fitted(localizer)
        n_features = max(_n_features_needed(fitted, columns) for _, fitted, columns in streams)
        localizers = {name: fitted for name, fitted, _ in streams}
        return model._set_fitted(localizers, _checked_columns(streams, n_features), n_features)

    @keeps_type(with_callbacks)
    @keeps_type(_fit_context(prefer_skip_nested_validation=False))
    def fit(
        self,
        X: Indexed,
        y: Indexed,
        checkpoint: PathOrName | None = None,
        checkpoint_every: int = 10,
        sample_weight: Indexed | None = None,
    ) -> Self:
        """Fit a clone of each stream's localizer to its columns.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)
            Streams side by side in the columns.
        y : sequence of n entries, or indicator matrix of shape (n, n_classes)
            As for ``BaseLocalizer.fit``.
        checkpoint, checkpoint_every
            As for ``BaseLocalizer.fit``; each stream has a file of its own, with its name behind
            a dot.
        sample_weight : array-like of shape (n,), optional
            As for ``BaseLocalizer.fit``; the same in all streams, each of which has a
            `class_weight` of its own.

        Returns
        -------
        self : MultiStreamLocalizer
        """
        streams = self._checked_streams()
        videos = check_features(X)
        tasks = Subtasks(self, X, y, len(streams))
        columns = _checked_columns(streams, videos.n_features)
        localizers = {}
        for name, localizer, _ in streams:
            localizers[name] = self._localizer_to_fit(name, localizer, localizer.warm_start)
            with tasks.propagated(name, localizers[name]):
                path = None if checkpoint is None else f"{os.fspath(checkpoint)}.{name}"
                localizers[name].fit(
                    *(videos.columns(columns[name]), y, path, checkpoint_every, sample_weight)
                )
        tasks.end()
        return self._set_fitted(localizers, columns, videos.n_features)

    @keeps_type(_fit_context(prefer_skip_nested_validation=False))
    def partial_fit(
        self,
        X: Indexed,
        y: Indexed,
        classes: Iterable[Any] | None = None,
        sample_weight: Indexed | None = None,
    ) -> Self:
        """Train every stream one epoch on some videos, from where the last call left off.

        Parameters
        ----------
        X, y, classes, sample_weight
            As for ``BaseLocalizer.partial_fit``, with streams side by side in the columns.

        Returns
        -------
        self : MultiStreamLocalizer
        """
        streams = self._checked_streams()
        resumes = hasattr(self, "localizers_")
        videos = self._check(X) if resumes else check_features(X)
        columns = _checked_columns(streams, videos.n_features)
        if resumes:
            for name, given in columns.items():
                began_with = self.columns_.get(name)
                if not np.array_equal(given, began_with):
                    raise ValueError(
                        f"Stream {name!r} takes the columns {given!r}, but training began with "
                        f"{began_with!r}."
                    )
        localizers = {}
        for name, localizer, _ in streams:
            localizers[name] = self._localizer_to_fit(name, localizer, resumes)
            localizers[name].partial_fit(videos.columns(columns[name]), y, classes, sample_weight)
        return self._set_fitted(localizers, columns, videos.n_features)

    def _describe(self):
        """Describe a fitted localizer by a dict that JSON can hold, and arrays."""
        params = {name: getattr(self, name) for name in ("nms_threshold", "tiou_thresholds")}
        description = {"params": params, "streams": [], "n_features": self.n_features_in_}
        arrays = {}
        templates = {name: localizer for name, localizer, _ in self.streams}
        for k, (name, columns) in enumerate(self.columns_.items()):
            fitted, of_stream = self.localizers_[name]._describe()
            is_slice = isinstance(columns, slice)
            description["streams"].append(
                {
                    "name": name,
                    "class": type(self.localizers_[name]).__name__,
                    "params": templates.get(name, self.localizers_[name])._plain_params(),
                    "slice": [columns.start, columns.stop, columns.step] if is_slice else None,
                    "columns": None if is_slice else list(columns),
                    "fitted": fitted,
                }
            )
            arrays |= {f"{k}.{key}": array for key, array in of_stream.items()}
        return description, arrays

    @classmethod
    def _from_description(cls, description, arrays):
        """Rebuild what ``_describe`` has described; whatever is wrong with it is an error."""
        streams, localizers, of_columns = [], {}, {}
        classes = {method.__name__: method for method in METHODS.values()}
        for k, stream in enumerate(description["streams"]):
            name, prefix = stream["name"], f"{k}."
            columns = slice(*stream["slice"]) if stream["slice"] else stream["columns"]
            # Files of version 1 know one method alone.
            kind = classes[stream["class"]] if "class" in stream else next(iter(METHODS.values()))
            streams.append((name, kind._from_plain_params(stream["params"]), columns))
            of_stream = {
                key.removeprefix(prefix): array
                for key, array in arrays.items()
                if key.startswith(prefix)
            }
            localizers[name] = kind._from_description(stream["fitted"], of_stream)
            of_columns[name] = columns
        model = cls(streams, **description["params"])
        model._validate_params()
        model._checked_streams()
        check_thresholds(model.tiou_thresholds)
        return model._set_fitted(localizers, of_columns, description["n_features"])

    def predict_proba(self, X: Indexed) -> np.ndarray:
        """Probability that each action occurs in each video: the mean over the streams.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)

        Returns
        -------
        probability : ndarray of shape (n, n_classes), in [0, 1]
            Columns as in ``classes_``.
        """
        return self._mean_over_streams("predict_proba", X)

    def attention(self, X: Indexed) -> list[np.ndarray]:
        """Attention of every snippet, the mean over the streams.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)

        Returns
        -------
        attention : list of n ndarrays of shape (n_snippets_i,), in [0, 1]
        """
        return self._mean_over_streams("attention", X)

    def class_activation(self, X: Indexed) -> list[np.ndarray]:
        """T-CAM of every snippet, the mean over the streams.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)

        Returns
        -------
        tcam : list of n ndarrays of shape (n_snippets_i, n_classes), in [0, 1]
        """
        return self._mean_over_streams("class_activation", X)

    def _mean_over_streams(self, method, X):
        videos = self._check(X)
        of_streams = [
            getattr(localizer, method)(videos.columns(columns))
            for localizer, columns in self._fitted_streams()
        ]
        means = [np.mean(of_video, axis=0) for of_video in zip(*of_streams, strict=True)]
        return np.stack(means) if method == "predict_proba" else means

    def _detect(self, videos: Videos, clocks: list[SnippetClock]) -> Iterator[np.ndarray]:
        """Yield the detections of each video, best first."""
        self._validate_params()  # nms_threshold may have been set since fit
        localizers, columns = zip(*self._fitted_streams(), strict=True)
        activations = [
            localizer._activations(videos.columns(of_stream))
            for localizer, of_stream in zip(localizers, columns, strict=True)
        ]
        for i, of_streams in enumerate(zip(*activations, strict=True)):
            proposals = [
                localizer._propose(
                    own,
                    clocks[i].resampled(videos.lengths[i], len(own.attention)),
                    [
                        other
                        for kind, other in zip(localizers, of_streams, strict=True)
                        if other is not own and _means_the_same(kind, other, localizer, own)
                    ],
                )
                for localizer, own in zip(localizers, of_streams, strict=True)
            ]
            yield non_maximum_suppression(np.concatenate(proposals), self.nms_threshold)

    @property
    def clock(self) -> SnippetClock:
        """Which seconds of a recording each snippet stands for: the same in all streams."""
        return next(iter(self.localizers_.values())).clock

    def _fitted_streams(self):
        return [(self.localizers_[name], columns) for name, columns in self.columns_.items()]

    def _localizer_to_fit(self, name, localizer, resumes):
        """Copy the unfitted localizer of a stream, or the fitted one with its parameters.

        A copy, so that an error in one stream leaves all as they were.
        """
        fitted = getattr(self, "localizers_", {}).get(name)
        if not resumes or fitted is None:
            return clone(localizer)
        return copy.copy(fitted).set_params(**localizer.get_params(deep=False))

    def _set_fitted(self, localizers, columns, n_features):
        """Take fitted localizers over if they go together."""
        first, *others = localizers.values()
        for name, localizer in zip([*localizers][1:], others, strict=True):
            if not np.array_equal(localizer.classes_, first.classes_):
                raise ValueError(
                    f"Stream {name!r} knows the classes {localizer.classes_.tolist()}, but "
                    f"{[*localizers][0]!r} knows {first.classes_.tolist()}; all streams must be "
                    "fitted on the same labels."
                )
        for name, localizer in localizers.items():
            n_columns = count_columns(name, columns[name], n_features)
            if n_columns != localizer.n_features_in_:
                raise ValueError(
                    f"Stream {name!r} takes {n_columns} columns, {columns[name]!r}, but its "
                    f"localizer was fitted with {localizer.n_features_in_} features."
                )
        self.localizers_ = localizers
        self.columns_ = columns
        self.classes_ = first.classes_
        self.n_features_in_ = n_features
        self.about_features_ = getattr(first, "about_features_", None)
        return self

    def _checked_streams(self):
        """The parameter `streams`, if it is well formed."""
        try:
            names = [name for name, _, _ in self.streams]
        except (TypeError, ValueError) as error:
            raise ValueError(
                "streams must be a list of (name, localizer, columns), such as "
                f"[('rgb', {next(iter(METHODS.values())).__name__}(), slice(0, 1024))]; got "
                f"{self.streams!r}."
            ) from error
        if not names:
            raise ValueError("streams is empty; it needs at least one stream.")
        if not all(isinstance(name, str) for name in names):
            raise TypeError(f"The names of streams must be text; got {names!r}.")
        self._validate_names(names)
        first_name, first, _ = self.streams[0]
        for name, localizer, _ in self.streams:
            if not isinstance(localizer, BaseLocalizer):
                raise TypeError(
                    f"Stream {name!r} has a {type(localizer).__name__}; it must be a localizer of "
                    f"one stream, such as {next(iter(METHODS.values())).__name__}()."
                )
            clock, of_first = localizer._clock_of(None), first._clock_of(None)
            for parameter, own, expected in (
                ("min_snippets", localizer.min_snippets, first.min_snippets),
                ("max_snippets", localizer.max_snippets, first.max_snippets),
                ("snippet_seconds", clock.seconds, of_first.seconds),
                ("snippet_offset", clock.offset, of_first.offset),
            ):
                if own != expected:
                    raise ValueError(
                        f"Stream {name!r} has {parameter}={own}, but {first_name!r} has "
                        f"{expected}; streams are localized on the same snippets. Set it alike, "
                        f"such as set_params({name}__{parameter}={expected})."
                    )
        return self.streams

    @property
    def _named_localizers(self):
        """`streams` without columns, the form that scikit-learn's compositions work on."""
        try:
            return [(name, localizer) for name, localizer, _ in self.streams]
        except (TypeError, ValueError):  # malformed, which fit will say
            return self.streams

    @_named_localizers.setter
    def _named_localizers(self, value):
        self.streams = [
            (name, localizer, columns)
            for (name, localizer), (_, _, columns) in zip(value, self.streams, strict=True)
        ]

    def get_params(self, deep=True):
        """Get the parameters, and with `deep` those of the localizers.

        Parameters
        ----------
        deep : bool, default=True

        Returns
        -------
        params : dict
        """
        return self._get_params("_named_localizers", deep=deep)

    def set_params(self, **params):
        """Set parameters, also those of a localizer: ``set_params(rgb__alpha=0.1)``.

        Parameters
        ----------
        **params
            Values by name.

        Returns
        -------
        self : MultiStreamLocalizer
        """
        return self._set_params("_named_localizers", **params)


def _checked_columns(streams, n_features):
    """Columns of each stream by its name, which must lie in the features."""
    for name, _, columns in streams:
        count_columns(name, columns, n_features)
    return {name: columns for name, _, columns in streams}


def _n_features_needed(localizer, columns):
    """Count the features that X must have at least for the columns of a fitted localizer."""
    if isinstance(columns, slice):
        last = (columns.start or 0) + (columns.step or 1) * (localizer.n_features_in_ - 1)
        needed = columns.stop or last + 1
    else:
        columns = np.asarray(columns)
        needed = columns.size if columns.dtype == bool else int(columns.max(initial=-1)) + 1
    if needed < localizer.n_features_in_:
        raise ValueError(
            f"The columns {columns!r} do not say how many features X has, for a localizer fitted "
            f"with {localizer.n_features_in_} of them; count them from the left."
        )
    return needed


def _means_the_same(kind, activation, other_kind, other):
    """Whether what two localizers say of a video can be averaged: by the same rules, alike."""
    return (
        type(kind)._propose is type(other_kind)._propose
        and activation.tcam.shape == other.tcam.shape
    )
