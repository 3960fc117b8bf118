"""The rule of an order file, worked out for its products.

units = the formula's value, halves up, where every input that it reads is known; else none
held  = units within the limits of a case: packs, minimum, available, budget, walk-away cost, and the room
        around the plan unless bound = "limits"
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.discussion.case import Case, Decision, Fact, Option, enforce_limits
from malles.discussion.roles import Role
from malles.errors import ConfigError
from malles.rules.expression import Expression, complexity, evaluate, variables
from malles.rules.printing import describe_rule, format_rule
from malles.wholesale.demand import recent_weight
from malles.wholesale.items import Item, worth_of
from malles.wholesale.order import OrderFile, ProductTable
from malles.wholesale.rule_table import INPUTS, RuleTable

TOPIC = "rule"
"""Of the fact that carries the rule's units."""
MOST_UNITS = 10**7
"""As for every other quantity of an order file."""
LONGEST_SHOWN = 100
"""Characters of a formula that a role still reads."""


@dataclass(frozen=True)
class AppliedRule:
    """A rule and its units, product by product."""

    table: RuleTable
    expression: Expression
    inputs: tuple[Mapping[str, float], ...]
    """What the rule reads of every product; an input that is not known is missing."""
    units: tuple[int | None, ...]
    """Before any limit; None where an input is not known."""
    products: tuple[ProductTable, ...]

    @property
    def proposes(self) -> bool:
        """Whether its units take the place of the plan's."""
        return self.table.use == "proposal"

    def fact(self, product: int) -> tuple[str, str] | None:
        """Topic and text of what the rule says of a product; None where it says nothing."""
        units = self.units[product]
        if units is None:
            return None
        formula = format_rule(self.expression, 3)
        shown = f": {formula}" if len(formula) <= LONGEST_SHOWN else ""
        return TOPIC, f"the rule says {units}{shown}"


def inputs_of(product: ProductTable, weeks: float) -> dict[str, float]:
    """What a rule may read of a product; without `history` if nothing was sold, `available` if not stated.

    >>> jam = ProductTable(name="jam", price=3.0, cost=((0, 2.0),), sold=(4.0, 0.0, 4.0, 4.0))
    >>> found = inputs_of(jam, 2.0)
    >>> found["history"], found["lead_time"], "available" in found
    (4.0, 2.0, False)
    """
    found = {
        **selling_inputs(np.array(product.sold, float)),
        "lead_time": float(weeks), "stock": float(product.stock), "price": product.price,
        "cost": product.cost[0][1], "pack": float(product.pack), "minimum": float(product.minimum),
    }  # fmt: skip
    if product.available is not None:
        found["available"] = float(product.available)
    return found


def selling_inputs(sold: Float[ndarray, " week"]) -> dict[str, float]:
    """What a rule may read of the units sold a week, oldest first; no `history` if nothing was sold.

    >>> {k: round(v, 6) for k, v in selling_inputs(np.array([6.0, 6.0])).items()}
    {'demand': 6.0, 'last_week': 6.0, 'history': 6.0}
    """
    weight = recent_weight(len(sold))
    found = {"demand": float(weight @ sold / weight.sum()), "last_week": float(sold[-1])}
    return found | ({"history": float(np.median(sold[sold > 0]))} if (sold > 0).any() else {})


def apply_rule(order: OrderFile) -> AppliedRule | None:
    """The units that the rule of an order file gives each product; None without a rule.

    Raises:
        ConfigError: its units of a product are below 0 or above 10,000,000, or it reads what no product has.
    """
    if order.rule is None:
        return None
    expression = order.rule.expression()
    names = sorted(variables(expression), key=list(INPUTS).index)
    inputs, units = [], []
    for product in order.product:
        known = inputs_of(product, order.order.weeks)
        inputs.append({n: known[n] for n in names if n in known})
        whole = len(inputs[-1]) == len(names)
        units.append(_units(expression, inputs[-1], product.name) if whole else None)
    if all(u is None for u in units):
        missing = next(n for n in names if n not in inputs[0])
        raise ConfigError(
            f"The rule can be worked out for no product of the order: it reads {missing!r}, "
            f"{INPUTS[missing]}, which {order.product[0].name!r} lacks. State it, or use other inputs. "
            "Nothing was ordered."
        )
    return AppliedRule(order.rule, expression, tuple(inputs), tuple(units), order.product)


