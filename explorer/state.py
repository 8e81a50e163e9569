"""What the user chose and what is known: the truth that controls write and views read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import param

from explorer.measures import MEASURES, SUPERVISED
from landscape_engine import ChoiceError

MODELS = ["digits_mlp", "digits_cnn", "spirals_mlp", "two_seeds", "sorting_gpt", "cartpole_policy"]
SPLITS = {"train": "Training set", "test": "Test set", "all": "All data"}
SET_NAMES = {"train": "training", "test": "test", "all": ""}
SAMPLES = [1000, 300, 100, 50, 20, 5]  # how many examples or episodes; what a model has more of is offered
SUBSPACES = {
    "trajectory": "Trajectory plane (PCA)",
    "random": "Random plane",
    "cube": "Layer of a random cube",
    "through": "Plane through three checkpoints",
    "saved": "Saved plane",
    "hessian": "Plane of largest and smallest curvature",
    "random_line": "Random line",
    "between": "Line between two checkpoints",
    "gradient": "Line along the gradient",
    "hessian_line": "Line of largest curvature",
    "connection": "Plane of the connecting curve",
    "networks": "Line between the two networks",
}
LINES = ("random_line", "between", "gradient", "hessian_line", "networks")
PATHS = {"trajectory": 3, "through": 3, "between": 2}  # how many checkpoints they need
PAIRED = ("connection", "networks")  # of two networks, between which the slider moves
FOUND = ("gradient", "hessian", "hessian_line", "connection")  # what they are depends on the examples
DERIVED = ("gradient", "hessian", "hessian_line")  # spanned by derivatives of the loss at a checkpoint
RANDOM = ("random", "cube", "random_line")
WAYS = {"bezier": "Bézier curve", "chain": "Polygonal chain", "band": "Nudged elastic band"}
STATISTICS = {"stored": "As stored", "re-estimated": "Re-estimated at each point", "batch": "Of each batch"}
NORMALIZATIONS = {"filter": "Filter", "layer": "Layer", "model": "Model", "none": "None"}
RESOLUTIONS = [33, 65, 129, 257]
COARSE = 33  # the resolution at first of what is computed at every node


class Request(NamedTuple):
    """Everything that decides a picture."""

    model: str
    split: str
    samples: int
    metric: str
    subspace: str
    normalization: str
    resolution: int
    scale: str
    extent: float
    seed: int
    tolerance: float
    checkpoints: tuple[int, ...] = ()
    saved: Any = None
    window: tuple[tuple[float, float], tuple[float, float]] | None = None
    way: str = ""
    statistics: str = "stored"
    layer: float = 0.0

    @property
    def is_line(self) -> bool:
        """Whether it asks for a curve and not for a surface."""
        return self.subspace in LINES

    def same_nodes(self, other: Request | None) -> bool:
        """Whether nodes computed for the other request are nodes of this one."""
        drawn: dict[str, Any] = {"metric": "", "scale": "", "tolerance": 0.0}
        return other is not None and self._replace(**drawn) == other._replace(**drawn)

    def same_plane(self, other: Request) -> bool:
        """Whether a point of one picture is the same network in the other."""
        seen: dict[str, Any] = {"resolution": 0, "window": None, "metric": "", "scale": "", "tolerance": 0.0}
        seen |= {} if self.subspace in FOUND else {"split": "", "samples": 0}
        return self._replace(**seen) == other._replace(**seen)


class Marker(NamedTuple):
    """Where the marker is.

    Attributes:
        t: Place on its track.
        picked: Coordinates of the point of the picture that was picked; None on the track.
    """

    t: float
    picked: tuple[float, ...] | None = None


WHERE = ("model", "subspace", "normalization", "extent", "seed", "first", "second", "third", "saved", "way", "layer")
"""The choices that decide which plane it is."""


class State(param.Parameterized):
    """Choices, and the phase of the run that answers them."""

    model = param.Selector(default="digits_mlp", objects=MODELS, doc="The trained network.")
    models = param.List(default=MODELS, doc="Models that can be chosen.")
    split = param.Selector(default="train", objects=list(SPLITS), doc="What the map is averaged over.")
    splits = param.List(default=["train", "test"], doc="Sets that can be chosen.")
    samples = param.Selector(default=0, objects=[0, *SAMPLES], doc="How many of its examples; 0 is all.")
    metric = param.Selector(default="loss", objects=list(MEASURES), doc="What is drawn.")
    measures = param.Dict(default={key: MEASURES[key] for key in SUPERVISED}, doc="What can be measured of the model.")
    places = param.List(default=list(SUBSPACES), doc="Subspaces that can be chosen.")
    counts = param.List(default=[0], doc="How many examples can be chosen; 0 is all.")
    subspace = param.Selector(default="trajectory", objects=list(SUBSPACES), doc="Which plane is drawn.")
    steps = param.List(default=[0], doc="Training step of each checkpoint of the model.")
    first = param.Integer(default=0, bounds=(0, None), doc="A checkpoint, by its number.")
    second = param.Integer(default=0, bounds=(0, None), doc="Another one.")
    saved = param.Parameter(default=None, doc="Directions of a plane that was opened from a file, or None.")
    third = param.Integer(default=0, bounds=(0, None), doc="A third one.")
    way = param.Selector(default="bezier", objects=list(WAYS), doc="How a way around the barrier is found.")
    statistics = param.Selector(
        default="stored",
        objects=list(STATISTICS),
        doc="Means and variances of batch normalization: those of training fit other points badly.",
    )
    has_statistics = param.Boolean(default=False, doc="Whether the model has batch normalization.")
    normalization = param.Selector(
        default="filter",
        objects=list(NORMALIZATIONS),
        doc="Scales random directions to the weights, so that two networks can be compared.",
    )
    resolution = param.Selector(
        default=129,
        objects=RESOLUTIONS,
        doc="Nodes on each axis. Those that can be predicted well enough are not computed.",
    )
    lowered = param.Integer(default=0, doc="Resolution that was chosen where a coarser one is used, or 0.")
    scale = param.Selector(default="log", objects=["log", "linear"], doc="Log tells small values apart.")
    extent = param.Number(
        default=1.0,
        bounds=(0, 100),
        inclusive_bounds=(False, True),
        doc="How far the plane reaches, 1 as usual.",
    )
    seed = param.Integer(default=0, bounds=(0, None), doc="Of the random directions.")
    layer = param.Number(
        default=0.0,
        bounds=(-1, 1),
        doc="Which layer of the cube: how far along its third direction, 1 is as far as it reaches.",
    )
    tolerance = param.Number(
        default=0.5,
        bounds=(0, 100),
        inclusive_bounds=(True, False),
        doc="Wanted largest error, in percent of the range; 0 computes every node.",
    )
    t = param.Number(default=0.0, bounds=(0, None), doc="Place of the marker on its track, counted in stops.")
    picked = param.Parameter(default=None, doc="Coordinates of a point that was picked, or None.")
    window = param.Parameter(default=None, doc="Bounds of alpha and beta that were zoomed into, or None.")
    on_phone = param.Selector(default="Map", objects=["Map", "Surface"], doc="Which of the two a phone shows.")
    contours = param.Selector(default="Bands", objects=["Bands", "Lines"], doc="How the map is drawn.")
    relief = param.Selector(default=1.0, objects=[0.5, 1.0, 2.0], doc="How many times as high the surface is drawn.")
    show_nodes = param.Boolean(default=False, doc="Show which nodes were computed.")
    show_points = param.Boolean(default=False, doc="Show minima and saddles of the plane.")
    show_spread = param.Boolean(default=False, doc="Show what other random directions than that of the line meet.")
    dark = param.Boolean(default=False, doc="Dark page.")

    phase = param.Selector(default="idle", objects=["idle", "running", "done", "canceled", "failed"])
    cost = param.String(default="", doc="What the run costs, in words.")
    message = param.String(default="", doc="One sentence about what went wrong; empty when nothing did.")
    result = param.Parameter(default=None, doc="The newest result.Result, or None.")
    marking = param.Boolean(default=False, doc="Whether minima and saddles are being looked for.")
    basins = param.Parameter(default=None, doc="The newest basins.Basins, or None.")
    spreading = param.Boolean(default=False, doc="Whether other random directions are being evaluated.")
    spread = param.Parameter(default=None, doc="The newest spread.Spread, or None.")
    looking = param.Boolean(default=False, doc="Whether the network at the marker is being looked at.")
    insight = param.Parameter(default=None, doc="The newest insight.Insight, or None.")
    studying = param.Boolean(default=False, doc="Whether the curvature at the marker is being computed.")
    spectrum = param.Parameter(default=None, doc="The newest spectrum.Spectrum, or None.")

    @param.depends(*WHERE, watch=True)
    def _leave_window(self) -> None:
        """Another plane is seen whole at first."""
        self.window = None

    @param.depends("resolution", watch=True)
    def _choose_resolution(self) -> None:
        """Who chooses another resolution than the one that is used at first has chosen it for all metrics."""
        if self.resolution != COARSE:
            self.lowered = 0

    @param.depends("split", "samples", watch=True)
    def _leave_found(self) -> None:
        if self.subspace in FOUND:
            self.window = None

    @property
    def is_incomplete(self) -> bool:
        """Whether something must be given before the choices can be answered: the file of a saved plane."""
        return self.subspace == "saved" and self.saved is None

    @property
    def is_before(self) -> bool:
        """Whether what is shown answers other choices than those that are made."""
        return self.result is not None and self.result.request != self.request

    @property
    def request(self) -> Request:
        """The choices as one value. Only what is positive has a log scale; only random directions have a seed."""
        random = self.subspace in RANDOM
        chosen = {"through": (self.first, self.second, self.third), "between": (self.first, self.third)}
        chosen |= dict.fromkeys(DERIVED, (self.third,))
        return Request(
            self.model,
            self.split,
            self.samples,
            self.metric,
            self.subspace,
            self.normalization if random else "none",
            self.resolution,
            self.scale if MEASURES[self.metric].log else "linear",
            float(self.extent),
            self.seed if random else 0,
            float(self.tolerance),
            chosen.get(self.subspace, ()),
            self.saved if self.subspace == "saved" else None,
            self.window if self.subspace not in LINES else None,
            self.way if self.subspace == "connection" else "",
            self.statistics if self.has_statistics else "stored",
            round(float(self.layer), 4) if self.subspace == "cube" else 0.0,
        )

    @property
    def marker(self) -> Marker:
        """Where the marker is."""
        return Marker(float(self.t), self.picked)

    def show(self, model: str) -> None:
        """Show a model that was opened on this page, and offer it from now on.

        Args:
            model: Its key (see ``subjects.offer``).
        """
        self.offer([model, *self.models])
        self.model = model

    def offer(self, models: Sequence[str]) -> None:
        """Let one choose among models.

        Args:
            models: Their keys.
        """
        self.param.model.objects = list(models)
        self.models = list(models)

    def choose_number(self, name: str, text: str) -> None:
        """Set a number from what a person typed; what cannot be used becomes ``message`` and changes nothing."""
        label, _, expected = NUMBERS[name]
        try:
            value: Any = int(text) if name == "seed" else float(text.replace("%", "").replace(",", "."))
            setattr(self, name, value)
            self.message = ""
        except ValueError:
            self.message = f"{label} must be {expected}, but it is '{text}'. The picture is unchanged."


CHOICES = [name for name in Request._fields if name not in ("model", "checkpoints", "saved", "window")]
CHOICES += ["contours", "relief", "show_nodes", "show_points", "show_spread", "dark"]


def chosen_state(model: str | None, models: Sequence[str], choices: Mapping[str, Any]) -> State:
    """A state that has these choices made.

    Args:
        model: The key of a model; None is the first one.
        models: Keys of models of the caller's own, which can be chosen beside the samples.
        choices: Others by their names.

    Raises:
        ChoiceError: If there is no such choice, or not with such a value.
    """
    state, known = State(), [*models, *MODELS]
    state.offer(known)
    for name, value in {"model": known[0] if model is None else model, **choices}.items():
        if name not in ("model", *CHOICES):
            raise ChoiceError("a choice", name, f"one of {', '.join(CHOICES)}")
        try:
            setattr(state, name, value)
        except ValueError as error:
            parameter = state.param[name]
            objects = getattr(parameter, "objects", None)
            expected = f"one of {', '.join(map(str, objects))}" if objects else parameter.doc.rstrip(".")
            raise ChoiceError(name, value, expected) from error
    return state


NUMBERS = {
    "seed": ("Seed", "", "a whole number, 0 or more"),
    "extent": ("Extent", "", "a number above 0, at most 100"),
    "tolerance": ("Tolerance", " %", "a percentage from 0 to below 100"),
}
