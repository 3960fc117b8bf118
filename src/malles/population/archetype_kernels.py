# mypy: disable-error-code="no-untyped-def,no-any-return"
"""The archetype round: every customer draws its own choice from its archetype's distribution.

    plain   pick = smallest j with  sum of P[a, k] over k <= j  >  u
    tilted  the same with weights   P[a, j] exp(sum over k of taste[k] x[j, k])

u is the number with key (seed, period, customer, draw) of `malles.population.kernels.uniform`, so the picks
do not depend on how customers are cut into shards. The exponential of the tilt is a polynomial in float32
(relative error below 3e-7): it fills the lanes of any processor, and numpy gives the same bits.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy import ndarray

from malles.errors import DataError
from malles.population.kernels import _GOLDEN, _S11, _SCALE, _mix, uniform_twin

BLOCK = 256
"""Customers worked on at once; their weights stay in the first cache."""

_LOG2E = np.float32(1.4426950408889634)
_HALF = np.float32(0.5)
# 2^f for f in [-0.5, 0.5]: Taylor coefficients ln(2)^k / k!
_C = np.array([np.log(2.0) ** k / f for k, f in enumerate((1, 1, 2, 6, 24, 120, 720))], np.float32)
_C0, _C1, _C2, _C3, _C4, _C5, _C6 = (np.float32(c) for c in _C)
_LEAST, _MOST = np.float32(-80.0), np.float32(80.0)


@njit(cache=True)
def _draw(cumulative, last, code, seed, period, first, draw, out, count):
    J = cumulative.shape[1]
    z = _mix(np.uint64(seed) + _GOLDEN)
    prefix = _mix((z ^ np.uint64(period)) + _GOLDEN)
    for i in range(len(code)):
        z = _mix((prefix ^ np.uint64(first + i)) + _GOLDEN)
        z = _mix((z ^ np.uint64(draw)) + _GOLDEN)
        a = code[i]
        goal = (np.float64(z >> _S11) + 0.5) * _SCALE * cumulative[a, J - 1]
        j = 0
        while j < last[a] and cumulative[a, j] <= goal:
            j += 1
        out[i] = j
        count[a, j] += 1


@njit(cache=True)
def _weigh(logit, lift, code, taste, start, size, weight, bits, own):
    """Weights [alternative, customer of the block], and their sums in the last row."""
    J, K = lift.shape
    total = weight[J]
    for b in range(size):
        for k in range(K):
            own[k, b] = taste[start + b, k]
    for b in range(size):
        total[b] = np.float32(0)
    for j in range(J):
        row, base = weight[j], logit[j]
        for b in range(size):
            row[b] = base[code[start + b]]
        for k in range(K):
            x, mine = lift[j, k], own[k]
            for b in range(size):
                row[b] += x * mine[b]
        for b in range(size):
            t = min(max(row[b], _LEAST), _MOST) * _LOG2E
            n = np.floor(t + _HALF)
            f = t - n
            p = _C6 * f + _C5
            p = p * f + _C4
            p = p * f + _C3
            p = p * f + _C2
            p = p * f + _C1
            row[b] = p * f + _C0
            bits[b] = (np.int32(n) + np.int32(127)) << np.int32(23)
        scale = bits.view(np.float32)
        for b in range(size):
            row[b] = row[b] * scale[b]
        for b in range(size):
            total[b] += row[b]


@njit(cache=True)
def _draw_tilted(logit, there, lift, code, taste, seed, period, first, draw, out, count):
    J = lift.shape[0]
    weight = np.empty((J + 1, BLOCK), np.float32)
    bits, own = np.empty(BLOCK, np.int32), np.empty((lift.shape[1], BLOCK), np.float32)
    z = _mix(np.uint64(seed) + _GOLDEN)
    prefix = _mix((z ^ np.uint64(period)) + _GOLDEN)
    for start in range(0, len(code), BLOCK):
        size = min(BLOCK, len(code) - start)
        _weigh(logit, lift, code, taste, start, size, weight, bits, own)
        for b in range(size):
            i = start + b
            z = _mix((prefix ^ np.uint64(first + i)) + _GOLDEN)
            z = _mix((z ^ np.uint64(draw)) + _GOLDEN)
            goal = np.float32((np.float64(z >> _S11) + 0.5) * _SCALE) * weight[J, b]
            run = np.float32(0)
            pick = -1
            for j in range(J):
                run += weight[j, b]
                if there[code[i], j]:
                    pick = j
                    if run > goal:
                        break
            out[i] = pick
            count[code[i], pick] += 1


def _checked(probability: ndarray, code: ndarray) -> ndarray:
    p = np.ascontiguousarray(probability, np.float64)
    if p.ndim != 2 or not np.isfinite(p).all() or (p < 0).any() or (p.sum(1) <= 0).any():
        raise DataError(
            "an archetype has no positive probability, or a negative or infinite one; give each a "
            "distribution."
        )
    if not 1 <= p.shape[1] <= 255:
        raise DataError(f"an archetype has {p.shape[1]} alternatives; 1 to 255 can be drawn from.")
    if len(code) and (code.min() < 0 or code.max() >= len(p)):
        raise DataError(
            f"archetype codes run from {code.min()} to {code.max()}, but there are {len(p)} distributions; "
            "give one of each."
        )
    return p


def draw_by_archetype(
    probability: ndarray, code: ndarray, *, seed: int, period: int, first: int = 0, draw: int = 0
) -> tuple[ndarray, ndarray]:
    """Every customer's own choice from its archetype's distribution.

    Args:
        probability: [archetype, alternative], rows with a positive sum; at most 255 alternatives.
        code: archetype of each customer, int16 [customer].
        seed: of the run.
        period: for example the week.
        first: number of the first customer, >= 0: the shard `code` begins there.
        draw: which draw of this customer and period.

    Returns:
        Alternative of each customer, uint8; and how many of each archetype took each alternative, int64
        [archetype, alternative].

    >>> p, code = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([0, 1, 0])
    >>> draw_by_archetype(p, code, seed=1, period=1)
    (array([1, 0, 1], dtype=uint8), array([[0, 2],
           [1, 0]]))
    """
    p = _checked(probability, code)
    last = p.shape[1] - 1 - (p[:, ::-1] > 0).argmax(1)
    out, count = np.empty(len(code), np.uint8), np.zeros(p.shape, np.int64)
    _draw(
        np.cumsum(p, axis=1),
        last,
        np.ascontiguousarray(code, np.int16),
        seed,
        period,
        first,
        draw,
        out,
        count,
    )
    return out, count


def draw_by_archetype_twin(
    probability: ndarray, code: ndarray, *, seed: int, period: int, first: int = 0, draw: int = 0
) -> tuple[ndarray, ndarray]:
    """The same picks as `draw_by_archetype` in plain numpy."""
    p = _checked(probability, code)
    run = np.cumsum(p, axis=1)
    n, J = len(code), p.shape[1]
    u = uniform_twin(seed, period, first + np.arange(n), np.full(n, draw))
    own = run[code]
    last = J - 1 - (p[:, ::-1] > 0).argmax(1)
    pick = np.minimum((own <= (u * own[:, -1])[:, None]).sum(1), last[code])
    count = np.bincount(code.astype(np.int64) * J + pick, minlength=p.size).reshape(p.shape)
    return pick.astype(np.uint8), count


def draw_by_taste(
    probability: ndarray, attribute: ndarray, code: ndarray, taste: ndarray,
    *, seed: int, period: int, first: int = 0, draw: int = 0,
) -> tuple[ndarray, ndarray]:  # fmt: skip
    """Every customer's own choice from its archetype's distribution, tilted by its own tastes.

    Args:
        probability: [archetype, alternative].
        attribute: what tastes are for, float [alternative, coefficient].
        code: archetype of each customer, int16 [customer].
        taste: deviation from the archetype, float32 [customer, coefficient]; see `malles.population.tastes`.
        seed: of the run.
        period: for example the week.
        first: number of the first customer.
        draw: which draw of this customer and period.

    Returns:
        As `draw_by_archetype`; with tastes of 0 the same picks up to rounding in float32.

    >>> price, likes = np.array([[1.0], [9.0]]), np.array([[-50.0], [50.0]], np.float32)
    >>> draw_by_taste(np.full((1, 2), 0.5), price, np.zeros(2, np.int16), likes, seed=1, period=1)[0]
    array([0, 1], dtype=uint8)
    """
    p, logit, lift = _prepare(probability, attribute, code, taste)
    out, count = np.empty(len(code), np.uint8), np.zeros(p.shape, np.int64)
    _draw_tilted(
        np.ascontiguousarray(logit.T), p > 0, lift, np.ascontiguousarray(code, np.int16),
        np.ascontiguousarray(taste, np.float32), seed, period, first, draw, out, count,
    )  # fmt: skip
    return out, count


def _prepare(
    probability: ndarray, attribute: ndarray, code: ndarray, taste: ndarray
) -> tuple[ndarray, ndarray, ndarray]:
    p = _checked(probability, code)
    if attribute.shape != (p.shape[1], taste.shape[1]) or len(taste) != len(code):
        raise DataError(
            f"attributes are {attribute.shape} and tastes {taste.shape}, but there are {p.shape[1]} "
            f"alternatives and {len(code)} customers; give [alternative, coefficient] and "
            "[customer, coefficient]."
        )
    with np.errstate(divide="ignore"):
        logit = np.where(p > 0, np.log(p / p.max(1, keepdims=True)), -1e9).astype(np.float32)
    return p, logit, np.ascontiguousarray(attribute, np.float32)


def draw_by_taste_twin(
    probability: ndarray, attribute: ndarray, code: ndarray, taste: ndarray,
    *, seed: int, period: int, first: int = 0, draw: int = 0,
) -> tuple[ndarray, ndarray]:  # fmt: skip
    """The same picks as `draw_by_taste` in plain numpy."""
    p, logit, lift = _prepare(probability, attribute, code, taste)
    n, J = len(code), p.shape[1]
    taste = np.asarray(taste, np.float32)
    row = logit[code].T.copy()
    for k in range(lift.shape[1]):
        row += lift[:, k][:, None] * taste[:, k][None]
    t = np.clip(row, _LEAST, _MOST) * _LOG2E
    whole = np.floor(t + _HALF)
    f = t - whole
    power = _C6 * f + _C5
    for c in (_C4, _C3, _C2, _C1, _C0):
        power = power * f + c
    weight = power * ((whole.astype(np.int32) + 127) << 23).view(np.float32)
    run = np.cumsum(weight, axis=0, dtype=np.float32)
    u = uniform_twin(seed, period, first + np.arange(n), np.full(n, draw)).astype(np.float32)
    goal = u * run[-1]
    there = (p > 0)[code].T
    hit = there & (run > goal)
    last = J - 1 - there[::-1].argmax(0)
    pick = np.where(hit.any(0), hit.argmax(0), last)
    count = np.bincount(code.astype(np.int64) * J + pick, minlength=p.size).reshape(p.shape)
    return pick.astype(np.uint8), count
