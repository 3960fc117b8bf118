# mypy: disable-error-code="no-untyped-def,no-any-return"
"""Numba kernels of one trip's luck in a what-if: random numbers by key, what it takes, and how much."""

from __future__ import annotations

import numpy as np
from numba import njit

from malles.population.kernels import _GOLDEN, _S11, _SCALE, _mix


@njit(inline="always")
def number(occasion_key, use):
    """The random number of one use, in (0, 1): that of `malles.population.kernels`, keyed by draw and row."""
    return (np.float64(_mix((occasion_key ^ np.uint64(use)) + _GOLDEN) >> _S11) + 0.5) * _SCALE


@njit(inline="always")
def pick(weight, total, u):
    """The alternative at u of the distribution function; -1 if there is none."""
    goal, run, found = u * total, 0.0, -1
    for j in range(len(weight)):
        if weight[j] > 0:
            run += weight[j]
            found = j
            if run > goal:
                break
    return found


@njit(inline="always")
def pick_what_is_left(weight, u, place, left):
    """The alternative at u among those that are not sold out; -1 if there is none."""
    total, run, found = 0.0, 0.0, -1
    for j in range(len(weight)):
        if left[place[j]] != 0:
            total += weight[j]
    goal = u * total
    for j in range(len(weight)):
        if weight[j] > 0 and left[place[j]] != 0:
            run += weight[j]
            found = j
            if run > goal:
                break
    return found


@njit(inline="always")
def count_units(mean, u):
    """Units 1, 2, ... of 1 + Poisson(mean - 1)."""
    rate = max(mean - 1.0, 0.0)
    if u < 1.0 - rate:  # below exp(-rate)
        return 1
    p = np.exp(-rate)
    run, k = p, 0
    while u > run and k < 200:
        k += 1
        p *= rate / k
        run += p
    return 1 + k
