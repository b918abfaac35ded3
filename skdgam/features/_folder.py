"""Folders of features that know how they were made, so that making them can go on later."""

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np

from skdgam import __version__
from skdgam.io import remove_parts, replacing

__all__ = ["ABOUT", "check_times", "differences", "read_about", "write_features"]

ABOUT = "features.json"  # beside the .npy file of each recording
FORMAT = 1
SAMPLE = 1 << 16  # bytes at the start, the middle and the end of a source that its digest is of
PAUSE = 10  # seconds from one note of what is done to the next

Each = Callable[[Sequence[Any], Sequence[str]], Generator[tuple[int, np.ndarray | Exception]]]


def write_features(
    folder: str | os.PathLike[str],
    about: Mapping[str, Any],
    sources: Sequence[str | os.PathLike[str]],
    make: Each,
) -> Generator[tuple[str | os.PathLike[str], int | Exception]]:
    """Write the features of recordings that are not there yet, or whose source has changed.

    Each file appears whole or not at all, and what fails keeps nothing else from being made.

    Parameters
    ----------
    folder : path
        Made if it is not there.
    about : mapping
        ``extractor``, the settings that decide features; ``snippet_seconds``; ``snippet_offset``.
    sources : sequence of paths
        Of the recordings, which are named by them, without folder and ending.
    make : callable
        From sources and what messages call them to pairs of index, and features or an error.

    Yields
    ------
    source : path
    made : int or Exception
        Number of snippets. What was there already comes first.

    Raises
    ------
    ValueError
        If two recordings have one name, the folder holds features that were made otherwise, or a
        file is in the way that was not made here.
    """
    folder, paths = Path(folder), dict[str, Any]()
    for source in sources:
        other = paths.setdefault(_name(source), source)
        if other is not source:
            raise ValueError(
                f"{other} and {source} would both be {_name(source)}.npy; each recording needs a "
                "name of its own."
            )
    known = read_about(folder)
    apart = None if known is None else differences(known["extractor"], about["extractor"])
    if apart:
        raise ValueError(
            f"{folder} holds features that were made otherwise: {apart}. Write to another folder."
        )
    recordings = {} if known is None else known["recordings"]
    in_the_way = next((n for n in paths if n not in recordings and _file(folder, n).exists()), None)
    if in_the_way:
        raise ValueError(
            f"{_file(folder, in_the_way)} is there, and was not made here; write to another folder."
        )
    todo: list[str] = []
    for name, source in paths.items():
        digest, before = _digest(source), recordings.get(name, {})
        is_same = digest is not None and before.get("sha256") == digest
        if is_same and _is_whole(_file(folder, name), before.get("n_snippets")):
            yield source, before["n_snippets"]
        else:
            todo.append(name)
            recordings[name] = {"source": Path(source).name, "sha256": digest}
    if not todo:
        return
    chosen = [paths[name] for name in todo]
    making = make(chosen, [str(source) for source in chosen])  # which may refuse its settings
    folder.mkdir(parents=True, exist_ok=True)
    whole = {"format": FORMAT, "skdgam": __version__, **about, "recordings": recordings}
    _note(folder, whole)
    noted = time.monotonic()
    try:
        with closing(making) as made:
            for i, features in made:
                yield chosen[i], _written(folder, todo[i], features, recordings[todo[i]])
                if time.monotonic() - noted > PAUSE:
                    _note(folder, whole)
                    noted = time.monotonic()
    finally:
        _note(folder, whole)


def _written(
    folder: Path, name: str, features: np.ndarray | Exception, recording: dict[str, Any]
) -> int | Exception:
    """Write the features of a recording, and how many snippets it has."""
    if isinstance(features, Exception):
        _file(folder, name).unlink(missing_ok=True)  # of what the source was before it changed
        return features
    try:
        remove_parts(_file(folder, name))
        with replacing(_file(folder, name)) as part, open(part, "wb") as file:
            np.save(file, features)
    except OSError as error:
        return error
    recording["n_snippets"] = len(features)
    return len(features)


def _is_whole(path: Path, n_snippets: Any) -> bool:
    """Whether a file holds features of so many snippets."""
    try:
        return len(np.load(path, mmap_mode="r", allow_pickle=False)) == n_snippets
    except (OSError, ValueError, TypeError, EOFError):
        return False


def read_about(folder: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Read how the features of a folder were made, if it says so.

    Raises
    ------
    ValueError
        If what it says is damaged, or of a newer skdgam.
    """
    path = Path(folder, ABOUT)
    with suppress(FileNotFoundError, NotADirectoryError):
        try:
            about = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(about, dict):
                raise TypeError("it is no object of JSON")
            if about["format"] > FORMAT:
                raise ValueError("it was written by a newer skdgam; update this one")
            check_times(about)
            if not all(isinstance(x, dict) for x in (about["extractor"], about["recordings"])):
                raise TypeError("its parts are of other kinds")
            if not all(isinstance(recording, dict) for recording in about["recordings"].values()):
                raise TypeError("its recordings are of other kinds")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(
                f"{path} cannot be read as what skdgam writes beside features: {_said(error)}. "
                "Without it they are features like any others."
            ) from error
        return about
    return None


def check_times(about: Mapping[str, Any]) -> None:
    """Check that a clock of snippets can be made of what is said of features."""
    seconds, offset = about["snippet_seconds"], about["snippet_offset"]
    if not (math.isfinite(seconds) and math.isfinite(offset) and seconds > 0):
        raise ValueError(f"its snippets are {seconds!r} s long, from {offset!r} s on")


def _said(error: Exception) -> str:
    return f"it lacks {error}" if isinstance(error, KeyError) else str(error)


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Settings in which two extractors differ, in words; empty if in none."""
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    return ", ".join(
        f"{name}={one.get(name)!r}, and here it is {other.get(name)!r}" for name in names
    )


def _note(folder: Path, whole: Mapping[str, Any]) -> None:
    with replacing(folder / ABOUT) as part:
        part.write_text(json.dumps(whole, indent=1), encoding="utf-8")


def _name(source: str | os.PathLike[str]) -> str:
    return Path(source).stem


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.npy"


def _digest(source: str | os.PathLike[str]) -> str | None:
    """Digest of the size of a source and of three samples of it; None if it cannot be read."""
    try:
        size = os.path.getsize(source)
        digest = hashlib.sha256(str(size).encode())
        with open(source, "rb") as file:
            for start in (0, (size - SAMPLE) // 2, size - SAMPLE):
                file.seek(max(start, 0))
                digest.update(file.read(SAMPLE))
        return digest.hexdigest()
    except OSError:
        return None
