"""Published settings of the methods, by name: ``DGAMLocalizer(**skdgam.presets.SENSORS)``.

Each method has its own, in its attribute ``presets``; here they are all together.

Examples
--------
>>> import skdgam.presets
>>> skdgam.presets.THUMOS14_RGB["gamma1"]
0.5
"""

from skdgam.methods import METHODS

_PRESETS = {name: preset for method in METHODS.values() for name, preset in method.presets.items()}
globals().update(_PRESETS)
__all__ = sorted(_PRESETS)  # noqa: PLE0605
