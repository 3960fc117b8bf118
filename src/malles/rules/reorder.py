"""Rules for how many units a shop orders again, from its sell-through, stock, lead time, price and history.

    proposal    max(0, k1 demand lead_time + k2 demand - k3 stock)        order up to a level
    conditions  orders do not rise with stock or price, nor fall with demand

Source of the order-up-to form: Arrow, Harris & Marschak (1951).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from malles.errors import DataError
from malles.rules.conditions import monotone
from malles.rules.front import Rows, RuleFront
from malles.rules.reading import read_rule
from malles.rules.search import RuleSearch

SIGNS = {"demand": 1, "history": 1, "stock": -1, "price": -1}
"""Which way orders may move; lead time is left free."""

ORDER_UP_TO = "max(0, demand * (1 * lead_time + 1) - 1 * stock)"


def find_reorder_rule(
    orders: Rows,
    held: Rows,
    rng: np.random.Generator,
    search: RuleSearch | None = None,
    *,
    more: Sequence[str] = (),
) -> RuleFront:
    """A rule for ordered units.

    Args:
        orders: inputs `demand` (units sold per period), `stock` (units), and where known `lead_time`
            (periods), `price` (currency per unit), `history` (usual units per order); all > 0 but stock,
            which is >= 0. The target is units ordered, 0 where none were.
        held: other orders with the same inputs, for the reported error.
        rng: draws the part that chooses among the rules.
        search: settings; by default squared loss and 15 nodes.
        more: formulas proposed beside the order-up-to form; their constants are fitted.

    Raises:
        DataError: demand or stock is missing.
    """
    missing = {"demand", "stock"} - orders.inputs.keys()
    if missing:
        raise DataError(
            f"A reorder rule needs the inputs 'demand' and 'stock', got {', '.join(sorted(orders.inputs))}."
        )
    proposals = [read_rule(text, orders.inputs) for text in ("max(0, 1 * demand - 1 * stock)", *more)]
    if "lead_time" in orders.inputs:
        proposals.insert(0, read_rule(ORDER_UP_TO))
    conditions = [c for n, s in SIGNS.items() if n in orders.inputs for c in monotone(orders.inputs, n, s)]
    asked = replace(search or RuleSearch(), floor=0.0)
    return asked.find(orders, held, rng, conditions=conditions, proposals=proposals)
