"""Checkpoints: a training that was killed goes on bit for bit where it was."""

import hashlib
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from skdgam import io
from skdgam._features import Videos
from skdgam._typing import PathOrName
from skdgam.training.early_stopping import EarlyStopping
from skdgam.training.inference import to_arrays
from skdgam.training.trainer import Trainer

__all__ = ["Checkpoint", "digest", "digests_of_labels", "is_checkpoint"]

KIND = "checkpoint"  # in place of the class of a model
N_LOOKED_AT = 16  # videos of a lazy sequence whose first snippet tells whether they are the same


class Checkpoint:
    """A file that holds a training as it was after some epoch.

    Parameters
    ----------
    path : path
        Read if it is there.
    every : int
        Epochs from one writing to the next.
    settings : dict
        Everything else that the training depends on, by names that a user knows.

    Attributes
    ----------
    seed : int or None
        Of the training in the file.
    """

    def __init__(self, path: PathOrName, every: int, settings: dict[str, Any]):
        if not isinstance(path, str | PathLike):
            raise TypeError(
                f"checkpoint is of type {type(path).__name__}; it must be a path. Weights of "
                "videos are passed as sample_weight=…"
            )
        if every < 1:
            raise ValueError(f"checkpoint_every is {every}; it must be at least 1 epoch.")
        self.path, self._every, self._settings = Path(path), every, settings
        io.remove_parts(self.path)
        self._content = None
        if self.path.exists():
            self._content = io.read_model(self.path)
            if self._content[0].get("class") != KIND:
                raise ValueError(f"{self.path} is no checkpoint; name another file for it.")
        self.seed = None
        if self._content is not None:
            with self._damage_told():
                self.seed = int(self._content[0]["about"]["random_state"])

    def resume(
        self,
        trainer: Trainer,
        videos: Videos,
        is_labelled: np.ndarray,
        early_stopping: EarlyStopping | None,
        max_epochs: int,
    ) -> list[dict[str, float]]:
        """Put a training that begins to where the file has it, and return its losses so far.

        Without a file, write the first one: that it cannot be written is better known now.
        """
        about = self._settings | {
            "random_state": trainer.seed,
            "precision": str(trainer.dtype),
            "features": digest(videos),
            "labels": hashlib.sha256(is_labelled.tobytes()).hexdigest(),
            "epochs before it": trainer.epoch,
        }
        if videos.weights is not None:
            about["weights of videos"] = _digest_of([videos.weights])
        about |= digests_of_labels(videos)
        if trainer.epoch:
            about["weights to begin with"] = _digest_of(to_arrays(trainer.network).values())
        self._about = json.loads(json.dumps(about, default=lambda value: value.tolist()))
        if self._content is None:
            self._write(trainer, [], early_stopping)
            return []
        description, arrays = self._content
        before = description["about"]
        names = sorted(self._about.keys() | before.keys())
        other = [name for name in names if self._about.get(name) != before.get(name)]
        if other:
            raise ValueError(
                f"{self.path} is of a training with other {', '.join(other)}. Go on with what it "
                "began with, or remove the file to begin anew."
            )
        with self._damage_told():
            n_done = int(description["n_epochs"])
        if n_done > max_epochs:
            raise ValueError(f"{self.path} has {n_done} epochs, more than max_epochs={max_epochs}.")
        with self._damage_told():
            tree = _nested(arrays)
            history = tree.get("history", {}) if n_done else {}
            if any(values.shape != (n_done,) for values in history.values()):
                raise ValueError(f"the history is not of {n_done} epochs")
            if n_done and not history:
                raise ValueError("the history is missing")
            if early_stopping is not None:
                early_stopping.least = float(description["least"])
                early_stopping.waited = int(description["waited"])
                if "best" in tree:
                    best = tree["best"]["weights"], _state(tree["best"], self.seed)
                    trainer.check(*best)
                    early_stopping.best = best
            trainer.resume(tree["weights"], int(description["epoch"]), _state(tree, self.seed))
        return [{name: float(v[k]) for name, v in history.items()} for k in range(n_done)]

    @contextmanager
    def _damage_told(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever its content makes this stumble over
            raise ValueError(
                f"{self.path} is damaged ({type(error).__name__}: {error}). Remove it."
            ) from error

    def after_epoch(
        self,
        trainer: Trainer,
        epochs: list[dict[str, float]],
        early_stopping: EarlyStopping | None,
        last: bool,
    ) -> None:
        """Write the file, if it is time to; that this fails is a warning."""
        if not last and len(epochs) % self._every:
            return
        try:
            self._write(trainer, epochs, early_stopping)
        except OSError as error:
            warnings.warn(
                f"The checkpoint could not be written after epoch {len(epochs)} ({error}). "
                f"Training goes on, and {self.path} is as it was.",
                UserWarning,
                stacklevel=2,
            )

    def _write(
        self,
        trainer: Trainer,
        epochs: list[dict[str, float]],
        early_stopping: EarlyStopping | None,
    ) -> None:
        terms = epochs[0] if epochs else {}
        history = {name: [means[name] for means in epochs] for name in terms}
        arrays = _flat("weights", to_arrays(trainer.network))
        arrays |= _flat("moments", trainer.state()["moments"]) | _flat("history", history)
        description = {
            "class": KIND,
            "about": self._about,
            "epoch": trainer.epoch,
            "n_epochs": len(epochs),
        }
        if early_stopping is not None:
            description |= {"least": early_stopping.least, "waited": early_stopping.waited}
            if early_stopping.best is not None:
                weights, state = early_stopping.best
                arrays |= _flat("best/weights", weights) | _flat("best/moments", state["moments"])
        io.write_model(self.path, description, arrays)


def is_checkpoint(path: PathOrName) -> bool:
    """Whether a file is a whole checkpoint."""
    try:
        return io.read_model(path)[0].get("class") == KIND
    except ValueError:
        return False


def digest(videos: Videos, whole: bool = False) -> str:
    """Digest of features: of all that is in memory, and of a sample of a lazy sequence.

    With `whole`, a lazy sequence is read through, too.
    """
    if videos.in_memory or whole:
        return _digest_of(chain([videos.lengths], videos))
    chosen = np.unique(np.linspace(0, len(videos) - 1, N_LOOKED_AT).astype(int))
    return _digest_of([videos.lengths, *(videos[i][0] for i in chosen)])


def digests_of_labels(videos: Videos) -> dict[str, str]:
    """Digests of what videos have beside their labels, by what it is."""
    told = {
        "labels of snippets": videos.snippet_labels,
        "counts of labels": None if videos.counts is None else [videos.counts],
    }
    return {name: _digest_of(arrays) for name, arrays in told.items() if arrays is not None}


def _digest_of(arrays: Any) -> str:
    whole = hashlib.sha256()
    for array in arrays:
        whole.update(np.ascontiguousarray(array).data)
    return whole.hexdigest()


def _flat(name: str, values: Any) -> dict[str, np.ndarray]:
    """Arrays of a nested dict, by names with slashes."""
    if not isinstance(values, dict):
        return {name: np.asarray(values)}
    return {k: v for key, value in values.items() for k, v in _flat(f"{name}/{key}", value).items()}


def _nested(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Put arrays by names with slashes back into dicts."""
    tree: dict = {}
    for name, array in arrays.items():
        *parents, last = name.split("/")
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[last] = array
    return tree


def _state(tree: dict[str, Any], seed: int | None) -> dict[str, Any]:
    """Rebuild the state of a training; a stage that has made no step yet is not in the file."""
    moments = {
        stage: {
            int(index): {
                kind: array.reshape(()) if kind == "step" else array
                for kind, array in of_parameter.items()
            }
            for index, of_parameter in of_stage.items()
        }
        for stage, of_stage in tree.get("moments", {}).items()
    }
    return {"seed": seed, "moments": moments}
