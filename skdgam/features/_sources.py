"""What transformers from sources (files, tables) to snippet features share."""

import hashlib
import inspect
import os
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import fields, is_dataclass
from typing import Any, Self

import joblib
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from skdgam._features import Features
from skdgam.features._folder import write_features

__all__ = ["SourceTransformer", "refuse_folder", "rows_of", "tracked"]


class SourceTransformer(TransformerMixin, BaseEstimator):
    """Base of transformers that read recordings one by one.

    A subclass has the parameters `n_jobs` and `progress`, and writes ``_features_of(source, name)``
    and ``_times()``. Nothing is learned from data, so that it need not be fitted.
    """

    n_jobs: int | None
    progress: bool
    _not_of_features = frozenset({"n_jobs", "progress"})  # parameters that change no feature

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
            It has the attribute ``about``, by which a localizer knows how long a snippet is, and
            refuses features that were made otherwise. Parts of it, such as ``features[:10]``, have
            it, too; other lists that are made of its items do not.

        Raises
        ------
        TypeError
            If `X` is a single source.
        OSError, ValueError
            As of ``features_of``; the message names the source.
        """
        self._validate_params()
        sources = _listed(X)
        made = self._each(sources, [_name(source, f"X[{i}]") for i, source in enumerate(sources)])
        features: list[Any] = [None] * len(sources)
        with closing(made):
            for i, result in tracked(made, len(sources)) if self.progress else made:
                if isinstance(result, Exception):
                    raise result
                features[i] = result
        return Features(features, {"extractor": [self._extractor()], **self.snippet_times()})

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
        ((_, result),) = self._each([source], [_name(source, "The recording")])
        if isinstance(result, Exception):
            raise result
        return result

    def to_folder(self, X: Sequence[Any], folder: str | os.PathLike[str]) -> None:
        """Make the features of recordings, a file each.

        :class:`skdgam.datasets.FeatureFolder` reads them. Beside them, ``features.json`` says how
        they were made, so that a localizer knows how long a snippet is, and refuses features that
        were made otherwise. What is there already is not made again, unless its source has
        changed: a source counts as the same by its size and three samples of it. So what was cut
        off goes on where it stopped.

        Parameters
        ----------
        X : sequence of n paths
            The recordings, each of which is named by its file, without the ending.
        folder : path
            Made if it is not there.

        Raises
        ------
        TypeError
            If `X` is a single source, or holds others than paths.
        ValueError
            If recordings failed, when all others are done; the message names each. Before
            anything is done, if two have one name, or the folder holds features that were made
            otherwise, or files that were not made here.
        """
        failed = [
            f"{source}: {made}"
            for source, made in self._to_folder(X, folder)
            if isinstance(made, Exception)
        ]
        if failed:
            raise ValueError(
                f"{len(failed)} of {len(X)} recordings failed, and the others are in {folder}. "
                + " ".join(failed)
            )

    def _to_folder(
        self, X: Sequence[Any], folder: str | os.PathLike[str]
    ) -> Iterable[tuple[Any, int | Exception]]:
        """As ``to_folder``, but yield each source, and how many snippets it has or what failed."""
        self._validate_params()
        sources = _listed(X)
        other = next((x for x in sources if not isinstance(x, str | os.PathLike)), None)
        if other is not None:
            raise TypeError(
                f"to_folder takes paths, by which features are named, and was given "
                f"{type(other).__name__}; use transform, and numpy.save."
            )
        about = {"extractor": self._extractor(), **self.snippet_times()}
        made = write_features(folder, about, sources, self._each)
        return tracked(made, len(sources)) if self.progress else made

    def _extractor(self) -> dict[str, Any]:
        """What decides features, as JSON has it."""
        settings = {
            name: as_json(value)
            for name, value in self.get_params(deep=False).items()
            if name not in self._not_of_features
        }
        return {"class": type(self).__name__, **settings}

    def snippet_times(self) -> dict[str, float]:
        """Say which seconds the snippets stand for, in the words of a localizer.

        Returns
        -------
        times : dict
            ``snippet_seconds``, from snippet to snippet, and ``snippet_offset``, both in seconds: a
            snippet stands for the middle of what it is made of.
        """
        self._validate_params()
        return self._times()

    def _times(self) -> dict[str, float]:
        """As ``snippet_times``, of parameters that are checked."""
        raise NotImplementedError

    def _each(
        self, sources: Sequence[Any], names: Sequence[str]
    ) -> Generator[tuple[int, np.ndarray | Exception]]:
        """Yield the features of each source, or what went wrong with it, as they are done."""

        def made(source: Any, name: str) -> np.ndarray | Exception:
            try:
                return self._features_of(source, name)
            except Exception as error:
                return error

        # Threads serve well, since decoders and NumPy let others run; and files may be open ones.
        parallel = joblib.Parallel(n_jobs=self.n_jobs, prefer="threads", return_as="generator")
        yield from enumerate(parallel(map(joblib.delayed(made), sources, names)))

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


def rows_of(made: Any, n: int, maker: str, what: str) -> np.ndarray:
    """Features (n, n_features) that a function has made of `n` windows or snippets."""
    rows = np.asarray(made, dtype=np.float32)
    if rows.ndim != 2 or len(rows) != n:
        raise ValueError(
            f"The {maker} made an array of shape {rows.shape} of {n} {what}; it must make "
            f"(n_{what}, n_features)."
        )
    return rows


def as_json(value: Any) -> Any:
    """A parameter as JSON has it; of a function and of weights, what tells them from others."""
    if isinstance(value, str | int | float | None):
        return value
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    if is_dataclass(value):
        return {field.name: as_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if inspect.isfunction(value):
        with suppress(OSError):  # where it cannot be read, as in an interactive shell
            digest = hashlib.sha256(inspect.getsource(value).encode())
            return f"{value.__qualname__}, source {digest.hexdigest()[:16]}"
    if hasattr(value, "state_dict"):  # a network
        digest = hashlib.sha256()
        for name, tensor in value.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().float().numpy().tobytes())
        return f"{type(value).__qualname__}, weights {digest.hexdigest()[:16]}"
    return getattr(value, "__qualname__", type(value).__qualname__)


def _listed(X: Any) -> list[Any]:
    """Sources as a list, which one by itself is not."""
    if isinstance(X, str | bytes | os.PathLike) or hasattr(X, "columns"):
        raise TypeError(
            f"A list of recordings is needed, and there is one, {_name(X, 'a table')}; pass [x], "
            "or call features_of(x)."
        )
    return list(X)


def tracked(items: Iterable[Any], n: int | None = None, what: str = "features") -> Iterable[Any]:
    """Show a bar, by rich, of how many of `n` items are done."""
    try:
        from rich.progress import track
    except ImportError as error:
        raise ImportError('progress=True needs rich: pip install "skdgam[progress]".') from error
    return track(items, what, total=n)


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
