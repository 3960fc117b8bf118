"""From an order file to cases of a discussion, and from its decisions back to an order within the budget.

Every product is one case; the optimiser's plan is a fact that every role sees, and a bound on how far the
talk, or the rule of the file, may go. What the talks ask for together may exceed the budget or the shelf:
then the optimiser fits it, taking the talked quantities as the most of each product.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from malles.discussion.case import Case, Decision, Fact, Option, price_text
from malles.discussion.rounds import Discussion, End
from malles.wholesale.items import Item, worth_of
from malles.wholesale.order import OrderFile, ProductTable, build_item
from malles.wholesale.plan import Plan, PlannedOrder, plan_orders
from malles.wholesale.reasons import notes_of
from malles.wholesale.rule import AppliedRule, held_units, with_rule

TAKE = "A"
"""The option of every case; the alternative is to buy nothing."""


@dataclass(frozen=True)
class Line:
    """One product of the final order."""

    name: str
    proposed: int
    """By the optimiser."""
    rule: int | None
    """By the rule of the file, before any limit; None without one, or where it cannot be worked out."""
    talked: int
    """After the discussion; without one, by the rule where it proposes, else by the optimiser."""
    ordered: int
    """After budget and shelf."""
    cost: float
    """Per unit."""
    end: str
    """How the talk ended; '' without one."""
    corrections: tuple[str, ...]
    """What the limits changed of what was talked, or of the rule."""
    notes: tuple[str, ...]
    """Why none is ordered, what budget and shelf took, which price break is lost."""
    planned_gain: float
    """Expected profit of the optimiser's units beyond ordering none."""
    gain: float
    """The same of the units ordered, by the same forecast."""


ALONE = {
    End.AGREED: "the same proposal twice in a row",
    End.ROUNDS: "the last proposal holds",
}
"""How a talk of one role ended: nobody is there to agree with."""


def plan_file(order: OrderFile) -> tuple[list[Item], Plan]:
    """The optimiser's answer to an order file."""
    items = [build_item(product, order.order.weeks) for product in order.product]
    return items, plan_orders(items, budget=order.order.budget, shelf=order.order.shelf)


def build_cases(
    order: OrderFile, items: Sequence[Item], plan: Plan, applied: AppliedRule | None = None
) -> list[Case]:
    """One case per product, in which the rule is heard if there is one."""
    cases = []
    for product, item, planned in zip(order.product, items, plan.orders, strict=True):
        option = _option_of(order, product, item, planned)
        budget = float("inf") if order.order.budget is None else order.order.budget
        question = f"How many units of {product.name} should the dealer order?"
        cases.append(
            Case(
                product.name,
                question,
                tuple(facts_of(order, product, item, plan, planned.units)),
                (option,),
                budget,
            )
        )
    return cases if applied is None else [with_rule(case, applied, i) for i, case in enumerate(cases)]


def _option_of(order: OrderFile, product: ProductTable, item: Item, planned: PlannedOrder) -> Option:
    """What may be ordered of a product: the room around the plan, rounded inwards, within the supplier's."""
    proposal, smallest = planned.units, item.smallest_order()
    room = order.talk.move * max(proposal, product.pack)
    bottom, high = math.ceil(proposal - room - 1e-9), math.floor(proposal + room + 1e-9)
    most_words = "the talk may take at most"
    high_words = most_words if proposal else f"the plan orders none, and {most_words}"
    low_words = "the talk may take at least"
    if product.available is not None and product.available <= high:
        high, high_words = product.available, ""
    if smallest is None or smallest > high:  # no order is feasible within the room around the plan
        low, high, high_words = 0, 0, f"the plan orders none, and {most_words}"
    else:
        low = max(bottom, smallest)
        if smallest > bottom:
            low_words = _smallest_words(product, smallest)
    return Option(
        TAKE, product.name, cost=planned.cost if proposal else cost_at(item, smallest or 0),
        suggested=proposal, low=min(low, high), high=high, pack=product.pack, reservation=item.walk_away,
        may_drop=order.talk.drop or proposal == 0 or bottom <= 0, low_words=low_words,
        high_words=high_words,
    )  # fmt: skip


