"""What is known of a product before any model is asked: its name and its prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.scenarios.newcomer import Newcomer
from malles.vocabulary import Catalogue


def product_name(catalogue: Catalogue, product: int) -> str:
    """What a person would call a product."""
    return f"{catalogue.products.text[product]} ({catalogue.products.key[product]})"


def usual_list_price(catalogue: Catalogue) -> Float[ndarray, " product"]:
    """Mean list price of every product over its order lines; NaN if it was never sold."""
    lines, n = catalogue.lines, len(catalogue.products)
    number = np.bincount(lines.product, minlength=n)
    total = np.bincount(lines.product, lines.list_price, minlength=n)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def name_of(catalogue: Catalogue, newcomers: Sequence[tuple[int, Newcomer]] = ()) -> Mapping[int, str]:
    """What a person would call each product of a scenario."""
    names = {
        code: f"{text} ({key})"
        for code, (text, key) in enumerate(zip(catalogue.products.text, catalogue.products.key, strict=True))
    }
    return names | {code: f"{newcomer.name} (new)" for code, newcomer in newcomers}


def observed_prices(catalogue: Catalogue, product: int, before: int) -> tuple[float, float]:
    """Where the product's prices lay in earlier weeks: 1st and 99th percentile; (0, 0) if never sold."""
    lines = catalogue.lines
    paid = lines.price[(lines.product == product) & (lines.week < before)]
    if not len(paid):
        return 0.0, 0.0
    low, high = np.quantile(paid, [0.01, 0.99])
    return float(low), float(high)
