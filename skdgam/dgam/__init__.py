"""DGAM, the method of Shi et al. (CVPR 2020): all that is its own."""

from skdgam.dgam.localizer import DGAMLocalizer
from skdgam.dgam.swap import swap_attention

__all__ = ["DGAMLocalizer", "swap_attention"]
