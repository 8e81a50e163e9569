"""The claims, one module each. A new one is a module here and an entry in ``CLAIMS``."""

from ..claim import Claim
from . import (
    batch_size,
    edge_of_stability,
    low_paths,
    outliers,
    permutations,
    rescaling,
    skip_connections,
    straight_path,
    training_plane,
)

CLAIMS: tuple[Claim, ...] = tuple(
    module.CLAIM
    for module in (
        straight_path,
        permutations,
        low_paths,
        training_plane,
        skip_connections,
        rescaling,
        edge_of_stability,
        outliers,
        batch_size,
    )
)
"""In the order of the page."""
