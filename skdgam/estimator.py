"""Where pickles of localizers of state version 1 look for their classes."""

from skdgam.methods import METHODS

globals().update({cls.__name__: cls for cls in METHODS.values()})
