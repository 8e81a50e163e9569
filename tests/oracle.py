"""Known answers in plain float64 loops, point by point. It imports nothing of the engine."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


def as_arrays(tensors):
    """Tensors by name as float64 arrays."""
    return {name: np.array(t.detach().double().cpu().numpy()) for name, t in tensors.items()}


def flat(tensors):
    """Tensors by name as one float64 vector, in alphabetical order."""
    return np.concatenate([v.reshape(-1) for _, v in sorted(as_arrays(tensors).items())])


def norm(tensors):
    """The Euclidean length of tensors by name."""
    return float(np.sqrt((flat(tensors) ** 2).sum()))


def point(origin, directions, coordinates):
    """The point origin + sum of coordinate times direction."""
    return {n: v + sum(c * d[n] for c, d in zip(coordinates, directions, strict=True)) for n, v in origin.items()}


def plane_values(origin, d1, d2, alphas, betas, function):
    """The function at every node of a plane, alpha along dimension 0, beta along dimension 1."""
    values = np.empty((len(alphas), len(betas)))
    for i, a in enumerate(alphas):
        for j, b in enumerate(betas):
            values[i, j] = function(point(origin, (d1, d2), (a, b)))
    return values


def least_squares(theta, x, y):
    """The mean of (x_i . theta - y_i)^2."""
    return sum((float(row @ theta) - float(target)) ** 2 for row, target in zip(x, y, strict=True)) / len(x)


def least_squares_gradient(theta, x, y):
    """2 X^T (X theta - y) / n."""
    return 2 * x.T @ (x @ theta - y) / len(x)


def least_squares_hessian(x):
    """2 X^T X / n."""
    return 2 * x.T @ x / len(x)


def bowl(theta):
    """An isotropic bowl: the squared length of theta."""
    return float(sum((v**2).sum() for v in theta.values()))


def mlp_logits(theta, x):
    """Linear, ReLU, Linear, under the names of a torch.nn.Sequential."""
    hidden = np.maximum(x @ theta["0.weight"].T + theta["0.bias"], 0)
    return hidden @ theta["2.weight"].T + theta["2.bias"]


def cross_entropies(logits, y):
    """log sum exp z - z_y of each example."""
    return np.array([z.max() + np.log(np.exp(z - z.max()).sum()) - z[k] for z, k in zip(logits, y, strict=True)])


def accuracy(logits, y):
    """The share of examples whose largest logit is that of their class."""
    return sum(int(np.argmax(z)) == int(target) for z, target in zip(logits, y, strict=True)) / len(y)


def ratio_standard_error(s, w):
    """Standard error of sum(s) / sum(w) over examples (Cochran 1977, section 6.3)."""
    n, r = len(s), s.sum() / w.sum()
    return float(np.sqrt(n / (n - 1) * ((s - r * w) ** 2).sum()) / w.sum())


def derivatives(module, loss):
    """Value, gradient and dense Hessian of loss(module) by the module's parameters, in float64, row by row.

    The parameters are in the order of ``module.named_parameters()``. Attention is computed step by step, since its
    fused form cannot be differentiated twice.
    """
    weights = list(module.requires_grad_().parameters())
    with sdpa_kernel(SDPBackend.MATH):
        value = loss(module)
    first = torch.autograd.grad(value, weights, create_graph=True, allow_unused=True, materialize_grads=True)
    gradient = torch.cat([g.reshape(-1) for g in first])
    rows = [
        torch.autograd.grad(g, weights, retain_graph=True, allow_unused=True, materialize_grads=True)
        if g.requires_grad
        else [torch.zeros_like(w) for w in weights]
        for g in gradient
    ]
    hessian = np.array([torch.cat([r.reshape(-1) for r in row]).double().numpy() for row in rows])
    return value.item(), gradient.detach().double().numpy(), hessian


def gauss_newton(module, x, y):
    """J^T (diag p - p p^T) J / n, for the cross entropy of a module's logits."""
    weights, n = list(module.requires_grad_().parameters()), len(x)
    with sdpa_kernel(SDPBackend.MATH):
        scores = module(x)
    total = 0.0
    for row in scores:
        slopes = [
            torch.autograd.grad(z, weights, retain_graph=True, allow_unused=True, materialize_grads=True) for z in row
        ]
        jacobian = np.array([torch.cat([g.reshape(-1) for g in slope]).numpy() for slope in slopes])
        p = torch.softmax(row, 0).detach().numpy()
        total = total + jacobian.T @ (np.diag(p) - np.outer(p, p)) @ jacobian
    return total / n
