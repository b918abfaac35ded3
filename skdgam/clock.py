"""The snippet clock: which seconds of a recording each snippet stands for."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

__all__ = ["SnippetClock"]


@dataclass(frozen=True)
class SnippetClock:
    """Converts positions in snippets to seconds, and back.

    Snippet i stands for ``[offset + i * seconds, offset + (i + 1) * seconds)``.

    Parameters
    ----------
    seconds : float
        Time from one snippet to the next.
    offset : float, default=0.0
        Where the first snippet begins, in seconds.

    Examples
    --------
    >>> from skdgam.clock import SnippetClock
    >>> clock = SnippetClock(0.5, offset=1.0)
    >>> clock.to_seconds([0, 1, 4]), clock.middles(2)
    (array([1. , 1.5, 3. ]), array([1.25, 1.75]))
    >>> SnippetClock.of_duration(30.0, n_snippets=60).seconds
    0.5
    """

    seconds: float
    offset: float = 0.0

    @classmethod
    def of_duration(cls, duration: float, n_snippets: int) -> Self:
        """Make the clock of a recording whose snippets share its duration equally."""
        return cls(float(duration) / n_snippets)

    def resampled(self, n_snippets: int, n_used: int) -> Self:
        """Make the clock of `n_used` snippets that stand for all `n_snippets` of a recording."""
        return type(self)(self.seconds * n_snippets / n_used, self.offset)

    def to_seconds(self, position: npt.ArrayLike) -> np.ndarray:
        """Convert positions in snippets from the start of the recording to seconds."""
        return self.offset + self.seconds * np.asarray(position)

    def to_snippets(self, time: npt.ArrayLike) -> np.ndarray:
        """Convert seconds to positions in snippets from the start of the recording."""
        return (np.asarray(time) - self.offset) / self.seconds

    def edges(self, n_snippets: int) -> np.ndarray:
        """Start of each snippet and end of the last one, (n_snippets + 1,) seconds."""
        return self.to_seconds(np.arange(n_snippets + 1))

    def middles(self, n_snippets: int) -> np.ndarray:
        """Middle of each snippet, (n_snippets,) seconds."""
        return self.to_seconds(np.arange(n_snippets) + 0.5)

    def end(self, n_snippets: npt.ArrayLike) -> np.ndarray:
        """Latest second at which a recording of so many snippets can end.

        A last snippet that was cut short has no features, so that one more is allowed for. Where
        windows overlap, the last window ends later, by the offset, than what its snippet stands
        for.
        """
        return self.to_seconds(np.asarray(n_snippets) + 1) + max(self.offset, 0.0)
