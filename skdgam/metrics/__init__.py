"""Average precision as ActivityNet's evaluation computes it, errors, agreement with labels."""

from skdgam.metrics._average_precision import (
    average_precision,
    check_thresholds,
    mean_average_precision,
    precision_at_recall,
)
from skdgam.metrics._error_analysis import error_analysis
from skdgam.metrics._label_agreement import label_agreement

__all__ = [
    "average_precision",
    "check_thresholds",
    "error_analysis",
    "label_agreement",
    "mean_average_precision",
    "precision_at_recall",
]