def _smallest_words(product: ProductTable, smallest: int) -> str:
    if smallest == max(-(-product.minimum // product.pack), 1) * product.pack:
        return (
            "the supplier's minimum in whole packs is"
            if product.minimum % product.pack
            else ("the supplier's minimum is" if product.minimum else "a pack is")
        )
    return f"the walk-away of {price_text(product.walk_away or 0.0)} needs at least"


def facts_of(order: OrderFile, product: ProductTable, item: Item, plan: Plan, proposal: int) -> list[Fact]:
    """What is known of a product, by topic; ids in order. `proposal` is its line of the plan."""
    said: list[tuple[str, str]] = [
        ("cost", ", ".join(f"{price_text(c)} each from {at}" for at, c in product.cost)),
        ("minimum order", f"{product.minimum} units, packs of {product.pack}"),
        ("stock", f"{product.stock} at hand"),
        ("sell-through", "sold by week: " + ", ".join(f"{u:g}" for u in product.sold[-6:])),
        ("demand", f"{item.demand.mean:.0f} expected in {order.order.weeks:g} weeks, "
                   f"{item.demand.quantile(0.1)} to {item.demand.quantile(0.9)} likely"),
        ("history", f"sold at {price_text(product.price)}"),
    ]  # fmt: skip
    if order.order.budget is not None:
        said.append(("cash", f"{order.order.budget:.2f} for all products, {plan.spent:.2f} planned"))
    for topic, text in (
        ("returns", product.returns), ("reviews", product.reviews), ("promotion", product.promotion),
        ("stock-out", product.stock_outs),
    ):  # fmt: skip
        if text:
            said.append((topic, text))
    said.append(("proposal", f"the arithmetic says {proposal}"))
    return [Fact(f"f{i}", topic, text) for i, (topic, text) in enumerate(said, 1)]


def settle_order(
    order: OrderFile,
    items: Sequence[Item],
    plan: Plan,
    talks: Sequence[Discussion] | None,
    applied: AppliedRule | None = None,
) -> list[Line]:
    """The final order: what was talked, or proposed, fitted into budget and shelf."""
    decisions = [t.decision for t in talks] if talks is not None else _proposed(order, items, plan, applied)
    units = [d.units for d in decisions]
    spent = sum(u * cost_at(item, u) for u, item in zip(units, items, strict=True))
    room = sum(u * item.space for u, item in zip(units, items, strict=True))
    budget, shelf = order.order.budget, order.order.shelf
    final = units
    if (budget is not None and spent > budget + 1e-9) or (shelf is not None and room > shelf + 1e-9):
        capped = [
            replace(item, most=u if item.most is None else min(u, item.most), least=min(item.least, u))
            for item, u in zip(items, units, strict=True)
        ]
        final = [o.units for o in plan_orders(capped, budget=budget, shelf=shelf).orders]
    alone = talks is not None and len({name for t in talks for _, name, _ in t.said}) == 1
    lines = []
    for k, (item, planned) in enumerate(zip(items, plan.orders, strict=True)):
        end = talks[k].end if talks is not None else None
        words = "" if end is None else ALONE.get(end, end.value) if alone else end.value
        nothing, gain = worth_of(item, np.array([0, final[k]]))[1]
        lines.append(
            Line(
                item.name, planned.units, None if applied is None else applied.units[k], units[k], final[k],
                cost_at(item, final[k]), words, decisions[k].corrections,
                notes_of(item, planned.units, units[k], final[k], budget, shelf),
                planned.gain, float(gain - nothing),
            )
        )  # fmt: skip
    return lines


def _proposed(
    order: OrderFile, items: Sequence[Item], plan: Plan, applied: AppliedRule | None
) -> list[Decision]:
    """Without a talk: the plan, or within limits what the rule says of a product if it proposes."""
    found = [Decision(TAKE if o.units else None, o.units) for o in plan.orders]
    if applied is None or not applied.proposes:
        return found
    held = [held_units(case, applied, i) for i, case in enumerate(build_cases(order, items, plan))]
    return [planned if h is None else h for h, planned in zip(held, found, strict=True)]


def cost_at(item: Item, units: int) -> float:
    """Unit cost of an order of so many units."""
    return next(t.cost for t in reversed(item.tiers) if units >= t.least or t is item.tiers[0])
