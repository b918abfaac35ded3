"""What a localizer found and how it learned, drawn with matplotlib, which is imported to draw."""

from skdgam.plotting._curves import ErrorAnalysisDisplay, PrecisionRecallDisplay, TrainingDisplay
from skdgam.plotting._timeline import LocalizationDisplay

__all__ = [
    "ErrorAnalysisDisplay",
    "LocalizationDisplay",
    "PrecisionRecallDisplay",
    "TrainingDisplay",
]
