# mypy: disable-error-code="no-untyped-def"
"""What the shelves of a week announce, added up per shelf (numba)."""

from __future__ import annotations

from numba import njit


@njit(cache=True)
def offers(product, price, list_price, promotion, rank, out):
    """Popularity-weighted display, mailer and discount of every shelf, and its deepest discount."""
    n, J = product.shape
    for i in range(n):
        total, display, mailer, discount, deepest = 0.0, 0.0, 0.0, 0.0, 0.0
        for j in range(J):
            if product[i, j] < 0:
                continue
            w = 1.0 / (3.0 + max(rank[i, j], 0))
            cut = max(1.0 - price[i, j] / list_price[i, j], 0.0) if list_price[i, j] > 0 else 0.0
            total += w
            discount += w * cut
            deepest = max(deepest, cut)
            if promotion[i, j] & 1:
                display += w
            if promotion[i, j] & 2:
                mailer += w
        if total > 0:
            out[i, 0] = display / total
            out[i, 1] = mailer / total
            out[i, 2] = discount / total
            out[i, 3] = deepest
