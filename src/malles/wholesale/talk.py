"""From an order file to cases of a discussion, and from its decisions back to an order within the budget.

Every product is one case; the optimiser's plan is a fact that every role sees, and a bound on how far the
talk, or the rule of the file, may go. What the talks ask for together may exceed the budget or the shelf:
then the optimiser fits it, taking the talked quantities as the most of each product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from malles.discussion.case import Case, Decision, Fact, Option
from malles.discussion.rounds import Discussion
from malles.wholesale.items import Item
from malles.wholesale.order import OrderFile, ProductTable, build_item
from malles.wholesale.plan import Plan, plan_orders
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
        proposal = planned.units
        room = order.talk.move * max(proposal, product.pack)
        high = int(proposal + room)
        if product.available is not None:
            high = min(high, product.available)
        smallest = item.smallest_order()
        if smallest is None or smallest > high:  # no order is feasible within the room around the plan
            low = high = 0
        else:
            low = max(int(proposal - room), smallest)
        cost = planned.cost if proposal else cost_at(item, smallest or 0)
        option = Option(
            TAKE, product.name, cost=cost, suggested=proposal, low=min(low, high), high=high,
            pack=product.pack, reservation=item.walk_away,
        )  # fmt: skip
        budget = float("inf") if order.order.budget is None else order.order.budget
        question = f"How many units of {product.name} should the dealer order?"
        cases.append(
            Case(
                product.name,
                question,
                tuple(facts_of(order, product, item, plan, proposal)),
                (option,),
                budget,
            )
        )
    return cases if applied is None else [with_rule(case, applied, i) for i, case in enumerate(cases)]


def facts_of(order: OrderFile, product: ProductTable, item: Item, plan: Plan, proposal: int) -> list[Fact]:
    """What is known of a product, by topic; ids in order. `proposal` is its line of the plan."""
    said: list[tuple[str, str]] = [
        ("cost", ", ".join(f"{c:.2f} each from {at}" for at, c in product.cost)),
        ("minimum order", f"{product.minimum} units, packs of {product.pack}"),
        ("stock", f"{product.stock} at hand"),
        ("sell-through", "sold by week: " + ", ".join(f"{u:g}" for u in product.sold[-6:])),
        ("demand", f"{item.demand.mean:.0f} expected in {order.order.weeks:g} weeks, "
                   f"{item.demand.quantile(0.1)} to {item.demand.quantile(0.9)} likely"),
        ("history", f"sold at {product.price:.2f}"),
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
    lines = []
    for k, (item, planned) in enumerate(zip(items, plan.orders, strict=True)):
        end = talks[k].end if talks is not None else None
        lines.append(
            Line(
                item.name, planned.units, None if applied is None else applied.units[k], units[k], final[k],
                cost_at(item, final[k]), end.value if end is not None else "", decisions[k].corrections,
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
