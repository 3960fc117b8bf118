"""Changes that an analyst can rehearse: frozen data that edit choice occasions.

    Scenario("cut", (PriceChange(product=17, relative=-0.2), Display(product=17))).apply(occasions)

`product` is the dense product code of the catalogue. `weeks` and `stores` limit a change; None = everywhere,
always.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from malles.errors import ConfigError
from malles.vocabulary import PADDING, Occasions, Promotion


class Change(Protocol):
    """One edit of choice occasions."""

    def apply(self, occasions: Occasions) -> Occasions:
        """The occasions after the change; the given ones stay as they are."""
        ...


def changed_cells(
    occasions: Occasions, product: int, weeks: tuple[int, ...] | None, stores: tuple[int, ...] | None
) -> Bool[ndarray, "occasion alternative"]:
    """Where `product` stands in the weeks and stores of a change; None = everywhere, always."""
    rows = np.ones(len(occasions), bool)
    if weeks is not None:
        rows &= np.isin(occasions.week, weeks)
    if stores is not None:
        rows &= np.isin(occasions.store, stores)
    return np.asarray((occasions.product == product) & rows[:, None])


@dataclass(frozen=True)
class PriceChange:
    """Another net price: relative (-0.2 = 20 % off) or absolute in currency; the list price stays."""

    product: int
    relative: float | None = None
    absolute: float | None = None
    weeks: tuple[int, ...] | None = None
    stores: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if (self.relative is None) == (self.absolute is None):
            raise ConfigError(
                f"a price change of product {self.product} needs either `relative` or `absolute`, got "
                f"relative={self.relative}, absolute={self.absolute}"
            )
        if self.relative is not None and not (np.isfinite(self.relative) and self.relative > -1):
            raise ConfigError(f"`relative` must be above -1 (a price above 0), got {self.relative}")
        if self.absolute is not None and not (np.isfinite(self.absolute) and self.absolute > 0):
            raise ConfigError(f"`absolute` must be a price above 0, got {self.absolute}")

    def apply(self, occasions: Occasions) -> Occasions:
        """The occasions with the new price; a list price below it rises with it."""
        cells = changed_cells(occasions, self.product, self.weeks, self.stores)
        if self.relative is not None:
            new = occasions.price * np.float32(1 + self.relative)
        else:
            new = np.full_like(occasions.price, self.absolute)
        price = np.where(cells, new, occasions.price).astype(np.float32)
        full = np.where(cells, np.maximum(occasions.list_price, price), occasions.list_price)
        return replace(occasions, price=price, list_price=full.astype(np.float32))


@dataclass(frozen=True)
class Display:
    """The product is put on display (or, with on=False, taken off)."""

    product: int
    on: bool = True
    weeks: tuple[int, ...] | None = None
    stores: tuple[int, ...] | None = None

    def apply(self, occasions: Occasions) -> Occasions:
        """The occasions with the display bit set or cleared."""
        return _announce(occasions, self, Promotion.DISPLAY)


@dataclass(frozen=True)
class Mailer:
    """The product is shown in the mailer (or, with on=False, left out)."""

    product: int
    on: bool = True
    weeks: tuple[int, ...] | None = None
    stores: tuple[int, ...] | None = None

    def apply(self, occasions: Occasions) -> Occasions:
        """The occasions with the mailer bit set or cleared."""
        return _announce(occasions, self, Promotion.MAILER)


def _announce(occasions: Occasions, change: Display | Mailer, bit: Promotion) -> Occasions:
    cells = changed_cells(occasions, change.product, change.weeks, change.stores)
    value = np.uint8(int(bit))
    new = occasions.promotion | value if change.on else occasions.promotion & np.uint8(255 - int(value))
    return replace(occasions, promotion=np.where(cells, new, occasions.promotion).astype(np.uint8))


@dataclass(frozen=True)
class Delist:
    """The product is no longer on the shelf (also: a stock-out)."""

    product: int
    weeks: tuple[int, ...] | None = None
    stores: tuple[int, ...] | None = None

    def apply(self, occasions: Occasions) -> Occasions:
        """The occasions without the product; its column becomes padding, so that shapes stay."""
        cells = changed_cells(occasions, self.product, self.weeks, self.stores)
        return replace(
            occasions,
            product=np.where(cells, np.int32(PADDING), occasions.product),
            price=np.where(cells, np.float32(0), occasions.price),
            list_price=np.where(cells, np.float32(0), occasions.list_price),
            promotion=np.where(cells, np.uint8(0), occasions.promotion),
            rank=np.where(cells, np.int16(-1), occasions.rank),
            available=occasions.available & ~cells,
        )


CHANGES = {"price": PriceChange, "display": Display, "mailer": Mailer, "delist": Delist}


@dataclass(frozen=True)
class Scenario:
    """A named list of changes, applied in order."""

    name: str
    changes: tuple[Change, ...]

    def apply(self, occasions: Occasions) -> Occasions:
        """The occasions after all changes."""
        for change in self.changes:
            occasions = change.apply(occasions)
        return occasions
