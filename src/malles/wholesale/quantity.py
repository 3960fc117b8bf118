"""How many: the newsvendor's quantity, quantity breaks, and (s, S) policies.

newsvendor      smallest q with P(D <= q) >= (p - c) / (p - v)
with breaks     the best of the newsvendor's quantities at each price and of the break points
(s, S)          order up to S when the position falls to s; exact for discrete demand
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.errors import DataError
from malles.wholesale.demand import Demand
from malles.wholesale.items import Item, menu_of


def critical_ratio(price: float, cost: float, salvage: float = 0.0, shortage: float = 0.0) -> float:
    """Part of the demand worth covering: underage over underage plus overage.

        (p + b - c) / (p + b - v)

    >>> critical_ratio(10.0, 6.0, 1.0)
    0.4444444444444444
    """
    over, under = cost - salvage, price + shortage - cost
    if over <= 0:
        raise DataError(
            f"what is left over is worth {salvage}, not less than it costs ({cost}); order without end"
        )
    return max(under / (under + over), 0.0) if under > 0 else 0.0


def newsvendor_quantity(
    demand: Demand, price: float, cost: float, salvage: float = 0.0, shortage: float = 0.0
) -> int:
    """The order that maximises expected profit of one period.

    Source: Arrow, Harris & Marschak (1951).

    >>> newsvendor_quantity(Demand(np.full(10, 0.1)), price=10.0, cost=5.0)
    4
    """
    ratio = critical_ratio(price, cost, salvage, shortage)
    return demand.quantile(ratio) if ratio > 0 else 0


def expected_profit(
    demand: Demand, price: float, cost: Float[ndarray, " unit"] | float, salvage: float = 0.0, stock: int = 0
) -> Float[ndarray, " unit"]:
    """Expected profit of ordering q = 0, 1, 2, ... on top of `stock`.

        p E[min(D, stock + q)] + v (stock + q - E[min(D, stock + q)]) - c q

    Args:
        demand: distribution of units.
        price: the units are sold at.
        cost: per unit, one number or one per q (quantity breaks).
        salvage: v of what is left over.
        stock: units at hand already.
    """
    sales = demand.expected_sales()
    most = len(sales) - 1
    q = np.arange(most + 1)
    held = np.minimum(stock + q, most)
    sold = sales[held]
    return np.asarray(price * sold + salvage * (stock + q - sold) - np.asarray(cost, float) * q)


@dataclass(frozen=True)
class Order:
    """A quantity with what it is expected to bring."""

    units: int
    cost: float
    """Per unit at this quantity."""
    profit: float
    """Expected, currency."""


def best_order(item: Item) -> Order:
    """The best order of one product under all-units quantity breaks, whole packs and a minimum order.

    >>> from malles.wholesale.items import Tier
    >>> best_order(Item("jam", Demand(np.full(11, 1 / 11)), 10.0, (Tier(0, 6.0), Tier(8, 3.0)))).units
    8
    """
    units, cost, profit = menu_of(item)
    best = int(profit.argmax())
    return Order(int(units[best]), float(cost[best]), float(profit[best]))


@dataclass(frozen=True)
class Policy:
    """Order up to `up_to` whenever the inventory position is at or below `reorder`."""

    reorder: int
    up_to: int
    cost: float
    """Expected per period."""


def solve_reorder_policy(
    per_period: Demand, lead: Demand, *, holding: float, penalty: float, fixed: float
) -> Policy:
    """The optimal (s, S) policy of a single product under periodic review, unmet demand waiting.

        c(s, S) = ( K + Σ_{j<S-s} m(j) G(S - j) ) / M(S - s),   G(y) = h E[(y - D)+] + b E[(D - y)+]

    Args:
        per_period: demand of one period; P(0) < 1.
        lead: demand over lead time plus one period, on which stock is held or owed.
        holding: h, currency per unit and period.
        penalty: b, currency per unit owed and period.
        fixed: K, currency per order.

    Source: Zheng & Federgruen (1991), Operations Research 39: exact, a few hundred evaluations.
    """
    if not (holding > 0 and penalty > 0 and fixed >= 0):
        raise DataError(f"holding {holding}, penalty {penalty} must be above 0 and fixed {fixed} at least 0")
    p = per_period.probability
    if p[0] >= 1 - 1e-12:
        return Policy(0, 0, 0.0)
    units = np.arange(len(lead.probability))
    known: dict[int, float] = {}

    def loss_at(y: int) -> float:
        if y not in known:
            gap = y - units
            known[y] = float(
                lead.probability @ (holding * np.maximum(gap, 0) + penalty * np.maximum(-gap, 0))
            )
        return known[y]

    renewal = [1 / (1 - p[0])]  # m(j)
    total = [0.0, renewal[0]]  # M(j) = Σ_{i<j} m(i)

    def m(j: int) -> float:
        while len(renewal) <= j:
            k = len(renewal)
            last = min(k, len(p) - 1)
            renewal.append(sum(p[i] * renewal[k - i] for i in range(1, last + 1)) / (1 - p[0]))
            total.append(total[-1] + renewal[-1])
        return float(renewal[j])

    def cost(s: int, S: int) -> float:
        held = 0.0
        for j in range(S - s):
            held += m(j) * loss_at(S - j)
        return float((fixed + held) / total[S - s])

    best_y = lead.quantile(penalty / (penalty + holding))
    s, S0 = best_y - 1, best_y
    while cost(s, S0) > loss_at(s):
        s -= 1
    best = cost(s, S0)
    S = S0 + 1
    while loss_at(S) <= best:
        if cost(s, S) < best:
            S0 = S
            while cost(s, S0) <= loss_at(s + 1):
                s += 1
            best = cost(s, S0)
        S += 1
    return Policy(s, S0, best)
