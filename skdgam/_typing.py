"""Types of what the public face takes."""

from collections.abc import Callable
from os import PathLike
from typing import Any, Protocol, TypeVar

__all__ = ["Indexed", "PathOrName", "keeps_type"]

PathOrName = str | PathLike[str]
Function = TypeVar("Function", bound=Callable[..., Any])


class Indexed(Protocol):
    """What has a length and items: a list, an array, or a lazy sequence."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...


def keeps_type(decorator: Callable[..., Any]) -> Callable[[Function], Function]:
    """Say of a decorator without type hints that a function has after it those it had before."""
    return decorator
