"""Pictures of results, by a function each: they display inline in a notebook, in the look of the page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import panel as pn
import xarray as xr

from explorer import notebook
from explorer.theme import FATHOM
from explorer.views.cards import card, text, title
from explorer.views.contours import MapView
from explorer.views.curve import CurvePicture, CurveView, curve_key
from explorer.views.host import Host
from explorer.views.key import map_key
from explorer.views.picture import Mark, Picture
from explorer.views.surface import Surface3D
from landscape_engine import ChoiceError

Result = xr.DataArray | xr.Dataset
WIDEST = {"contours": 640, "surface": 760, "profile": 960}  # px
BESIDE = ("_error", "_stderr")  # what stands beside a metric's values


def contours(landscape: Result, metric: str = "", scale: str = "") -> pn.viewable.Viewable:
    """The map of a result on a plane: bands, contour lines, dashed where they may still move.

    Args:
        landscape: With dimensions alpha and beta, as ``refine``, ``random_plane`` or ``load`` give it.
        metric: Which of its variables; the first one when left out.
        scale: ``"log"`` or ``"linear"``; that of its refinement when left out, else log where all values are positive
            and spread over more than a factor of ten.

    Raises:
        ChoiceError: If it is no such result.
    """
    picture, view = _picture(landscape, metric, scale), MapView()
    view.show(picture)
    key = text(map_key(picture, 1.0), sizing_mode="stretch_width")
    return _shown("contours", picture.z_title, view.view, key, paint=view.paint)


def surface(landscape: Result, metric: str = "", scale: str = "") -> pn.viewable.Viewable:
    """The surface of a result on a plane, in three dimensions; arguments as for ``contours``.

    Args:
        landscape: With dimensions alpha and beta.
        metric: Which of its variables; the first one when left out.
        scale: ``"log"`` or ``"linear"``.

    Raises:
        ChoiceError: If it is no such result.
    """
    picture = _picture(landscape, metric, scale)
    view = Surface3D(palette=FATHOM, sizing_mode="stretch_width", height=440, margin=0)
    view.show(picture, f"{picture.z_title} over the plane, in three dimensions")
    return _shown("surface", picture.z_title, view, paint=lambda dark: view.param.update(dark=dark))


def profile(curve: Result, metric: str = "", scale: str = "") -> pn.viewable.Viewable:
    """The curve of a result on a line or along a path; arguments as for ``contours``.

    Args:
        curve: With one dimension.
        metric: Which of its variables; the first one when left out.
        scale: ``"log"`` or ``"linear"``.

    Raises:
        ChoiceError: If it is no such result.
    """
    values, facts = _chosen(curve, metric, scale, 1)
    (dim,) = values.dims
    axis = "α" if dim == "alpha" else str(dim)
    picture = CurvePicture(x=_nodes(values, str(dim)), values=values.values, x_title=axis, **facts)
    picture = replace(picture, title=", ".join(filter(None, [picture.z_title, picture.units])))
    view = CurveView()
    view.show(picture)
    key = text(curve_key(picture), sizing_mode="stretch_width")
    return _shown("profile", picture.z_title, view.view, key, paint=view.paint)


def _picture(landscape: Result, metric: str, scale: str) -> Picture:
    values, facts = _chosen(landscape, metric, scale, 2)
    picture = Picture(x=_nodes(values, "alpha"), y=_nodes(values, "beta"), values=values.values, **facts)
    x, y, value = picture.best()
    return replace(picture, marks=(Mark("best", x, y),) if np.isfinite(value) else ())


def _chosen(result: Any, metric: str, scale: str, count: int) -> tuple[xr.DataArray, dict[str, Any]]:
    """The values of a metric with rows of beta, and what else a picture takes."""
    with notebook.plainly():
        return _checked(result, metric, scale, count)


def _checked(result: Any, metric: str, scale: str, count: int) -> tuple[xr.DataArray, dict[str, Any]]:
    if not isinstance(result, xr.DataArray | xr.Dataset):
        raise ChoiceError("the result", type(result).__name__, "an xarray DataArray or Dataset of the engine")
    found = result.to_dataset(name=result.name or "value") if isinstance(result, xr.DataArray) else result
    metrics = [str(n) for n in found.data_vars if n != "evaluated" and not str(n).endswith(BESIDE)]
    name = metric or (metrics[0] if metrics else "")
    if name not in metrics:
        raise ChoiceError("metric", metric, f"one of {', '.join(metrics)}")
    dims = found[name].dims
    if len(dims) != count or (count == 2 and set(dims) != {"alpha", "beta"}):
        there = f"dimensions {', '.join(map(str, dims)) or 'none'}"
        other = {1: "profile", 2: "contours or surface"}.get(len(dims), "a slice of it")
        raise ChoiceError(
            "the result", there, f"{'of alpha and beta' if count == 2 else 'of one dimension'}: use {other}"
        )
    values = found[name].transpose("beta", "alpha") if count == 2 else found[name]
    return values, _facts(found.transpose(*values.dims, ...), name, scale)


def _facts(found: xr.Dataset, name: str, scale: str) -> dict[str, Any]:
    values, attributes = found[name].values, found[name].attrs
    error = found[f"{name}_error"] if f"{name}_error" in found else None
    chosen = scale or (str(error.attrs.get("scale", "")) if error is not None else "") or _usual_scale(values)
    if chosen not in ("log", "linear"):
        raise ChoiceError("scale", chosen, "'log' or 'linear'")
    told = error is not None and error.attrs.get("scale", chosen) == chosen  # of another scale it says nothing here
    long_name = str(attributes.get("long_name") or name)
    return {
        "error": np.nan_to_num(error.values) if told and error is not None else np.zeros(values.shape),
        "evaluated": found["evaluated"].values.astype(bool) if "evaluated" in found else np.isfinite(values),
        "scale": chosen,
        "z_title": long_name[:1].upper() + long_name[1:],
        "units": str(attributes.get("units", "")),
        "high_is_better": "accuracy" in name or "return" in name,
    }


def _usual_scale(values: np.ndarray) -> str:
    finite = values[np.isfinite(values)]
    return "log" if finite.size and finite.min() > 0 and finite.max() > 10 * finite.min() else "linear"


def _nodes(values: xr.DataArray, dim: str) -> np.ndarray:
    return np.asarray(values[dim].values, dtype=float)


def _shown(kind: str, words: str, *parts: Any, paint: Any) -> pn.viewable.Viewable:
    """A card of its own."""
    notebook.ready()
    content = card(kind, title(words), *parts, styles={"border": "0"})  # what is around it has one
    view = notebook.themed(Host(), content, paint)
    view.max_width = WIDEST[kind]
    return view
