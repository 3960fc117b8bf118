"""Compiled loops over time-ordered lines and over slates, for the launch and quantity profiles."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy import ndarray


@njit(cache=True)
def sums_before(
    line_key: ndarray,
    line_value: ndarray,
    line_time: ndarray,
    query_key: ndarray,
    query_time: ndarray,
    order: ndarray,
    keys: int,
) -> ndarray:
    """Sum of `line_value` by key over lines of strictly earlier time.

        out[n, q, k] = sum of line_value[i, k] over lines i with line_key[i] = query_key[n, q],
        line_time[i] < query_time[n]

    Lines must be sorted by time; `order` sorts the queries by time. A negative key counts nothing and is
    told nothing.
    Values are integers, so that adding and subtracting is exact and a deleted line leaves no trace.
    """
    width = line_value.shape[1]
    total = np.zeros((keys, width), np.int64)
    out = np.zeros((query_key.shape[0], query_key.shape[1], width), np.int64)
    i = 0
    for at in range(order.shape[0]):
        n = order[at]
        while i < line_time.shape[0] and line_time[i] < query_time[n]:
            key = line_key[i]
            if key >= 0:
                for k in range(width):
                    total[key, k] += line_value[i, k]
            i += 1
        for q in range(query_key.shape[1]):
            key = query_key[n, q]
            if key >= 0:
                for k in range(width):
                    out[n, q, k] = total[key, k]
    return out


@njit(cache=True)
def last_before(
    line_key: ndarray,
    line_value: ndarray,
    line_time: ndarray,
    query_key: ndarray,
    query_time: ndarray,
    order: ndarray,
    keys: int,
) -> ndarray:
    """The value of the latest line of the key with strictly earlier time; 0 where there is none. Lines
    sorted by time.
    """
    last = np.zeros(keys, np.int64)
    out = np.zeros(query_key.shape, np.int64)
    i = 0
    for at in range(order.shape[0]):
        n = order[at]
        while i < line_time.shape[0] and line_time[i] < query_time[n]:
            if line_key[i] >= 0:
                last[line_key[i]] = line_value[i]
            i += 1
        for q in range(query_key.shape[1]):
            if query_key[n, q] >= 0:
                out[n, q] = last[query_key[n, q]]
    return out


@njit(cache=True)
def crowding(present: ndarray, log_price: ndarray, manufacturer: ndarray, size: ndarray) -> ndarray:
    """How close the other alternatives of a slate are.

    Columns: others of the manufacturer, others of the size, others of both, others of the same
    manufacturer and price
    (within 1 %), others within 10 % of the price, distance to the nearest other log price, kinds
    (manufacturer x size).
    """
    N, J = present.shape
    out = np.zeros((N, J, 7), np.float32)
    for n in range(N):
        kinds = 0
        for j in range(J):
            if not present[n, j]:
                continue
            nearest = 2.0
            first = True
            for k in range(J):
                if k == j or not present[n, k]:
                    continue
                same_maker = manufacturer[n, j] >= 0 and manufacturer[n, j] == manufacturer[n, k]
                same_size = size[n, j] >= 0 and size[n, j] == size[n, k]
                distance = abs(log_price[n, j] - log_price[n, k])
                nearest = min(nearest, distance)
                out[n, j, 0] += same_maker
                out[n, j, 1] += same_size
                out[n, j, 2] += same_maker and same_size
                out[n, j, 3] += same_maker and distance < 0.01
                out[n, j, 4] += distance < 0.1
                if k < j and same_maker and same_size:
                    first = False
            out[n, j, 5] = nearest
            kinds += first
        for j in range(J):
            if present[n, j]:
                out[n, j, 6] = kinds
    return out


@njit(cache=True)
def slate_position(present: ndarray, value: ndarray) -> ndarray:
    """Share of the other alternatives of the slate with a smaller value, ties half: in [0, 1], 0.5 where
    it stands alone.
    """
    N, J = present.shape
    out = np.zeros((N, J), np.float32)
    for n in range(N):
        for j in range(J):
            if not present[n, j]:
                continue
            below = 0.0
            others = 0
            for k in range(J):
                if k == j or not present[n, k]:
                    continue
                others += 1
                if value[n, k] < value[n, j] - 1e-6:
                    below += 1.0
                elif value[n, k] <= value[n, j] + 1e-6:
                    below += 0.5
            out[n, j] = below / others if others else 0.5
    return out
