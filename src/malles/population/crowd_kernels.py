# mypy: disable-error-code="no-untyped-def,no-any-return,assignment,call-arg,import-untyped"
"""Numba kernels of the crowd: utility, inverse distribution function and limits, in blocks of customers.

A block of customers stands side by side in the processor's vector lanes: for every alternative the utilities
of the whole block are formed, exponentiated and added before the next alternative. No two customers meet in
an operation, so block and shard borders change nothing. Additions and multiplications are never fused, so
every processor, and numpy in `malles.population.crowd_twin`, rounds alike and draws the same alternatives.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from malles.population.kernels import _GOLDEN, _mix

BLOCK = 256
"""Customers side by side: with 20 alternatives the block's weights (20 kB) stay in the nearest cache."""
INCIDENCE, CHOICE, UNITS, PRIORITY = (np.uint64(k) for k in range(4))
"""Draws of a customer in a period."""
LEAST, MOST = np.float32(-80.0), np.float32(80.0)
"""Utilities outside are taken as the bound: 254 · exp(80) is still a float32, and exp(-80) is not zero."""
LOG2E, ROUND = (
    np.float32(1.4426950408889634),
    np.float32(12582912.0),
)  # 1.5 · 2^23: adding it rounds to integer
LN2_HIGH, LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)  # n · LN2_HIGH is exact
TAYLOR = tuple(np.float32(1 / f) for f in (720, 120, 24, 6, 2))
_C6, _C5, _C4, _C3, _C2 = TAYLOR
_ZERO, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
_S41 = np.uint64(41)
_TINY = np.float32(2.0**-23)
MONEY_CAP = 1 << 30
"""Hundredths of the currency that a customer can hold."""


@intrinsic
def _times_power_of_two(typingctx, value, rounded):
    """Value · 2^n, where the low bits of `rounded` = n + 1.5 · 2^23 hold n."""

    def codegen(context, builder, signature, args):
        from llvmlite import ir

        bits = ir.IntType(32)
        shifted = builder.shl(builder.bitcast(args[1], bits), ir.Constant(bits, 23))
        return builder.bitcast(builder.add(builder.bitcast(args[0], bits), shifted), ir.FloatType())

    return types.float32(types.float32, types.float32), codegen


@njit(inline="always")
def _exp(v):
    """Exponential in float32, relative error below 3e-7: 2^n times a polynomial on |r| <= log(2) / 2."""
    v = min(max(v, LEAST), MOST)
    rounded = v * LOG2E + ROUND
    n = rounded - ROUND
    r = v - n * LN2_HIGH
    r = r - n * LN2_LOW
    p = _C6 * r + _C5
    p = p * r + _C4
    p = p * r + _C3
    p = p * r + _C2
    p = p * r + _ONE
    p = p * r + _ONE
    return _times_power_of_two(p, rounded)


@njit(inline="always")
def _uniform32(customer_key, draw):
    """The first 23 bits of the random number of `kernels.uniform`, mid-step: never 0 or 1."""
    z = _mix((customer_key ^ draw) + _GOLDEN)
    return (np.float32(np.int32(z >> _S41)) + _HALF) * _TINY


def period_key(seed: int, period: int) -> np.uint64:
    """The part of a random number's key that a whole period shares."""
    return np.uint64(
        _period_key(seed, period)
    )  # numba gives back a plain integer, which may be too long for it


@njit(cache=True)
def _period_key(seed, period):
    z = _mix(np.uint64(seed) + _GOLDEN)
    return _mix((z ^ np.uint64(period)) + _GOLDEN)


@njit(inline="always")
def _utilities(coefficient, m, attribute, constant, weight):
    """Constant[j] + sum over k of coefficient[k, i] · attribute[j, k], added from left to right."""
    J, K = attribute.shape
    for j in range(J):
        row, a = weight[j], constant[j]
        for i in range(m):
            row[i] = a
        k = 0
        while k + 1 < K:
            x0, x1, c0, c1 = attribute[j, k], attribute[j, k + 1], coefficient[k], coefficient[k + 1]
            for i in range(m):
                row[i] = (row[i] + c0[i] * x0) + c1[i] * x1
            k += 2
        if k < K:
            x0, c0 = attribute[j, k], coefficient[k]
            for i in range(m):
                row[i] = row[i] + c0[i] * x0


