"""Minima and saddle points in the full parameter space, and the stationary points of a slice.

A slice shows valleys and ridges that the whole space may not have: its minimum is seldom one of the loss. ``find``
looks for points where the full gradient vanishes, ``descend`` tells which minima a saddle point connects, and
``of_slice`` puts the full gradient beside each stationary point of a picture.
"""

from .descent import Descent, descend
from .points import CriticalPoint, find
from .slices import SlicePoint, SlicePoints, of_slice

__all__ = ["CriticalPoint", "Descent", "SlicePoint", "SlicePoints", "descend", "find", "of_slice"]
