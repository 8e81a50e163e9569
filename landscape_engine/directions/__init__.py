"""Directions of parameter space: random, of descent, of curvature, of an optimizer, of a trajectory."""

from .base import FORMAT, Directions, cosine, difference, orthogonalize
from .local import gradient_directions, hessian_directions, optimizer_directions
from .principal import as_runs, principal_directions
from .random import random_directions
from .seeds import SeededDirection, Seeds, seeds_of

__all__ = [
    "FORMAT",
    "Directions",
    "SeededDirection",
    "Seeds",
    "as_runs",
    "cosine",
    "difference",
    "gradient_directions",
    "hessian_directions",
    "optimizer_directions",
    "orthogonalize",
    "principal_directions",
    "random_directions",
    "seeds_of",
]
