"""Functions of few parameters whose minima, saddles and passes are known: as modules, and in plain NumPy."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from landscape_engine.metrics import Metric

# Müller, Brown 1979, Location of saddle points and minimum energy paths by a constrained simplex procedure.
HEIGHTS = (-200.0, -100.0, -170.0, 15.0)
FORMS = ((-1.0, 0.0, -10.0), (-1.0, 0.0, -10.0), (-6.5, 11.0, -6.5), (0.7, 0.6, 0.7))
CENTERS = ((1.0, 0.0), (0.0, 0.5), (-0.5, 1.5), (-1.0, 1.0))


def mueller_brown(x, y, exp=np.exp):
    """The potential, of floats, arrays or tensors."""
    return sum(
        height * exp(a * (x - x0) ** 2 + b * (x - x0) * (y - y0) + c * (y - y0) ** 2)
        for height, (a, b, c), (x0, y0) in zip(HEIGHTS, FORMS, CENTERS, strict=True)
    )


def newton(x, y, h=1e-4):
    """The critical point near a place, by Newton's method on central differences of NumPy's long double."""
    z = np.array([x, y], dtype=np.longdouble)
    unit = np.eye(2, dtype=np.longdouble) * h
    for _ in range(30):
        at = {(i, j): mueller_brown(*(z + i * unit[0] + j * unit[1])) for i in (-1, 0, 1) for j in (-1, 0, 1)}
        slope = np.array([at[1, 0] - at[-1, 0], at[0, 1] - at[0, -1]]) / (2 * h)
        bend = np.array([at[1, 0] - 2 * at[0, 0] + at[-1, 0], at[0, 1] - 2 * at[0, 0] + at[0, -1]]) / h**2
        mixed = (at[1, 1] - at[1, -1] - at[-1, 1] + at[-1, -1]) / (4 * h * h)
        determinant = bend[0] * bend[1] - mixed * mixed
        z = z - np.array([bend[1] * slope[0] - mixed * slope[1], bend[0] * slope[1] - mixed * slope[0]]) / determinant
    return float(z[0]), float(z[1])


MINIMA = ((-0.558224, 1.441726), (0.623499, 0.028038), (-0.050011, 0.466694))
SADDLES = ((-0.822002, 0.624313), (0.212487, 0.292988))


class Place(nn.Module):
    """A point of the plane as a model without inputs: its output is the value of a function of x and y there."""

    def __init__(self, x, y, function=lambda x, y: mueller_brown(x, y, torch.exp)):
        super().__init__()
        self.place = nn.Parameter(torch.tensor([x, y], dtype=torch.float64))
        self.function = function

    def forward(self):
        return self.function(*self.place)


class Height(Metric):
    """The value of the function."""

    name = "height"

    def __call__(self, model_wrapper):
        return model_wrapper.forward()
