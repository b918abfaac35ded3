"""Warnings of a training that cannot come to any good, by a look at some of its videos."""

import warnings
from collections.abc import Iterator

import numpy as np

from skdgam._features import Videos
from skdgam._inference import map_snippets
from skdgam.networks import DGAM

__all__ = ["warn_of_attention", "warn_of_scale"]

# Looked at are so many videos, evenly spaced, and so many snippets in their middle.
N_VIDEOS, N_SNIPPETS = 32, 512
# Root mean squares that features are expected to have. On synthetic videos, training of a tenth of
# their scale finds next to nothing, and of thirty times half as much.
USUAL = 0.1, 20.0
NEAR_0_OR_1 = 0.1


def warn_of_scale(videos: Videos) -> None:
    """Warn of features far from the order of 1, which weights and learning rates are made for."""
    squares = [np.square(x, dtype=np.float64).mean(axis=0) for x in _some(videos)]
    of_features = np.sqrt(np.mean(squares, axis=0))
    overall = np.sqrt(np.mean(squares))
    if USUAL[0] <= overall <= USUAL[1]:
        return
    largest = int(of_features.argmax())
    warnings.warn(
        f"The features have a root mean square of {overall:.2g} (feature {largest} the largest, "
        f"{of_features[largest]:.2g}; median {np.median(of_features):.2g}), but training is made "
        "for about 1. Scale them, for example by SnippetTransformer(StandardScaler()) in a "
        "Pipeline.",
        UserWarning,
        stacklevel=5,
    )


def warn_of_attention(network: DGAM, videos: Videos, is_labelled: np.ndarray) -> None:
    """Warn of an attention that is nearly 0, or 1, all over most videos that have a label."""
    some = _some(videos.part(is_labelled.any(axis=1)))
    of_videos = list(map_snippets(lambda network, x, seen: network.attention(seen), network, some))
    is_0 = np.mean([attention.max() < NEAR_0_OR_1 for attention in of_videos])
    is_1 = np.mean([attention.min() > 1 - NEAR_0_OR_1 for attention in of_videos])
    if max(is_0, is_1) <= 0.5:
        return
    what, change = "0", "raise gamma2, or set pooling='released'"
    if is_1 > is_0:
        what, change = "1", "scale the features, or raise alpha"
    warnings.warn(
        f"Attention is near {what} everywhere in {max(is_0, is_1):.0%} of the videos, so that "
        f"actions cannot be told from what is around them. Lower learning_rate, {change}.",
        UserWarning,
        stacklevel=5,
    )


def _some(videos: Videos) -> Iterator[np.ndarray]:
    chosen = np.unique(np.linspace(0, len(videos) - 1, N_VIDEOS).astype(int))
    for video in videos.part(chosen):
        first = max(len(video) - N_SNIPPETS, 0) // 2
        yield video[first : first + N_SNIPPETS]
