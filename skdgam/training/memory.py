"""Whole trainings that are kept, for those who ask for the same again."""

import inspect
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sklearn.utils.validation import check_memory

from skdgam.training.loop import Diverged, Interrupted

__all__ = ["code_of", "recalled"]

Attributes = dict[str, Any]
Ended = Diverged | Interrupted | None


def recalled(
    memory: Any,
    settings: dict[str, Any],
    data: tuple[Any, ...],
    begin: Callable[[], tuple[Attributes, Ended]],
) -> tuple[Attributes, Ended]:
    """Take a training from a `memory`, or train and keep it there.

    Parameters
    ----------
    memory : str or object with the joblib.Memory interface
    settings, data
        All that a training depends on.
    begin : callable
        Trains, and returns the fitted attributes and how it was cut off, if it was. What was cut
        off is not kept.
    """
    remember = check_memory(memory).cache(_remember, ignore=["begin"])
    try:
        return remember(settings, data, begin=begin), None
    except _CutOff as error:
        return error.attributes, error.ended


def code_of(cls: type) -> list[str]:
    """What a training depends on of a method's code: names of classes, and their source.

    The source of classes of this package follows from its version.
    """
    code = []
    for base in cls.__mro__:
        code.append(f"{base.__module__}.{base.__qualname__}")
        if base.__module__.split(".")[0] not in ("skdgam", "sklearn", "builtins"):
            with suppress(OSError, TypeError):  # it was typed into an interpreter
                code.append(inspect.getsource(base))
    return code


class _CutOff(Exception):
    """A training that was cut off."""

    def __init__(self, attributes: Attributes, ended: Ended):
        super().__init__()
        self.attributes, self.ended = attributes, ended


def _remember(settings: dict[str, Any], data: tuple, begin: Callable) -> Attributes:
    """Train; `memory` keeps the result by the arguments but the last one."""
    attributes, ended = begin()
    if ended is not None:
        raise _CutOff(attributes, ended)
    return attributes
