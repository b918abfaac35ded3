"""Average precision by several protocols, F1 of events, PSDS, errors and agreement."""

from skdgam._protocols import PROTOCOLS
from skdgam.metrics._average_precision import (
    average_precision,
    check_thresholds,
    mean_average_precision,
    precision_at_recall,
)
from skdgam.metrics._error_analysis import error_analysis
from skdgam.metrics._evaluate import evaluate
from skdgam.metrics._events import F1Scores, event_f1, segment_f1
from skdgam.metrics._label_agreement import label_agreement
from skdgam.metrics._psds import psds

__all__ = [
    "PROTOCOLS",
    "F1Scores",
    "average_precision",
    "check_thresholds",
    "error_analysis",
    "evaluate",
    "event_f1",
    "label_agreement",
    "mean_average_precision",
    "precision_at_recall",
    "psds",
    "segment_f1",
]
