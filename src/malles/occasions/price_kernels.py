# mypy: disable-error-code="no-untyped-def,no-any-return"
"""Prices that other customers paid; kernels are checked by the tests of `prices`."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def first_at_least(values, low, high, wanted):
    """Index of the first of the sorted values[low:high] that is >= wanted."""
    while low < high:
        middle = (low + high) // 2
        if values[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True)
def median_of(buffer, count):
    """Median of the first `count` values, which are put in order in place."""
    for i in range(1, count):
        value = buffer[i]
        j = i
        while j > 0 and buffer[j - 1] > value:
            buffer[j] = buffer[j - 1]
            j -= 1
        buffer[j] = value
    middle = count // 2
    if count % 2:
        return buffer[middle]
    return (buffer[middle - 1] + buffer[middle]) / 2


@njit(cache=True)
def cell_medians(start, price, list_price, out_price, out_list):
    """Median price and list price of every (product, week) cell, over all customers."""
    widest = 0
    for c in range(len(start) - 1):
        widest = max(widest, start[c + 1] - start[c])
    buffer = np.empty(max(widest, 1), price.dtype)
    for c in range(len(start) - 1):
        count = start[c + 1] - start[c]
        for i in range(count):
            buffer[i] = price[start[c] + i]
        if count > 64:
            buffer[:count].sort()
        out_price[c] = median_of(buffer, count)
        for i in range(count):
            buffer[i] = list_price[start[c] + i]
        if count > 64:
            buffer[:count].sort()
        out_list[c] = median_of(buffer, count)


@njit(cache=True)
def infer(
    product, store, week, customer, product_cell, cell_week, cell_start,
    line_store, line_customer, line_price, line_list, cell_price, cell_list, out_price, out_list,
):  # fmt: skip
    """The price rule for every (row, column); 0 where the product has no price yet.

    Lines are sorted by (product, week, store); `cell_start` bounds the (product, week) cells and
    `product_cell` the cells of a product.
    """
    rows, columns = product.shape
    widest = 1
    for c in range(len(cell_start) - 1):
        widest = max(widest, cell_start[c + 1] - cell_start[c])
    buffer = np.empty(widest, line_price.dtype)
    second = np.empty(widest, line_price.dtype)
    for i in range(rows):
        for j in range(columns):
            p = product[i, j]
            if p < 0:
                continue
            low, high = product_cell[p], product_cell[p + 1]
            c = first_at_least(cell_week, low, high, week[i])
            found = 0
            if c < high and cell_week[c] == week[i]:
                begin, end = cell_start[c], cell_start[c + 1]
                if store[i] >= 0:
                    n = first_at_least(line_store, begin, end, store[i])
                    while n < end and line_store[n] == store[i]:
                        if line_customer[n] != customer[i]:
                            buffer[found] = line_price[n]
                            second[found] = line_list[n]
                            found += 1
                        n += 1
                if found == 0:
                    own = 0
                    for n in range(begin, end):
                        if line_customer[n] != customer[i]:
                            buffer[found] = line_price[n]
                            second[found] = line_list[n]
                            found += 1
                        else:
                            own += 1
                    if own == 0 and found > 0:
                        out_price[i, j] = cell_price[c]
                        out_list[i, j] = cell_list[c]
                        continue
            if found > 0:
                if found > 64:
                    buffer[:found].sort()
                    second[:found].sort()
                out_price[i, j] = median_of(buffer, found)
                out_list[i, j] = median_of(second, found)
            elif c > low:
                out_price[i, j] = cell_price[c - 1]
                out_list[i, j] = cell_list[c - 1]
