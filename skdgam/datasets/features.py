"""Features that stay on disk until a video is asked for."""

import copy
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import numpy.typing as npt

from skdgam.features._folder import read_about

__all__ = ["FeatureFolder"]

ARCHIVES = (".h5", ".hdf5", ".hdf", ".mat", ".npz")
PUBLISHED = "feature"  # the array of a video in an .npz file of its own
HDF5 = b"\x89HDF\r\n\x1a\n"  # begins such a file, in MATLAB's after 512 bytes
MOST_DEFLATED = 1032  # times that a file can be shorter than what it holds, by deflate at best
# What a recording may unpack to, in bytes; more must not be this many times as long as in its file.
LARGE, MOST_PACKED = 2**30, 100


class FeatureFolder:
    """Features of n videos in files, read one video at a time.

    Indexed as scikit-learn's splitters do it, a part of the videos is a view that reads
    nothing, and a pickle holds paths and names only. So cross-validation, also in several
    processes, has no more videos in memory than are worked on together.

    Parameters
    ----------
    streams : path or sequence of paths
        For each stream a folder with a .npy file a video, an HDF5 file (.h5, .hdf5) with a dataset
        a video, or an .npz file with an array a video. A folder may also have an .npz file a video
        with the array ``feature``, as published with CMCS, (n_crops, n_snippets, n_features), of
        which the mean over crops is taken. Video i is what the streams hold under its name, side
        by side in the columns in this order.
    names : sequence of str of shape (n,), optional
        Names of the files, without ``.npy``, of the datasets or of the arrays. By default all in
        the first stream, in natural order: "2" comes before "10".

    Attributes
    ----------
    names : ndarray of str of shape (n,)
    shape : tuple
        ``(n,)``.
    about : dict or None
        How the features were made, if all streams say it: ``extractor``, a list of settings for
        each stream, and ``snippet_seconds`` and ``snippet_offset``.

    Raises
    ------
    NotADirectoryError
        If a path is none of these.
    FileNotFoundError
        If a stream lacks a video, or no names are given and the first stream has none.
    ImportError
        For HDF5 without h5py: ``pip install "skdgam[h5]"``.
    ValueError
        If streams were made with snippets of different length. At reading: if a file cannot be
        read or holds no matrix, or the streams of a video differ in their number of snippets.

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
        streams: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        names: npt.ArrayLike | None = None,
    ):
        if isinstance(streams, str | os.PathLike):
            streams = [streams]
        self._streams = [Path(stream) for stream in streams]
        if not self._streams:
            raise ValueError("FeatureFolder was given no stream; pass at least one folder.")
        available = [_names_in(stream) for stream in self._streams]
        self.names = np.asarray(
            sorted(available[0], key=_natural) if names is None else names, dtype=str
        )
        if self.names.ndim != 1 or not self.names.size:
            raise ValueError(
                f"names is {names!r}; it must be a list with the name of at least one video."
            )
        for stream, held in zip(self._streams, available, strict=True):
            missing = [name for name in self.names.tolist() if name not in held]
            if missing:
                raise FileNotFoundError(
                    f"{_where(stream, missing[0])} is missing ({len(missing)} such videos); every "
                    "video must be in every stream under the same name."
                )
        self.about = _about(self._streams)

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
        return map(self._read, self.names.tolist())

    def __repr__(self) -> str:
        streams = ", ".join(map(str, self._streams))
        return f"<FeatureFolder: {len(self)} videos in {streams}>"

    def __getstate__(self) -> dict[str, Any]:
        # An array of text spends four bytes on every character of the longest name.
        return vars(self) | {"names": self.names.tolist()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, names=np.array(state["names"], dtype=str))

    def columns(self) -> list[slice]:
        """Columns of each stream, as the first video has them.

        Returns
        -------
        columns : list of slice, one for each stream
        """
        widths = [stream.shape[1] for stream in self._open(self.names[0])]
        return [slice(*edges) for edges in pairwise(accumulate(widths, initial=0))]

    def _open(self, name: str) -> list[np.ndarray]:
        """The streams of one video, memory-mapped where they are .npy files."""
        arrays = [_array(stream, name) for stream in self._streams]
        for stream, array in zip(self._streams, arrays, strict=True):
            if array.ndim != 2:
                raise ValueError(
                    f"{_where(stream, name)} has shape {array.shape}; a video must have shape "
                    "(n_snippets, n_features)."
                )
            if len(array) != len(arrays[0]):
                raise ValueError(
                    f"{_where(stream, name)} has shape {array.shape}, but "
                    f"{_where(self._streams[0], name)} has {arrays[0].shape}; all streams of a "
                    "video must have the same number of snippets."
                )
        return arrays

    def _read(self, name: str) -> np.ndarray:
        arrays = self._open(name)
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=1)


def _about(streams: list[Path]) -> dict[str, Any] | None:
    """How all streams were made, if all say it."""
    known = [about for stream in streams if (about := read_about(stream)) is not None]
    if len(known) < len(streams):
        return None
    clocks = [(about["snippet_seconds"], about["snippet_offset"]) for about in known]
    for stream, clock in zip(streams, clocks, strict=True):
        if clock != clocks[0]:
            raise ValueError(
                f"{stream} has snippets of {clock[0]:g} s, of which the first begins at "
                f"{clock[1]:g} s; {streams[0]} has {clocks[0][0]:g} s, from {clocks[0][1]:g} s on. "
                "Streams must share their snippets."
            )
    seconds, offset = clocks[0]
    extractors = [about["extractor"] for about in known]
    return {"extractor": extractors, "snippet_seconds": seconds, "snippet_offset": offset}


def _natural(name: str) -> tuple[list[tuple[bool, int, str]], str]:
    """Key of an order in which numbers within names count as numbers."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(not p.isdigit(), int(p) if p.isdigit() else 0, p) for p in parts], name


