"""Orders of many products that share a budget, a shelf and a truck: a mixed-integer program.

    maximise   Σ_i Σ_k profit[i, k] x[i, k]
    subject to Σ_k x[i, k] = 1,   Σ cost x <= budget,   Σ space x <= shelf,   x binary

Every product offers a menu of quantities (whole packs, the minimum order, the price breaks), so that breaks
and minimum orders are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy import ndarray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from malles.errors import DataError
from malles.wholesale.items import Item, menu_of

MENU = 40
"""Quantities offered per product at most; more are thinned evenly, price breaks kept."""


@dataclass(frozen=True)
class PlannedOrder:
    """One line of a plan."""

    name: str
    units: int
    cost: float
    """Per unit."""
    profit: float
    """Expected, currency."""


@dataclass(frozen=True)
class Plan:
    """Orders that keep every limit."""

    orders: tuple[PlannedOrder, ...]
    spent: float
    space: float
    profit: float
    """Expected, of all products, stock at hand included."""
    budget_worth: float
    """Expected profit per unit of currency that a budget a fifth larger would bring."""
    gap: float
    """How far the plan can be from the best one, as a share of its profit."""


def plan_orders(
    items: Sequence[Item], *, budget: float | None = None, shelf: float | None = None, seconds: float = 10.0
) -> Plan:
    """The orders with the highest expected profit within a budget and a shelf.

    Args:
        items: products; see `Item`.
        budget: cash at most; None = no limit.
        shelf: space at most; None = no limit.
        seconds: of search at most; `Plan.gap` says how far from the best the plan can be.

    Raises:
        DataError: there is nothing to order, or limits below zero.
    """
    if not items:
        raise DataError("there are no products to order; name at least one")
    for name, limit in (("budget", budget), ("shelf", shelf)):
        if limit is not None and not limit >= 0:
            raise DataError(f"the {name} must be at least 0, got {limit}")
    menus = [menu_of(item, MENU) for item in items]
    best = _solve(items, menus, budget, shelf, seconds)
    worth = 0.0
    if budget is not None and budget > 0 and best.spent > 0.5 * budget:
        more = _solve(items, menus, 1.2 * budget, shelf, seconds)
        worth = max(more.profit - best.profit, 0.0) / (0.2 * budget)
    return Plan(best.orders, best.spent, best.space, best.profit, worth, best.gap)


def _solve(
    items: Sequence[Item],
    menus: list[tuple[ndarray, ndarray, ndarray]],
    budget: float | None,
    shelf: float | None,
    seconds: float,
) -> Plan:
    units, cost, profit = (np.concatenate([m[k] for m in menus]) for k in range(3))
    owner = np.repeat(np.arange(len(items)), [len(m[0]) for m in menus])
    space = np.array([item.space for item in items])[owner] * units
    cells = np.arange(len(owner))
    one = csr_array((np.ones(len(owner)), (owner, cells)), shape=(len(items), len(owner)))
    limits = [LinearConstraint(one, 1, 1)]
    for weight, limit in ((cost * units, budget), (space, shelf)):
        if limit is not None:
            limits.append(LinearConstraint(weight[None, :], -np.inf, limit + 1e-9))
    found = milp(
        -profit, constraints=limits, integrality=np.ones(len(owner)), bounds=Bounds(0, 1),
        options={"time_limit": seconds},
    )  # fmt: skip
    if found.x is None:
        raise DataError(f"no plan was found ({found.message}); ask for more seconds or fewer products")
    taken = np.flatnonzero(found.x > 0.5)
    orders = tuple(
        PlannedOrder(items[owner[k]].name, int(units[k]), float(cost[k]), float(profit[k])) for k in taken
    )
    gap = float(getattr(found, "mip_gap", 0.0) or 0.0)
    spent, room, gain = (float(x[taken].sum()) for x in (cost * units, space, profit))
    return Plan(orders, spent, room, gain, 0.0, gap)
