"""What methods have in common: constraints of parameters, and of presets, features and scores."""

from numbers import Integral, Real
from typing import Any

from sklearn.utils._param_validation import Interval

__all__ = ["ACTIVITYNET12", "COUNT", "POSITIVE", "RADIUS", "SHARE", "THUMOS14", "WEIGHT"]

COUNT = [Interval(Integral, 1, None, closed="left")]
RADIUS = [Interval(Integral, 0, None, closed="left")]
POSITIVE = [Interval(Real, 0, None, closed="neither")]
WEIGHT = [Interval(Real, 0, None, closed="left")]
SHARE = [Interval(Real, 0, 1, closed="left")]

_FEATURES: dict[str, Any] = {"standardize": False, "snippet_seconds": 0.64}
THUMOS14 = _FEATURES | {"tiou_thresholds": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)}
ACTIVITYNET12 = _FEATURES | {
    "tiou_thresholds": (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
}
