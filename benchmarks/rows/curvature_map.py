"""Hessian-vector products of a curvature map, beside ARPACK started anew at each node for either end.

Both find the largest and the smallest eigenvalue of the Hessian at every node of the same plane, and products are
counted, so that the ratio depends on no clock. ARPACK's tolerance is a fraction of each eigenvalue, the engine's one of
the larger: the note says how far, as a fraction of the larger, the values of both are from those of a much smaller
tolerance.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

import landscape_engine as le
import sample_models
from landscape_engine.evaluation import evaluate
from landscape_engine.hessian import HessianOperator, Operator, eigenpairs
from landscape_engine.metrics import LargestCurvature, Loss, SmallestCurvature

from ..measure import Row

STEPS, TOLERANCE, PRECISE = 11, 1e-2, 1e-4
WANTED = {"digits_mlp": 5.0, "two_seeds": 5.0, "spirals_mlp": 5.0}
PEER = "two cold `scipy.sparse.linalg.eigsh` a node, 'LA' and 'SA'"

Array = NDArray[np.float64]


def rows(device: str) -> Iterator[Row]:
    """The ratio of each network."""
    for name, wanted in WANTED.items():
        sample = sample_models.load(name)
        inputs, targets = (t.to(device) for t in sample.train)
        loss = Loss(sample.loss_function, inputs, targets)
        largest, smallest = (kind(loss, tolerance=TOLERANCE) for kind in (LargestCurvature, SmallestCurvature))
        plane = le.Plane.random(sample.model.to(device), seed=0)
        points, model = list(product(*plane.axes(STEPS))), plane.model.private_copy()
        matrices = [largest.operator(model.at(plane.state_at(point))) for point in points]

        with counted() as ours:
            found = evaluate(plane, [largest, smallest], points)
        with counted() as theirs:
            other = np.array([arpack(matrix) for matrix in matrices])
        own = np.stack([found["lambda_max"], found["lambda_min"]], axis=1)
        exact = np.array([eigenpairs(matrix, 1, 1, PRECISE).values for matrix in matrices])
        errors = [(np.abs(v - exact) / np.abs(exact).max(axis=1, keepdims=True)).max() for v in (own, other)]
        ratio = len(theirs) / len(ours)
        safe = "; ours look on until an end that lies 5 % farther out would have shown" if ratio < wanted else ""
        yield Row(
            f"{name}, {matrices[0].size:,} parameters: both ends at {STEPS} x {STEPS} nodes, tolerance {TOLERANCE:g}",
            PEER,
            ratio,
            wanted,
            note=f"{len(ours) / len(points):.1f} products a node, {len(theirs) / len(points):.1f} there; "
            f"largest errors {100 * errors[0]:.2g} % and {100 * errors[1]:.2g} %{safe}",
        )


@contextmanager
def counted() -> Iterator[list[None]]:
    """A list that grows by one with each product."""
    found: list[None] = []
    plain = HessianOperator.__matmul__

    def times(self: HessianOperator, vector: Tensor) -> Tensor:
        found.append(None)
        return plain(self, vector)

    with patch.object(HessianOperator, "__matmul__", times):
        yield found


def arpack(operator: Operator) -> Array:
    """Both ends by ARPACK, each from a random vector."""
    n, random = operator.size, np.random.default_rng(0)

    def times(vector: Array) -> Array:
        found: Array = (operator @ torch.from_numpy(vector.reshape(-1)).to(operator.device)).cpu().numpy()
        return found

    matrix = LinearOperator((n, n), matvec=times, dtype=np.float64)

    def end(which: str) -> float:
        start = random.standard_normal(n)
        return float(eigsh(matrix, 1, which=which, tol=TOLERANCE, v0=start, return_eigenvectors=False)[0])

    return np.array([end("LA"), end("SA")])