@njit(inline="always")
def _add_state(weight, m, last, seen, product, price, habit, gain, loss):
    """Habit for the product bought last, and the price against the one paid last."""
    for j in range(len(price)):
        row, name, p = weight[j], product[j], price[j]
        for i in range(m):
            change = seen[i] - p
            change = change if seen[i] > _ZERO else _ZERO
            v = row[i] + (habit if last[i] == name else _ZERO)
            v = v + gain * max(change, _ZERO)
            row[i] = v + loss * min(change, _ZERO)


@njit(inline="always")
def _draw(weight, m, J, u, total, pick):
    """The alternative of each customer by inverse distribution function; overwrites the utilities."""
    for i in range(m):
        total[i] = _ZERO
    for j in range(J):
        row = weight[j]
        for i in range(m):
            e = _exp(row[i])
            row[i] = e
            total[i] = total[i] + e
    for i in range(m):
        u[i] = u[i] * total[i]
        total[i] = _ZERO
        pick[i] = 0
    for j in range(J - 1):
        row = weight[j]
        for i in range(m):
            total[i] = total[i] + row[i]
            pick[i] += np.int32(total[i] <= u[i])


@njit(cache=True)
def draw_alternatives(key, first, coefficient, attribute, constant, out):
    """`crowd.draw_alternatives` on arrays: the choice alone, of every customer."""
    K, n = coefficient.shape
    J = len(constant)
    weight, c = np.empty((J, BLOCK), np.float32), np.empty((K, BLOCK), np.float32)
    total, u = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    pick = np.empty(BLOCK, np.int32)
    for begin in range(0, n, BLOCK):
        m = min(BLOCK, n - begin)
        for k in range(K):
            source, target = coefficient[k], c[k]
            for i in range(m):
                target[i] = source[begin + i]
        for i in range(m):
            u[i] = _uniform32(_mix((key ^ np.uint64(first + begin + i)) + _GOLDEN), CHOICE)
        _utilities(c, m, attribute, constant, weight)
        _draw(weight, m, J, u, total, pick)
        for i in range(m):
            out[begin + i] = pick[i]


@njit(cache=True)
def decide(
    key, first, people, state, shelf, attribute, effects, trip_rate, units_below, choice, units, counts
):
    """Pass 1: who buys, what and how many as far as the money goes. Changes only the last three.

    `counts[archetype, product, :3]` gains customers who chose, units wished, customers without the money;
    `counts[archetype, 0, 0]` gains trips.
    """
    coefficient, archetype = people
    last, inventory, seen, money = state
    product, price, cents, constant = shelf
    habit, gain, loss, intercept, inventory_effect = effects
    K, n = coefficient.shape
    J, most = len(constant), units_below.shape[1]
    weight, c = np.empty((J, BLOCK), np.float32), np.empty((K, BLOCK), np.float32)
    total, u, paid = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    odds, pick, before = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.int32), np.empty(BLOCK, np.uint8)
    hashed, who = np.empty(BLOCK, np.uint64), np.empty(BLOCK, np.int64)
    for begin in range(0, n, BLOCK):
        block = min(BLOCK, n - begin)
        for i in range(block):
            hashed[i] = _mix((key ^ np.uint64(first + begin + i)) + _GOLDEN)
            u[i] = _uniform32(hashed[i], INCIDENCE)
            odds[i] = _ONE + _exp(-(intercept + inventory_effect * inventory[begin + i]))
        m = 0
        for i in range(block):
            a = archetype[begin + i]
            rate = trip_rate[a]
            choice[begin + i] = 0
            units[begin + i] = 0
            if u[i] < rate:
                counts[a, 0, 0] += 1
                if u[i] * odds[i] < rate and J > 0:
                    who[m] = begin + i
                    hashed[m] = hashed[i]  # m <= i: what is overwritten has been read
                    m += 1
        if m == 0:
            continue
        for k in range(K):
            source, target = coefficient[k], c[k]
            for i in range(m):
                target[i] = source[who[i]]
        for i in range(m):
            before[i], paid[i] = last[who[i]], seen[who[i]]
            u[i] = _uniform32(hashed[i], CHOICE)
        _utilities(c, m, attribute, constant, weight)
        _add_state(weight, m, before, paid, product, price, habit, gain, loss)
        _draw(weight, m, J, u, total, pick)
        for i in range(m):
            j, customer = pick[i], who[i]
            v = _uniform32(hashed[i], UNITS)
            q = 1
            for k in range(most):
                q += np.int64(v > units_below[j, k])
            afford = max(money[customer], 0) // cents[j]
            a, name = archetype[customer], product[j]
            counts[a, name, 0] += 1
            counts[a, name, 1] += q
            if afford < q:
                q = afford
                counts[a, name, 2] += 1
            choice[customer] = name
            units[customer] = q


