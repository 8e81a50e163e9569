"""Landscapes on disk."""

import json

import matplotlib
import numpy as np
import pytest
from torch import nn

import landscape_engine as le
from parameter_functions import Corner, unit_plane

matplotlib.use("Agg")


def landscape():
    *_, found = le.refine(Corner(), unit_plane(bounds=((-1.0, 2.0), (0.0, 4.0))), resolution=5, tolerance=0)
    return found


CORNERS = {(-1, 0): -1, (2, 0): 2, (-1, 4): 27, (2, 4): 66}


def test_a_landscape_is_read_as_it_was_written(tmp_path):
    written = landscape()
    le.save(written, tmp_path / "run.nc")
    read = le.load(tmp_path / "run.nc")
    for (alpha, beta), value in CORNERS.items():
        for found in (written, read):
            assert float(found["corner"].sel(alpha=alpha, beta=beta)) == value
    assert read["corner"].attrs["units"] == "m" and read["alpha"].attrs == written["alpha"].attrs
    assert bool(read["evaluated"].dtype == bool)
    assert json.loads(read.attrs["provenance"]) == json.loads(written.attrs["provenance"])
    np.testing.assert_array_equal(read["corner"], written["corner"])


def test_a_data_array_keeps_its_story(tmp_path):
    model = nn.Linear(2, 1, bias=False)
    found = le.random_plane(model, Corner(), steps=5)
    le.save(found, tmp_path / "run.nc")
    read = le.load(tmp_path / "run.nc")["corner"]
    np.testing.assert_array_equal(read, found)
    assert json.loads(read.attrs["provenance"])["subspace"]["kind"] == "random"


def test_an_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch):
    old = landscape()
    le.save(old, tmp_path / "run.nc")

    def broken(*_):
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(OSError, match="no space left"):
        le.save(old * 2, tmp_path / "run.nc")
    assert float(le.load(tmp_path / "run.nc")["corner"].sel(alpha=2, beta=4)) == 66


@pytest.mark.parametrize("content", [b"", b"not a file of ours", None])
def test_a_file_that_is_no_landscape_is_refused_by_name(tmp_path, content):
    if content is not None:
        (tmp_path / "bad.nc").write_bytes(content)
    with pytest.raises(le.FileFormatError, match=r"bad\.nc"):
        le.load(tmp_path / "bad.nc")


def test_a_file_of_something_else_is_refused(tmp_path):
    landscape().to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(le.FileFormatError, match="holds no landscape"):
        le.load(tmp_path / "other.nc")


def test_a_landscape_plots_itself():
    mesh = landscape()["corner"].plot(x="alpha")
    axes = mesh.axes
    assert "alpha" in axes.get_xlabel() and "beta" in axes.get_ylabel()
    assert mesh.get_array().reshape(5, 5)[-1, -1] == 66  # the highest value is at the upper right
    matplotlib.pyplot.close("all")
