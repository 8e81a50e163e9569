"""One function in two forms: what a change of units does to slices and to sharpness."""

from __future__ import annotations

import copy

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

import landscape_engine as le
import sample_models
from landscape_engine.metrics import LargestCurvature, Loss
from sample_models.digits_mlp.recipe import RECIPE

from ..claim import Claim, Finding, Number

FACTOR = 10.0
FACTORS = np.array([1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0])
EXTENT = {"filter": 1.0, "none": 0.1}
SAME = "filter-normalized: largest relative difference"
OTHER = "not normalized: largest ratio of the two losses"
SHARPER, SLOPE = "largest eigenvalue, rescaled to trained", "its growth: power of the factor, from 10 to 100"


def rescaled(model: nn.Module, factor: float) -> nn.Module:
    """The same function: the hidden layer's weights and biases times the factor, the output weights by it."""
    other = copy.deepcopy(model)
    weight, bias, outer, _ = other.parameters()
    with torch.no_grad():
        weight.mul_(factor)
        bias.mul_(factor)
        outer.div_(factor)
    return other


def run() -> Finding:
    """Slice both forms along the same random directions, and find their sharpness."""
    sample = sample_models.load("digits_mlp")
    model = RECIPE.at(sample.trajectory[-1]).double()  # so that rounding decides nothing
    inputs, targets = sample.train
    loss = Loss(RECIPE.loss_function, inputs.double(), targets)
    forms = (model, rescaled(model, FACTOR))
    lines, planes = {}, {}
    for kind, extent in EXTENT.items():
        lines[kind] = [le.random_line(m, loss, steps=81, normalization=kind, extent=extent) for m in forms]
        surfaces = [le.random_plane(m, loss, steps=17, normalization=kind, extent=extent) for m in forms]
        planes[kind] = np.asarray(surfaces[1]) / np.asarray(surfaces[0])
    sharp = [le.point(rescaled(model, f), LargestCurvature(loss, tolerance=1e-4)) for f in FACTORS]
    last = FACTORS >= FACTOR
    values = {
        SAME: float(np.abs(planes["filter"] - 1).max()),
        OTHER: float(np.exp(np.abs(np.log(planes["none"])).max())),
        SHARPER: sharp[list(FACTORS).index(FACTOR)] / sharp[0],
        SLOPE: float(np.polyfit(np.log(FACTORS[last]), np.log(np.array(sharp)[last]), 1)[0]),
    }
    figure = Figure(figsize=(7.2, 2.9))
    left, middle, right = figure.subplots(1, 3)
    for axes, (kind, title) in zip(
        (left, middle), (("none", "Not normalized"), ("filter", "Filter-normalized")), strict=True
    ):
        for line, label, style in zip(lines[kind], ("as trained", "rescaled"), ("-", (0, (4, 3))), strict=True):
            axes.plot(line["alpha"], line, label=label, linestyle=style)
        axes.set(title=title, xlabel="α", yscale="log")
    left.set_ylabel("Training loss, nats")
    left.legend(loc="upper center")
    right.loglog(FACTORS, sharp, "o-")
    right.set(title="Largest eigenvalue", xlabel="factor of the rescaling")
    texts = (f"{factor:g}: {value:.4g}" for factor, value in zip(FACTORS, sharp, strict=True))
    return Finding(values, figure, f"Largest eigenvalue at the factors {', '.join(texts)}.")


CLAIM = Claim(
    name="rescaling",
    title="Sharpness depends on units; a filter-normalized slice does not",
    says="Rescaling the layers of a ReLU network leaves its function as it is, makes the Hessian's largest eigenvalue "
    "as large as one likes, changes a plain random slice, and leaves a filter-normalized one alone.",
    source="Dinh et al. 2017, Sharp Minima Can Generalize for Deep Nets, section 3 and theorem 4 "
    "([1703.04933](https://arxiv.org/abs/1703.04933)); Li et al. 2018, Visualizing the Loss Landscape of Neural Nets, "
    "section 4 ([1712.09913](https://arxiv.org/abs/1712.09913))",
    done="`digits_mlp` and the same function with the hidden layer's weights and biases times ten and the output "
    "weights divided by ten, in float64. Both on the random plane of one seed (17 x 17 nodes), filter-normalized with "
    "extent 1 and not normalized with extent 0.1; `LargestCurvature` at factors from 1 to 100.",
    numbers=(
        Number(SAME, most=1e-5, form=".1e"),
        Number(OTHER, least=10),
        Number(SHARPER, least=10),
        Number(SLOPE, least=1.9, most=2.1),
    ),
    discussion="The slice is the same to rounding because the direction is scaled with the filters. The sharpness is "
    "not: from a factor of 10 on the largest eigenvalue grows with its square, as the block of the output "
    "weights does, and no bound is in sight, while the function and its test error stay as they are. So "
    "neither a flat picture without normalization nor a small eigenvalue alone says that a solution is "
    "good. Filter normalization removes the scales of whole filters and nothing else; two different "
    "functions are still compared at the mercy of what their filters' norms mean.",
    caption="One random line through both forms, without normalization and with it (there the two curves are one), and "
    "the largest Hessian eigenvalue of ever more rescaled forms of one function.",
    run=run,
    quick=True,
)
