"""Compiled loops: gradient, Hessian diagonal and loss of the conditional softmax over flat rows."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy import ndarray


@njit(cache=True, nogil=True)
def softmax_derivatives(
    score: ndarray, start: ndarray, target: ndarray, gradient: ndarray, hessian: ndarray
) -> None:
    """Per row: P - 1{chosen} and P (1 - P), with P the softmax within each slate's rows."""
    for i in range(len(start) - 1):
        a, b = start[i], start[i + 1]
        top = -np.inf
        for r in range(a, b):
            top = max(top, score[r])
        total = 0.0
        for r in range(a, b):
            gradient[r] = math.exp(score[r] - top)
            total += gradient[r]
        for r in range(a, b):
            p = gradient[r] / total
            gradient[r] = p - target[r]
            hessian[r] = max(p * (1.0 - p), 1e-6)


@njit(cache=True, nogil=True)
def softmax_loss(score: ndarray, start: ndarray, target: ndarray) -> float:
    """Mean negative log-probability of the chosen row of each slate."""
    loss = 0.0
    for i in range(len(start) - 1):
        a, b = start[i], start[i + 1]
        top = -np.inf
        for r in range(a, b):
            top = max(top, score[r])
        total = 0.0
        chosen = 0.0
        for r in range(a, b):
            total += math.exp(score[r] - top)
            chosen += target[r] * (score[r] - top)
        loss += math.log(total) - chosen
    return loss / max(len(start) - 1, 1)
