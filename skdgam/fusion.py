"""Where pickles of localizers of several streams of state version 1 look for their class."""

from skdgam.multi_stream import MultiStreamLocalizer

__all__ = ["MultiStreamLocalizer"]
