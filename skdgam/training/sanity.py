"""Warnings of a training that cannot come to any good, by a look at some of its videos."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from skdgam._features import Scaling, Videos
from skdgam.clock import SnippetClock

__all__ = [
    "some_snippets",
    "warn_of_attention",
    "warn_of_few_steps",
    "warn_of_offset",
    "warn_of_one_video",
    "warn_of_scale",
    "warn_of_times",
]

# Looked at are so many videos, evenly spaced, and so many snippets in their middle.
N_VIDEOS, N_SNIPPETS = 32, 512
# Root mean squares that features are expected to have. On synthetic videos, training of a tenth of
# their scale finds next to nothing, and of thirty times half as much.
USUAL = 0.1, 20.0
NEAR_0_OR_1 = 0.1
MEANT_EPOCHS = 40  # who asks for so many wants a training, not a trial
MOST_LOST = 0.01  # rounding of features to float32, in their standard deviations


def warn_of_scale(videos: Videos) -> None:
    """Warn of features far from the order of 1, which weights and learning rates are made for."""
    squares = [np.square(x, dtype=np.float64).mean(axis=0) for x in some_snippets(videos)]
    of_features = np.sqrt(np.mean(squares, axis=0))
    overall = np.sqrt(np.mean(squares))
    if USUAL[0] <= overall <= USUAL[1]:
        return
    largest = int(of_features.argmax())
    warnings.warn(
        f"The features have a root mean square of {overall:.2g} (feature {largest} the largest, "
        f"{of_features[largest]:.2g}; median {np.median(of_features):.2g}), but training is made "
        "for about 1. Set standardize=True, which brings them there.",
        UserWarning,
        stacklevel=8,
    )


def warn_of_times(clock: SnippetClock, about: Mapping[str, Any] | None) -> None:
    """Warn of times that were set to others than those of which features were made."""
    if about is None:
        return
    told = about["snippet_seconds"], about["snippet_offset"]
    if not np.allclose((clock.seconds, clock.offset), told, rtol=1e-6, atol=1e-9):
        warnings.warn(
            f"Snippets are taken for {clock.seconds:g} s, from {clock.offset:g} s on, but the "
            f"features were made with snippet_seconds={told[0]:g} and snippet_offset={told[1]:g}; "
            "set these, or fit on features that say so with neither of them set.",
            UserWarning,
            stacklevel=5,
        )


def warn_of_offset(scaling: Scaling) -> None:
    """Warn of features that float32 leaves too few digits of: of a large mean and little spread."""
    lost = np.finfo(np.float32).eps * np.abs(scaling.mean) / scaling.scale
    if lost.max() < MOST_LOST:
        return
    worst = int(lost.argmax())
    warnings.warn(
        f"Feature {worst} has a mean of {scaling.mean[worst]:.2g} and a spread of "
        f"{scaling.scale[worst]:.2g} ({np.sum(lost >= MOST_LOST)} such features); in float32 such "
        "values keep too few digits. Subtract the mean, or a time or counter that goes on, before.",
        UserWarning,
        stacklevel=7,
    )


def warn_of_one_video(n_videos: int) -> None:
    """Warn of a training on one video, in which nothing differs."""
    if n_videos == 1:
        warnings.warn(
            "X has one video. What an action looks like is learned from videos with and without "
            "it, so that nothing tells it from the rest of a single one. Pass several.",
            UserWarning,
            stacklevel=4,
        )


def warn_of_few_steps(n_epochs: int, n_videos: int, batch_size: int, n_needed: int) -> None:
    """Warn of a training of many epochs that are few steps, since an epoch has few batches."""
    n_batches = max(n_videos // batch_size, 1)
    if n_epochs >= MEANT_EPOCHS and n_epochs * n_batches < n_needed:
        warnings.warn(
            f"max_epochs={n_epochs} makes {n_epochs * n_batches} steps on {n_videos} videos, with "
            f"{n_batches} in an epoch; on less than {n_needed}, little is learned. "
            "Leave max_epochs out, or set max_epochs=None, which makes 400 or more, or set a "
            "smaller batch_size.",
            UserWarning,
            stacklevel=4,
        )


def warn_of_attention(attention: Sequence[np.ndarray], remedies: Mapping[int, str]) -> None:
    """Warn of an attention that is nearly 0, or 1, all over most videos.

    Parameters
    ----------
    attention : sequence of arrays of shape (n_snippets_i,), in [0, 1]
        Of videos that have a label.
    remedies : mapping of int to str
        What to do about attention near 0, and about attention near 1.
    """
    is_0 = np.mean([of_video.max() < NEAR_0_OR_1 for of_video in attention])
    is_1 = np.mean([of_video.min() > 1 - NEAR_0_OR_1 for of_video in attention])
    if max(is_0, is_1) <= 0.5:
        return
    what = int(is_1 > is_0)
    warnings.warn(
        f"Attention is near {what} everywhere in {max(is_0, is_1):.0%} of the videos, so that "
        "actions cannot be told from what is around them. Lower learning_rate, or "
        f"{remedies[what]}.",
        UserWarning,
        stacklevel=5,
    )


def some_snippets(videos: Videos) -> Iterator[np.ndarray]:
    """Yield the middle of some of the videos."""
    chosen = np.unique(np.linspace(0, len(videos) - 1, N_VIDEOS).astype(int))
    for video in videos.subset(chosen):
        first = max(len(video) - N_SNIPPETS, 0) // 2
        yield video[first : first + N_SNIPPETS]
