"""The loss surface in three dimensions: a Panel component drawn with three.js."""

from __future__ import annotations

import pathlib
from typing import Any, ClassVar

import numpy as np
import param

from explorer.numbers import format_level
from explorer.views.component import Component
from explorer.views.picture import Picture


def _ticks(picture: Picture) -> list[list[float | str]]:
    """Major levels, evenly thinned to five at most."""
    levels = [level for level in picture.levels if picture.is_major(level)]
    return [[picture.transform(level), format_level(level)] for level in levels[:: -(-len(levels) // 5) or 1]]


def _empty(columns: int) -> np.ndarray:
    return np.zeros((0, columns), dtype=np.float32)


class Surface3D(Component):
    """A landscape over a plane of parameter space, seen in perspective.

    Height and colour both show ``z``, clipped to ``low`` .. ``high``. Contour lines and other lines lie
    on the surface, and a marker stands at one point of it. Drag turns the view, the wheel zooms; with the
    keyboard, the arrows turn by five degrees, ``+`` and ``-`` zoom, ``0`` or Home restores the default view.

    Arrays are sent as float32. Coordinates are those of the plane (alpha, beta); what lies outside the bounds
    is not drawn. The camera lives in the browser and survives every update. Set what changes together in one
    call (``surface.param.update(z=..., low=..., high=..., contours=...)``): it then costs one redraw.

    The marker can be moved without the server, from any ``CustomJS`` that has the component among its
    ``args``: ``surface.data.marker = [alpha, beta]``.

    For tests, the element ``.surface3d`` carries ``data-marker`` (coordinates last drawn, empty when hidden),
    ``data-camera`` (its position), ``data-size`` ("nx x ny" of the mesh) and ``data-names`` (of the places named).
    """

    z: np.ndarray = param.Array(
        default=np.zeros((2, 2), dtype=np.float32),
        doc="""Transformed metric, for example the natural log of the loss, of shape (ny, nx): row i is the
        i-th beta, column j the j-th alpha, both ascending. Cells that are not finite are left out.""",
    )
    low: float = param.Number(default=0.0, doc="Lower end of the colour and height scale, in the units of z.")
    high: float = param.Number(default=1.0, doc="Upper end of the colour and height scale, in the units of z.")
    x_bounds: tuple[float, float] = param.NumericTuple(
        default=(-1.0, 1.0), length=2, doc="First and last alpha of the grid."
    )
    y_bounds: tuple[float, float] = param.NumericTuple(
        default=(-1.0, 1.0), length=2, doc="First and last beta of the grid."
    )
    palette: list[str] = param.List(default=[], item_type=str, doc="Colours from low to high, as '#rrggbb'.")

    contours: np.ndarray = param.Array(
        default=_empty(6),
        doc="""Contour segments of shape (n, 6): x0, y0, x1, y1, level in the units of z, and 1 for a major
        line or 0 for a minor one.""",
    )
    strokes: list[dict[str, Any]] = param.List(
        default=[],
        item_type=dict,
        doc="""Lines on it: "style" ("path" solid, "curve" dotted, "straight" in long dashes, "aligned" in short ones)
        and "points", a list of pairs of coordinates.""",
    )
    knots: np.ndarray = param.Array(
        default=_empty(2),
        doc="Points of the lines drawn as dots, of shape (k, 2); thinned so that none touch.",
    )
    marks: list[dict[str, Any]] = param.List(
        default=[], item_type=dict, doc='Named places: "kind", "x", "y" and "text", which may be empty.'
    )
    marker: list[float] = param.List(
        default=[], doc="Coordinates of the marker; hidden when empty or outside the bounds."
    )
    nodes: np.ndarray = param.Array(default=_empty(2), doc="Coordinates of the computed nodes, of shape (n, 2).")
    show_nodes: bool = param.Boolean(default=False, doc="Whether to draw the computed nodes.")
    exaggeration: float = param.Number(default=1.0, bounds=(0, None), doc="The height is drawn so many times as large.")

    x_title: str = param.String(default="α", doc="Title of the alpha axis.")
    y_title: str = param.String(default="β", doc="Title of the beta axis.")
    z_title: str = param.String(default="Loss", doc="Title of the height axis.")
    z_ticks: list[list[float | str]] = param.List(
        default=[], doc="Ticks of the height axis: [value in the units of z, text]."
    )

    dark: bool = param.Boolean(default=False, doc="Whether the page is dark; colours are read from its CSS tokens.")
    reset: int = param.Integer(default=0, doc="A counter: any change goes back to the default view.")
    alt: str = param.String(default="Loss surface", doc="What the picture shows, for screen readers.")

    _bundle: ClassVar[pathlib.Path] = pathlib.Path(__file__).parent / "surface3d.js"

    def show(self, picture: Picture, alt: str) -> None:
        """Draw a picture; camera and marker stay."""
        rows, columns = np.nonzero(picture.evaluated)
        self.param.update(
            z=picture.z,
            low=picture.low,
            high=picture.high,
            x_bounds=picture.x_bounds,
            y_bounds=picture.y_bounds,
            contours=picture.segments(),
            strokes=[{"style": stroke.style, "points": stroke.points.tolist()} for stroke in picture.strokes],
            knots=np.concatenate([_empty(2), *(stroke.knots for stroke in picture.strokes)]),
            marks=[mark._asdict() for mark in picture.marks],
            nodes=np.stack([picture.x[columns], picture.y[rows]], axis=1),
            z_title=", ".join(filter(None, [picture.z_title, picture.units])),
            z_ticks=_ticks(picture),
            alt=alt,
        )

    def _process_param_change(self, params: dict[str, Any]) -> dict[str, Any]:
        # Bokeh sends an array's memory as it lies: a transposed one would arrive scrambled.
        params = {
            name: np.ascontiguousarray(value, dtype=np.float32) if isinstance(value, np.ndarray) else value
            for name, value in params.items()
        }
        return super()._process_param_change(params)