def _units(expression: Expression, inputs: Mapping[str, float], name: str) -> int:
    value = float(evaluate(expression, {k: np.array([v]) for k, v in inputs.items()})[0])
    if not -1e-9 <= value <= MOST_UNITS:  # also where it is no number
        read = ", ".join(f"{k} {v:g}" for k, v in inputs.items())
        raise ConfigError(
            f"The rule gives {value:.6g} units of {name!r} ({read}); an order has 0 to {MOST_UNITS:,}. Hold "
            "the formula within, for example by max(0, ...), or leave it out: --no-rule. Nothing was ordered."
        )
    return int(np.floor(value + 0.5 + 1e-9))


def held_units(case: Case, applied: AppliedRule, product: int) -> Decision | None:
    """The rule's units within every limit of a case, with what the limits changed; None without units.

    Args:
        case: as the arithmetic alone makes it.
        applied: the rule.
        product: its place in the order file.
    """
    units = applied.units[product]
    if units is None:
        return None
    option = _option(_with_room(case, applied, product))
    low, high = (w.replace("the talk", "the rule") for w in (option.low_words, option.high_words))
    held = replace(option, low_words=low, high_words=high)
    return enforce_limits(replace(case, options=(held,)), option.id, units)


def _option(case: Case) -> Option:
    return case.options[0]


def _with_room(case: Case, applied: AppliedRule, product: int) -> Case:
    """The case in which a proposal that only hard limits bind lies in the room of the talk."""
    units, of = applied.units[product], applied.products[product]
    if units is None or not applied.proposes or applied.table.bound == "plan":
        return case
    option = _option(case)
    high = max(option.high, units, of.minimum)
    high = high if of.available is None else min(high, of.available)
    low = min(max(min(option.low, units), of.minimum), high)
    words = "the supplier's minimum is" if low == of.minimum else option.low_words
    most = "" if high == of.available else option.high_words
    wide = replace(option, low=low, high=high, low_words=words, high_words=most, may_drop=True)
    return replace(case, options=(wide,))


def with_rule(case: Case, applied: AppliedRule, product: int) -> Case:
    """The case with the rule's fact, and with its units as the suggestion if it proposes."""
    said, held = applied.fact(product), held_units(case, applied, product)
    if said is None or held is None:
        return case
    facts = (*case.facts, Fact(f"f{len(case.facts) + 1}", *said))
    option = _option(_with_room(case, applied, product))
    if applied.proposes:
        option = replace(option, suggested=held.units)
    return replace(case, facts=facts, options=(option,))


def roles_that_see(roles: Sequence[Role]) -> tuple[Role, ...]:
    """The roles, where every one that sees the plan's proposal also sees the rule."""
    return tuple(
        replace(r, sees=(*r.sees, TOPIC)) if "proposal" in r.sees and TOPIC not in r.sees else r
        for r in roles
    )


def rule_facts(applied: AppliedRule, cases: Sequence[Case], items: Sequence[Item]) -> dict[str, Any]:
    """The rule as plain values: formula, sentence, what it read of every product, and its front.

    Args:
        applied: the rule.
        cases: as the arithmetic alone makes them.
        items: the products; their demand gives the expected profit of the rule's units within limits.
    """
    values = []
    for i, (case, inputs, item) in enumerate(zip(cases, applied.inputs, items, strict=True)):
        held = held_units(case, applied, i)
        values.append(
            {
                "product": case.id, "inputs": dict(inputs), "units": applied.units[i],
                "held": None if held is None else held.units,
                "profit": None if held is None else float(worth_of(item, np.array([held.units]))[1][0]),
                "planned_profit": float(worth_of(item, np.array([_option(case).suggested]))[1][0]),
                "corrections": [] if held is None else list(held.corrections),
            }
        )  # fmt: skip
    front = sorted((complexity(f.expression()), -f.error, i) for i, f in enumerate(applied.table.front))
    rows = [(nodes, applied.table.front[i]) for nodes, _, i in front]
    return {
        "formula": format_rule(applied.expression),
        "sentence": describe_rule(applied.expression, "The order", INPUTS),
        "use": applied.table.use,
        "bound": applied.table.bound,
        "nodes": complexity(applied.expression),
        "values": values,
        "error": applied.table.error,
        "front": [
            {
                "nodes": nodes, "error": f.error, "low": f.low, "high": f.high,
                "chosen": f.expression() == applied.expression, "rule": format_rule(f.expression(), 4),
            }
            for nodes, f in rows
        ],
    }  # fmt: skip
