"""The gate for features: what users pass in as `X`, checked.

Every error names the video by its index in what was passed, says what is there, and what
would be right. Nothing passed in is changed.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from sklearn.preprocessing import StandardScaler

from skdgam._names import names_of

__all__ = ["Features", "Scaling", "Videos", "check_features", "count_columns", "grouped"]


class Scaling(NamedTuple):
    """What standardizes features: their means and standard deviations, (n_features,) each."""

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, videos: "Videos") -> "Scaling":
        """The statistics of all snippets; the scale of a constant feature is 1."""
        scaler = StandardScaler()
        for i, video in enumerate(videos):
            weight = None if videos.weights is None else np.full(len(video), videos.weights[i])
            scaler.partial_fit(video, sample_weight=weight)
        return cls(scaler.mean_.astype(np.float32), scaler.scale_.astype(np.float32))

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """Standardize features (n_snippets, n_features)."""
        scaled = rows - self.mean
        scaled /= self.scale
        return scaled


class Features(list):
    """Features of recordings that know how they were made, as those in a folder do.

    A part of them that a slice, indices or a mask choose knows it, too.

    Attributes
    ----------
    about : dict or None
        As ``FeatureFolder.about``.
    """

    ndim = 1  # by which scikit-learn's splitters take a part as of an array

    def __init__(self, features: Iterable[np.ndarray], about: dict[str, Any] | None):
        super().__init__(features)
        self.about = about

    @property
    def shape(self) -> tuple[int]:
        """The number of recordings."""
        return (len(self),)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int | np.integer):
            return super().__getitem__(index)
        chosen = np.arange(len(self))[index].tolist()
        return Features([self[i] for i in chosen], self.about)

    def __reduce__(self) -> tuple[Any, ...]:
        return Features, ([*self], self.about)


class Videos:
    """Checked features: item i is video i as C-contiguous float32 (n_snippets, n_features).

    What is in memory is checked once and kept without a copy where its dtype allows. A lazy
    sequence stays lazy: each video is read, checked and let go at each use.

    Attributes
    ----------
    n_features : int
    indices : ndarray of int of shape (n_videos,)
        Of each video among those that were checked.
    lengths : ndarray of int of shape (n_videos,)
        Snippets of each video.
    weights : ndarray of shape (n_videos,), positive, or None
        How much each video counts in training; None if all count 1.
    snippet_labels : list of ndarrays of bool of shape (n_snippets_i, n_classes), or None
        Which classes each snippet shows, where a method is to be told; None if none is.
    counts : ndarray of float32 of shape (n_videos, n_classes), or None
        How often each video shows each class, where a method is to be told; -1 is unknown.
    in_memory : bool
        False for a lazy sequence.
    about : dict or None
        How the features were made, if their source says it: as ``FeatureFolder.about``.
    """

    def __init__(self, source: Any, n_features: int | None = None, names: Any = None):
        self._source = source
        self.about: dict[str, Any] | None = getattr(source, "about", None)
        self.indices = np.arange(len(source))
        self._columns: Any = slice(None)
        self._scaling: Scaling | None = None
        self._names = getattr(source, "names", None) if names is None else names
        self._like = "X[0] has" if n_features is None else "the model was fitted with"
        if n_features is None:
            self._n_rows, self._n_columns = _snippets(source[0], self._where(0)).shape
        else:
            self._n_rows = self._n_columns = n_features
        self.n_features = self._n_columns
        self.in_memory = isinstance(source, list | tuple | np.ndarray)
        if self.in_memory:
            self._source = [self._checked(i) for i in range(len(source))]
        self.lengths = np.array([len(video) for video in self])
        self.weights: np.ndarray | None = None
        self.snippet_labels: list[np.ndarray] | None = None
        self.counts: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def shape(self) -> tuple[int]:
        """The number of videos, for scikit-learn to split them as it splits arrays."""
        return (len(self),)

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, tuple):  # scikit-learn's (indices, ...)
            return self.subset(i[0])
        return self.rows(i, slice(None))

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def rows(self, i: int, chosen: slice | np.ndarray) -> np.ndarray:
        """Some snippets of video i, scaled if these are scaled videos."""
        i = self.indices[i]
        video = self._source[i] if self.in_memory else self._checked(i)
        rows = np.ascontiguousarray(video[:, self._columns][chosen])
        return rows if self._scaling is None else self._scaling.apply(rows)

    @property
    def names(self) -> np.ndarray | None:
        """Names of the videos, if their source has them."""
        return None if self._names is None else np.asarray(self._names)[self.indices]

    @property
    def keys(self) -> list[Any]:
        """What messages call the videos: their names, or indices among what was checked."""
        return (self.indices if self.names is None else self.names).tolist()

    def columns(self, columns: Any) -> "Videos":
        """Show the same videos with some of their features only: those of one stream."""
        view = copy.copy(self)
        view._columns = columns if isinstance(columns, slice) else np.asarray(columns)
        view.n_features = len(np.arange(self._n_columns)[view._columns])
        return view

    def scaled(self, scaling: Scaling | None) -> "Videos":
        """Show the same videos with standardized features."""
        view = copy.copy(self)
        view._scaling = scaling
        return view

    def weighted(self, weights: np.ndarray | None) -> "Videos":
        """Show the same videos with weights."""
        view = copy.copy(self)
        view.weights = weights
        return view

    def labelled(self, snippet_labels: list[np.ndarray] | None) -> "Videos":
        """Show the same videos with the labels of their snippets."""
        view = copy.copy(self)
        view.snippet_labels = snippet_labels
        return view

    def counted(self, counts: np.ndarray) -> "Videos":
        """Show the same videos with how often each shows each class."""
        view = copy.copy(self)
        view.counts = counts
        return view

    def subset(self, chosen: Any) -> "Videos":
        """Show some of the videos only: indices, a mask or a slice."""
        view = copy.copy(self)
        view.indices, view.lengths = self.indices[chosen], self.lengths[chosen]
        view.weights = None if self.weights is None else self.weights[chosen]
        view.counts = None if self.counts is None else self.counts[chosen]
        if self.snippet_labels is not None:
            kept = np.arange(len(self))[chosen].tolist()
            view.snippet_labels = [self.snippet_labels[i] for i in kept]
        return view

    def _checked(self, i: int) -> np.ndarray:
        video = _snippets(self._source[i], self._where(i))
        if video.shape[1] != self._n_columns:
            # The other axis is what all have in common, or what the model was fitted with.
            hint = " Is it transposed? Then pass x.T." if len(video) == self._n_rows else ""
            raise ValueError(
                f"{self._where(i)} has {video.shape[1]} features, but {self._like} "
                f"{self._n_columns}; every video must come from one feature extractor.{hint}"
            )
        finite = np.isfinite(video)
        if not finite.all():
            snippet, feature = np.argwhere(~finite)[0]
            raise ValueError(
                f"{self._where(i)} is {video[snippet, feature]} at snippet {snippet}, feature "
                f"{feature} ({(~finite).sum()} such values in this video); "
                "every feature must be finite in float32."
            )
        return video

    def _where(self, i: int) -> str:
        """How an error names a video: by its index, and by its name if it has one."""
        name = None if self._names is None else self._names[i]
        return f"X[{i}] ({name})" if isinstance(name, str) else f"X[{i}]"


def check_features(X: Any, n_features: int | None = None) -> Videos:
    """Check the features of n videos.

    Parameters
    ----------
    X : sequence of n arrays of shape (n_snippets_i, n_features)
        A list, tuple, object array, 3-D array, a list of tensors, or any other sized and
        indexed sequence, which is then read video by video. A dict, or a Series whose index is
        text, gives the videos names.
    n_features : int, optional
        What the estimator was fitted with.

    Returns
    -------
    videos : Videos

    Raises
    ------
    TypeError
        If `X` is no sequence of arrays or holds something else than numbers.
    ValueError
        If `X` is empty or one bare video, a video has no snippet, its features differ in
        number from the others', or one of them is not finite.
    """
    if isinstance(X, Videos):  # checked before, by the localizer of several streams
        if n_features not in (None, X.n_features):
            raise ValueError(
                f"The stream has {X.n_features} columns, but its localizer was fitted with "
                f"{n_features} features."
            )
        return X
    if getattr(X, "ndim", None) == 2:
        raise ValueError(
            f"X has shape {tuple(X.shape)}: that is one video, but X must be a sequence of "
            "videos; wrap it as [x]."
        )
    names = names_of(X)
    if isinstance(X, Mapping):
        X = [*X.values()]
    if isinstance(X, str | bytes | set) or not (
        hasattr(X, "__len__") and hasattr(X, "__getitem__")
    ):
        raise TypeError(
            f"X is of type {type(X).__name__}; it must be a sequence of arrays of shape "
            "(n_snippets, n_features), one for each video."
        )
    if not len(X):
        raise ValueError("X is empty; it must hold at least one video.")
    if hasattr(X, "iloc"):  # a pandas Series of arrays
        X = X.to_numpy()
    return Videos(X, n_features, names)


def grouped(videos: Iterable[np.ndarray], n_rows: int) -> Iterator[list[np.ndarray]]:
    """Yield neighbouring videos with at most `n_rows` snippets in all; a longer one is alone."""
    group: list[np.ndarray] = []
    n_grouped = 0
    for video in videos:
        if group and n_grouped + len(video) > n_rows:
            yield group
            group, n_grouped = [], 0
        group.append(video)
        n_grouped += len(video)
    if group:
        yield group


def count_columns(name: str, columns: Any, n_features: int) -> int:
    """Count the columns of a stream, which must lie in the features."""
    try:
        chosen = np.arange(n_features)[columns if isinstance(columns, slice) else np.array(columns)]
    except (IndexError, TypeError, ValueError):
        chosen = np.array(0)
    stop = columns.stop if isinstance(columns, slice) else None
    if chosen.ndim != 1 or not chosen.size or (stop or 0) > n_features:
        raise ValueError(
            f"Stream {name!r} takes the columns {columns!r}, but X has {n_features} features; "
            "columns are a slice or a list of indices into them."
        )
    return chosen.size


def _snippets(video: Any, where: str) -> np.ndarray:
    """One video as a C-contiguous 2-D float32 array, so that its layout cannot change a result."""
    if hasattr(video, "detach"):  # a tensor, of whatever device
        video = video.detach().cpu()
        if str(video.dtype) == "torch.bfloat16":  # which NumPy does not know
            video = video.float()
    if np.ma.is_masked(video):
        raise ValueError(
            f"{where} has masked values; every feature must be there. Fill them or leave their "
            "snippets out."
        )
    try:
        array = np.asarray(video)
    except Exception as error:
        raise TypeError(f"{where} cannot be read as an array: {error}") from error
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"{where} has dtype {array.dtype}; the features of a video must be real numbers in "
            "an array of shape (n_snippets, n_features)."
        )
    if array.ndim != 2:
        raise ValueError(
            f"{where} has shape {array.shape}; a video must have shape (n_snippets, n_features)."
        )
    if not array.shape[0] or not array.shape[1]:
        raise ValueError(
            f"{where} has shape {array.shape}; a video must have at least one snippet and one "
            "feature. Leave it out; in a shell, --skip-empty does."
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold is reported as not finite
        return np.ascontiguousarray(array, dtype=np.float32)
