"""Checkpoints: a training that was killed goes on bit for bit where it was."""

import glob
import hashlib
import json
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np

from skdgam import io
from skdgam._early_stopping import EarlyStopping
from skdgam._features import Videos
from skdgam._inference import to_arrays
from skdgam._training import PARTS, Training

__all__ = ["Checkpoint"]

KIND = "checkpoint"  # in place of the class of a model
N_LOOKED_AT = 16  # videos whose first snippet tells whether features are the same


class Checkpoint:
    """A file that holds a training of one model as it was after some epoch.

    Parameters
    ----------
    path : path
        Read if it is there.
    every : int
        Epochs from one writing to the next.

    Attributes
    ----------
    seed : int or None
        Of the training in the file.
    """

    def __init__(self, path, every: int):
        if every < 1:
            raise ValueError(f"checkpoint_every is {every}; it must be at least 1 epoch.")
        self.path, self._every = Path(path), every
        for left_over in self.path.parent.glob(f".{glob.escape(self.path.name)}.*.*"):
            left_over.unlink()  # by a kill in the middle of writing
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
        training: Training,
        videos: Videos,
        is_labelled: np.ndarray,
        early_stopping: EarlyStopping | None,
        terms: Collection[str],
    ) -> dict[str, list[np.ndarray]]:
        """Put a training that begins to where the file has it, and return the history of its terms.

        Without a file, write the first one: that it cannot be written is better known now.
        """
        self._about = _about(training, videos, is_labelled, early_stopping)
        if self._content is None:
            self._write(training, {}, early_stopping)
            return {name: [] for name in terms}
        description, arrays = self._content
        before = description["about"]
        other = [name for name in self._about if self._about[name] != before.get(name)]
        if other:
            raise ValueError(
                f"{self.path} is of a training with other {', '.join(other)}. Go on with what it "
                "began with, or remove the file to begin anew."
            )
        with self._damage_told():
            n_done, n_asked = int(description["n_epochs"]), training.schedule.max_epochs
        if n_done > n_asked:
            raise ValueError(f"{self.path} has {n_done} epochs, more than max_epochs={n_asked}.")
        with self._damage_told():
            tree = _nested(arrays)
            of_terms = tree.get("history", {}) if n_done else dict.fromkeys(terms, np.empty((0, 1)))
            history = {name: list(of_terms[name]) for name in terms}
            if any(values.shape != (n_done, 1) for values in of_terms.values()):
                raise ValueError(f"the history is not of {n_done} epochs")
            if tree["weights"].keys() != training.networks[0].state_dict().keys():
                raise ValueError("weights are missing")
            if early_stopping is not None:
                early_stopping.least = float(description["least"])
                early_stopping.waited = int(description["waited"])
                if "best" in tree:
                    best = tree["best"]["weights"], _state(tree["best"], self.seed)
                    training.check(*best)
                    early_stopping.best = best
            state = _state(tree, self.seed)
            training.resume(tree["weights"], int(description["epoch"]), state)
        return history

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
        training: Training,
        history: dict[str, list[np.ndarray]],
        early_stopping: EarlyStopping | None,
        last: bool,
    ) -> None:
        """Write the file, if it is time to; that this fails is a warning."""
        n_epochs = len(next(iter(history.values())))
        if not last and n_epochs % self._every:
            return
        try:
            self._write(training, history, early_stopping)
        except OSError as error:
            warnings.warn(
                f"The checkpoint could not be written after epoch {n_epochs} ({error}). Training "
                f"goes on, and {self.path} is as it was.",
                UserWarning,
                stacklevel=2,
            )

    def _write(self, training, history, early_stopping):
        arrays = _flat("weights", to_arrays(training.networks[0]))
        arrays |= _flat("moments", training.state()["moments"]) | _flat("history", history)
        description = {
            "class": KIND,
            "about": self._about,
            "epoch": training.epoch,
            "n_epochs": len(next(iter(history.values()), [])),
        }
        if early_stopping is not None:
            description |= {"least": early_stopping.least, "waited": early_stopping.waited}
            if early_stopping.best is not None:
                weights, state = early_stopping.best
                arrays |= _flat("best/weights", weights) | _flat("best/moments", state["moments"])
        io.write_model(self.path, description, arrays)


def _about(training, videos, is_labelled, early_stopping):
    """What a training depends on, by words that a user knows; as JSON would give it back."""
    content = hashlib.sha256(videos.lengths.tobytes())
    for i in np.linspace(0, len(videos) - 1, N_LOOKED_AT).astype(int):
        content.update(videos[i][0].tobytes())
    schedule = asdict(training.schedule)
    del schedule["max_epochs"]  # there may be more of them
    about = asdict(training.objectives[0]) | schedule
    about |= {
        "random_state": training.seed,
        "precision": str(training.dtype),
        "early_stopping": None if early_stopping is None else early_stopping.patience,
        "features": content.hexdigest(),
        "labels": hashlib.sha256(is_labelled.tobytes()).hexdigest(),
        "sizes of networks": {
            name: list(weight.shape) for name, weight in training.networks[0].state_dict().items()
        },
        "epochs before it": training.epoch,
    }
    return json.loads(json.dumps(about, default=lambda value: value.tolist()))


def _flat(name, values):
    """Arrays of a nested dict, by names with slashes."""
    if not isinstance(values, dict):
        return {name: np.asarray(values)}
    return {k: v for key, value in values.items() for k, v in _flat(f"{name}/{key}", value).items()}


def _nested(arrays):
    """Put arrays by names with slashes back into dicts."""
    tree: dict = {}
    for name, array in arrays.items():
        *parents, last = name.split("/")
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[last] = array
    return tree


def _state(tree, seed):
    """Rebuild the state of a training; a part that has made no step yet is not in the file."""
    moments = {
        part: {
            int(index): {
                kind: array.reshape(()) if kind == "step" else array
                for kind, array in of_parameter.items()
            }
            for index, of_parameter in of_part.items()
        }
        for part, of_part in ({part: {} for part in PARTS} | tree.get("moments", {})).items()
    }
    return {"seed": seed, "moments": moments}
