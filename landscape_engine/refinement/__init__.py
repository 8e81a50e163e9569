"""Which points to evaluate next, and landscapes that sharpen from a coarse grid."""

from .interpolation import coarse_stride
from .refiner import Refiner
from .run import Progress, over_seeds, refine

__all__ = ["Progress", "Refiner", "coarse_stride", "over_seeds", "refine"]
