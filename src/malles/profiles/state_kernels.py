# mypy: ignore-errors
# numba compiles these loops and infers their types; the public wrappers are typed
"""Compiled loops that sort history into trips and keep the weekly aggregates of all households."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def trips(start, product, timestamp, products):
    """First line of each line's trip, whether the product is new to the customer, and the longest segment."""
    n = len(product)
    trip = np.zeros(n, np.int64)
    first = np.zeros(n, np.bool_)
    seen = np.full(products, -1, np.int64)
    longest = 0
    for s in range(len(start) - 1):
        longest = max(longest, start[s + 1] - start[s])
        head = start[s]
        for k in range(start[s], start[s + 1]):
            if timestamp[k] != timestamp[head]:
                head = k
            trip[k] = head
            if seen[product[k]] != s:
                seen[product[k]] = s
                first[k] = True
    return trip, first, longest


@njit(cache=True, nogil=True)
def promotion_of_lines(week, store, product, row_week, row_store, row_product, row_kind):
    """What was announced for each line's (week, store, product); the table is sorted by these three."""
    n, rows = len(week), len(row_week)
    kind = np.zeros(n, np.uint8)
    if rows == 0:
        return kind
    last_week, last_store = 0, 0
    for r in range(rows):
        last_week = max(last_week, row_week[r])
        last_store = max(last_store, row_store[r])
    bound = np.zeros((last_week + 1) * (last_store + 1) + 1, np.int64)
    for r in range(rows):
        bound[row_week[r] * (last_store + 1) + row_store[r] + 1] += 1
    for c in range(1, len(bound)):
        bound[c] += bound[c - 1]
    for k in range(n):
        if week[k] > last_week or store[k] > last_store or store[k] < 0 or week[k] < 0:
            continue
        cell = week[k] * (last_store + 1) + store[k]
        lo, hi = bound[cell], bound[cell + 1]
        while lo < hi:
            mid = (lo + hi) // 2
            if row_product[mid] < product[k]:
                lo = mid + 1
            else:
                hi = mid
        while lo < bound[cell + 1] and row_product[lo] == product[k]:
            kind[k] |= row_kind[lo]
            lo += 1
    return kind


@njit(cache=True, nogil=True)
def count_promotions(week, store, product, kind, products, weeks, stores):
    """Stores with a display, with a mailer, per product and week; stores with any row per week."""
    display = np.zeros((products, weeks), np.int32)
    mailer = np.zeros((products, weeks), np.int32)
    active = np.zeros((weeks, stores), np.bool_)
    for r in range(len(week)):
        if 0 <= week[r] < weeks:
            active[week[r], store[r]] = True
            if kind[r] & 1:
                display[product[r], week[r]] += 1
            if kind[r] & 6:
                mailer[product[r], week[r]] += 1
    count = np.zeros(weeks, np.int32)
    for w in range(weeks):
        count[w] = active[w].sum()
    return display, mailer, count


@njit(cache=True, nogil=True)
def count_weeks(week, product, promotion, counts, on_display, on_mailer):
    """Add every line to its product's weekly counts: all lines, lines under a display, under a mailer."""
    for k in range(len(week)):
        w, p = week[k], product[k]
        counts[p, w] += 1
        if promotion[k] & 1:
            on_display[p, w] += 1
        if promotion[k] & 6:
            on_mailer[p, w] += 1


@njit(cache=True, nogil=True)
def add_lines(
    chosen, begin_of, product, trip, first, local, offset, width, households, stay, leave, together, follow
):  # fmt: skip
    """Add lines of one week to the household-level aggregates.

    households[p]        households that ever bought p
    stay[p]              times p was bought on the trip after one with p
    leave[p]             lines bought on the trip after one with p
    together[p, q]       households that ever bought both, symmetric
    follow[p, q]         times q was bought on the trip after one with p
    """
    for index in range(len(chosen)):
        k = chosen[index]
        p = product[k]
        begin = begin_of[k]
        base, n = offset[p], width[p]
        if first[k]:
            households[p] += 1
            if base >= 0:
                for other in range(begin, k):
                    if first[other]:
                        q = product[other]
                        together[base + np.int64(local[p]) * n + local[q]] += 1
                        together[base + np.int64(local[q]) * n + local[p]] += 1
        if trip[k] > begin:
            for other in range(trip[trip[k] - 1], trip[k]):
                q = product[other]
                leave[q] += 1
                if q == p:
                    stay[p] += 1
                if base >= 0:
                    follow[base + np.int64(local[q]) * n + local[p]] += 1
