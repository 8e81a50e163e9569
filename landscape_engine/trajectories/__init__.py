"""Checkpoints of a training run: recorded while it runs, kept in memory or in files, read again."""

from .checkpoints import CheckpointFiles, Checkpoints, Stacks
from .files import read_checkpoint, read_tensors
from .principal import combinations, gram_matrix
from .recorder import TrajectoryRecorder
from .trajectory import Trajectory

__all__ = [
    "CheckpointFiles",
    "Checkpoints",
    "Stacks",
    "Trajectory",
    "TrajectoryRecorder",
    "combinations",
    "gram_matrix",
    "read_checkpoint",
    "read_tensors",
]
