"""What curvature costs: `pip install PyHessian==0.1`, then `python benchmarks/curvature.py`.

For two networks: a Hessian-vector product in units of a gradient; then the largest and the smallest eigenvalue to 0.1 %
and the trace of 32 probes, in units of the time in which PyHessian finds the eigenvalue of largest absolute value, and
its trace. Medians of five runs, one thread, one process.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pyhessian import hessian as PyHessian
from torch import nn

import landscape_engine as le
import sample_models
from landscape_engine.metrics import GradientNorm, HessianTrace, LargestCurvature, Loss, Metric, PrincipalCurvatures

RUNS = 5


def seconds(function: Callable[[], Any]) -> tuple[float, Any]:
    """The median time of a call, and what the last one gave."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        found = function()
        times.append(time.perf_counter() - start)
    return statistics.median(times), found


def report(name: str) -> None:
    """Print what the curvature of a sample model costs."""
    sample = sample_models.load(name)
    loss, model = Loss(sample.loss_function, *sample.train), le.wrap_model(sample.model)

    def at_a_new_point(metric: Metric) -> Callable[[], Any]:
        return lambda: metric(model.at(model.parameters))

    gradient, _ = seconds(at_a_new_point(GradientNorm(loss)))
    operator = LargestCurvature(loss).operator(model)
    vector = torch.randn(operator.size, dtype=torch.float64)
    operator @ vector
    product, _ = seconds(lambda: operator @ vector)
    print(f"{name}: a product takes {product / gradient:.2f} gradients ({1e3 * gradient:.1f} ms)")

    peer = PyHessian(sample.model, nn.CrossEntropyLoss(), data=tuple(sample.train), cuda=False)
    ends = PrincipalCurvatures(loss, 1, tolerance=1e-3)
    pairs = {
        "both extreme eigenvalues": (at_a_new_point(ends), lambda: peer.eigenvalues(top_n=1, tol=1e-3)[0]),
        "the trace": (at_a_new_point(HessianTrace(loss)), lambda: [statistics.fmean(peer.trace(maxIter=32, tol=0))]),
    }
    for what, (ours, theirs) in pairs.items():
        (own, values), (other, peers) = seconds(ours), seconds(theirs)
        found = [", ".join(f"{v:.4g}" for v in np.atleast_1d(several)) for several in (values, peers)]
        print(f"{name}: {what}, {found[0]}, in {own / other:.2f} of the time in which PyHessian finds {found[1]}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for each in ("digits_mlp", "digits_cnn"):
        report(each)
