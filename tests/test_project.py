"""The project itself: what it exports, what is documented, what the engine may load."""

import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

import landscape_engine as le

# Names are a promise. A new one is added here, in alphabetical order, with its documentation.
EXPORTED = """
ChoiceError Cube Curve DirectionError Directions EvaluationError Evaluator FileFormatError GeneralModelWrapper
LandscapeError Line MismatchError ModelWrapper Outcome Plane Point Progress Projection Refiner SearchError Sphere Step
StructureError Trajectory TrajectoryRecorder alignment automatic_extent critical_points evaluate gradient_directions
hessian_directions linear_interpolation load optimizer_directions over_seeds paths planar_interpolation point
random_line random_plane refine save topology wrap_arrays wrap_keras wrap_model wrap_sklearn
""".split()
METRICS = """
Accuracy AdaptiveSharpness AlongGradient BetaSmoothness ConvexityRatio CurvatureMetric CurvaturePositivity DerivedMetric
Estimate EstimatedMetric ExampleMetric Examples ExpectedReturn GradientNorm GradientPredictiveness Hessian HessianIndex
HessianTrace KeskarSharpness LargestCurvature Loss LossGradient LossPerturbations Metric MetricPipeline
PairMetric PrincipalCurvatures RegularizedLoss SAMSharpness SmallestCurvature SpectralDensity
TokenCrossEntropy TokenNLL
""".split()

# What the engine may never load: it knows no screen.
SCREEN = "panel param bokeh holoviews explorer sample_models".split()

MODULES = ["landscape_engine"] + [m.name for m in pkgutil.walk_packages(le.__path__, "landscape_engine.")]


def is_documented(thing):
    """Whether a class or function has a docstring that a person wrote."""
    own = thing.__dict__.get("__doc__") if inspect.isclass(thing) else thing.__doc__
    generated = inspect.isclass(thing) and own is not None and own.startswith(f"{thing.__name__}(")
    return bool(own and own.strip()) and not generated


def public_things(module):
    """The public classes and functions that a module defines, and the public methods of the classes, by name."""
    for name, thing in vars(module).items():
        if name.startswith("_") or getattr(thing, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(thing):
            yield name, is_documented(thing)
            for member, value in vars(thing).items():
                function = getattr(value, "__func__", getattr(value, "fget", value))
                if not member.startswith("_") and inspect.isfunction(function):
                    yield f"{name}.{member}", bool(inspect.getdoc(getattr(thing, member)))
        elif inspect.isfunction(thing):
            yield name, is_documented(thing)


@pytest.mark.parametrize(
    ("module", "promised"), [("landscape_engine", EXPORTED), ("landscape_engine.metrics", METRICS)]
)
def test_the_exported_names_are_the_promised_ones(module, promised):
    assert promised == sorted(promised)
    package = importlib.import_module(module)
    assert sorted(package.__all__) == promised
    things = [getattr(package, name) for name in promised]
    homes = {thing.__name__ if inspect.ismodule(thing) else thing.__module__ for thing in things}
    assert homes <= set(MODULES)  # where they must be documented


@pytest.mark.parametrize("name", MODULES)
def test_every_module_and_its_public_names_are_documented(name):
    module = importlib.import_module(name)
    assert module.__doc__
    undocumented = [thing for thing, documented in public_things(module) if not documented]
    assert undocumented == []


def test_the_engine_loads_what_its_names_need_when_they_are_first_used():
    code = "import landscape_engine, sys; print(*sys.modules); landscape_engine.Plane; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    first, then = (set(line.split()) for line in done.stdout.splitlines())
    assert first & {"torch", "scipy", "xarray"} == set()
    assert then > {"torch", "scipy", "xarray"}


def test_the_engine_loads_nothing_of_a_screen():
    code = f"import {', '.join(MODULES)}, sys; print(*sorted({{m.partition('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert "landscape_engine" in done.stdout.split()
    assert set(done.stdout.split()) & set(SCREEN) == set()
    assert done.stderr == ""


def test_a_search_for_a_curve_loads_no_compiler_and_no_algebra():
    """Neither is needed, and both take longer than the search."""
    code = """
import sys, torch, landscape_engine as le
from landscape_engine import metrics, paths
torch.manual_seed(0)
x, y = torch.randn(20, 3), torch.randn(20, 1)
ends = [le.wrap_model(torch.nn.Linear(3, 1)) for _ in range(2)]
paths.bezier(*ends, metrics.Loss(torch.nn.functional.mse_loss, x, y), steps=3)
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert set(done.stdout.split()) & {"torch._dynamo", "sympy"} == set()


def test_a_process_that_serves_pages_has_one_thread_for_small_matrices():
    code = """
from threadpoolctl import threadpool_info, threadpool_limits
from explorer import page
threadpool_limits(2, "blas")
page._begin()
print({pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "{1}"
