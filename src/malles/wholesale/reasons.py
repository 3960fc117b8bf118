"""Why a line of an order is what it is, in words: why none is ordered, which price break is lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from malles.discussion.case import price_text
from malles.wholesale.items import Item, menu_of


def reason_for_none(item: Item, budget: float | None, shelf: float | None) -> str:
    """Why a plan leaves a product out.

    Args:
        item: the product.
        budget: of all products; None = no limit.
        shelf: space of all products; None = no limit.

    >>> import numpy as np
    >>> from malles.wholesale.demand import Demand
    >>> from malles.wholesale.items import Tier
    >>> reason_for_none(Item("jam", Demand(np.array([0.0, 1.0])), 3.0, (Tier(0, 2.0),), stock=4), None, None)
    'stock at hand covers demand'
    """
    lowest = min(t.cost for t in item.tiers)
    smallest = item.smallest_order()
    if lowest > item.walk_away:
        return f"every unit costs more than the walk-away of {price_text(item.walk_away)}"
    if smallest is None:
        return f"at most {item.most} can be had, less than the smallest order"
    units, cost, profit = menu_of(item)
    if profit.max() <= profit[0] + 1e-9:
        if item.demand.mean <= 0:
            return "no demand is expected"
        if lowest >= item.price:
            return f"a unit costs {price_text(lowest)} and sells at {price_text(item.price)}"
        covered = item.stock >= item.demand.mean
        return "stock at hand covers demand" if covered else "an order adds no expected profit"
    if budget is not None and float((units * cost)[1:].min()) > budget:
        return "the budget does not pay the smallest order"
    if shelf is not None and smallest * item.space > shelf:
        return "the shelf does not hold the smallest order"
    limits = [name for name, limit in (("budget", budget), ("shelf", shelf)) if limit is not None]
    return f"the {' and the '.join(limits)} {'are' if len(limits) > 1 else 'is'} spent better elsewhere"


def notes_of(
    item: Item, planned: int, talked: int, ordered: int, budget: float | None, shelf: float | None
) -> tuple[str, ...]:
    """What a reader of a line should know, one sentence each.

    Args:
        item: the product.
        planned: units of the plan.
        talked: units after talk or rule, before budget and shelf.
        ordered: units at last.
        budget: of all products; None = no limit.
        shelf: of all products; None = no limit.
    """
    found = []
    if planned == 0 and ordered == 0:
        found.append(reason_for_none(item, budget, shelf))
    if ordered < talked:
        limits = [name for name, limit in (("budget", budget), ("shelf", shelf)) if limit is not None]
        leave = "leave" if len(limits) > 1 else "leaves"
        found.append(f"the {' and the '.join(limits)} {leave} {ordered} of {talked}")
    lost = [
        t.least for t, before in zip(item.tiers[1:], item.tiers[:-1], strict=True)
        if ordered < t.least <= planned and t.cost < before.cost
    ]  # fmt: skip
    if ordered and lost:
        found.append(f"loses the price break at {lost[-1]}")
    return tuple(found)


def told_of(line: Mapping[str, Any]) -> str:
    """How the talk of a line ended, what the limits changed, and its notes; '' if there is nothing to say.

    >>> told_of({"end": "", "corrections": ["a pack is 6"], "notes": ["loses the price break at 20"]})
    'a pack is 6; loses the price break at 20'
    """
    return ": ".join(filter(None, (line["end"], "; ".join((*line["corrections"], *line["notes"])))))