def _names_in(stream: Path) -> set[str]:
    """Names of all videos of a stream."""
    if stream.is_dir():
        names = {path.stem for path in stream.glob("[!.]*.npy")}  # none that a system hides
        archives = [path for path in stream.glob("[!.]*") if path.suffix.lower() in ARCHIVES]
        published = [path for path in archives if _is_published(path)]
        names |= {path.stem for path in published}
        others = [path for path in archives if path not in published]
        if others:
            warnings.warn(
                f"{others[0]} is left out ({len(others)} such files): in a folder a video is a "
                f".npy file, or an .npz file with the array {PUBLISHED!r}. Any other .npz or HDF5 "
                "file is a stream of its own, with an array a video.",
                UserWarning,
                stacklevel=3,
            )
    elif stream.is_file() and (stream.suffix.lower() in ARCHIVES or _is_hdf5(stream)):
        # What MATLAB keeps for itself begins with #.
        names = {name for name in _read_archive(stream, list) if not name.startswith("#")}
    else:
        raise NotADirectoryError(
            f"{stream} is no folder; each stream needs one, with a .npy file a video, or an HDF5 "
            "file (.h5, .hdf5) or an .npz file with an array a video."
        )
    if not names:
        what = "array" if stream.is_file() else ".npy file"
        raise FileNotFoundError(f"{stream} has no {what}; expected one for each video.")
    return names


def _array(stream: Path, name: str) -> np.ndarray:
    """Read what a stream has under a name; .npy files are memory-mapped."""
    try:
        if stream.is_file():
            return _read_archive(stream, lambda file: _whole(file, name))
        path = _file(stream, name)
        if path.suffix != ".npy":
            array = _read_archive(path, lambda file: _whole(file, PUBLISHED))
            return array.mean(axis=0) if array.ndim == 3 else array  # over crops of the frames
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        return array if isinstance(array, np.ndarray) else np.asarray(None)  # an archive is none
    except (OSError, ImportError):
        raise
    except Exception as error:  # there are many that damaged files make parsers stumble into
        reason = str(error)
        if "allow_pickle" in reason:  # which would execute what is in there
            reason = "it is damaged, or holds Python objects"
        raise ValueError(
            f"{_where(stream, name)} cannot be read as an array (n_snippets, n_features): {reason}"
        ) from error


def _is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5 by its content, whatever its name."""
    with open(path, "rb") as file:
        start = file.read(512 + len(HDF5))
    return HDF5 in (start[: len(HDF5)], start[512:])


def _whole(file: Any, name: str) -> np.ndarray:
    """All of an array in an archive."""
    if not hasattr(file, "id"):
        held = next(m for m in file.zip.infolist() if name in (m.filename, m.filename[:-4]))
        _check_packed(held.file_size, held.compress_size)
        return file[name]
    import h5py

    if isinstance(file.get(name, getlink=True), h5py.ExternalLink):
        raise ValueError("it is a link to another file, and those are not followed")
    held = file[name]
    if not isinstance(held, h5py.Dataset):
        inside = ", ".join(list(held)[:3]) if isinstance(held, h5py.Group) else "no array"
        raise ValueError(
            f"it is no array, but holds {inside or 'nothing'}; arrays must not be nested"
        )
    if held.external or held.is_virtual or held.file.filename != file.filename:
        raise ValueError("its values are in another file, and those are not read")
    if held.dtype.hasobject:
        raise ValueError(f"it holds objects or references ({held.dtype}), not numbers")
    # A small file may claim to hold what fits no memory: what was never written is filled up.
    if held.nbytes > MOST_DEFLATED * held.id.get_storage_size():
        raise ValueError(f"its shape is {held.shape}, and for that the file is too short")
    _check_packed(held.nbytes, held.id.get_storage_size())
    return held[()]


def _check_packed(n_bytes: int, n_packed: int) -> None:
    """Refuse what is made to fill the memory: no features can be packed that well."""
    if n_bytes > max(LARGE, MOST_PACKED * n_packed):
        raise ValueError(
            f"it unpacks from {n_packed / 2**20:.1f} to {n_bytes / 2**20:,.0f} MiB, as features do "
            "not; if they are yours, keep them in an .npy file"
        )


def _is_published(path: Path) -> bool:
    """Whether a file is of one video, as the authors of CMCS hand their features out."""
    return path.suffix.lower() == ".npz" and PUBLISHED in _read_archive(path, list)


def _file(stream: Path, name: str) -> Path:
    """The file of a video in a folder."""
    array, archive = stream / f"{name}.npy", stream / f"{name}.npz"
    return archive if archive.exists() and not array.exists() else array


def _where(stream: Path, name: str) -> str:
    return f"{stream}/{name}" if stream.is_file() else str(_file(stream, name))


def _read_archive(path: Path, read: Callable[[Any], Any]) -> Any:
    """Return read(file) of an HDF5 or .npz file."""
    kind = "HDF5"
    try:
        if path.suffix.lower() == ".npz":
            kind = ".npz"
            with open(path, "rb") as opened, ZipFile(opened), np.load(path) as file:
                return read(file)
        try:
            import h5py
        except ImportError as error:
            raise ImportError('HDF5 files need h5py: pip install "skdgam[h5]".') from error
        with h5py.File(path, "r") as file:
            return read(file)
    except (OSError, BadZipFile, RuntimeError, KeyError) as error:  # which do not name the file
        raise ValueError(f"{path} is no {kind} file, or is damaged: {error}") from error
