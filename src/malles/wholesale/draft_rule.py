"""A rule for units fitted on past orders, with the inputs of an order file; the later orders score it.

Every order of a product that the buyer had ordered before is a row. It may read `demand` and `history` of the
periods before, the product's `price` if the table states one of every product, and `stock`, guessed as what
is left of the last order:

    stock = max(0, units of the last order - demand x periods since)

A fitted rule that is no better than the usual units on the later orders is not used: it is `history` then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from jaxtyping import Float, Integer
from numpy import ndarray

from malles.errors import DataError
from malles.rules.expression import Variable, variables
from malles.rules.front import Rows, Rule, RuleFront, mean_with_interval
from malles.rules.power_law import Loss
from malles.rules.reading import read_rule
from malles.rules.reorder import find_reorder_rule
from malles.rules.search import RuleSearch
from malles.wholesale.draft import PERIODS, Columns, Drafted, known_price, order_lines
from malles.wholesale.rule import selling_inputs

EARLIER = 0.75
"""Part of the orders that rules are fitted on; the later ones give the reported errors."""
LEAST_EARLIER, LEAST_LATER = 30, 10
MOST_ROWS = 20_000
"""Orders drawn at most."""


@dataclass(frozen=True)
class DraftedRule:
    """A fitted rule and what it was fitted on."""

    front: RuleFront
    earlier: int
    """Orders that rules were fitted and chosen on."""
    later: int
    """Orders of the reported errors."""
    buyers: int
    usual: Rule
    """`history` as it stands, with its error on the same later orders."""

    @property
    def wins(self) -> bool:
        """Whether the best fitted rule misses less than the usual units on the later orders."""
        return max(self.front.best.error, 0.0) < self.usual.error * (1 - 1e-6)  # rounding is no gain

    @property
    def rule(self) -> Rule:
        """What is written: the best fitted rule if it wins, else the usual units."""
        return self.front.best if self.wins else self.usual

    @property
    def sentence(self) -> str:
        """What was found, for a person."""
        best, later = self.front.best, f"{self.later:,} later orders"
        if self.wins:
            return (
                f"Rule: {best}; Poisson deviance {best.error:.4g} on {later}, {self.usual.error:.4g} by the "
                "usual units."
            )
        return (
            f"No rule beats the usual units: {best} has a Poisson deviance of {best.error:.4g} on {later}, "
            f"the usual units have {self.usual.error:.4g}, so the rule is history as it stands."
        )


def guessed_stock(sold: Float[ndarray, " period"]) -> float:
    """Units left of the last order at the usual pace, one period after the last of `sold`.

    >>> guessed_stock(np.array([0.0, 0.0, 0.0]))
    0.0
    """
    ordered = np.flatnonzero(sold)
    if not len(ordered):
        return 0.0
    since = len(sold) - int(ordered[-1])
    return max(float(sold[ordered[-1]]) - selling_inputs(sold)["demand"] * since, 0.0)


def find_draft_rule(
    rows: pl.DataFrame, columns: Columns, rng: np.random.Generator, *, periods: int = 12,
    period: str = "week", case: int = 1,
) -> DraftedRule:  # fmt: skip
    """A rule for the units of an order, from the orders of all buyers of a table.

    Args:
        rows: lines of past orders.
        columns: which column means what; dates are needed.
        rng: draws orders, and the buyers that choose among the rules.
        periods: most periods looked back from an order.
        period: "day", "week" or "month".
        case: units that are counted as one.

    Raises:
        DataError: there are no dates, or too few repeated orders.
    """
    if columns.date is None:
        raise DataError(
            "a rule is fitted on earlier orders and scored on later ones; name the column of dates"
        )
    lines = order_lines(rows, columns, case)
    by, names = _by_period(lines, period)
    events = _repeated(by, periods)
    if len(events) > MOST_ROWS:
        events = events[np.sort(rng.permutation(len(events))[:MOST_ROWS])]
    when = by["slot"].to_numpy()[events]
    late = when > np.quantile(when, EARLIER, method="lower") if len(events) else np.zeros(0, bool)
    if (~late).sum() < LEAST_EARLIER or late.sum() < LEAST_LATER:
        raise DataError(
            f"a rule needs at least {LEAST_EARLIER} earlier and {LEAST_LATER} later orders of products that "
            f"the buyer had ordered before; the table has {int((~late).sum())} and {int(late.sum())}"
        )
    wanted = np.unique(by["product"].to_numpy()[events])
    price = _prices(lines, [names[p] for p in wanted], columns)
    known = None if price is None else dict(zip(wanted.tolist(), price, strict=True))
    data = _rows(by, events, periods, known)
    train, held = data.take(np.flatnonzero(~late)), data.take(np.flatnonzero(late))
    search = RuleSearch(loss=Loss.POISSON, genetic=False)
    front = find_reorder_rule(train, held, rng, search, more=("1 * history",))
    terms = Loss.POISSON.terms(held.inputs["history"], held.target)
    usual = Rule(
        Variable("history"), "as it stands", 1, *mean_with_interval(terms, held.group), choice_error=np.nan
    )
    assert data.group is not None
    return DraftedRule(front, len(train), len(held), len(np.unique(data.group)), usual)


def _by_period(lines: pl.DataFrame, period: str) -> tuple[pl.DataFrame, list[str]]:
    """Units by buyer, product and slot, as numbers and in that order; and the names of the products."""
    start = lines["date"].dt.truncate(PERIODS[period])
    slots = pl.select(pl.date_range(pl.lit(start.min()), pl.lit(start.max()), PERIODS[period])).to_series()
    at = pl.DataFrame({"start": slots, "slot": np.arange(len(slots))})
    names = lines["product"].unique().sort()
    product = pl.DataFrame({"product": names, "number": np.arange(len(names))})
    joined = lines.with_columns(start=start).join(at, on="start").join(product, on="product")
    found = joined.select(
        pl.col("buyer").rank("dense").cast(pl.Int64), pl.col("number").alias("product"), "slot", "units"
    )
    found = found.group_by("buyer", "product", "slot").agg(pl.col("units").sum())
    first = found.group_by("buyer").agg(pl.col("slot").min().alias("first"))
    return found.join(first, on="buyer").sort("buyer", "product", "slot"), names.to_list()


def _repeated(by: pl.DataFrame, periods: int) -> Integer[ndarray, " row"]:
    """Rows before which the same buyer ordered the same product, at most `periods` earlier."""
    buyer, product, slot = (by[c].to_numpy() for c in ("buyer", "product", "slot"))
    again = (buyer[1:] == buyer[:-1]) & (product[1:] == product[:-1]) & (slot[1:] - slot[:-1] <= periods)
    return np.flatnonzero(again) + 1


def _rows(by: pl.DataFrame, events: ndarray, periods: int, price: Mapping[int, float] | None) -> Rows:
    buyer, product, slot, first = (by[c].to_numpy() for c in ("buyer", "product", "slot", "first"))
    units = by["units"].to_numpy()
    found: dict[str, list[float]] = {name: [] for name in ("demand", "history", "stock")}
    for event in events:
        start = max(int(first[event]), int(slot[event]) - periods)
        sold = np.zeros(int(slot[event]) - start)
        before = event - 1
        while (
            before >= 0
            and buyer[before] == buyer[event]
            and product[before] == product[event]
            and slot[before] >= start
        ):
            sold[slot[before] - start] = units[before]
            before -= 1
        seen = selling_inputs(sold)
        values = (seen["demand"], seen["history"], guessed_stock(sold))
        for name, value in zip(found, values, strict=True):
            found[name].append(value)
    if price is not None:
        found["price"] = [price[int(product[event])] for event in events]
    return Rows({k: np.array(v, float) for k, v in found.items()}, units[events], buyer[events])


def _prices(lines: pl.DataFrame, names: list[str], columns: Columns) -> list[float] | None:
    """Selling prices; None unless the table states one above 0 of every product."""
    if columns.price is None:
        return None
    of = lines.partition_by("product", as_dict=True)
    found = [known_price(of[(name,)], columns) or 0.0 for name in names]
    return found if min(found) > 0 else None


def with_guessed_stock(products: tuple[Drafted, ...]) -> tuple[Drafted, ...]:
    """The products with the stock that a rule was fitted on: what is left of the last order."""
    return tuple(replace(p, stock=round(guessed_stock(np.array(p.sold)))) for p in products)


def write_rule(found: DraftedRule) -> str:
    """The `[rule]` of an order file with its front, as TOML; constants show four digits."""
    rules = [*found.front.rules, *([] if found.wins else [found.usual])]
    once = {read_rule(str(rule)): rule for rule in rules}  # as it is read again
    front = sorted(once.values(), key=lambda rule: (rule.complexity, -rule.error))
    blocks = [
        f"# Units of an order, fitted on {found.earlier:,} orders of {found.buyers:,} buyers; errors on "
        f"{found.later:,} later ones.\n# {found.sentence}\n"
        f'[rule]\nformula = "{found.rule}"\nuse = "fact"\nerror = "Poisson deviance of later orders"'
    ]
    blocks += [
        f'[[rule.front]]\nrule = "{rule}"\nerror = {max(rule.error, 0.0):.4f}\nlow = {rule.low:.4f}\n'
        f"high = {rule.high:.4f}"
        for rule in front
    ]
    return "\n\n".join(blocks) + "\n"


def reads_stock(found: DraftedRule) -> bool:
    """Whether the chosen rule reads the guessed stock."""
    return "stock" in variables(found.rule.expression)