@njit(cache=True)
def settle(key, first, people, state, cents, price, bound, choice, units, counts):
    """Pass 2: the stock limit binds, the state moves on, and what was bought is counted.

    `counts[archetype, product, 3:]` gains customers who bought, units, money in hundredths.
    """
    archetype, use_rate, income = people
    last, inventory, seen, money = state
    bound_key, bound_customer, bound_units = bound
    for i in range(len(choice)):
        q = np.int64(units[i])
        have, purse = inventory[i], np.int64(money[i]) + income[i]
        if q > 0:
            j = choice[i]
            if bound_units[j] >= 0:
                z = _mix((_mix((key ^ np.uint64(first + i)) + _GOLDEN) ^ PRIORITY) + _GOLDEN)
                if z > bound_key[j] or (z == bound_key[j] and first + i > bound_customer[j]):
                    q = 0
                elif z == bound_key[j] and first + i == bound_customer[j]:
                    q = bound_units[j]
                units[i] = q
            if q > 0:
                a = archetype[i]
                counts[a, j, 3] += 1
                counts[a, j, 4] += q
                counts[a, j, 5] += q * cents[j]
                last[i], seen[i] = j, price[j]
                have += np.float32(q)
                purse -= q * cents[j]
        inventory[i] = max(have - use_rate[i], _ZERO)
        money[i] = min(purse, MONEY_CAP)


@njit(cache=True)
def count_priorities(key, first, choice, units, scarce, shift, out):
    """`out[product, bucket]` gains the units wished by customers whose priority begins with the bucket."""
    for i in range(len(choice)):
        j = choice[i]
        if units[i] > 0 and scarce[j]:
            z = _mix((_mix((key ^ np.uint64(first + i)) + _GOLDEN) ^ PRIORITY) + _GOLDEN)
            out[j, np.int64(z >> np.uint64(shift))] += units[i]


@njit(cache=True)
def find_candidates(key, first, choice, units, bucket, shift):
    """(priority, customer, product, units) of those whose priority lies in the bucket of their product."""
    found = [(np.uint64(0), np.int64(0), np.int64(0), np.int64(0)) for _ in range(0)]
    for i in range(len(choice)):
        j = choice[i]
        if units[i] > 0 and bucket[j] >= 0:
            z = _mix((_mix((key ^ np.uint64(first + i)) + _GOLDEN) ^ PRIORITY) + _GOLDEN)
            if np.int64(z >> np.uint64(shift)) == bucket[j]:
                found.append((z, np.int64(first + i), np.int64(j), np.int64(units[i])))
    priority = np.empty(len(found), np.uint64)
    rest = np.empty((3, len(found)), np.int64)
    for k in range(len(found)):
        priority[k] = found[k][0]
        rest[0, k], rest[1, k], rest[2, k] = found[k][1], found[k][2], found[k][3]
    return priority, rest
