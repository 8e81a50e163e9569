"""The names of the engine: what type checkers, editors and `lazy_loader` read."""

from . import alignment, critical_points, paths, topology
from .directions import Directions, gradient_directions, hessian_directions, optimizer_directions
from .errors import (
    ChoiceError,
    DirectionError,
    EvaluationError,
    FileFormatError,
    LandscapeError,
    MismatchError,
    SearchError,
    StructureError,
)
from .evaluation import Evaluator, automatic_extent, evaluate
from .frameworks import wrap_arrays, wrap_keras, wrap_sklearn
from .iteration import Outcome, Step
from .models import GeneralModelWrapper, ModelWrapper, wrap_model
from .refinement import Progress, Refiner, over_seeds, refine
from .storage import load, save
from .subspaces import Cube, Curve, Line, Plane, Point, Projection, Sphere
from .trajectories import Trajectory, TrajectoryRecorder
from .verbs import linear_interpolation, planar_interpolation, point, random_line, random_plane

__all__ = [
    # where
    "Cube",
    "Curve",
    "Directions",
    "Line",
    "Plane",
    "Point",
    "Projection",
    "Sphere",
    "Trajectory",
    "TrajectoryRecorder",
    "gradient_directions",
    "hessian_directions",
    "optimizer_directions",
    # what
    "Evaluator",
    "GeneralModelWrapper",
    "ModelWrapper",
    "automatic_extent",
    "evaluate",
    "wrap_arrays",
    "wrap_keras",
    "wrap_model",
    "wrap_sklearn",
    # coarse to fine
    "Progress",
    "Refiner",
    "over_seeds",
    "refine",
    # step by step
    "Outcome",
    "Step",
    "alignment",
    "critical_points",
    "paths",
    "topology",
    # in one call
    "linear_interpolation",
    "planar_interpolation",
    "point",
    "random_line",
    "random_plane",
    # on disk
    "load",
    "save",
    # errors
    "ChoiceError",
    "DirectionError",
    "EvaluationError",
    "FileFormatError",
    "LandscapeError",
    "MismatchError",
    "SearchError",
    "StructureError",
]
