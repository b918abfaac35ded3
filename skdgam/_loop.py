"""The loop over epochs: history, early stopping, the end."""

from collections import deque
from collections.abc import Callable

import numpy as np

from skdgam._batches import DeviceFeatures, HostFeatures, place
from skdgam._checkpoints import Checkpoint
from skdgam._early_stopping import EarlyStopping
from skdgam._features import Videos
from skdgam._layers import Tensors
from skdgam._training import Training

__all__ = ["Diverged", "Interrupted", "train"]

HISTORY = (
    *("foreground", "background", "guide", "reconstruction"),
    *("cvae_reconstruction", "cvae_kl", "validation"),
)


class Interrupted(KeyboardInterrupt):
    """Training was interrupted after some epochs, whose `history` this holds."""

    history: dict[str, np.ndarray]


class Diverged(FloatingPointError):
    """Training has diverged after some epochs, whose `history` this holds."""

    history: dict[str, np.ndarray]


def train(
    training: Training,
    videos: Videos,
    is_labelled: np.ndarray,
    after_epoch: Callable[[int, dict[str, float], bool], bool] | None = None,
    early_stopping: EarlyStopping | None = None,
    checkpoint: Checkpoint | None = None,
) -> dict[str, np.ndarray]:
    """Train for as many epochs as the schedule has.

    Parameters
    ----------
    training : Training
    videos : Videos
    is_labelled : ndarray of bool of shape (n_videos, n_classes)
    after_epoch : callable, optional
        Given the number of the epoch, from 0, its mean losses, and whether it is the last one;
        true stops the training. For one model, as is early stopping.
    early_stopping : EarlyStopping, optional
    checkpoint : Checkpoint, optional
        Where to go on from, and what to write every few epochs.

    Returns
    -------
    history : dict of ndarrays of shape (n_epochs, n_models)
        The mean of each loss term in each epoch; nan for what is not computed.

    Raises
    ------
    FloatingPointError
        If the training of every model has diverged; of some, ``training.finite`` tells.
    Diverged
        The same, but the training has been put back to where its weights were good.
    Interrupted
        By the keyboard, after the first epoch; what is trained can be used.
    """
    history: dict[str, list[np.ndarray]] = {name: [] for name in HISTORY}
    first = training.epoch
    if checkpoint is not None:
        history = checkpoint.resume(training, videos, is_labelled, early_stopping, HISTORY)
    if early_stopping is not None and training.epoch and early_stopping.best is None:
        early_stopping.watch(training)  # what is resumed may stay the best
    features = place(videos, training.device, training.dtype)
    begun_with: deque[Tensors] = deque(maxlen=2)
    ended: Interrupted | Diverged | None = None
    try:
        _run_epochs(
            *(training, features, is_labelled, history, begun_with),
            *(after_epoch, early_stopping, checkpoint),
        )
    except KeyboardInterrupt:
        n_epochs = len(history[HISTORY[-1]])
        if not n_epochs:
            raise
        ended = Interrupted()
    except FloatingPointError as error:
        # The weights that this epoch began with may be finite and their losses not. Those of the
        # epoch before have been seen to work.
        n_epochs = len(history[HISTORY[-1]]) - 1
        if n_epochs < 1 or len(begun_with) < 2:
            raise
        training.restore(begun_with[0])
        ended = Diverged(
            f"{error} The localizer is fitted as it was after epoch {first + n_epochs}, and with "
            "warm_start=True, fit goes on from there."
        )
    if ended is not None:
        history = {name: values[:n_epochs] for name, values in history.items()}
        training.epoch = first + n_epochs
    if early_stopping is not None:
        early_stopping.restore(training)
    means_of_epochs = {name: np.array(values) for name, values in history.items()}
    if ended is not None:
        ended.history = means_of_epochs
        raise ended
    return means_of_epochs


def _run_epochs(
    training: Training,
    features: HostFeatures | DeviceFeatures,
    is_labelled: np.ndarray,
    history: dict[str, list[np.ndarray]],
    begun_with: deque[Tensors],
    after_epoch: Callable[[int, dict[str, float], bool], bool] | None,
    early_stopping: EarlyStopping | None,
    checkpoint: Checkpoint | None,
) -> None:
    """Train epoch by epoch; add to the history, and to the weights that each began with."""
    absent = np.full(len(training.networks), np.nan)
    for epoch in range(len(history[HISTORY[-1]]), training.schedule.max_epochs):
        if early_stopping is not None and early_stopping.is_over():
            break
        if len(training.networks) == 1:
            begun_with.append(training.weights())
        means = training.run_epoch(features, is_labelled)
        of_first = {name: float(values[0]) for name, values in means.items()}
        if early_stopping is not None:
            of_first["validation"] = early_stopping.watch(training)
            means["validation"] = np.array([of_first["validation"]])
        for name, values in history.items():
            values.append(means.get(name, absent))
        last = epoch + 1 == training.schedule.max_epochs
        last = last or (early_stopping is not None and early_stopping.is_over())
        if checkpoint is not None:
            checkpoint.after_epoch(training, history, early_stopping, last)
        if (after_epoch is not None and after_epoch(epoch, of_first, last)) or last:
            break
