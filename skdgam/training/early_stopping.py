"""Early stopping: videos held out of training say when it is over."""

from collections.abc import Callable

import numpy as np
from torch import nn

from skdgam._features import Videos
from skdgam.training.inference import to_arrays
from skdgam.training.trainer import Trainer

__all__ = ["EarlyStopping"]


class EarlyStopping:
    """Watch held-out videos, and keep the training as it was when it classified them best.

    The criterion is the cross-entropy of their video-level probabilities and labels, for which no
    time is needed.

    Parameters
    ----------
    videos : Videos
        None of which is trained on. They count by their weights, if they have any.
    is_labelled : ndarray of bool of shape (n_videos, n_classes)
    patience : int
        Epochs without a lower loss after which to stop.
    predict_proba : callable (network, videos) -> ndarray of shape (n_videos, n_classes)
        Probability of each class in each video.
    exclusive : bool
        Whether the probabilities of a video, with that of background, sum to 1; otherwise each
        class is by itself.

    Attributes
    ----------
    least : float
        Loss so far, in nats.
    waited : int
        Epochs since then.
    best : tuple of weights and state of the training, or None
        As they were then.
    """

    def __init__(
        self,
        videos: Videos,
        is_labelled: np.ndarray,
        patience: int,
        predict_proba: Callable[[nn.Module, Videos], np.ndarray],
        exclusive: bool,
    ):
        self._videos, self._is_labelled, self.patience = videos, is_labelled, patience
        self._predict_proba, self._exclusive = predict_proba, exclusive
        self.least, self.waited = np.inf, 0
        self.best: tuple[dict, dict] | None = None

    def watch(self, trainer: Trainer) -> float:
        """Cross-entropy on the held-out videos, in nats; the least one is remembered."""
        probability = self._predict_proba(trainer.network, self._videos)
        loss = _cross_entropy(probability, self._is_labelled, self._exclusive, self._videos.weights)
        self.waited += 1
        if loss < self.least:
            self.least, self.waited = loss, 0
            self.best = to_arrays(trainer.network), trainer.state()
        return loss

    def is_over(self) -> bool:
        """Tell whether the loss has not fallen for too long."""
        return self.waited >= self.patience

    def restore(self, trainer: Trainer) -> None:
        """Put a training back to where its loss was least."""
        if self.best is not None:
            weights, state = self.best
            trainer.resume(weights, trainer.epoch, state)


def _cross_entropy(
    probability: np.ndarray,
    is_labelled: np.ndarray,
    exclusive: bool,
    weights: np.ndarray | None = None,
) -> float:
    """Cross-entropy of probabilities and labels, both (n_videos, n_classes), in nats."""
    if exclusive:
        no_action = 1 - probability.sum(axis=1, keepdims=True)
        probability = np.concatenate([probability, no_action], axis=1)
        target = np.concatenate([is_labelled, ~is_labelled.any(axis=1, keepdims=True)], axis=1)
        target = target / target.sum(axis=1, keepdims=True)
    else:
        probability = np.where(is_labelled, probability, 1 - probability)
        target = np.ones_like(probability)
    log = np.log(np.maximum(probability, np.finfo(np.float32).tiny))
    return float(np.average(-(target * log).sum(axis=1), weights=weights))
