"""Evaluate any quantity of a neural network on points, lines, planes and curves of its parameter space."""

from .errors import (
    ChoiceError,
    DirectionError,
    EvaluationError,
    FileFormatError,
    LandscapeError,
    MismatchError,
)
from .evaluation import Evaluator, evaluate
from .models import GeneralModelWrapper, ModelWrapper, wrap_model
from .refinement import Progress, Refiner, refine
from .subspaces import Curve, Line, Plane, Projection
from .trajectories import Trajectory, TrajectoryRecorder

__all__ = [
    # where
    "Curve",
    "Line",
    "Plane",
    "Projection",
    "Trajectory",
    "TrajectoryRecorder",
    # what
    "Evaluator",
    "GeneralModelWrapper",
    "ModelWrapper",
    "evaluate",
    "wrap_model",
    # coarse to fine
    "Progress",
    "Refiner",
    "refine",
    # errors
    "ChoiceError",
    "DirectionError",
    "EvaluationError",
    "FileFormatError",
    "LandscapeError",
    "MismatchError",
]
