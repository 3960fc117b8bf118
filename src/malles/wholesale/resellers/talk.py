"""Cases of a discussion from cases of resellers: who takes the tenth line of an order, and facts that each
role sees a part of.

manufacturer   price breaks that were paid, new products and best sellers
service        what came back, what similar shops buy
dealer         own orders of each product, time since the last one
all            the chance of an order that the ranking gives to each option

The ranking fills nine lines. Its next eight products are the options, in random order, so that a role which
likes the first letter does not follow the ranking by accident. Without a talk the first of them takes the
line.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from jaxtyping import Float, Integer
from numpy import ndarray

from malles.data.named_lines import NamedLines
from malles.discussion.case import Case, Decision, Fact, Option
from malles.wholesale.resellers.cases import POOL_WEEKS, ResellerCase
from malles.wholesale.resellers.evidence import Evidence
from malles.wholesale.resellers.methods import Ranked

LETTERS = "ABCDEFGH"
FIRST = 9
"""Lines that the ranking fills before the options: these are its places 10 to 17."""
MOVE = 0.5
"""Part of the suggested units that the talk may add or take away."""
LARGE = 24
"""Units from which a line counts as large when price breaks are looked for."""
NEW_WEEKS = 8
QUESTION = "One line of the order is free. Which product should the shop take, and how many units?"


@dataclass(frozen=True)
class PriceBook:
    """What was billed and what came back before a day."""

    price: Float[ndarray, " product"]
    """Median price of the 26 weeks before; nan where none."""
    large_price: Float[ndarray, " product"]
    """The same of lines of at least 24 units."""
    returned: Float[ndarray, " product"]
    """Units cancelled per unit sold, of the same weeks."""


def build_price_book(lines: NamedLines, cancelled: tuple[ndarray, ndarray, ndarray], day: int) -> PriceBook:
    """Prices and returns of the 26 weeks before a day.

    Args:
        lines: all lines.
        cancelled: (product, day, units) of cancellations.
        day: nothing of this day or later is looked at.
    """
    part = lines.take((lines.day < day) & (lines.day >= day - 7 * POOL_WEEKS))
    products = len(lines.names)
    product, when, units = cancelled
    recent = (when < day) & (when >= day - 7 * POOL_WEEKS)
    back = np.bincount(product[recent], units[recent], products)
    sold = np.bincount(part.product, part.quantity, products)
    large = part.take(part.quantity >= LARGE)
    return PriceBook(
        _median_price(part, products), _median_price(large, products), back / np.maximum(sold, 1)
    )


def build_talk_case(
    case: ResellerCase,
    rows: Integer[ndarray, " mine"],
    evidence: Evidence,
    ranked: Ranked,
    suggested: Float[ndarray, " row"],
    prices: PriceBook,
    names: tuple[str, ...],
    *,
    draw: int = 0,
    chances: bool = True,
) -> Case:
    """One discussion: the eight candidates in places 10 to 17 of a ranking, or the last eight of a short one.

    Args:
        case: whose order it is; what was ordered is not looked at.
        rows: rows of the case in `evidence`.
        evidence: features of all cases.
        ranked: the ranking that chooses the candidates.
        suggested: units of every row of `evidence`.
        prices: of the days before.
        names: of products.
        draw: number of the random order of the options.
        chances: whether all roles read the ranking's scores, which then are probabilities.
    """
    among = rows[evidence.candidate[rows]]
    first = max(min(FIRST, len(among) - len(LETTERS)), 0)
    best = among[np.argsort(-ranked.score[among], kind="stable")[first : first + len(LETTERS)]]
    tenth = int(best[0]) if len(best) else -1
    best = np.random.default_rng([case.customer, case.day, draw]).permutation(best)
    options = []
    for letter, row in zip(LETTERS, best, strict=False):
        product, units = int(evidence.product[row]), max(round(float(suggested[row])), 1)
        cost = float(np.nan_to_num(prices.price[product]))
        low, high = max(int(units * (1 - MOVE)), 1), max(int(np.ceil(units * (1 + MOVE))), 1)
        options.append(Option(letter, names[product][:32], round(cost, 2), units, low, high))
    facts = _facts(best, evidence, prices, ranked.score[best] if chances else None)
    return Case(
        f"{case.customer}/{case.day}/{draw}", QUESTION, facts, tuple(options),
        about={"row": [int(r) for r in best], "tenth": tenth},
    )  # fmt: skip


def _facts(best: ndarray, evidence: Evidence, prices: PriceBook, chance: ndarray | None) -> tuple[Fact, ...]:
    """Six facts, and the chances, with the same ids in every case, so that all cases share one grammar."""
    product = evidence.product[best]

    def of(name: str) -> ndarray:
        return np.asarray(evidence.of(name)[best])

    def listed(shown: ndarray, text: list[str], nothing: str) -> str:
        said = [f"{LETTERS[k]} {text[k]}".strip() for k in np.flatnonzero(shown)]
        return ", ".join(said) or nothing

    small, large = prices.price[product], prices.large_price[product]
    back = prices.returned[product]
    broken = np.nan_to_num(large, nan=np.inf) < np.nan_to_num(small) * 0.97
    blank = [""] * len(best)
    new, strong = of("weeks_on_sale") < NEW_WEEKS, of("sold_4") >= np.sort(of("sold_4"))[-3:][0]
    near = of("associates") >= np.sort(of("associates"))[-3:][0]
    times, since = of("own_orders"), np.nan_to_num(of("weeks_since"))
    known = times > 0
    every = ~np.isnan(of("interval"))
    gaps = [
        f"{a:.0f} of {b:.0f}" if e else f"{a:.0f}"
        for a, b, e in zip(since, of("interval"), every, strict=True)
    ]
    orders = f"of {int(of('orders')[0])} orders: "
    said = [
        ("price break", f"from {LARGE}: " + listed(broken, [f"at {p:.2f}" for p in large], "no cheaper")),
        ("promotion", f"new: {listed(new, blank, 'none')}; best sellers: {listed(strong, blank, 'none')}"),
        ("returns", listed(back > 0.005, [f"{100 * b:.0f}% back" for b in back], "none came back")),
        ("demand", "similar shops also buy " + listed(near, blank, "nothing")),
        ("history", orders + listed(known, [f"{n:.0f}x" for n in times], "none of these")),
        ("stock", "weeks since and usual interval: " + listed(known, gaps, "none bought yet")),
    ]  # fmt: skip
    if chance is not None:
        order = np.argsort(-chance, kind="stable")
        said.append(("proposal", "chance of an order: " + ", ".join(
            f"{LETTERS[k]} {100 * chance[k]:.0f}%" for k in order)))  # fmt: skip
    return tuple(Fact(f"f{k}", topic, text) for k, (topic, text) in enumerate(said, 1))


def apply_decisions(
    ranked: Ranked, suggested: Float[ndarray, " row"], cases: list[Case], decisions: list[Decision]
) -> Ranked:
    """The ranking with every chosen option in the tenth place, whose product takes the place of the option,
    and its units as decided; the rest as suggested.
    """
    out = replace(ranked, score=ranked.score.copy(), units=np.maximum(suggested, 1.0))
    for case, decision in zip(cases, decisions, strict=True):
        if decision.choice is not None:
            row, tenth = case.about["row"][LETTERS.index(decision.choice)], case.about["tenth"]
            out.score[[row, tenth]] = out.score[[tenth, row]]
            out.units[row] = decision.units
    return out


def _median_price(part: NamedLines, products: int) -> ndarray:
    found = pl.DataFrame({"product": part.product, "price": part.price}).group_by("product").median()
    out = np.full(products, np.nan)
    out[found["product"].to_numpy()] = found["price"].to_numpy()
    return out
