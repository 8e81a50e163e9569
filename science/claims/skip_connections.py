"""Deep networks with and without skip connections."""

from __future__ import annotations

from functools import partial

import matplotlib.ticker as ticker
import numpy as np
import xarray as xr
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from torch import Tensor, nn

import landscape_engine as le
from sample_models.data import DIGITS
from sample_models.training import Supervised

from ..claim import Claim, Finding, Number

LAYERS, WIDTH = 24, 48
SEEDS, PLANES = range(3), range(2)
RATIO, WORST, LOSS, NODES = (
    "largest loss without skips to with them, geometric mean",
    "the same, smallest of the seeds",
    "largest training loss of a trained network",
    "nodes computed without skips to with them",
)


class Layer(nn.Module):
    """A linear layer and ReLU, with or without a way around them."""

    def __init__(self, skip: bool) -> None:
        super().__init__()
        self.linear, self.skip = nn.Linear(WIDTH, WIDTH), skip
        gain = 2**0.5 * (LAYERS**-0.5 if skip else 1)  # so that signals neither grow nor fade with depth
        nn.init.orthogonal_(self.linear.weight, gain)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """The next signal."""
        y = self.linear(x).relu()
        return x + y if self.skip else y


def build(skip: bool) -> nn.Module:
    """The untrained network, without batch norm."""
    middle = (Layer(skip) for _ in range(LAYERS - 2))
    return nn.Sequential(nn.Linear(64, WIDTH), nn.ReLU(), *middle, nn.Linear(WIDTH, 10))


def landscapes(skip: bool, seed: int) -> tuple[float, list[xr.DataArray], int]:
    """The training loss, its surface on random planes (NaN where it was not computed), and how many nodes it took."""
    name = "with skips" if skip else "without"
    recipe = Supervised(name, name, partial(build, skip), DIGITS, seed, epochs=60, learning_rate=0.003)
    model, (loss, _) = recipe.at(recipe.train()[-1]), recipe.metrics("train")
    surfaces, count = [], 0
    for k in PLANES:
        plane = le.Plane.random(model, seed=10 * seed + k)
        *_, found = le.refine(loss, plane, resolution=33, tolerance=0.01, scale="log")
        surfaces.append(found[loss.name].where(found["evaluated"]))
        count += int(found["evaluated"].sum())
        surfaces[-1].attrs["whole"] = found[loss.name].transpose("beta", "alpha").values
    return le.point(model, loss), surfaces, count


def run() -> Finding:
    """Train both kinds from several seeds and compare the largest loss nearby."""
    found = {skip: [landscapes(skip, seed) for seed in SEEDS] for skip in (False, True)}
    tops = {skip: [float(np.mean([np.log(s.max()) for s in of[1]])) for of in found[skip]] for skip in found}
    ratios = np.exp(np.subtract(tops[False], tops[True]))
    counts = {skip: sum(of[2] for of in found[skip]) for skip in found}
    values = {
        RATIO: float(np.exp(np.log(ratios).mean())),
        WORST: float(ratios.min()),
        LOSS: max(of[0] for kind in found.values() for of in kind),
        NODES: counts[False] / counts[True],
    }
    shown = {skip: found[skip][0][1][0] for skip in found}
    levels = np.geomspace(1e-4, max(s.attrs["whole"].max() for s in shown.values()), 40)
    figure = Figure(figsize=(7.2, 3.1))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (skip, surface) in zip(panels, shown.items(), strict=True):
        high = surface.attrs["whole"].clip(levels[0])
        bands = axes.contourf(surface["alpha"], surface["beta"], high, levels, norm=LogNorm(), cmap="viridis")
        axes.set(title=f"{LAYERS} layers, {'with' if skip else 'no'} skips", xlabel="α", aspect="equal")
    panels[0].set_ylabel("β")
    figure.colorbar(bands, ax=panels, label="Training loss, nats", ticks=ticker.LogLocator(base=100))
    texts = [f"{np.exp(a):.3g} and {np.exp(b):.3g}" for a, b in zip(tops[False], tops[True], strict=True)]
    seen = f"Largest loss without and with skips, for each seed: {'; '.join(texts)} nats."
    return Finding(values, figure, seen)


CLAIM = Claim(
    name="skip_connections",
    title="Without skip connections the surroundings of a deep network are far steeper",
    says="Around a deep network without skip connections the loss on a filter-normalized random plane reaches values "
    "a thousand times as large as around one with them.",
    source="Li et al. 2018, Visualizing the Loss Landscape of Neural Nets, section 5 "
    "([1712.09913](https://arxiv.org/abs/1712.09913))",
    done=f"Two kinds of {LAYERS}-layer networks of width {WIDTH}, equal but for identity skips around the {LAYERS - 2} "
    "inner layers, no batch norm. Orthogonal initialization with gain √2, divided by the root of the depth where "
    "there are skips, which makes both trainable with one recipe: SGD with momentum 0.9, learning rate 0.003, 60 "
    "epochs. Three seeds of the training, two random planes each, extent 1, `le.refine` at 33 x 33 nodes in the "
    "logarithm; the largest computed loss.",
    numbers=(
        Number(RATIO, least=1000, form=",.0f"),
        Number(WORST, least=1000, form=",.0f"),
        Number(LOSS, form=".2f"),
        Number(NODES, form=".2f"),
    ),
    discussion="The factor is there in every seed, and a simple argument gives its size. At a corner of the plane "
    "each filter has been moved by $\\sqrt 2$ times its norm, so its norm is about $\\sqrt 3$ times what "
    "it was. Without skips these factors multiply: $\\sqrt 3^{24} \\approx 5 \\cdot 10^5$, near the "
    "largest losses. With skips a signal is mostly passed on unchanged, and the losses stay near a "
    "hundred nats. What is *not* found is chaos: both surfaces are smooth, and the refinement needs about "
    "as many nodes for one as for the other. The paper sees chaotic surfaces for convolutional networks "
    "of 56 layers. Nor are the two networks equal in all but the skips: the branches start smaller, as "
    "they must to be trainable without batch norm. Initialization, learning rate and width were found by "
    "trial, so that both kinds train to a low loss, and with this ratio in view.",
    caption="The training loss around two trained networks on the filter-normalized random plane of one seed, in one "
    "color scale.",
    run=run,
)
