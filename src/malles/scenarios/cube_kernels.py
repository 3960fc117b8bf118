# mypy: disable-error-code="no-untyped-def,no-any-return"
"""Numba kernel of the what-if: both worlds, decided and drawn anew for every draw of people and parameters.

One draw is one resample of households and one draw of the response parameters. Its random numbers are keyed
by (seed, draw, occasion, use), so both worlds meet the same luck and draws may run in any order.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from malles.population.crowd_kernels import _exp
from malles.population.kernels import _GOLDEN, _mix
from malles.scenarios.luck_kernels import count_units, number, pick, pick_what_is_left

SCALE, PRICE, DISPLAY, MAILER, LEVEL, MOVE = range(6)
"""Columns of the response parameters: s, θ of log price, display and mailer, shift and stretch of incidence.
"""
UNITS, REVENUE, LEVY = range(3)
"""Quantities of a cube."""
_TINY = 1e-6
_NEVER, _ZERO, _ONE = np.float32(-1e30), np.float32(0.0), np.float32(1.0)
BLOCK = 64
"""Rows side by side: what is known of them stays in the nearest caches for all draws of a thread."""
DRAWS = 5
"""Draws that one thread makes of a block before the next."""
_USES = 5
"""Random numbers of one trip: purchase, shelf or other, alternative, units, second choice when sold out."""


@njit(inline="always")
def _weigh(value, log_price, bits, shift, start, m, parameter, out, top, total):
    """exp(s V + θ x + u) over the largest, and its sum, of a block of rows that stand in the vector lanes."""
    s, price = np.float32(parameter[SCALE]), np.float32(parameter[PRICE])
    display, mailer = np.float32(parameter[DISPLAY]), np.float32(parameter[MAILER])
    for i in range(m):
        top[i], total[i] = _NEVER, _ZERO
    for j in range(len(value)):
        row, a, p = out[j], value[j, start : start + m], log_price[j, start : start + m]
        told, more = bits[j, start : start + m], shift[j, start : start + m]
        for i in range(m):
            v = s * a[i] + price * p[i] + more[i]
            v += display if told[i] & 1 else _ZERO
            v += mailer if told[i] & 2 else _ZERO
            row[i] = v if a[i] > _NEVER else _NEVER
        for i in range(m):
            top[i] = max(top[i], row[i])
    for j in range(len(value)):
        row = out[j]
        for i in range(m):
            e = _exp(row[i] - top[i])
            e = e if row[i] > _NEVER else _ZERO
            row[i] = e
            total[i] += e


@njit(cache=True)
def _turn(table):
    """The table with alternatives as rows."""
    return np.ascontiguousarray(table.T)


@njit(inline="always")
def _sum_known(known, weight, start, m, out):
    """Weights of the comparable alternatives of a block of rows."""
    for i in range(m):
        out[i] = 0.0
    for j in range(len(known)):
        row, there = weight[j], known[j, start : start + m]
        for i in range(m):
            out[i] += row[i] if there[i] else _ZERO


@njit(inline="always")
def _spread(on, weight, total, units, start, m, out):
    """Units of every alternative of a block of rows."""
    for j in range(len(weight)):
        row, w, each = out[j], weight[j], units[j, start : start + m]
        for i in range(m):
            row[i] = on[i] * w[i] / total[i] * each[i]


@njit(cache=True, parallel=True, error_model="numpy")
def fill_cube(
    value0, value1, log_price0, log_price1, bits0, bits1, known, shift, step,
    score, moved, follow, other, units0, units1, other_units, dearer, whole,
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
    # dearer: change of what is paid for a product of both worlds; whole: rows where other products move alike
    # place: product of every column, the last one for products outside the slate
    # net0, net1, levy: kept by the seller and by the state, per unit
    # cell, week: of the outcome tables; of the stock
    # weight, household, occasion: trips a row stands for; who; its number, for random keys
    # parameter, count: [draw, parameter], [draw, household]
    # stock: units per week and product, negative = no limit; draw_trips: whether luck is drawn at all
    # fills expected and drawn [draw, world, cell, product, quantity] and surplus [draw, cell]
    n, J = value0.shape
    last = expected.shape[3] - 1
    draws = len(parameter)
    valued0, valued1, logged0, logged1 = _turn(value0), _turn(value1), _turn(log_price0), _turn(log_price1)
    told0, told1, comparable = _turn(bits0), _turn(bits1), _turn(known)
    each0, each1 = _turn(units0), _turn(units1)
    pushed, nothing = _turn(shift), np.zeros((J, n), np.float32)
    taxed = np.any(levy != 0)
    any_known, moves = np.zeros(n, np.bool_), np.zeros(n, np.bool_)  # comparable, and moved as well
    for i in range(n):
        for j in range(J):
            changes = shift[i, j] != 0 or step[i, j] != 0 or log_price1[i, j] != log_price0[i, j]
            any_known[i] |= known[i, j]
            moves[i] |= known[i, j] and changes
    parts = (draws + DRAWS - 1) // DRAWS
    for part in prange(parts):
        first, stop = part * draws // parts, (part + 1) * draws // parts
        e0, e1 = np.empty((J, BLOCK), np.float32), np.empty((J, BLOCK), np.float32)
        q0, q1 = np.empty((J, BLOCK)), np.empty((J, BLOCK))
        top, sums0, sums1 = np.empty((3, BLOCK), np.float32)
        trips_of, olds, news, ons0, ons1, buys0, buys1, offs1 = np.empty((8, BLOCK))
        lefts = np.empty((stop - first, *stock.shape), stock.dtype)
        for b in range(first, stop):
            lefts[b - first] = stock
        for start in range(0, n, BLOCK):
            m = min(BLOCK, n - start)
            for b in range(first, stop):
                theta, left = parameter[b], lefts[b - first]
                draw_key = _mix((_mix(np.uint64(seed) + _GOLDEN) ^ np.uint64(b)) + _GOLDEN)
                _weigh(valued0, logged0, told0, nothing, start, m, theta, e0, top, sums0)
                _weigh(valued1, logged1, told1, pushed, start, m, theta, e1, top, sums1)
                _sum_known(comparable, e0, start, m, olds)
                _sum_known(comparable, e1, start, m, news)
                for r in range(m):
                    i = start + r
                    times = weight[i] * count[b, household[i]]
                    trips_of[r], ons0[r], ons1[r] = times, 0.0, 0.0
                    if times <= 0:
                        continue
                    sum0, sum1, old = sums0[r], sums1[r], olds[r]
                    if moves[i]:
                        old = 0.0
                        for j in range(J):
                            if known[i, j]:
                                delta = shift[i, j] + np.float32(theta[SCALE]) * step[i, j]
                                delta += np.float32(theta[PRICE]) * (log_price1[i, j] - log_price0[i, j])
                                old += e0[j, r] * (_exp(np.float32(delta)) if delta != 0 else _ONE)
                    d = 0.0
                    if any_known[i] and sum0 > 0 and sum1 > 0:
                        d = np.log(max(old / sum0, _TINY) / max(news[r] / sum1, _TINY))
                    if sum1 == 0:
                        d = -50.0
                    off0 = other[i]
                    total = np.exp(d) if whole[i] else off0 + (1 - off0) * np.exp(d)
                    room = np.log(total) if total > 0 else -50.0
                    level = score[i] + theta[LEVEL]
                    move = min(max(moved[i] * (1 + theta[MOVE]), min(room, 0.0)), max(room, 0.0))
                    if not np.isnan(follow[i]):
                        move = min(max(follow[i] * (1 + theta[MOVE]), 0.0), 1.0) * room
                    buy0, buy1 = 1 / (1 + np.exp(-level)), 1 / (1 + np.exp(-level - move))
                    off1 = off0 / total if total > 0 else 1.0
                    if whole[i]:
                        off1 = off0
                    c = cell[i]
                    buys0[r], buys1[r], offs1[r] = buy0, buy1, off1
                    ons0[r], ons1[r] = times * buy0 * (1 - off0), times * buy1 * (1 - off1)
                _spread(ons0, e0, sums0, each0, start, m, q0)
                _spread(ons1, e1, sums1, each1, start, m, q1)
                for r in range(m):
                    i, times = start + r, trips_of[r]
                    if times <= 0:
                        continue
                    c = cell[i]
                    table0, table1 = expected[b, 0, c], expected[b, 1, c]
                    for j in range(J):
                        p = place[i, j]
                        if e0[j, r] > 0:
                            table0[p, UNITS] += q0[j, r]
                            table0[p, REVENUE] += q0[j, r] * net0[i, j]
                        if dearer[i, j] != 0 and e0[j, r] > 0 and e1[j, r] > 0:
                            surplus[b, c] -= 0.5 * (q0[j, r] + q1[j, r]) * dearer[i, j]
                        if e1[j, r] > 0:
                            table1[p, UNITS] += q1[j, r]
                            table1[p, REVENUE] += q1[j, r] * net1[i, j]
                            if taxed:
                                table1[p, LEVY] += q1[j, r] * levy[i, j]
                    buy0, buy1, off0, off1 = buys0[r], buys1[r], other[i], offs1[r]
                    table0[last, UNITS] += times * buy0 * off0 * other_units[i]
                    table1[last, UNITS] += times * buy1 * off1 * other_units[i]
                    if not draw_trips:
                        continue
                    luck0, luck1 = drawn[b, 0, c], drawn[b, 1, c]
                    key = _mix((draw_key ^ np.uint64(occasion[i])) + _GOLDEN)
                    trips = int(np.floor(times + number(key, 0))) if times % 1 else int(times)
                    most = max(buy0, buy1)
                    for trip in range(trips):
                        use = 1 + trip * _USES
                        u = number(key, use)
                        if u >= most:
                            continue
                        away, at = number(key, use + 1), number(key, use + 2)
                        many = number(key, use + 3)
                        if u < buy0:
                            j = pick(e0[:, r], sums0[r], at) if away >= off0 else -1
                            if j >= 0:
                                q = count_units(units0[i, j], many)
                                luck0[place[i, j], UNITS] += q
                                luck0[place[i, j], REVENUE] += q * net0[i, j]
                            elif away < off0:
                                luck0[last, UNITS] += count_units(other_units[i], many)
                        if u < buy1:
                            if away < off1:
                                luck1[last, UNITS] += count_units(other_units[i], many)
                                continue
                            j = pick(e1[:, r], sums1[r], at)
                            if j >= 0 and left[week[i], place[i, j]] == 0:
                                again = number(key, use + 4)
                                j = pick_what_is_left(e1[:, r], again, place[i], left[week[i]])
                            if j >= 0:
                                q, p = count_units(units1[i, j], many), place[i, j]
                                if left[week[i], p] >= 0:
                                    q = min(q, left[week[i], p])
                                    left[week[i], p] -= q
                                luck1[p, UNITS] += q
                                luck1[p, REVENUE] += q * net1[i, j]
                                luck1[p, LEVY] += q * levy[i, j]
