"""What a supplier offers of one product: price breaks, packs, minimum orders; and the menu of quantities."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy import ndarray

from malles.errors import DataError
from malles.wholesale.demand import Demand


@dataclass(frozen=True)
class Tier:
    """A unit price from a quantity on; all units of the order are charged it."""

    least: int
    """Units from which the price holds, >= 0."""
    cost: float
    """Currency per unit."""


@dataclass(frozen=True)
class Item:
    """One product a dealer may order."""

    name: str
    demand: Demand
    """Until the next order arrives."""
    price: float
    """It is sold at."""
    tiers: tuple[Tier, ...]
    """What it costs."""
    stock: int = 0
    salvage: float = 0.0
    least: int = 0
    """Minimum order; nothing may always be ordered."""
    most: int | None = None
    """Units that the supplier has."""
    pack: int = 1
    space: float = 0.0
    """Shelf or truck per unit."""
    walk_away: float = float("inf")
    """A unit cost above it is never paid."""

    def smallest_order(self) -> int | None:
        """Fewest units that can be ordered if any are, in whole packs; None if no order is feasible.

        >>> tiers = (Tier(0, 2.0), Tier(10, 1.5))
        >>> jam = Item("jam", Demand(np.array([0.0, 0.5, 0.5])), 3.0, tiers, least=3, pack=4, walk_away=1.6)
        >>> jam.smallest_order()  # from 10 units on the cost is bearable: three packs
        12
        """
        bearable = [t.least for t in self.tiers if t.cost <= self.walk_away]
        if not bearable:
            return None
        units = -(-max(self.least, min(bearable), 1) // self.pack) * self.pack
        return units if self.most is None or units <= self.most else None


def menu_of(item: Item) -> tuple[ndarray, ndarray, ndarray]:
    """(Quantities, unit costs, expected profits) that a product offers, whatever could be best.

    Every whole number of packs up to the reach of demand and stock (demand has a tail of 1e-9); beyond it the
    minimum order and the price breaks, each rounded up to packs: there a further unit is surely left over.

    Args:
        item: the product; its salvage lies below its costs.

    Raises:
        DataError: the minimum order is above what the supplier has, or price breaks do not rise.

    >>> jam = Item("jam", Demand(np.array([0.0, 0.5, 0.5])), 3.0, (Tier(0, 2.0), Tier(9, 0.1)), pack=2)
    >>> menu_of(jam)[0]
    array([ 0,  2,  4, 10])
    """
    if item.most is not None and item.least > item.most:
        raise DataError(
            f"{item.name}: the minimum order is {item.least} units but the supplier has {item.most}; "
            "only ordering nothing is feasible. Leave it out or change one of them."
        )
    breaks = [t.least for t in item.tiers]
    if not breaks or breaks[0] > 1 or any(a >= b for a, b in pairwise(breaks)):
        raise DataError(f"{item.name}: price breaks must begin at 0 or 1 and rise, got {breaks}")
    reach = max(len(item.demand.probability) - 1 - item.stock, 0) + item.pack
    beyond = [-(-u // item.pack) * item.pack for u in (item.least, *breaks)]
    units = np.unique(np.concatenate([np.arange(0, reach + 1, item.pack), beyond]))
    units = units[(units == 0) | (units >= item.least)]
    if item.most is not None:
        units = units[units <= item.most]
    cost, profit = worth_of(item, units)
    kept = (units == 0) | (cost <= item.walk_away)
    return units[kept], cost[kept], profit[kept]


def worth_of(item: Item, units: ndarray) -> tuple[ndarray, ndarray]:
    """(Unit costs, expected profits) of orders of so many units, the sale of the stock at hand included.

        profit = price E[min(demand, stock + q)] + salvage (stock + q - E[min(demand, stock + q)]) - cost q

    >>> jam = Item("jam", Demand(np.array([0.0, 0.5, 0.5])), 3.0, (Tier(0, 2.0),))
    >>> worth_of(jam, np.array([1, 2]))[1]  # 3 - 2, and 1.5 * 3 - 4
    array([1. , 0.5])
    """
    tier = np.maximum(np.searchsorted([t.least for t in item.tiers], units, side="right") - 1, 0)
    cost = np.array([t.cost for t in item.tiers])[tier]
    sales = item.demand.expected_sales()
    sold = sales[np.minimum(item.stock + units, len(sales) - 1)]
    profit = item.price * sold + item.salvage * (item.stock + units - sold) - cost * units
    return cost, profit
