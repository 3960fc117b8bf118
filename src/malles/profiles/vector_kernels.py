# mypy: ignore-errors
# numba compiles these loops and infers their types; the public wrappers are typed
"""Compiled loop over occasions: how close the vector of each alternative lies to what the customer bought."""

from __future__ import annotations

import numpy as np
from numba import njit

MOST = 64
"""The closest is sought among so many products at most: those the customer bought first most lately."""


@njit(cache=True, nogil=True)
def near_columns(
    rows, customer, timestamp, product, ranges, line_product, line_first,
    own_start, own_product, own_time, unit, known, out,
):  # fmt: skip
    """Mean and largest cosine with what the customer bought before in the category, and the mean elsewhere.

    `rows` are sorted by (customer, time), `own_*` are all lines in that order too; `unit` are vectors of
    length 1 by product. Every line counts in the means, every product once in the largest. Zero where the
    alternative, or all of the past, has no vector.
    """
    J = product.shape[1]
    R = unit.shape[1]
    past, everything = np.zeros(R), np.zeros(R)
    seen = np.zeros(MOST, np.int64)
    who, at, total = -2, np.int64(0), 0
    for i in rows:
        if customer[i] < 0 or customer[i] >= len(own_start) - 1:
            continue
        if customer[i] != who:
            who, at, total = customer[i], own_start[customer[i]], 0
            everything[:] = 0.0
        while at < own_start[who + 1] and own_time[at] < timestamp[i]:
            p = own_product[at]
            if known[p]:
                total += 1
                for r in range(R):
                    everything[r] += unit[p, r]
            at += 1
        past[:] = 0.0
        lines, distinct = 0, 0
        for k in range(ranges[i, 1] - 1, ranges[i, 0] - 1, -1):
            p = line_product[k]
            if not known[p]:
                continue
            lines += 1
            for r in range(R):
                past[r] += unit[p, r]
            if line_first[k] and distinct < MOST:
                seen[distinct] = p
                distinct += 1
        if total == 0:
            continue
        for j in range(J):
            p = product[i, j]
            if p < 0 or not known[p]:
                continue
            mean, away = 0.0, 0.0
            for r in range(R):
                mean += unit[p, r] * past[r]
                away += unit[p, r] * (everything[r] - past[r])
            if total > lines:
                out[i, j, 2] = away / (total - lines)
            if lines == 0:
                continue
            largest = -1.0
            for s in range(distinct):
                cosine = 0.0
                for r in range(R):
                    cosine += unit[p, r] * unit[seen[s], r]
                largest = max(largest, cosine)
            out[i, j, 0] = mean / lines
            out[i, j, 1] = largest
