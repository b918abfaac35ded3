"""A line that tells how far a training is, where somebody watches."""

import multiprocessing
import shutil
import sys
import threading
import time

__all__ = ["Progress"]

PATIENCE = 2.0  # seconds before a training says anything
PAUSE = 0.2  # seconds between two updates


class Progress:
    """One line on standard error, written anew as training goes on, and erased at its end.

    Parameters
    ----------
    n_epochs : int
    """

    def __init__(self, n_epochs: int):
        self._n_epochs = n_epochs
        self._begun = self._written = time.monotonic()
        self._width = 0
        self._first: int | None = None  # epoch, of a training that may have gone on from elsewhere

    @staticmethod
    def is_watched() -> bool:
        """Tell whether this is a terminal or a notebook, and no worker of a search."""
        is_worker = multiprocessing.current_process().name != "MainProcess"
        if is_worker or threading.current_thread() is not threading.main_thread():
            return False
        return "ipykernel" in sys.modules or bool(sys.stderr and sys.stderr.isatty())

    def update(self, epoch: int, means: dict[str, float]) -> None:
        """Show the number of an epoch, from 0, that is done, with its mean losses."""
        now = time.monotonic()
        self._first = epoch if self._first is None else self._first
        if now - self._begun < PATIENCE or now - self._written < PAUSE:
            return
        self._written = now
        per_epoch = (now - self._begun) / (epoch + 1 - self._first)
        left = per_epoch * (self._n_epochs - epoch - 1)
        line = f"epoch {epoch + 1}/{self._n_epochs}, {_clock(left)} left"
        for name, value in means.items():
            term = f"  {name} {value:.3f}"
            if len(line) + len(term) < shutil.get_terminal_size().columns:
                line += term
        self._write(line)

    def close(self) -> None:
        """Erase the line."""
        if self._width:
            self._write("")
            self._write("", end="\r")

    def _write(self, line: str, end: str = "") -> None:
        print("\r" + line.ljust(self._width), end=end, file=sys.stderr, flush=True)
        self._width = len(line)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"
