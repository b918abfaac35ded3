"""What a method brings to the engine: stages of training."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from skdgam.training.batches import Batch

__all__ = ["LossTerms", "Stage"]

# The terms of a loss by name: each a weight, and a scalar that is differentiated.
LossTerms = dict[str, tuple[float, Tensor]]


class Stage(NamedTuple):
    """One of the alternating parts of an epoch: a pass over all videos that trains some weights.

    Attributes
    ----------
    name : str
        For messages and checkpoints.
    learns : tuple of str
        How the names of the parameters begin that it trains; all others are frozen.
    losses : callable (network, batch) -> LossTerms
        The loss is the sum of each term times its weight. A large batch comes in pieces, of whole
        videos each, the losses of which are added up, and videos have weights: a term is
        ``batch.mean_of_videos`` of a value for each video, or ``batch.mean`` of one for each row.
    betas : tuple of float, default=(0.9, 0.999)
        Of Adam.
    weight_decay : float, default=0.0
        Of Adam: added to the gradient, times the weight.
    cosine : bool, default=False
        Whether the learning rate falls along a cosine, to 0 at the end of the training.
    late_rate : float, default=1.0
        Factor of the learning rate in the second half of the training.
    n_pairs : int, default=0
        Pairs of videos with a class in common that each batch begins with. With any, batches are
        drawn by :func:`skdgam.sampling.batches_of_pairs`, and come in one piece.
    distinct_pairs : bool, default=False
        Whether no video is paired with itself, unless it is the only one of a class.
    whole : bool, default=False
        Whether batches come in one piece, as a layer needs it that normalizes over all of a batch.
    plain : dict from str to float
        How the names of those of its parameters begin that plain gradient descent trains in place
        of Adam, without decay, and its learning rate.
    """

    name: str
    learns: tuple[str, ...]
    losses: Callable[[Any, Batch], LossTerms]
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    cosine: bool = False
    late_rate: float = 1.0
    n_pairs: int = 0
    distinct_pairs: bool = False
    whole: bool = False
    plain: Mapping[str, float] = {}

    def rate(self, progress: float) -> float:
        """Share of the learning rate when the training is so far, from 0 to 1."""
        rate = 0.5 * (1 + math.cos(math.pi * progress)) if self.cosine else 1.0
        return rate * self.late_rate if progress >= 0.5 else rate
