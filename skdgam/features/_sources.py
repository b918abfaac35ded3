"""What transformers from sources (files, tables) to snippet features share."""

import os
from collections.abc import Iterable, Sequence
from typing import Any, Self

import joblib
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

__all__ = ["SourceTransformer", "refuse_folder", "tracked"]


class SourceTransformer(TransformerMixin, BaseEstimator):
    """Base of transformers that read recordings one by one.

    A subclass has the parameters `n_jobs` and `progress`, and writes ``_features_of(source, name)``
    and ``snippet_times()``. Nothing is learned from data, so that it need not be fitted.
    """

    n_jobs: int | None
    progress: bool

    def fit(self, X: Any = None, y: Any = None) -> Self:
        """Check the parameters; nothing is learned.

        Parameters
        ----------
        X, y : ignored

        Returns
        -------
        self
        """
        self._validate_params()
        return self

    def transform(self, X: Sequence[Any]) -> list[np.ndarray]:
        """Make the features of recordings.

        Parameters
        ----------
        X : sequence of n sources
            Each is what ``features_of`` takes.

        Returns
        -------
        features : list of n float32 ndarrays of shape (n_snippets_i, n_features)

        Raises
        ------
        TypeError
            If `X` is a single source.
        OSError, ValueError
            As of ``features_of``; the message names the source.
        """
        self._validate_params()
        if isinstance(X, str | bytes | os.PathLike) or hasattr(X, "columns"):
            raise TypeError(
                f"transform takes a list of recordings, and was given one, {_name(X, 'a table')}; "
                "pass [x], or call features_of(x)."
            )
        sources = list(X)
        # Threads serve well, since decoders and NumPy let others run; and files may be open ones.
        made = joblib.Parallel(n_jobs=self.n_jobs, prefer="threads", return_as="generator")(
            joblib.delayed(self._features_of)(source, _name(source, f"X[{i}]"))
            for i, source in enumerate(sources)
        )
        return list(tracked(made, len(sources)) if self.progress else made)

    def features_of(self, source: Any) -> np.ndarray:
        """Make the features of one recording.

        Parameters
        ----------
        source : path, or another source that the class describes

        Returns
        -------
        features : float32 ndarray of shape (n_snippets, n_features)

        Raises
        ------
        OSError
            If the file cannot be opened.
        ValueError
            If it holds no recording of which there are features; the message says why.
        """
        self._validate_params()
        return self._features_of(source, _name(source, "The recording"))

    def _features_of(self, source: Any, name: str) -> np.ndarray:
        """Features of a source that messages call by a name."""
        raise NotImplementedError

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        return tags


def tracked(items: Iterable[Any], n: int | None = None) -> Iterable[Any]:
    """Show a bar, by rich, of how many of `n` items are done."""
    try:
        from rich.progress import track
    except ImportError as error:
        raise ImportError('progress=True needs rich: pip install "skdgam[progress]".') from error
    return track(items, "features", total=n)


def refuse_folder(path: str | os.PathLike[str], pattern: str) -> None:
    """Raise the error of a folder that was given in place of a file."""
    if os.path.isdir(path):
        raise IsADirectoryError(
            f"{path} is a folder; pass the files in it: sorted(pathlib.Path({str(path)!r})"
            f".glob({pattern!r}))."
        )


def _name(source: Any, otherwise: str) -> str:
    """What messages call a source: its path, if it has one."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    name = getattr(source, "name", None)  # of an open file
    return name if isinstance(name, str) else otherwise
