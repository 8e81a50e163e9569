"""Which points to evaluate next, and landscapes that sharpen from a coarse grid."""

from .interpolation import coarse_stride
from .refiner import Refiner
from .run import Progress, refine

__all__ = ["Progress", "Refiner", "coarse_stride", "refine"]
