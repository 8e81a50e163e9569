"""Derivatives of a scalar function of parameters: its gradient, and its Hessian by products with vectors.

A network's Hessian has as many rows as the network has parameters, so it is never formed unless it is small: products
:math:`H v`, two to four times as dear as a gradient, are enough for its extreme eigenvalues (Lanczos), its trace
(Hutchinson) and the density of its eigenvalues (stochastic Lanczos quadrature).
"""

from .lanczos import Eigenpairs
from .objective import Objective, Part
from .operators import OPERATORS, GaussNewtonOperator, HessianOperator, Operator
from .spectrum import COUNTED, Density, Sampled, dense, density, eigenpairs, eigenvalues, index, trace

__all__ = [
    "COUNTED",
    "OPERATORS",
    "Density",
    "Eigenpairs",
    "GaussNewtonOperator",
    "HessianOperator",
    "Objective",
    "Operator",
    "Part",
    "Sampled",
    "dense",
    "density",
    "eigenpairs",
    "eigenvalues",
    "index",
    "trace",
]
