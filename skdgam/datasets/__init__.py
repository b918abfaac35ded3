"""Data sets in the form that the estimators take: features, and what happens when."""

from skdgam.datasets.features import FeatureFolder
from skdgam.datasets.hapt import load_hapt
from skdgam.datasets.myo import load_myo
from skdgam.datasets.synthetic import make_untrimmed
from skdgam.datasets.thumos14 import load_thumos14

__all__ = ["FeatureFolder", "load_hapt", "load_myo", "load_thumos14", "make_untrimmed"]
