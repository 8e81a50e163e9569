"""Known answers by plain float64 loops, without the engine."""

from __future__ import annotations

import numpy as np


def mlp_logits(weights, inputs):
    """Logits of a ReLU network of one hidden layer; weights are (W1, b1, W2, b2)."""
    w1, b1, w2, b2 = weights
    return np.maximum(inputs @ w1.T + b1, 0) @ w2.T + b2


def cross_entropies(logits, targets):
    """-log softmax at the target, one value an example."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(targets)), targets]


def plane_values(origin, first, second, alphas, betas, function):
    """function(origin + a first + b second) at each (a, b), by a double loop; arguments are lists of arrays."""
    values = np.empty((len(alphas), len(betas)))
    for i, a in enumerate(alphas):
        for j, b in enumerate(betas):
            point = [o + a * d + b * e for o, d, e in zip(origin, first, second, strict=True)]
            values[i, j] = function(point)
    return values


def least_squares(weight, inputs, targets):
    """Mean squared residual of a linear model, its gradient and its Hessian 2 X^T X / n."""
    residual = inputs @ weight - targets
    n = len(targets)
    return residual @ residual / n, 2 * inputs.T @ residual / n, 2 * inputs.T @ inputs / n
