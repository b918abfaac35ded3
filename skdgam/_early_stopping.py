"""Early stopping: videos held out of training say when it is over."""

import numpy as np

from skdgam._features import Videos
from skdgam._inference import activations, to_arrays
from skdgam._training import Training

__all__ = ["EarlyStopping"]


class EarlyStopping:
    """Watch held-out videos, and keep the training as it was when it knew them best.

    How well it knows them is the cross-entropy of their video-level probabilities and labels,
    for which no time is needed.

    Parameters
    ----------
    videos : Videos
        None of which is trained on.
    is_labelled : ndarray of bool of shape (n_videos, n_classes)
    patience : int
        Epochs without a lower loss after which to stop.

    Attributes
    ----------
    least : float
        Loss so far, in nats.
    waited : int
        Epochs since then.
    best : tuple of weights and state of the training, or None
        As they were then.
    """

    def __init__(self, videos: Videos, is_labelled: np.ndarray, patience: int):
        self._videos, self._is_labelled, self.patience = videos, is_labelled, patience
        self.least, self.waited = np.inf, 0
        self.best: tuple[dict, dict] | None = None

    def watch(self, training: Training) -> float:
        """Cross-entropy on the held-out videos, in nats; the least one is remembered."""
        classification = training.objectives[0].classification
        of_videos = activations(
            training.networks[0], self._videos, self._videos.lengths, classification
        )
        probability = np.stack([activation.probability for activation in of_videos])
        target, no_label = self._is_labelled, ~self._is_labelled.any(axis=1, keepdims=True)
        if classification == "softmax":
            no_action = 1 - probability.sum(axis=1, keepdims=True)
            probability = np.concatenate([probability, no_action], axis=1)
            target = np.concatenate([target, no_label], axis=1)
            target = target / target.sum(axis=1, keepdims=True)
        else:
            probability = np.where(target, probability, 1 - probability)
            target = np.ones_like(target)
        log = np.log(np.maximum(probability, np.finfo(np.float32).tiny))
        loss = float(-(target * log).sum(axis=1).mean())
        self.waited += 1
        if loss < self.least:
            self.least, self.waited = loss, 0
            self.best = to_arrays(training.networks[0]), training.state()
        return loss

    def is_over(self) -> bool:
        """Tell whether the loss has not fallen for too long."""
        return self.waited >= self.patience

    def restore(self, training: Training) -> None:
        """Put a training back to where its loss was least."""
        if self.best is not None:
            weights, state = self.best
            training.resume(weights, training.epoch, state)
