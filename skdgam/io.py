"""Model files that are safe to open."""

import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

__all__ = ["read_model", "remove_parts", "replacing", "write_model"]

KEY = "skdgam"  # under which the metadata of a file has its description
VERSION = 2  # of what is described, and how
PART = ".skdgam-part"  # ends the name of a file that is being written


def write_model(
    path: str | os.PathLike[str], description: dict[str, Any], arrays: dict[str, np.ndarray]
) -> None:
    """Write a model file: arrays as safetensors, with a description as JSON in its metadata.

    The file appears whole or not at all; one that is there is replaced.

    Parameters
    ----------
    path : path
    description : dict
        Of what JSON knows; arrays and numbers of NumPy become lists and plain numbers.
    arrays : dict of ndarrays

    Raises
    ------
    ImportError
        Without safetensors: ``pip install "skdgam[share]"``.
    OSError
        If `path` cannot be written.
    """
    safetensors = import_safetensors()
    text = json.dumps({"version": VERSION} | description, default=lambda value: value.tolist())
    tensors = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    # In one entry: files of several come in any order, and would differ.
    whole = json.dumps(json.loads(text) | {"sha256": _digest(text, tensors)})
    content = safetensors.numpy.save(tensors, metadata={KEY: whole})
    with replacing(path) as part:
        part.write_bytes(content)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a file to write to, which takes the place of another as soon as it is whole.

    Whatever goes wrong, that is as it was.
    """
    path = Path(path)
    part = path.with_name(f".{_short(path.name)}.{os.getpid()}-{threading.get_ident()}{PART}")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:  # in the name that the user knows
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        part.unlink(missing_ok=True)


def remove_parts(path: str | os.PathLike[str]) -> None:
    """Remove what a kill in the middle of writing this file has left behind."""
    path = Path(path)
    part = re.compile(rf"\.{re.escape(_short(path.name))}\.\d+-\d+{re.escape(PART)}")
    for near in path.parent.glob(".*"):
        if part.fullmatch(near.name):
            near.unlink(missing_ok=True)


def _short(name: str) -> str:
    """A name that leaves room for more: file systems know 255 bytes."""
    encoded = os.fsencode(name)
    return name if len(encoded) < 180 else hashlib.sha256(encoded).hexdigest()


def read_model(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read a model file; nothing in it is executed.

    Parameters
    ----------
    path : path

    Returns
    -------
    description : dict
    arrays : dict of ndarrays

    Raises
    ------
    ImportError
        Without safetensors: ``pip install "skdgam[share]"``.
    OSError
        If `path` cannot be read.
    ValueError
        If it is no model file, is damaged, or was written by a newer skdgam.
    """
    safetensors = import_safetensors()
    with open(path, "rb"):  # that it is missing, or a folder, is said by the usual errors
        pass
    try:
        with safetensors.safe_open(path, framework="np") as file:
            description = json.loads((file.metadata() or {}).get(KEY, "null"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"{path} is no model file of skdgam, or is damaged: {error}.") from error
    if not isinstance(description, dict) or not isinstance(description.get("version"), int):
        raise ValueError(f"{path} is no model file of skdgam, as save of a localizer writes it.")
    if description["version"] > VERSION:
        raise ValueError(
            f"{path} was written by a newer skdgam: its format is {description['version']}, and "
            f"this one reads up to {VERSION}. Update skdgam."
        )
    if description.pop("sha256", None) != _digest(json.dumps(description), arrays):
        raise ValueError(f"{path} is damaged: it is not what was written. Copy it anew.")
    return description, arrays


def _digest(text: str, arrays: dict[str, np.ndarray]) -> str:
    """Digest of all that a model file holds, which tells damage; it is no signature."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(arrays[name].data)
    return digest.hexdigest()


def import_safetensors() -> ModuleType:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError as error:
        message = 'Model files need safetensors: pip install "skdgam[share]".'
        raise ImportError(message) from error
    return safetensors
