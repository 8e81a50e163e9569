"""Pictures of results by a function each: they show what the result holds, and refuse what is none."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import xarray as xr
from torch import nn

import explorer
import landscape_engine as le
from explorer.figures import _picture
from explorer.views.surface import Surface3D
from landscape_engine.metrics import Accuracy, Loss


@pytest.fixture(scope="module")
def results():
    """A refined plane of two metrics, and a line."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 3))
    data = torch.randn(60, 3), torch.arange(60) % 3
    metrics = [Loss(F.cross_entropy, *data), Accuracy(*data)]
    plane = le.Plane.random(model, seed=0)
    *_, landscape = le.refine(metrics, plane, resolution=33, tolerance=0.05, scale="log")
    return landscape, le.random_line(model, metrics[0], steps=9, seed=0)


def test_the_surface_is_that_of_the_metric_that_was_chosen_with_beta_up(results):
    landscape, _ = results
    for metric in ("loss", "accuracy"):
        (shown,) = explorer.surface(landscape, metric, scale="linear").select(Surface3D)
        np.testing.assert_allclose(shown.z, landscape[metric].transpose("beta", "alpha"), rtol=1e-6)
    (shown,) = explorer.surface(landscape).select(Surface3D)
    np.testing.assert_allclose(np.exp(shown.z), landscape["loss"].transpose("beta", "alpha"), rtol=1e-5)
    assert len(shown.nodes) == int(landscape["evaluated"].sum())


def test_the_estimated_error_is_drawn_in_the_scale_that_it_belongs_to(results):
    landscape, _ = results
    error = landscape["loss_error"].transpose("beta", "alpha").values
    assert error.max() > 0
    np.testing.assert_array_equal(_picture(landscape, "", "").error, error)
    assert _picture(landscape, "", "linear").error.max() == 0


def test_maps_and_curves_are_built_from_what_the_verbs_return(results):
    landscape, line = results
    assert explorer.contours(landscape["loss"]).max_width == 640
    assert explorer.profile(line).max_width == 960


def test_what_is_no_such_result_is_refused_in_a_sentence(results):
    landscape, line = results
    refusals = [
        (lambda: explorer.contours([1]), "the result must be an xarray DataArray or Dataset of the engine, but it is"),
        (lambda: explorer.contours(landscape, "los"), "metric must be one of loss, accuracy, but it is 'los'."),
        (lambda: explorer.surface(line), "the result must be of alpha and beta: use profile, but it is 'dimensions"),
        (lambda: explorer.profile(landscape), "the result must be of one dimension: use contours or surface, but it"),
        (lambda: explorer.contours(landscape, scale="cubic"), "scale must be 'log' or 'linear', but it is 'cubic'."),
    ]  # fmt: skip
    for call, sentence in refusals:
        with pytest.raises(le.ChoiceError) as raised:
            call()
        assert str(raised.value).startswith(sentence)
    empty = xr.Dataset(coords={"alpha": [0.0, 1.0]})
    with pytest.raises(le.ChoiceError, match="^metric must be one of"):
        explorer.profile(empty)
