"""Changes of the shelf beyond one price: schedules, discounts, caps, rivals that follow, products that enter.

Each is frozen data with `apply`, like those of `malles.scenarios.changes`, and combines with them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.errors import ConfigError, OccasionError
from malles.scenarios.changes import PriceChange, changed_cells
from malles.vocabulary import PADDING, Occasions


@dataclass(frozen=True)
class PriceSchedule:
    """Another net price in each week named, in currency; other weeks keep theirs."""

    product: int
    prices: tuple[tuple[int, float], ...]
    """(week, price), every week once."""
    stores: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        weeks = [week for week, _ in self.prices]
        if not weeks or len(set(weeks)) < len(weeks):
            raise ConfigError(
                f"the schedule of product {self.product} names the weeks {weeks}; name at least one week, "
                "and every week once"
            )
        for week, price in self.prices:
            PriceChange(self.product, absolute=price, weeks=(week,))  # refuses a price that is not above 0

    @property
    def weeks(self) -> tuple[int, ...]:
        """The weeks that have a price."""
        return tuple(week for week, _ in self.prices)

    def apply(self, occasions: Occasions) -> Occasions:
        """The occasions with each week's price."""
        for week, price in self.prices:
            occasions = PriceChange(self.product, absolute=price, weeks=(week,), stores=self.stores).apply(
                occasions
            )
        return occasions


@dataclass(frozen=True)
class Discount:
    """A net price below the list price: price = list price x (1 - depth)."""

    product: int
    depth: float
    weeks: tuple[int, ...] | None = None
    stores: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.depth < 1:
            raise ConfigError(f"`depth` must lie in [0, 1), a part of the list price, got {self.depth}")

    def apply(self, occasions: Occasions) -> Occasions:
        """The occasions with the discounted price; the list price stays."""
        cells = changed_cells(occasions, self.product, self.weeks, self.stores)
        price = np.where(cells, occasions.list_price * np.float32(1 - self.depth), occasions.price)
        return replace(occasions, price=price.astype(np.float32))


@dataclass(frozen=True)
class PriceCap:
    """No price of the products above `cap`, in currency (a policy): dearer prices fall to it."""

    products: tuple[int, ...]
    cap: float
    weeks: tuple[int, ...] | None = None
    stores: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if not (np.isfinite(self.cap) and self.cap > 0):
            raise ConfigError(f"`cap` must be a price above 0, got {self.cap}")

    def apply(self, occasions: Occasions) -> Occasions:
        """The occasions with capped net and list prices."""
        price, full = occasions.price, occasions.list_price
        for product in self.products:
            cells = changed_cells(occasions, product, self.weeks, self.stores)
            price = np.where(cells, np.minimum(price, np.float32(self.cap)), price)
            full = np.where(cells, np.minimum(full, np.float32(self.cap)), full)
        return replace(occasions, price=price.astype(np.float32), list_price=full.astype(np.float32))


@dataclass(frozen=True)
class RivalsFollow:
    """A price change that rivals answer: each moves by a part of the leader's relative change.

    p'[rival] = p[rival] (1 + pass_through (p'[leader] / p[leader] - 1))     where both stand on a shelf
    """

    lead: PriceChange
    rivals: tuple[int, ...]
    pass_through: float
    """1 = they match it in percent, 0 = they do nothing."""

    def __post_init__(self) -> None:
        if self.lead.product in self.rivals:
            raise ConfigError(f"product {self.lead.product} cannot follow its own price; leave it out")
        if not np.isfinite(self.pass_through):
            raise ConfigError(f"`pass_through` must be a number, got {self.pass_through}")

    def apply(self, occasions: Occasions) -> Occasions:
        """The occasions with the leader's price and the answers of its rivals."""
        after = self.lead.apply(occasions)
        leads = occasions.product == self.lead.product
        there = leads.any(1)
        moved = np.ones(len(occasions))
        rows, column = np.flatnonzero(there), leads.argmax(1)[there]
        before = np.maximum(occasions.price[rows, column], 1e-9)
        moved[rows] = 1 + self.pass_through * (after.price[rows, column] / before - 1)
        if (moved <= 0).any():
            raise OccasionError(
                f"a pass-through of {self.pass_through} takes rivals' prices to zero or below where the "
                f"leader moves by {after.price[rows, column].min():.2f}; choose a smaller one"
            )
        answers = np.isin(occasions.product, self.rivals) & (moved != 1.0)[:, None]
        price = np.where(answers, occasions.price * moved[:, None], after.price).astype(np.float32)
        full = np.where(answers, np.maximum(after.list_price, price), after.list_price)
        return replace(after, price=price, list_price=full.astype(np.float32))


@dataclass(frozen=True)
class Enter:
    """A product known elsewhere comes to the shelves that lack it, as their least popular product."""

    product: int
    price: float
    list_price: float | None = None
    """None = the price."""
    weeks: tuple[int, ...] | None = None
    stores: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for name, value in (("price", self.price), ("list_price", self.list_price)):
            if value is not None and not (np.isfinite(value) and value > 0):
                raise ConfigError(f"`{name}` must be above 0, got {value}")

    def apply(self, occasions: Occasions) -> Occasions:
        """The occasions with the product in one more, last column."""
        rows = ~(occasions.product == self.product).any(1)
        if self.weeks is not None:
            rows &= np.isin(occasions.week, self.weeks)
        if self.stores is not None:
            rows &= np.isin(occasions.store, self.stores)
        n = len(occasions)

        def beside(table: ndarray, value: Float[ndarray, " occasion"] | ndarray) -> ndarray:
            return np.concatenate([table, np.asarray(value, table.dtype)[:, None]], axis=1)

        full = self.price if self.list_price is None else self.list_price
        last = occasions.rank.max(1) + 1
        return replace(
            occasions,
            product=beside(occasions.product, np.where(rows, self.product, PADDING)),
            price=beside(occasions.price, np.where(rows, self.price, 0.0)),
            list_price=beside(occasions.list_price, np.where(rows, max(full, self.price), 0.0)),
            promotion=beside(occasions.promotion, np.zeros(n)),
            available=beside(occasions.available, rows),
            rank=beside(occasions.rank, np.where(rows, last, -1)),
        )
