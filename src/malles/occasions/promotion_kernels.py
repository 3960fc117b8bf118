# mypy: disable-error-code="no-untyped-def,no-any-return"
"""Look-ups of promotion rows and coupons; kernels are checked by the tests of `promotions`."""

from __future__ import annotations

from numba import njit


@njit(cache=True)
def holds(members, low, high, wanted):
    """Index of `wanted` in the sorted members[low:high], or -1."""
    end = high
    while low < high:
        middle = (low + high) // 2
        if members[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    if low < end and members[low] == wanted:
        return low
    return -1


@njit(cache=True)
def mark_promotions(product, store, week, row_start, stores, row_product, row_kind, bits):
    """Join the kinds of (week, store, product) into `bits`."""
    cells = len(row_start) - 1
    for i in range(product.shape[0]):
        cell = week[i] * stores + store[i]
        if store[i] < 0 or cell < 0 or cell >= cells:
            continue
        low, high = row_start[cell], row_start[cell + 1]
        if low == high:
            continue
        for j in range(product.shape[1]):
            if product[i, j] >= 0:
                found = holds(row_product, low, high, product[i, j])
                if found >= 0:
                    bits[i, j] |= row_kind[found]


@njit(cache=True)
def mark_offers(product, customer, timestamp, offer_start, code, start, end, edges, members, bit, bits):
    """Set `bit` where an offer of the customer is valid and its bundle holds the product.

    An offer still holds at the midnight that ends its last day.
    """
    for i in range(product.shape[0]):
        c = customer[i]
        if c < 0 or c + 1 >= len(offer_start):
            continue
        for n in range(offer_start[c], offer_start[c + 1]):
            if timestamp[i] < start[n] or timestamp[i] > end[n]:
                continue
            low, high = edges[code[n]], edges[code[n] + 1]
            if low == high:
                continue
            for j in range(product.shape[1]):
                if (
                    product[i, j] >= 0
                    and not bits[i, j] & bit
                    and holds(members, low, high, product[i, j]) >= 0
                ):
                    bits[i, j] |= bit
