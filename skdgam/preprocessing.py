"""Transformers of scikit-learn, applied to the snippets of videos."""

import copy
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

from skdgam._features import Features, Videos, check_features, grouped
from skdgam._typing import Indexed

__all__ = ["SnippetTransformer"]

SNIPPETS_AT_ONCE = 16_384  # that partial_fit is given


class SnippetTransformer(TransformerMixin, BaseEstimator):
    """Apply a transformer to snippets, fitted on those of all videos.

    Parameters
    ----------
    transformer : transformer
        Anything that scikit-learn would fit to a finite float32 matrix (n_snippets, n_features)
        alone, such as ``StandardScaler()``, ``PCA(64)``, or a ``FeatureUnion`` of several. Of
        features on disk one with ``partial_fit`` is given some videos at a time, in one pass.

    Attributes
    ----------
    transformer_ : transformer
        Fitted.
    n_features_in_ : int

    Examples
    --------
    >>> from skdgam import DGAMLocalizer
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.preprocessing import SnippetTransformer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> X, y = make_untrimmed(n_videos=12, n_classes=2, random_state=0)
    >>> model = make_pipeline(
    ...     SnippetTransformer(StandardScaler()), DGAMLocalizer(max_epochs=5, random_state=0)
    ... )
    >>> model.fit(X, y).predict(X).shape
    (12,)
    """

    def __init__(self, transformer):
        self.transformer = transformer

    def fit(self, X: Indexed, y: Any = None) -> Self:
        """Fit the transformer on the snippets of all videos.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)
        y : ignored

        Returns
        -------
        self : SnippetTransformer

        Raises
        ------
        TypeError, ValueError
            If `X` is not of that form; the message names the video.
        """
        videos = check_features(X)
        transformer = clone(self.transformer)
        if hasattr(transformer, "partial_fit") and not videos.in_memory:
            for group in grouped(videos, SNIPPETS_AT_ONCE):
                transformer.partial_fit(np.concatenate(group))
        else:
            transformer.fit(np.concatenate(list(videos)))
        self.transformer_ = transformer
        self.n_features_in_ = videos.n_features
        return self

    def transform(self, X: Indexed) -> Indexed:
        """Transform every snippet.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)

        Returns
        -------
        features : sequence of n float32 arrays of shape (n_snippets_i, n_features_out)
            A list, or for a lazy `X` a lazy sequence, which transforms a video at each read.
        """
        check_is_fitted(self)
        videos = check_features(X, self.n_features_in_)
        transformed = _Transformed(videos, self.transformer_)
        return Features(transformed, videos.about) if videos.in_memory else transformed

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags


class _Transformed:
    """Lazy sequence of transformed videos; a part of it is a view."""

    ndim = 1

    def __init__(self, videos: Videos, transformer):
        self._videos, self._transformer = videos, transformer

    @property
    def shape(self):
        return (len(self),)

    @property
    def about(self):
        return self._videos.about

    @property
    def names(self):
        return self._videos.names

    def __len__(self):
        return len(self._videos)

    def __getitem__(self, index):
        if np.ndim(index) or isinstance(index, slice):
            view = copy.copy(self)
            view._videos = self._videos.subset(index)
            return view
        return self._transform(self._videos[index])

    def __iter__(self):
        return map(self._transform, self._videos)

    def _transform(self, video):
        transformed = self._transformer.transform(video.copy())  # it may work in place
        shape = np.shape(transformed)
        if hasattr(transformed, "toarray") or len(shape) != 2 or len(transformed) != len(video):
            raise ValueError(
                f"{self._transformer!r} made {type(transformed).__name__} of shape {shape} of a "
                f"video of shape {video.shape}; it must make a dense array with a row a snippet."
            )
        return np.asarray(transformed, dtype=np.float32)
