"""What commands say and refuse: numbers and names in words, and what does not go together."""

__all__ = ["Refused", "compare_classes", "count", "refuse_scores", "say_alike", "some"]


class Refused(Exception):
    """What a user has to mend, said in one line."""


def count(n, what):
    """A number of things, in words."""
    plural = "es" if what.endswith("s") else "s"
    return f"{n:,} {what}{plural * (n != 1)}"


def some(names):
    """The first few of some names, and how many more."""
    shown, n_more = sorted(names)[:3], len(names) - 3
    return ", ".join(shown) + (f" and {n_more} more" if n_more > 0 else "")


def refuse_scores(path, intervals):
    """Refuse annotations that are detections."""
    if any("score" in found.dtype.names for found in intervals):
        raise Refused(f"{path} has scores, as detections have; true intervals have none.")


def compare_classes(found, true):
    """Say which classes are detected or annotated alone, and which of those differ by a hair."""
    for classes, where in ((true - found, "annotated"), (found - true, "detected")):
        if classes:
            print(f"Only {where}: {some(classes)}.")
    say_alike(true - found, found - true, "classes")


def say_alike(some, others, what):
    """Name pairs that are likely meant to be one."""
    from skdgam._names import alike

    for one in sorted(some):
        twin = next((other for other in sorted(others) if alike(one, other)), None)
        if twin is not None:
            print(f"'{one}' and '{twin}' are two {what}; are they meant to be one?")
