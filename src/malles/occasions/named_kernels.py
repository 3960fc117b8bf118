"""Compiled loops over the dated lines of products."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy import ndarray


@njit(cache=True)
def median_prices(
    product: ndarray, day: ndarray, price: ndarray, products: int, first: int, last: int, window: int
) -> ndarray:
    """Median price of each product over the lines of the `window` days before each day.

        out[t, j] = median of price[i] over lines i of product j with first + t - window <= day[i] < first + t

    Lines must be sorted by (product, day). NaN where there is no line.
    """
    out = np.full((last - first + 1, products), np.nan, np.float32)
    at = 0
    while at < product.shape[0]:
        j = product[at]
        end = at
        while end < product.shape[0] and product[end] == j:
            end += 1
        low = at
        high = at
        for t in range(last - first + 1):
            while high < end and day[high] < first + t:
                high += 1
            while low < high and day[low] < first + t - window:
                low += 1
            if high > low:
                out[t, j] = np.median(price[low:high])
        at = end
    return out


@njit(cache=True)
def newest_first(
    product: ndarray, first: ndarray, last: ndarray, products: int, longest: int, padding: int
) -> tuple[ndarray, ndarray]:
    """The last `longest` distinct products among the lines first[n] .. last[n] - 1, newest first.

    Returns the products, padded, and the number of distinct products of all lines of n.
    """
    out = np.full((first.shape[0], longest), padding, np.int32)
    number = np.zeros(first.shape[0], np.int32)
    seen = np.full(products, -1, np.int64)
    for n in range(first.shape[0]):
        for i in range(last[n] - 1, first[n] - 1, -1):
            j = product[i]
            if seen[j] != n:
                seen[j] = n
                if number[n] < longest:
                    out[n, number[n]] = j
                number[n] += 1
    return out, number
