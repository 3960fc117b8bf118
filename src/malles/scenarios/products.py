"""What is known of a product before any model is asked: its name and its prices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class ProductNames(Mapping[int, str]):
    """What a person would call each product of a scenario; a name is made when it is asked for."""

    catalogue: Catalogue
    newcomers: Mapping[int, Newcomer]

    def __getitem__(self, product: int) -> str:
        new = self.newcomers.get(product)
        if new is not None:
            return f"{new.name} (new)"
        if not 0 <= product < len(self.catalogue.products):
            raise KeyError(product)
        return product_name(self.catalogue, product)

    def __iter__(self) -> Iterator[int]:
        yield from range(len(self.catalogue.products))
        yield from self.newcomers

    def __len__(self) -> int:
        return len(self.catalogue.products) + len(self.newcomers)


def name_of(catalogue: Catalogue, newcomers: Sequence[tuple[int, Newcomer]] = ()) -> ProductNames:
    """The names of a scenario's products, by code."""
    return ProductNames(catalogue, dict(newcomers))


def largest_category(catalogue: Catalogue) -> int:
    """The choice category with the most order lines."""
    code = catalogue.products.category[catalogue.lines.product]
    return int(np.bincount(code[code >= 0], minlength=len(catalogue.category_name)).argmax())


def observed_prices(catalogue: Catalogue, product: int, before: int) -> tuple[float, float]:
    """Where the product's prices lay in earlier weeks: 1st and 99th percentile; (0, 0) if never sold."""
    lines = catalogue.lines
    paid = lines.price[(lines.product == product) & (lines.week < before)]
    if not len(paid):
        return 0.0, 0.0
    low, high = np.quantile(paid, [0.01, 0.99])
    return float(low), float(high)
