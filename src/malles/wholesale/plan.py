"""Orders of many products that share a budget, a shelf and a truck: a mixed-integer program.

    maximise   Σ_i Σ_k gain[i, k] x[i, k]
    subject to Σ_k x[i, k] = 1,   Σ cost x <= budget,   Σ space x <= shelf,   x binary

Every product offers all its quantities (`menu_of`), so that packs, breaks and minimum orders are exact; how
the best choice is found stands in `plan_search`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from malles.errors import DataError
from malles.wholesale.items import Item, menu_of
from malles.wholesale.plan_search import Limits, Menus, find_choice


@dataclass(frozen=True)
class PlannedOrder:
    """One line of a plan."""

    name: str
    units: int
    cost: float
    """Per unit."""
    profit: float
    """Expected, currency; the sale of the stock at hand included."""
    gain: float
    """Expected, beyond ordering none of it."""


@dataclass(frozen=True)
class Plan:
    """Orders that keep every limit."""

    orders: tuple[PlannedOrder, ...]
    spent: float
    space: float
    profit: float
    """Expected, of all products, the sale of the stock at hand included."""
    gain: float
    """Expected, beyond ordering nothing: what the orders add."""
    budget_worth: float
    """Expected profit per unit of currency that a budget a fifth larger would bring; 0 without a budget."""
    gap: float
    """How far the gain can be below that of the best plan, as a share of it."""


def plan_orders(
    items: Sequence[Item], *, budget: float | None = None, shelf: float | None = None, seconds: float = 3.0
) -> Plan:
    """The orders with the highest expected profit within a budget and a shelf.

    Whatever the time, no other quantity of one product alone would add profit within the limits.

    Args:
        items: products; see `Item`.
        budget: cash at most; None = no limit.
        shelf: space at most; None = no limit.
        seconds: for the program at most, and once more for the worth of a larger budget; `Plan.gap` says how
            far from the best the plan can be.

    Raises:
        DataError: there is nothing to order, or limits below zero.
    """
    if not items:
        raise DataError("there are no products to order; name at least one")
    for name, limit in (("budget", budget), ("shelf", shelf)):
        if limit is not None and not limit >= 0:
            raise DataError(f"the {name} must be at least 0, got {limit}")
    limits = Limits(np.inf if budget is None else budget, np.inf if shelf is None else shelf)
    offers = [menu_of(item) for item in items]
    menus = Menus.build([(u, c, p - p[0], item.space) for (u, c, p), item in zip(offers, items, strict=True)])
    chosen, gap = find_choice(menus, limits, seconds)
    nothing = [float(profit[0]) for _, _, profit in offers]
    orders = tuple(
        PlannedOrder(item.name, int(menus.units[k]), float(menus.cost[k]), none + float(menus.gain[k]),
                     float(menus.gain[k]))
        for item, k, none in zip(items, chosen, nothing, strict=True)
    )  # fmt: skip
    spent, space, gain = (float(x[chosen].sum()) for x in (menus.money, menus.space, menus.gain))
    worth = 0.0
    extra = 0.2 * (budget or 0.0)
    if extra > 0:
        more, _ = find_choice(menus, replace(limits, money=limits.money + extra), seconds)
        worth = max(float(menus.gain[more].sum()) - gain, 0.0) / extra
    return Plan(orders, spent, space, gain + sum(nothing), gain, worth, gap)
