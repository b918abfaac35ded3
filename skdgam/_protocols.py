"""The evaluation protocols of the field: the rules by which detections become mAP.

A table that needs no other module, so that the command line knows the names without loading them.
"""

from dataclasses import dataclass

__all__ = ["AMBIGUOUS", "PROTOCOLS", "SNIPPETS_PER_SECOND", "Protocol"]

AMBIGUOUS = "Ambiguous"  # label of intervals that THUMOS14's annotators were not sure of
SNIPPETS_PER_SECOND = 25 / 16  # THUMOS14's features: 16 frames at 25 frames a second


@dataclass(frozen=True)
class Protocol:
    """What one evaluator does; the defaults are ActivityNet's rules.

    Attributes
    ----------
    about : str
        Whose evaluator it is, in a few words.
    tiou_thresholds : tuple of float, in (0, 1]
        Where its figures are reported.
    truth : {"exact", "rounded"}
        Times of true intervals: in seconds as they are, or rounded to whole snippets, half to even.
    detections : {"exact", "floored"}
        Times of detections, likewise.
    ambiguous : {"left out", "removed", "excused"}
        Ambiguous intervals play no part; or every detection that shares a snippet with one is
        removed beforehand; or a detection that overlaps one and finds nothing is not false.
    matching : {"best", "first best", "first listed", "by truth"}
        A detection takes, of the intervals that reach the threshold and are not yet taken, that of
        the highest tIoU (of equal ones the last or the first), or the one that is listed first.
        By truth: each interval, in the order listed, takes of the free detections the one of the
        highest tIoU, which must exceed the threshold.
    interpolated : bool
        Whether precision is made monotone before it is summed.
    needs_every_class : bool
        Whether one class without any detection makes mAP 0.
    """

    about: str
    tiou_thresholds: tuple[float, ...]
    truth: str = "exact"
    detections: str = "exact"
    ambiguous: str = "left out"
    matching: str = "best"
    interpolated: bool = True
    needs_every_class: bool = False


TO_05 = (0.1, 0.2, 0.3, 0.4, 0.5)
TO_07 = (*TO_05, 0.6, 0.7)

PROTOCOLS = {
    "thumos14": Protocol(
        "ActivityNet's rules at THUMOS14's thresholds, as most publish",
        (*TO_07, 0.8, 0.9),
    ),
    "activitynet": Protocol("ActivityNet", (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)),
    "thumos14-kit": Protocol(
        "THUMOS14's own kit, of 2015",
        TO_05,
        ambiguous="excused",
        matching="by truth",
        interpolated=False,
    ),
    "co2-net": Protocol("CO2-Net, DELU and P-MIL", TO_07, truth="rounded", ambiguous="removed"),
    "w-talc": Protocol(
        "W-TALC",
        TO_05,
        truth="rounded",
        detections="floored",
        ambiguous="removed",
        matching="first listed",
        interpolated=False,
        needs_every_class=True,
    ),
    "3c-net": Protocol(
        "3C-Net",
        (*TO_05, 0.7),
        truth="rounded",
        detections="floored",
        ambiguous="removed",
        matching="first best",
        needs_every_class=True,
    ),
}
