# mypy: ignore-errors
# numba compiles these loops and infers their types; the public wrappers are typed
"""Compiled loop over occasions: how close each alternative lies to what the customer bought."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

TASTE_NAMES = ("taste_elsewhere", "taste_elsewhere_rest", "taste_here")


@njit(cache=True, nogil=True)
def taste_columns(
    rows, customer, timestamp, product, ranges, line_product, line_first,
    new_start, new_product, new_time, position, weight, out,
):  # fmt: skip
    """Cosines with the customer's position: other categories, the same without the first axis, this category.

    `rows` are sorted by (customer, time); `new_*` are first purchases sorted by (customer, time).
    """
    J = product.shape[1]
    R = position.shape[1]
    everything, here = np.zeros(R), np.zeros(R)
    who, at = -2, np.int64(0)
    for i in rows:
        if customer[i] < 0 or customer[i] >= len(new_start) - 1:
            continue
        if customer[i] != who:
            who = customer[i]
            at = new_start[who]
            everything[:] = 0.0
        while at < new_start[who + 1] and new_time[at] < timestamp[i]:
            p = new_product[at]
            if weight[p] > 0:
                for r in range(R):
                    everything[r] += weight[p] * position[p, r]
            at += 1
        here[:] = 0.0
        for k in range(ranges[i, 0], ranges[i, 1]):
            p = line_product[k]
            if line_first[k] and weight[p] > 0:
                for r in range(R):
                    here[r] += weight[p] * position[p, r]
        norm_out, norm_here = 0.0, 0.0
        for r in range(R):
            norm_out += (everything[r] - here[r]) ** 2
            norm_here += here[r] ** 2
        norm_rest = norm_out - (everything[0] - here[0]) ** 2
        for j in range(J):
            p = product[i, j]
            if p < 0 or weight[p] <= 0:
                continue
            dot_out, dot_here, length = 0.0, 0.0, 0.0
            for r in range(R):
                v = position[p, r]
                dot_out += (everything[r] - here[r]) * v
                dot_here += here[r] * v
                length += v * v
            first = position[p, 0]
            rest = dot_out - (everything[0] - here[0]) * first
            if length <= 1e-12:
                continue
            if norm_out > 1e-6:
                out[i, j, 0] = dot_out / math.sqrt(norm_out * length)
                out[i, j, 1] = rest / math.sqrt(max(norm_rest, 1e-6) * max(length - first * first, 1e-12))
            if norm_here > 1e-6:
                out[i, j, 2] = dot_here / math.sqrt(norm_here * length)
