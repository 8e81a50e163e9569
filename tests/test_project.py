"""The project itself: what it exports, that it is documented, and that the engine knows no screen."""

import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

import landscape_engine

MODULES = [m.name for m in pkgutil.walk_packages(landscape_engine.__path__, "landscape_engine.") if "._" not in m.name]


def test_the_exported_names_are_the_promised_ones():
    promised = "Curve Line Plane Trajectory TrajectoryRecorder ModelWrapper wrap_model Refiner refine LandscapeError"
    assert set(promised.split()) <= set(landscape_engine.__all__)
    assert all(hasattr(landscape_engine, name) for name in landscape_engine.__all__)


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_documented(module):
    loaded = importlib.import_module(module)
    assert loaded.__doc__
    for name, thing in vars(loaded).items():
        own = getattr(thing, "__module__", None) == module
        if own and not name.startswith("_") and (inspect.isclass(thing) or inspect.isfunction(thing)):
            assert thing.__doc__ and len(thing.__doc__) > 20, name


def test_the_engine_loads_no_screen():
    code = "import landscape_engine, sys; print([m for m in ('panel', 'param', 'bokeh', 'holoviews', 'explorer')"
    run = subprocess.run([sys.executable, "-c", code + " if m in sys.modules])"], capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stderr
