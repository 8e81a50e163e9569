"""What the page can measure: how each quantity is called, drawn and explained."""

from __future__ import annotations

from typing import NamedTuple


class Measure(NamedTuple):
    """A quantity that can be drawn.

    Attributes:
        label: In the list of choices.
        title: On axes and cards.
        short: Beside the color bar, where there is little room; the title by default.
        help: A line that says what it tells.
        units: Of its values, or "".
        log: Whether it is positive, so that a logarithmic scale is offered.
        each: The profile is exact at each of so many quarters between two checkpoints: 1 where it is cheap, 4 where
            only the checkpoints are evaluated.
        noisy: Whether it is sampled, so that its standard error is drawn.
        rough: Whether it is no smooth function of the place, so that all nodes are computed.
        family: Quantities of one family are found together.
        high_is_better: Whether the best node is the highest.
        own: Whether models have it of their own; else it derives from their loss.
        tolerance: Usual largest error of its picture, in percent of the range.
    """

    label: str
    title: str
    help: str
    units: str = ""
    short: str = ""
    log: bool = False
    each: int = 1
    noisy: bool = False
    rough: bool = False
    family: str = ""
    high_is_better: bool = False
    own: bool = False
    tolerance: float = 0.5

    @property
    def brief(self) -> str:
        """The title where there is little room."""
        return self.short or self.title

    def of(self, data: str) -> str:
        """What is measured, on which data if they have a name: "training loss", "gradient norm, training loss"."""
        return f"{data} {self.noun}".strip() if self.own else f"{self.noun}, {f'{data} loss'.strip()}"

    @property
    def noun(self) -> str:
        """The title inside a sentence."""
        return self.title[:1].lower() + self.title[1:]


ROUGH = 2.0  # where single examples or kinks make a surface rough, half a percent takes nearly every node
CURVATURE = "It needs a dozen Hessian-vector products or more at each node: take a low resolution first"
MEASURES = {
    "loss": Measure("Cross-entropy loss", "Loss", "Low is better. Mean, in nats", "nats", log=True, own=True),
    "accuracy": Measure(
        "Accuracy",
        "Accuracy",
        "High is better. Share of examples classified correctly",
        high_is_better=True,
        own=True,
        tolerance=ROUGH,
    ),
    "return": Measure(
        "Expected return",
        "Return",
        "High is better. Mean over episodes of fixed seeds",
        noisy=True,
        rough=True,
        high_is_better=True,
        own=True,
    ),
    "regularized_loss": Measure(
        "Loss with weight decay", "Regularized loss", "What training has minimized", "nats", "Loss", log=True
    ),
    "gradient_norm": Measure(
        "Gradient norm",
        "Gradient norm",
        "How steep the loss is in the whole space. A slice may be flat where this is not 0",
        short="‖∇L‖",
        log=True,
    ),
    "lambda_max": Measure(
        "Largest curvature, λ max",
        "Largest curvature",
        f"Largest eigenvalue of the Hessian, in the whole space. {CURVATURE}",
        short="λ max",
        each=4,
        family="extremes",
        tolerance=ROUGH,
    ),
    "lambda_min": Measure(
        "Smallest curvature, λ min",
        "Smallest curvature",
        f"Smallest eigenvalue of the Hessian: negative where the loss is not convex. {CURVATURE}",
        short="λ min",
        each=4,
        family="extremes",
        tolerance=ROUGH,
    ),
    "convexity_ratio": Measure(
        "Convexity, |λ min / λ max|",
        "|λ min / λ max|",
        f"Near 0 the valley is as convex as it looks; large, the slice hides negative curvature. {CURVATURE}",
        short="Ratio",
        log=True,
        each=4,
        family="extremes",
        tolerance=ROUGH,
    ),
    "hessian_trace": Measure(
        "Trace of the Hessian",
        "Trace",
        "Sum of all curvatures, estimated from random probes that are the same at every node",
        each=4,
        noisy=True,
    ),
    "curvature_positivity": Measure(
        "Positive share of the curvature",
        "Positive curvature",
        "Sum of the positive eigenvalues of the Hessian as a share of all their sizes: 1 where the loss curves up "
        "whichever way. Estimated from 160 Hessian-vector products at each node: take a low resolution first",
        short="Positive",
        each=4,
        noisy=True,
        tolerance=ROUGH,
    ),
    "hessian_index": Measure(
        "Index of the Hessian",
        "Index of the Hessian",
        "In how many independent directions the loss curves down: 0 at a minimum, more at a saddle point. For small "
        "networks only: all eigenvalues of the Hessian are computed at every node, so look along a line first",
        short="Index",
        each=4,
        rough=True,
    ),
    "gradient_predictiveness": Measure(
        "Gradient predictiveness",
        "Gradient predictiveness",
        "How far the gradient changes over a step of 0.05 down its own direction: small where it tells what comes next",
        short="‖Δ∇L‖",
        log=True,
        tolerance=ROUGH,
    ),
    "beta_smoothness": Measure(
        "Beta-smoothness",
        "Beta-smoothness",
        "Change of the gradient per distance, over a step of 0.05 down its own direction: how curved the loss is where "
        "training would go",
        short="β-smooth.",
        log=True,
        tolerance=ROUGH,
    ),
    "sam_sharpness": Measure(
        "Sharpness (SAM)", "Sharpness", "How far the loss rises within a distance of 0.05, to first order", "nats"
    ),
    "adaptive_sharpness": Measure(
        "Adaptive sharpness (ASAM)",
        "Adaptive sharpness",
        "How far the loss rises when weights change by a share of their size; rescaled units leave it alone",
        "nats",
        "Sharpness",
    ),
    "keskar_sharpness": Measure(
        "Sharpness (Keskar)",
        "Sharpness",
        "Largest rise of the loss in a small box, in percent of 1 + loss",
        "%",
        each=4,
    ),
}
SUPERVISED = [key for key in MEASURES if key != "return"]
