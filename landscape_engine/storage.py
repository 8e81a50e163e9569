"""Landscapes on disk: NetCDF files."""

from __future__ import annotations

import os
from pathlib import Path

import xarray as xr

from .errors import FileFormatError, first_line

FORMAT = "landscape 1"


def save(landscape: xr.Dataset | xr.DataArray, path: str | Path) -> None:
    """Write a landscape as one NetCDF file, provenance included; an existing file is replaced only when it is whole.

    Args:
        landscape: What ``refine`` or a verb returned.
        path: Where; the suffix ``.nc`` is usual.
    """
    dataset = landscape.to_dataset(name=landscape.name or "value") if isinstance(landscape, xr.DataArray) else landscape
    partial = Path(f"{path}.part")
    dataset.assign_attrs(format=FORMAT).to_netcdf(partial, engine="h5netcdf")
    os.replace(partial, path)


def load(path: str | Path) -> xr.Dataset:
    """Read a landscape that ``save`` wrote.

    Raises:
        FileFormatError: If the file is missing, damaged, or something else.
    """
    if not Path(path).is_file():
        raise FileFormatError(f"there is no file {path}. Name one that landscape_engine.save has written.", path=path)
    try:
        dataset = xr.load_dataset(path, engine="h5netcdf")
    except Exception as error:  # h5py raises many kinds for one thing: it cannot be read
        reason = first_line(error)
        raise FileFormatError(f"{path} cannot be read as a landscape ({reason}). Save it again.", path=path) from error
    if dataset.attrs.pop("format", None) != FORMAT:
        raise FileFormatError(f"{path} holds no landscape. Write one with landscape_engine.save.", path=path)
    return dataset
