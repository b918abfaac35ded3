"""Features that stay on disk until a video is asked for."""

import copy
import os
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["FeatureFolder"]


class FeatureFolder:
    """Features of n videos in .npy files, read one video at a time.

    Indexed as scikit-learn's splitters do it, a part of the videos is a view that reads
    nothing, and a pickle holds paths and names only. So cross-validation, also in several
    processes, never has more than one video in memory.

    Parameters
    ----------
    folders : path or sequence of paths
        One folder for each stream. Video i is what the folders hold under its name, side by
        side in the columns in this order.
    names : sequence of str of shape (n,), optional
        Names of the files, without ``.npy``. By default all in the first folder, in the order
        of text: "10" comes before "2".

    Attributes
    ----------
    names : ndarray of str of shape (n,)
    shape : tuple
        ``(n,)``.

    Raises
    ------
    NotADirectoryError
        If a path is no folder.
    FileNotFoundError
        If a video lacks a file, or no names are given and the first folder has no .npy file.
    ValueError
        At reading: if a file holds no matrix, or the streams of a video differ in their
        number of snippets.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from skdgam.datasets import FeatureFolder
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name, n_snippets in {"run": 3, "swim": 5}.items():
    ...         np.save(Path(folder) / name, np.zeros((n_snippets, 2), dtype=np.float32))
    ...     X = FeatureFolder(folder)
    ...     X.names, X[1].shape, X[[True, False]].shape
    (array(['run', 'swim'], dtype='<U4'), (5, 2), (1,))
    """

    ndim = 1

    def __init__(
        self,
        folders: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        names: npt.ArrayLike | None = None,
    ):
        if isinstance(folders, str | os.PathLike):
            folders = [folders]
        self._folders = [Path(folder) for folder in folders]
        for folder in self._folders:
            if not folder.is_dir():
                raise NotADirectoryError(
                    f"{folder} is no folder; each stream needs one, with a .npy file a video."
                )
        self.names = _names_in(self._folders[0]) if names is None else np.asarray(names, dtype=str)
        self._check_files()

    @property
    def shape(self) -> tuple[int]:
        """One dimension, the videos: each has its own number of snippets."""
        return (len(self.names),)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: Any) -> Any:
        chosen = self.names[index]  # by NumPy's rules, which are those of the splitters
        if chosen.ndim == 0:
            return self._read(str(chosen))
        view = copy.copy(self)
        view.names = chosen
        return view

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self._read(name) for name in self.names)

    def __repr__(self) -> str:
        folders = ", ".join(map(str, self._folders))
        return f"<FeatureFolder: {len(self)} videos in {folders}>"

    def columns(self) -> list[slice]:
        """Columns of each stream, as the first video has them.

        Returns
        -------
        columns : list of slice, one for each folder
        """
        widths = [stream.shape[1] for stream in self._open(self.names[0])]
        return [slice(*edges) for edges in pairwise(accumulate(widths, initial=0))]

    def _paths(self, name: str) -> list[Path]:
        return [folder / f"{name}.npy" for folder in self._folders]

    def _check_files(self) -> None:
        paths = (path for name in self.names for path in self._paths(name))
        missing = [path for path in paths if not path.is_file()]
        if missing:
            raise FileNotFoundError(
                f"{missing[0]} is missing ({len(missing)} such files); every video needs "
                "<name>.npy in the folder of every stream."
            )

    def _open(self, name: str) -> list[np.ndarray]:
        """The streams of one video, memory-mapped."""
        paths = self._paths(name)
        streams = [np.load(path, mmap_mode="r", allow_pickle=False) for path in paths]
        for path, stream in zip(paths, streams, strict=True):
            if stream.ndim != 2:
                raise ValueError(
                    f"{path} has shape {stream.shape}; a video must have shape "
                    "(n_snippets, n_features)."
                )
            if len(stream) != len(streams[0]):
                raise ValueError(
                    f"{path} has shape {stream.shape}, but {paths[0]} has {streams[0].shape}; "
                    "all streams of a video must have the same number of snippets."
                )
        return streams

    def _read(self, name: str) -> np.ndarray:
        streams = self._open(name)
        if len(streams) == 1:
            return streams[0].astype(np.float32, copy=False)
        return np.concatenate(streams, axis=1, dtype=np.float32)


def _names_in(folder: Path) -> np.ndarray:
    """Names of all .npy files of a folder, sorted."""
    names = sorted(path.stem for path in folder.glob("*.npy"))
    if not names:
        raise FileNotFoundError(f"{folder} has no .npy file; expected one for each video.")
    return np.array(names)
