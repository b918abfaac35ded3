"""What commands read from their arguments: where they may write, and parameters."""

import difflib
import inspect
import json
import os
from contextlib import suppress
from pathlib import Path

from skdgam._words import Refused

__all__ = ["check_output", "read_settings", "tracked_if_possible"]


def check_output(arguments, endings=None):
    """Refuse an output that could not be written, before any work is done for it."""
    path = arguments.output
    if endings and path.suffix.lower() not in endings:
        raise Refused(f"{path} must end in {' or '.join(endings)}.")
    if path.is_dir():
        raise Refused(f"{path} is a folder; name a file.")
    for name, given in vars(arguments).items():
        for other in given if isinstance(given, list) else [given]:
            if name != "output" and isinstance(other, Path) and path.resolve() == other.resolve():
                raise Refused(f"{path} is read by this command; name another file to write to.")
    if path.exists() and not arguments.force:
        raise Refused(f"{path} is there already; --force replaces it.")
    if not path.parent.is_dir():
        raise Refused(f"{path} has no folder to be in: {path.parent} does not exist.")
    if not os.access(path.parent, os.W_OK):
        raise Refused(f"{path} cannot be written: {path.parent} allows no writing.")


def read_settings(given, made):
    """Read parameters of a class from NAME=VALUE, each of which it has."""
    settings, known = dict(map(_parameter, given)), [*inspect.signature(made).parameters]
    for name in settings:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1) or sorted(known)
            raise Refused(
                f"--set {name}=…: {made.__name__} has no such parameter; "
                f"{', '.join(close)} {'is one' if len(close) == 1 else 'are all'}."
            )
    return settings


def _parameter(text):
    """Read NAME=VALUE, where the value is JSON, a word of Python, a number, or else text."""
    name, sign, value = text.partition("=")
    if not sign:
        raise Refused(f"--set {text} must be NAME=VALUE, such as max_epochs=100.")
    words = {"true": True, "false": False, "none": None}
    if value.lower() in words:
        return name, words[value.lower()]
    for read in (json.loads, float):  # 1e2 and .5 are numbers, too
        with suppress(ValueError):
            number = read(value)
            whole = isinstance(number, float) and number.is_integer()
            return name, int(number) if whole else number
    return name, value


def tracked_if_possible(steps, n, what):
    """Show how far a loop of `n` steps is, where rich is there."""
    from skdgam.features._sources import tracked

    try:
        return tracked(steps, n, what)
    except ImportError:
        return steps
