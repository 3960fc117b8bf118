# mypy: disable-error-code="no-untyped-def,no-any-return"
"""Slates in one pass over the lines of a store; kernels are checked by the tests of their callers."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def count_weeks(week, product, weeks, products):
    """Lines per (week, product)."""
    count = np.zeros((weeks, products), np.int32)
    for i in range(len(week)):
        count[week[i], product[i]] += 1
    return count


@njit(cache=True)
def rank_slates(
    key_store, key_category, key_week, line_start, line_week, line_product,
    cumulative, category_start, live_weeks, store_weeks, chain_weight, slate, store_lines, chain_lines,
):  # fmt: skip
    """Fill `slate[key]` with the best products by store lines + weight x chain share.

    Keys are sorted by (store, week); lines by (store, week) with `line_start` by store. `cumulative[w, p]`
    counts the chain's lines of product p in weeks < w. Ties go to the smaller product code.
    """
    alternatives = slate.shape[1]
    weeks, products = cumulative.shape
    weeks -= 1
    recent = np.zeros(products, np.int32)
    widest = 0
    for c in range(len(category_start) - 1):
        widest = max(widest, category_start[c + 1] - category_start[c])
    score = np.empty(widest)
    live = np.empty(widest, np.int32)
    k = 0
    while k < len(key_store):
        store = key_store[k]
        recent[:] = 0
        first = line_start[store]
        last = line_start[store]
        end = line_start[store + 1]
        while k < len(key_store) and key_store[k] == store:
            week = key_week[k]
            while last < end and line_week[last] < week:
                recent[line_product[last]] += 1
                last += 1
            while first < last and line_week[first] < week - store_weeks:
                recent[line_product[first]] -= 1
                first += 1
            low = max(week - live_weeks, 0)
            high = min(week, weeks)
            low = min(low, high)
            c = key_category[k]
            total = 0
            count = 0
            for p in range(category_start[c], category_start[c + 1]):
                chain = cumulative[high, p] - cumulative[low, p]
                if chain > 0:
                    total += chain
                    live[count] = p
                    count += 1
            for n in range(count):
                p = live[n]
                chain = cumulative[high, p] - cumulative[low, p]
                score[n] = recent[p] + chain_weight * chain / total
            filled = 0
            for n in range(count):
                value = score[n]
                p = live[n]
                chain = cumulative[high, p] - cumulative[low, p]
                if filled == alternatives:
                    q = slate[k, filled - 1]
                    worst = recent[q] + chain_weight * chain_lines[k, filled - 1] / total
                    if value <= worst:
                        continue
                    j = filled - 1
                else:
                    j = filled
                    filled += 1
                while j > 0:
                    q = slate[k, j - 1]
                    above = recent[q] + chain_weight * chain_lines[k, j - 1] / total
                    if value > above:
                        slate[k, j] = q
                        chain_lines[k, j] = chain_lines[k, j - 1]
                        store_lines[k, j] = store_lines[k, j - 1]
                        j -= 1
                    else:
                        break
                slate[k, j] = p
                chain_lines[k, j] = chain
                store_lines[k, j] = recent[p]
            k += 1


@njit(cache=True)
def mix(a, b, c):
    """A 64-bit hash of three integers (splitmix64 finaliser, applied three times)."""
    h = np.uint64(0x9E3779B97F4A7C15)
    for value in (np.uint64(a), np.uint64(b), np.uint64(c)):
        h = (h ^ value) + np.uint64(0x9E3779B97F4A7C15)
        h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        h = h ^ (h >> np.uint64(31))
    return h


@njit(cache=True)
def hash_order(basket, category, product, order):
    """Per row the columns of `product` by the hash of (basket, category, product); empty columns stay
    last.
    """
    width = product.shape[1]
    value = np.empty(width, np.uint64)
    for i in range(len(basket)):
        count = 0
        while count < width and product[i, count] >= 0:
            h = mix(basket[i], category[i], product[i, count])
            j = count
            while j > 0 and value[j - 1] > h:
                value[j] = value[j - 1]
                order[i, j] = order[i, j - 1]
                j -= 1
            value[j] = h
            order[i, j] = count
            count += 1
        for j in range(count, width):
            order[i, j] = j
