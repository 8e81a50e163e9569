"""Known answers in plain float64 loops, point by point. It imports nothing of the engine."""

from __future__ import annotations

import copy

import numpy as np
import torch
import torch.nn.functional as F
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


def measures(network, inputs, targets, weight_decay, step=0.05):
    """What the page measures of a classifier, from its dense derivatives: by name a value, and how far off it may be.

    The tolerance is None where the page's value is an estimate that has a standard error. ``step`` is the radius of the
    ball of sharpness and the length of the step along the gradient.
    """
    network, inputs = copy.deepcopy(network).double(), inputs.double()
    start = torch.nn.utils.parameters_to_vector(network.parameters()).detach()

    def at(move):
        torch.nn.utils.vector_to_parameters(start + torch.as_tensor(move), network.parameters())
        return derivatives(network, lambda m: F.cross_entropy(m(inputs), targets))

    value, gradient, hessian = at(0.0)
    accuracy = float((network(inputs).argmax(1) == targets).double().mean())
    eigenvalues, length, weights = np.linalg.eigvalsh(hessian), np.linalg.norm(gradient), np.abs(start.numpy())
    low, high = eigenvalues[[0, -1]]
    change = np.linalg.norm(at(-step * gradient / length)[1] - gradient)
    rise = at(step * gradient / length)[0] - value
    adaptive = at(0.5 * weights**2 * gradient / np.linalg.norm(weights * gradient))[0] - value
    box = 100 * 1e-3 * (np.abs(gradient) @ (weights + 1)) / (1 + value)  # to first order
    return {
        "loss": (value, 1e-5),
        "accuracy": (accuracy, 1e-9),
        "regularized_loss": (value + weight_decay / 2 * weights @ weights, 1e-5),
        "gradient_norm": (length, 1e-4),
        "lambda_max": (high, 2e-3 * high),
        "lambda_min": (low, 2e-3 * high),
        "convexity_ratio": (abs(low / high), 2e-3),
        "hessian_trace": (eigenvalues.sum(), None),
        "curvature_positivity": (eigenvalues[eigenvalues > 0].sum() / np.abs(eigenvalues).sum(), None),
        "hessian_index": ((eigenvalues < -2.5e-5 * high).sum(), 3),  # of a few float32 cannot tell the sign
        "gradient_predictiveness": (change, 1e-3 * change),
        "beta_smoothness": (change / step, 1e-3 * change / step),
        "sam_sharpness": (rise, 1e-5),
        "adaptive_sharpness": (adaptive, 1e-4),
        "keskar_sharpness": (box, 0.3 * box),
    }
