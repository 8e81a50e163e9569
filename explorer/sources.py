"""Where models, data and checkpoints come from."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, final

import xarray as xr

import landscape_engine as le
from explorer import subjects
from explorer.measures import MEASURES, SUPERVISED, Measure
from explorer.state import DERIVED, PAIRED, PATHS, SAMPLES, SET_NAMES, SUBSPACES, Request
from explorer.subjects import Subject, subject
from explorer.tracks import TENTHS, Alone, Connection, Track, TrainingPath
from landscape_engine import alignment, paths
from landscape_engine import metrics as engine
from landscape_engine.hessian import COUNTED
from landscape_engine.iteration import Watch
from landscape_engine.metrics import Metric

# Of eigenvalues in a picture, as a share of the largest: small ones must be nearer to be seen at all.
PRECISE_ENOUGH, NEARER = {"tolerance": 1e-3}, {"tolerance": 1e-4}
MOST_LANDSCAPES = 16  # of a model that are remembered
SEARCHES: dict[str, Callable[..., le.Curve]] = {
    "bezier": paths.bezier,
    "chain": paths.polygonal_chain,
    "band": paths.nudged_elastic_band,
}


def _along(pair: Callable[[Metric], Any]) -> Callable[..., Metric]:
    """What is measured of pairs of points, at a point and where a step down the gradient leads from it."""
    return lambda loss, name: engine.AlongGradient(pair(loss), name=name)


DERIVED_METRICS: dict[str, tuple[Callable[..., Metric], dict[str, Any]]] = {
    "gradient_norm": (engine.GradientNorm, {}),
    "lambda_max": (engine.LargestCurvature, PRECISE_ENOUGH),
    "lambda_min": (engine.SmallestCurvature, NEARER),
    "convexity_ratio": (engine.ConvexityRatio, NEARER),
    "hessian_trace": (engine.HessianTrace, {}),
    "curvature_positivity": (engine.CurvaturePositivity, {"weighted": True, "probes": 4, "steps": 40}),
    "hessian_index": (engine.HessianIndex, {}),
    "gradient_predictiveness": (_along(engine.GradientPredictiveness), {}),
    "beta_smoothness": (_along(engine.BetaSmoothness), {}),
    "sam_sharpness": (engine.SAMSharpness, {}),
    "adaptive_sharpness": (engine.AdaptiveSharpness, {}),
    "keskar_sharpness": (engine.KeskarSharpness, {}),
}


@final
@dataclass(frozen=True, eq=False)
class Source:
    """A model with its data and checkpoints, ready to be evaluated, and what was made of them on the way.

    Args:
        name: As chosen.
        sample: The sample model, or one of the caller's.
        pace: Seconds of an evaluation, by what it costs the same for (``cost.Kind``), as far as some were made.
    """

    name: str
    sample: Subject
    pace: dict[Any, float] = field(default_factory=dict, init=False, repr=False)
    _kept: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)
    _seen: list[tuple[Request, xr.Dataset]] = field(default_factory=list, init=False, repr=False)

    def keep(self, request: Request, landscape: xr.Dataset) -> None:
        """Remember what was computed for a request, in place of what knows no more of the same plane.

        Parts that were zoomed into and layers of cubes are forgotten first, then what is oldest.
        """
        others = [(r, d) for r, d in self._seen if not (request.same_nodes(r) and _holds(landscape, d))]
        kept = [(request, landscape), *others]
        while len(kept) > MOST_LANDSCAPES:
            parts = [k for k, (r, _) in enumerate(kept) if k and (r.window is not None or r.layer)]
            del kept[parts[-1] if parts else -1]
        self._seen[:] = kept

    def recall(self, request: Request, names: set[str]) -> xr.Dataset | None:
        """The most that is known of these metrics on the nodes of a request, whoever asked; None if nothing is."""
        known = (d for r, d in self._seen if request.same_nodes(r) and names <= set(d.data_vars))
        return max(known, key=lambda d: int(d["evaluated"].sum()), default=None)

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What is made once for a key, and is gone with the source."""
        if key not in self._kept:
            self._kept.setdefault(key, make())
        return self._kept[key]

    def subspace(self, request: Request) -> le.Line | le.Plane:
        """The line or plane of a request, or the part of it that was zoomed into."""
        whole = self._whole(request)
        return whole if request.window is None else replace(whole, bounds=request.window)

    def _whole(self, request: Request) -> le.Line | le.Plane:
        model, extent = self.model(request), request.extent
        at = [self.at(k, model) for k in request.checkpoints]
        if request.subspace == "trajectory":
            return le.Plane.trajectory(model, self._path, extent=extent)
        if request.subspace == "through":
            return le.Plane.through(at[0], at[1], at[2], extent=extent)
        if request.subspace == "between":
            return le.Line.between(at[0], at[1], bounds=(0.5 - extent, 0.5 + extent))
        if request.subspace == "connection":
            return self.curve(request).plane(extent=extent)
        if request.subspace == "networks":
            return le.Line.between(*self.pair(request), bounds=(0.5 - extent, 0.5 + extent))
        if request.subspace == "saved":
            return self._saved_plane(request)
        if request.subspace in DERIVED:
            usual = self._derived(request, at[0])
            return replace(usual, bounds=tuple((lo * extent, hi * extent) for lo, hi in usual.bounds))
        if request.subspace == "cube":
            cube = le.Cube.random(model, request.normalization, seed=request.seed, extent=extent)
            return cube.layer(request.layer * extent)
        kind = le.Line if request.subspace == "random_line" else le.Plane
        return kind.random(model, request.normalization, seed=request.seed, extent=extent)

    def metrics(self, split: str, samples: int, measure: str = "") -> list[Metric]:
        """What is evaluated to draw a measure, on the first examples of a split.

        The model's own metrics, then those of the measure's family. Names are as on the page: ``train_loss``.

        Args:
            split: One of ``splits``.
            samples: How many examples; 0 means all.
            measure: One of ``MEASURES``; those that the model has of its own by default.
        """
        return self.once(("metrics", split, samples, measure), lambda: self._metrics(split, samples, measure))

    def _metrics(self, split: str, samples: int, measure: str) -> list[Metric]:
        if not measure:
            return self.sample.metrics(split, samples)
        own = self.metrics(split, samples)
        known = {metric.name.removeprefix(f"{split}_") for metric in own}
        family = [key for key, m in MEASURES.items() if key == measure or (m.family and m.family == family_of(measure))]
        return [*own, *(self._metric(key, own[0], f"{split}_{key}") for key in family if key not in known)]

    def _metric(self, measure: str, loss: Metric, name: str) -> Metric:
        if measure == "regularized_loss":
            return engine.RegularizedLoss(loss, self.sample.weight_decay, name=name)
        kind, options = DERIVED_METRICS[measure]
        return kind(loss, name=name, **options)

    def _derived(self, request: Request, here: le.ModelWrapper) -> le.Line | le.Plane:
        """A line or plane spanned by derivatives of the loss at a checkpoint, as far as the loss grows tenfold."""

        def make() -> le.Line | le.Plane:
            loss = self.metrics(request.split, request.samples)[0]
            if request.subspace == "gradient":
                found: le.Line | le.Plane = le.Line.gradient(here, loss)
            else:
                found = (le.Plane if request.subspace == "hessian" else le.Line).hessian(here, loss)
            return found.scaled(le.automatic_extent(found, loss))

        what = request.subspace, request.split, request.samples, request.checkpoints, request.statistics
        return self.once(what, make)

    def _saved_plane(self, request: Request) -> le.Plane:
        if request.saved is None:
            raise le.LandscapeError("No saved plane is open. Open a file that 'Save this plane' has written.")
        sides = request.saved.facts.get("bounds", [(-1.0, 1.0)] * 2)
        bounds = [(lo * request.extent, hi * request.extent) for lo, hi in sides]
        return le.Plane.from_directions(self.model(request), request.saved, bounds=bounds)

    def model(self, request: Request) -> le.ModelWrapper:
        """The network, with the statistics of its batch normalization as they were asked for."""
        model = le.wrap_model(self.sample.model)
        if request.statistics == "batch":
            return model.with_batch_norm("batch")
        if request.statistics == "re-estimated":
            return paths.settled_model(model, self.metrics(self.splits[0], request.samples)[0])
        return model

    def at(self, checkpoint: int, model: le.ModelWrapper) -> le.ModelWrapper:
        """The network as it was at a checkpoint."""
        trajectory = self.sample.trajectory
        return model if trajectory is None else model.at(trajectory[min(checkpoint, len(trajectory) - 1)])

    @property
    def _path(self) -> le.Trajectory:
        if self.sample.trajectory is None:
            raise le.LandscapeError(f"{self.label} has no checkpoints of its training. Choose another subspace.")
        return self.sample.trajectory

    @property
    def label(self) -> str:
        """What the page calls it."""
        return self.sample.name

    @property
    def steps(self) -> list[int]:
        """Training step of each checkpoint; 0 where there is only one."""
        return [0] if self.sample.trajectory is None else list(self.sample.trajectory.steps)

    @property
    def splits(self) -> list[str]:
        """The sets of examples, the usual one first."""
        return list(self.sample.splits)

    @property
    def summary(self) -> str:
        """The model, its checkpoints and its data, and what it is."""
        data = " and ".join(f"{n:,} {SET_NAMES[s]}".strip() for s, n in self.sample.splits.items())
        path = f"{len(self.steps)} checkpoints" if len(self.steps) > 1 else "no path of its training"
        facts = f"{self.sample.parameter_count:,} parameters, {path}, {data} {self.sample.unit}"
        return f"{facts}. {self.sample.description}"

    @cached_property
    def offered(self) -> list[str]:
        """What can be measured of it: a policy has its return; losses have derivatives."""
        own = [metric.name.partition("_")[2] for metric in self.metrics(self.splits[0], 0)]
        if "loss" not in own:
            return own
        missing = {key for key in SUPERVISED if MEASURES[key].own} - set(own)
        missing |= set() if self.sample.weight_decay else {"regularized_loss"}
        missing |= set() if self.sample.parameter_count <= COUNTED else {"hessian_index"}
        return [key for key in SUPERVISED if key not in missing]

    def measure(self, key: str) -> Measure:
        """What can be drawn of it, in the words and units of its own loss."""
        measure = MEASURES[key]
        if measure.units != MEASURES["loss"].units:  # it is not one of losses
            return measure
        loss = self.metrics(self.splits[0], 0)[0]
        label = loss.long_name if key == "loss" and loss.long_name != loss.name else measure.label
        text = measure.help if loss.units else measure.help.replace("Mean, in nats", "Mean over the examples")
        return measure._replace(label=label, units=loss.units, help=text)

    @property
    def places(self) -> list[str]:
        """Where it can be looked at, the usual place first.

        Derivatives need a loss, connections a second network, and what goes through checkpoints needs as many.
        """
        missing = {key for key, least in PATHS.items() if len(self.steps) < least}
        missing |= set() if "loss" in self.offered else set(DERIVED)
        own = [key for key in SUBSPACES if key not in missing and key not in PAIRED]
        if len(self.steps) == 2:
            own.sort(key="between".__ne__)
        return own if self.sample.second is None else [*PAIRED, *own]

    @property
    def counts(self) -> list[int]:
        """How many examples can be chosen; 0 is all."""
        return [0, *(count for count in SAMPLES if count < min(self.sample.splits.values()))]

    def training(self, request: Request) -> Track:
        """The path of its training, or the network alone."""
        trajectory = self.sample.trajectory

        def make() -> Track:
            model = self.model(request)
            return Alone.of(model) if trajectory is None else TrainingPath.of(model, trajectory)

        return self.once(("training", request.statistics), make)

    def track(self, request: Request, watch: Watch | None = None) -> Track:
        """What the slider follows: the training, or the ways between two networks.

        Args:
            request: Says which.
            watch: Of the search for the connecting curve, if it is followed (see ``curve``).
        """
        if request.subspace not in PAIRED:
            return self.training(request)
        lines = self.once(("straight lines", request.statistics), lambda: self._straight(request))
        if request.subspace == "connection":
            lines = {"curve": self.curve(request, watch), **lines}
        return Connection(lines, TENTHS)

    def pair(self, request: Request) -> tuple[le.ModelWrapper, le.ModelWrapper]:
        """The two networks."""
        if self.sample.second is None:
            raise le.LandscapeError(f"{self.label} has no second network. Choose another model or another subspace.")
        first = self.model(request)
        return first, first.at(self.sample.second[-1])

    def _straight(self, request: Request) -> dict[str, le.Curve]:
        """The line between the networks, and that to the second one with its hidden units in the order of the first."""
        first, second = self.pair(request)
        aligned = alignment.align(first, second).model
        return {"straight": le.Curve.polygonal([first, second]), "aligned": le.Curve.polygonal([first, aligned])}

    def curve(self, request: Request, watch: Watch | None = None) -> le.Curve:
        """A curve of low training loss between the two networks; searched once, and on from where a search stopped.

        Args:
            request: Says how it is searched, and on how many training examples.
            watch: Called after each step; the search stops when it returns False.
        """
        key = "curve", request.way, request.samples, request.statistics
        known = self._kept.get(key)
        if known is None or known.outcome is le.Outcome.STOPPED:
            loss = self.metrics(self.splits[0], request.samples)[0]
            known = self._kept[key] = SEARCHES[request.way](*self.pair(request), loss, watch=watch, start=known)
        return known


def _holds(landscape: xr.Dataset, other: xr.Dataset) -> bool:
    """Whether all that was computed of another landscape of the same nodes is in one."""
    return set(other.data_vars) <= set(landscape.data_vars) and bool(
        (landscape["evaluated"] | ~other["evaluated"]).all()
    )


def open_plane(content: bytes) -> le.Directions:
    """The directions in a file that ``save_plane`` wrote.

    Raises:
        FileFormatError: If it is something else.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "the file"
        path.write_bytes(content)
        return le.Directions.load(path)


def save_plane(subspace: le.Line | le.Plane) -> io.BytesIO:
    """The directions and bounds of a plane as a file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "plane.safetensors"
        subspace.spanned_by.save(path)
        return io.BytesIO(path.read_bytes())


_loaded: dict[str, Source] = {}


def load(name: str) -> Source:
    """The source of a name; loaded once."""
    if name not in _loaded:
        _loaded[name] = Source(name, subject(name))
    return _loaded[name]


def withdraw(name: str) -> None:
    """Forget a model of the caller's, and all that was made of it."""
    subjects.withdraw(name)
    _loaded.pop(name, None)


def family_of(measure: str) -> str:
    """The family of a measure, or itself."""
    return MEASURES[measure].family or measure if measure else ""
