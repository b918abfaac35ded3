"""Average precision, as the ActivityNet evaluation computes it, and analysis of errors."""

from skdgam.metrics._average_precision import (
    average_precision,
    check_thresholds,
    mean_average_precision,
    precision_at_recall,
)
from skdgam.metrics._error_analysis import error_analysis

__all__ = [
    "average_precision",
    "check_thresholds",
    "error_analysis",
    "mean_average_precision",
    "precision_at_recall",
]
