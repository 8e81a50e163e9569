"""Points, lines, planes, cubes, spheres and curves of parameter space: coordinates to parameters, and back."""

from .affine import AffineSubspace, Cube, Line, Plane, Point
from .base import COARSE_INTERVALS, FEWEST_INTERVALS, Subspace
from .curve import Curve
from .projection import Projection
from .sphere import Sphere

__all__ = [
    "COARSE_INTERVALS",
    "FEWEST_INTERVALS",
    "AffineSubspace",
    "Cube",
    "Curve",
    "Line",
    "Plane",
    "Point",
    "Projection",
    "Sphere",
    "Subspace",
]
