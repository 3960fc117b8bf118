# mypy: disable-error-code="no-untyped-def"
"""Compiled loops of the cognitive core: activation over earlier purchases, and utility learning."""

from __future__ import annotations

from numba import njit

WEEK = 604_800.0
"""Seconds; ages are told in weeks, which moves every activation by the same constant."""
YOUNGEST = 3_600.0
"""A purchase less than an hour old counts as an hour old: two baskets of one visit are one memory."""


@njit(cache=True, nogil=True)
def activate(time, item, first, last, now, product, decay, out):
    """Add age^-decay of every earlier line to its product's column."""
    n, J = product.shape
    for i in range(n):
        for k in range(first[i], last[i]):
            if time[k] >= now[i]:
                break
            for j in range(J):
                if product[i, j] == item[k] and item[k] >= 0:
                    age = max(now[i] - time[k], YOUNGEST) / WEEK
                    out[i, j] += age ** (-decay)
                    break


@njit(cache=True)
def learn(customer, reward, start, rate, table, before):
    """U ← U + α (R - U), one row of the table per customer."""
    for i in range(len(customer)):
        c = customer[i]
        for r in range(reward.shape[1]):
            if c < 0 or c >= len(table):
                before[i, r] = start[r]
                continue
            before[i, r] = table[c, r]
            table[c, r] += rate * (reward[i, r] - table[c, r])
