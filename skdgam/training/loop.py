"""The loop over epochs: history, early stopping, checkpoints, the end."""

from collections import deque
from collections.abc import Callable

import numpy as np
from torch import Tensor

from skdgam._features import Videos
from skdgam.training.batches import DeviceFeatures, HostFeatures, place
from skdgam.training.checkpoints import Checkpoint
from skdgam.training.devices import limited_threads
from skdgam.training.early_stopping import EarlyStopping
from skdgam.training.trainer import Trainer

__all__ = ["Diverged", "Interrupted", "train"]

# What is called after an epoch: with its number, from 0, its mean losses, and whether it is the
# last one; true stops the training.
AfterEpoch = Callable[[int, dict[str, float], bool], bool]


class Interrupted(KeyboardInterrupt):
    """Training was interrupted after some epochs, whose `history` this holds."""

    history: dict[str, np.ndarray]


class Diverged(FloatingPointError):
    """Training has diverged after some epochs, whose `history` this holds."""

    history: dict[str, np.ndarray]


def train(
    trainer: Trainer,
    videos: Videos,
    is_labelled: np.ndarray,
    max_epochs: int,
    after_epoch: AfterEpoch | None = None,
    early_stopping: EarlyStopping | None = None,
    checkpoint: Checkpoint | None = None,
) -> dict[str, np.ndarray]:
    """Train for some epochs.

    Parameters
    ----------
    trainer : Trainer
    videos : Videos
    is_labelled : ndarray of bool of shape (n_videos, n_classes)
    max_epochs : int
    after_epoch : callable, optional
        See ``AfterEpoch``.
    early_stopping : EarlyStopping, optional
    checkpoint : Checkpoint, optional
        Where to go on from, and what to write every few epochs.

    Returns
    -------
    history : dict of ndarrays of shape (n_epochs,)
        The mean of each loss term in each epoch, and of early stopping ``validation``.

    Raises
    ------
    FloatingPointError
        If the training has diverged.
    Diverged
        The same, but the training has been put back to where its weights were good.
    Interrupted
        By the keyboard, after the first epoch; what is trained can be used.
    """
    epochs: list[dict[str, float]] = []
    first = trainer.epoch
    if checkpoint is not None:
        epochs = checkpoint.resume(trainer, videos, is_labelled, early_stopping, max_epochs)
    if early_stopping is not None and trainer.epoch and early_stopping.best is None:
        early_stopping.watch(trainer)  # what is resumed may stay the best
    features = place(videos, trainer.device, trainer.dtype)
    begun_with: deque[dict[str, Tensor]] = deque(maxlen=2)
    ended: Interrupted | Diverged | None = None
    try:
        with limited_threads(_multiplications(trainer, features)):
            _run_epochs(
                *(trainer, features, is_labelled, max_epochs, epochs, begun_with),
                *(after_epoch, early_stopping, checkpoint),
            )
    except KeyboardInterrupt:
        if not epochs:
            raise
        ended = Interrupted()
    except FloatingPointError as error:
        # The weights that this epoch began with may be finite and their losses not. Those of the
        # epoch before have been seen to work, but a training just resumed has none.
        if len(epochs) < len(begun_with):
            raise
        epochs[len(epochs) - len(begun_with) + 1 :] = []
        trainer.restore(begun_with[0])
        ended = Diverged(
            f"{error} The localizer is fitted as it was after epoch {first + len(epochs)}, and "
            "with warm_start=True, fit goes on from there."
        )
    if ended is not None:
        trainer.epoch = first + len(epochs)
    if early_stopping is not None:
        early_stopping.restore(trainer)
    terms = epochs[0] if epochs else {}
    history = {name: np.array([means[name] for means in epochs]) for name in terms}
    if ended is not None:
        ended.history = history
        raise ended
    return history


def _run_epochs(
    trainer: Trainer,
    features: HostFeatures | DeviceFeatures,
    is_labelled: np.ndarray,
    max_epochs: int,
    epochs: list[dict[str, float]],
    begun_with: deque[dict[str, Tensor]],
    after_epoch: AfterEpoch | None,
    early_stopping: EarlyStopping | None,
    checkpoint: Checkpoint | None,
) -> None:
    """Train epoch by epoch; add the mean losses of each, and the weights that it began with."""
    for epoch in range(len(epochs), max_epochs):
        if early_stopping is not None and early_stopping.is_over():
            break
        begun_with.append(trainer.weights())
        means = trainer.run_epoch(features, is_labelled)
        if early_stopping is not None:
            means["validation"] = early_stopping.watch(trainer)
        epochs.append(means)
        last = epoch + 1 == max_epochs
        last = last or (early_stopping is not None and early_stopping.is_over())
        if checkpoint is not None:
            checkpoint.after_epoch(trainer, epochs, early_stopping, last)
        if (after_epoch is not None and after_epoch(epoch, means, last)) or last:
            break


def _multiplications(trainer: Trainer, features: HostFeatures | DeviceFeatures) -> float:
    """How many multiplications a step takes, about: rows times weights."""
    sampling = trainer.sampling
    lengths = np.minimum(features.lengths, sampling.n_snippets or features.lengths)
    n_rows = lengths.mean() * min(sampling.batch_size, len(lengths))
    return n_rows * sum(weight.numel() for weight in trainer.network.parameters())
