# mypy: disable-error-code="no-untyped-def,no-any-return"
"""Numba kernels of the simulation: random numbers by key, and draws by inverse distribution function.

A random number is a hash of (seed, period, customer, draw). It does not depend on the order of evaluation,
on the number of threads, or on which other customers are simulated, and two worlds with the same keys meet
the same luck.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy import ndarray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_A = np.uint64(0xBF58476D1CE4E5B9)
_B = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_SCALE = 1.0 / 9007199254740992.0  # 2^-53


@njit(cache=True)
def _mix(z: np.uint64) -> np.uint64:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014)."""
    z = (z ^ (z >> _S30)) * _A
    z = (z ^ (z >> _S27)) * _B
    return z ^ (z >> _S31)


@njit(cache=True)
def _key(seed: np.uint64, period: np.uint64, customer: np.uint64, draw: np.uint64) -> float:
    z = _mix(seed + _GOLDEN)
    z = _mix((z ^ period) + _GOLDEN)
    z = _mix((z ^ customer) + _GOLDEN)
    z = _mix((z ^ draw) + _GOLDEN)
    return (np.float64(z >> _S11) + 0.5) * _SCALE


@njit(cache=True, parallel=False)
def _uniform(seed, period, customer, draw, out):
    for i in range(len(out)):
        out[i] = _key(np.uint64(seed), np.uint64(period), np.uint64(customer[i]), np.uint64(draw[i]))


def uniform(seed: int, period: int, customer: ndarray, draw: ndarray) -> ndarray:
    """Uniform numbers in (0, 1) by key.

    Args:
        seed: of the run, >= 0.
        period: for example the week, >= 0.
        customer: integers [n], >= 0.
        draw: which draw of this customer and period, integers [n], >= 0; must be unique per use.

    >>> uniform(1, 41, np.array([7]), np.array([0])) == uniform(1, 41, np.array([3, 7]), np.array([0, 0]))[1]
    array([ True])
    """
    customer, draw = np.broadcast_arrays(np.asarray(customer, np.int64), np.asarray(draw, np.int64))
    out = np.empty(len(customer))
    _uniform(seed, period, customer, draw, out)
    return out


def uniform_twin(seed: int, period: int, customer: ndarray, draw: ndarray) -> ndarray:
    """The same numbers as `uniform` in plain numpy."""

    def mix(z: ndarray) -> ndarray:
        z = (z ^ (z >> _S30)) * _A
        z = (z ^ (z >> _S27)) * _B
        return z ^ (z >> _S31)

    with np.errstate(over="ignore"):
        z = mix(np.full(len(customer), seed, np.uint64) + _GOLDEN)
        for part in (np.full(len(customer), period), customer, draw):
            z = mix((z ^ np.asarray(part).astype(np.uint64)) + _GOLDEN)
    return (np.asarray(z >> _S11).astype(np.float64) + 0.5) * _SCALE


@njit(cache=True, parallel=True)
def _choose(probability, u, out):
    n, J = probability.shape
    for i in prange(n):
        total = 0.0
        for j in range(J):
            total += probability[i, j]
        goal = u[i] * total
        run = 0.0
        pick = -1
        for j in range(J):
            if probability[i, j] > 0:
                run += probability[i, j]
                pick = j
                if run > goal:
                    break
        out[i] = pick


def choose(probability: ndarray, u: ndarray) -> ndarray:
    """The alternative of each row by inverse distribution function; -1 where a row has no positive
    probability.

    Args:
        probability: [n, alternative], >= 0, rows need not sum to one.
        u: uniform numbers [n].

    >>> choose(np.array([[0.0, 0.25, 0.75]] * 2), np.array([0.2, 0.3]))
    array([1, 2], dtype=int32)
    """
    out = np.empty(len(probability), np.int32)
    _choose(np.ascontiguousarray(probability, np.float64), np.asarray(u, np.float64), out)
    return out


def choose_twin(probability: ndarray, u: ndarray) -> ndarray:
    """The same picks as `choose` in plain numpy."""
    run = np.cumsum(np.asarray(probability, np.float64), axis=1)
    pick = (run <= (u * run[:, -1])[:, None]).sum(1)
    last = probability.shape[1] - 1 - (probability[:, ::-1] > 0).argmax(1)
    return np.where(run[:, -1] > 0, np.minimum(pick, last), -1).astype(np.int32)


@njit(cache=True)
def _shifted_poisson(mean, u, out):
    for i in range(len(mean)):
        rate = max(mean[i] - 1.0, 0.0)
        p = np.exp(-rate)
        run, k = p, 0
        while u[i] > run and k < 200:
            k += 1
            p *= rate / k
            run += p
        out[i] = 1 + k


def draw_units(mean: ndarray, u: ndarray) -> ndarray:
    """Units 1, 2, ... from 1 + Poisson(mean - 1) by inverse distribution function.

    >>> draw_units(np.array([1.0, 2.0]), np.array([0.99, 0.5]))
    array([1, 2], dtype=int32)
    """
    out = np.empty(len(mean), np.int32)
    _shifted_poisson(np.asarray(mean, np.float64), np.asarray(u, np.float64), out)
    return out


@njit(cache=True)
def _systematic(weight, u, count):
    total = weight.sum()
    out = np.empty(count, np.int64)
    step = total / count
    goal = u * step
    run = 0.0
    k = 0
    for i in range(len(weight)):
        run += weight[i]
        while k < count and goal < run:
            out[k] = i
            k += 1
            goal += step
    while k < count:
        out[k] = len(weight) - 1
        k += 1
    return out


def sample_systematic(weight: ndarray, u: float, count: int) -> ndarray:
    """`count` rows drawn systematically with probability proportional to `weight` (each stands for total /
    count).

    Less noise than independent draws: a row of weight w is drawn floor or ceil(w count / total) times.

    >>> sample_systematic(np.array([1.0, 0.0, 3.0]), 0.5, 4)
    array([0, 2, 2, 2])
    """
    return np.asarray(_systematic(np.asarray(weight, np.float64), float(u), int(count)))
