# mypy: disable-error-code="no-untyped-def,no-any-return"
"""Numba kernel of the what-if: both worlds, decided and drawn anew for every draw of people and parameters.

One draw is one resample of households and one draw of the response parameters. Its random numbers are keyed
by (seed, draw, occasion, use), so both worlds meet the same luck and draws may run in any order.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from malles.population.crowd_kernels import _exp
from malles.population.kernels import _key as _hash

SCALE, PRICE, DISPLAY, MAILER, LEVEL, MOVE = range(6)
"""Columns of the response parameters: s, θ of log price, display and mailer, shift and stretch of incidence.
"""
UNITS, REVENUE, LEVY = range(3)
"""Quantities of a cube."""
_TINY = 1e-6
_NEVER = -1e30
_USES = 5
"""Random numbers of one trip: purchase, shelf or other, alternative, units, second choice when sold out."""


@njit(inline="always")
def _key(seed, draw, occasion, use):
    """The random number of one use, in (0, 1)."""
    return _hash(np.uint64(seed), np.uint64(draw), np.uint64(occasion), np.uint64(use))


@njit(inline="always")
def _weigh(value, log_price, bits, shift, parameter, out):
    """exp(s V + θ x + u) of one row into `out`, over its largest; returns the sum and the largest."""
    J = len(value)
    s, price = np.float32(parameter[SCALE]), np.float32(parameter[PRICE])
    display, mailer = np.float32(parameter[DISPLAY]), np.float32(parameter[MAILER])
    top = np.float32(_NEVER)
    for j in range(J):
        v = np.float32(_NEVER)
        if value[j] > _NEVER:
            v = s * value[j] + price * log_price[j] + shift[j]
            if bits[j] & 1:
                v += display
            if bits[j] & 2:
                v += mailer
        out[j] = v
        top = max(top, v)
    total = np.float32(0.0)
    for j in range(J):
        out[j] = _exp(out[j] - top) if out[j] > _NEVER else np.float32(0.0)
        total += out[j]
    return total, top


@njit(inline="always")
def _pick(weight, total, u):
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
def _pick_what_is_left(weight, u, place, left):
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
def _count(mean, u):
    """Units 1, 2, ... of 1 + Poisson(mean - 1)."""
    rate = max(mean - 1.0, 0.0)
    p = np.exp(-rate)
    run, k = p, 0
    while u > run and k < 200:
        k += 1
        p *= rate / k
        run += p
    return 1 + k


@njit(cache=True, parallel=True)
def fill_cube(
    value0, value1, log_price0, log_price1, bits0, bits1, known, shift, step,
    score, moved, follow, other, units0, units1, other_units, spend, price_response,
    place, net0, net1, levy, cell, week, weight, household, occasion,
    parameter, count, stock, seed, draw_trips, expected, drawn, surplus,
):  # fmt: skip
    # value0, value1: log choice probabilities of both worlds, -1e30 where there is nothing
    # log_price0, log_price1, bits0, bits1: what the parameters act on
    # known, shift, step: comparable alternatives; given change of utility in the scenario; change of utility
    #     by the model's own price response, where prices alone moved
    # score, moved: log-odds of a purchase, and what the incidence model makes of the scenario
    # follow: part of the change of the inclusive value that purchases follow; NaN = follow `moved`
    # other, other_units, units0, units1: P(other), and units given a purchase
    # spend, price_response: money of a purchase on the shelf; η of the category
    # place: product of every column, the last one for products outside the slate
    # net0, net1, levy: kept by the seller and by the state, per unit
    # cell, week: of the outcome tables; of the stock
    # weight, household, occasion: trips a row stands for; who; its number, for random keys
    # parameter, count: [draw, parameter], [draw, household]
    # stock: units per week and product, negative = no limit; draw_trips: whether luck is drawn at all
    # fills expected and drawn [draw, world, cell, product, quantity] and surplus [draw, cell]
    n, J = value0.shape
    last = expected.shape[3] - 1
    for b in prange(len(parameter)):
        theta = parameter[b]
        e0, e1 = np.empty(J, np.float32), np.empty(J, np.float32)
        none = np.zeros(J, np.float32)
        left = stock.copy()
        for i in range(n):
            times = weight[i] * count[b, household[i]]
            if times <= 0:
                continue
            sum0, _ = _weigh(value0[i], log_price0[i], bits0[i], none, theta, e0)
            sum1, _ = _weigh(value1[i], log_price1[i], bits1[i], shift[i], theta, e1)
            old, new, any_known = 0.0, 0.0, False
            for j in range(J):
                if known[i, j]:
                    delta = shift[i, j] + np.float32(theta[SCALE]) * step[i, j]
                    delta += np.float32(theta[PRICE]) * (log_price1[i, j] - log_price0[i, j])
                    old += e0[j] * (_exp(np.float32(delta)) if delta != 0 else np.float32(1.0))
                    new += e1[j]
                    any_known = True
            d = 0.0
            if any_known and sum0 > 0 and sum1 > 0:
                d = np.log(max(old / sum0, _TINY) / max(new / sum1, _TINY))
            if sum1 == 0:
                d = -50.0
            off0 = other[i]
            total = off0 + (1 - off0) * np.exp(d)
            room = np.log(total) if total > 0 else -50.0
            level = score[i] + theta[LEVEL]
            move = min(max(moved[i] * (1 + theta[MOVE]), min(room, 0.0)), max(room, 0.0))
            if not np.isnan(follow[i]):
                move = min(max(follow[i] * (1 + theta[MOVE]), 0.0), 1.0) * room
            buy0, buy1 = 1 / (1 + np.exp(-level)), 1 / (1 + np.exp(-level - move))
            off1 = off0 / total if total > 0 else 1.0
            c = cell[i]
            on0, on1 = times * buy0 * (1 - off0), times * buy1 * (1 - off1)
            for j in range(J):
                p = place[i, j]
                if e0[j] > 0:
                    q = on0 * e0[j] / sum0 * units0[i, j]
                    expected[b, 0, c, p, UNITS] += q
                    expected[b, 0, c, p, REVENUE] += q * net0[i, j]
                if e1[j] > 0:
                    q = on1 * e1[j] / sum1 * units1[i, j]
                    expected[b, 1, c, p, UNITS] += q
                    expected[b, 1, c, p, REVENUE] += q * net1[i, j]
                    expected[b, 1, c, p, LEVY] += q * levy[i, j]
            expected[b, 0, c, last, UNITS] += times * buy0 * off0 * other_units[i]
            expected[b, 1, c, last, UNITS] += times * buy1 * off1 * other_units[i]
            worth = price_response * theta[SCALE] - theta[PRICE]
            if d != 0:
                surplus[b, c] += 0.5 * (on0 + on1) * d * spend[i] / worth if worth > 0 else np.nan
            if not draw_trips:
                continue
            key = occasion[i]
            trips = int(np.floor(times + _key(seed, b, key, 0)))
            most = max(buy0, buy1)
            for r in range(trips):
                use = 1 + r * _USES
                u = _key(seed, b, key, use)
                if u >= most:
                    continue
                away, at = _key(seed, b, key, use + 1), _key(seed, b, key, use + 2)
                many = _key(seed, b, key, use + 3)
                if u < buy0:
                    j = _pick(e0, sum0, at) if away >= off0 else -1
                    if j >= 0:
                        q = _count(units0[i, j], many)
                        drawn[b, 0, c, place[i, j], UNITS] += q
                        drawn[b, 0, c, place[i, j], REVENUE] += q * net0[i, j]
                    elif away < off0:
                        drawn[b, 0, c, last, UNITS] += _count(other_units[i], many)
                if u < buy1:
                    if away < off1:
                        drawn[b, 1, c, last, UNITS] += _count(other_units[i], many)
                        continue
                    j = _pick(e1, sum1, at)
                    if j >= 0 and left[week[i], place[i, j]] == 0:
                        j = _pick_what_is_left(e1, _key(seed, b, key, use + 4), place[i], left[week[i]])
                    if j >= 0:
                        q, p = _count(units1[i, j], many), place[i, j]
                        if left[week[i], p] >= 0:
                            q = min(q, left[week[i], p])
                            left[week[i], p] -= q
                        drawn[b, 1, c, p, UNITS] += q
                        drawn[b, 1, c, p, REVENUE] += q * net1[i, j]
                        drawn[b, 1, c, p, LEVY] += q * levy[i, j]
