"""Sentences beside an answer: what it leaves out, where it extrapolates, what to look at twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from malles.calibration.raking import Raked
from malles.scenarios.changes import Display, Mailer, PriceChange
from malles.scenarios.cube_kernels import UNITS
from malles.scenarios.naming import Resolved
from malles.scenarios.policy import IncomeShift, PreferenceShift, Subsidy
from malles.scenarios.products import name_of
from malles.scenarios.rehearsal import Desk, Rehearsal
from malles.scenarios.shelf_changes import Discount
from malles.vocabulary import Catalogue

OUTSIDE_TOLD, COSTS_TOLD = 0.05, 0.95
"""Parts of the units from which products outside the slates, and up to which missing costs, are told."""


def find_caveats(
    catalogue: Catalogue,
    asked: Resolved,
    desk: Desk,
    found: Rehearsal,
    responses: dict[str, Any] | None,
    raked: Raked | None,
    prices: Sequence[dict[str, Any]],
) -> list[str]:
    """Every sentence that belongs beside an answer.

    Args:
        catalogue: names.
        asked: the scenario.
        desk: of its category and weeks.
        found: what it does.
        responses: what the run knows of its response parameters; None in older runs.
        raked: weights of the customers, if any.
        prices: products that change, with prices before, after and as observed.
    """
    notes = ["Price effects are associational: past prices were not drawn at random."]
    if raked is not None:
        notes.append(raked.sentence)
    if responses is None:
        notes.append(
            "The intervals hold households and luck, not the uncertainty of the response: an older malles "
            "made this run; `malles runs resume` adds it."
        )
    elif "price_evidence" in responses:
        notes.append("Of all categories together: " + responses["price_evidence"] + ".")
    for row in prices:
        then, low, high = row["price_then"], row["observed_low"], row["observed_high"]
        alone = len(asked.changes) == 1 and isinstance(asked.changes[0], Discount)
        if alone and then is not None and row["price_today"] is not None and then > row["price_today"]:
            notes.append(
                f"The discount sets {then:.2f}, above today's {row['price_today']:.2f}: it is counted from "
                'the list price; write kind = "price" to start from today\'s.'
            )
        if then is not None and low is not None and not low <= then <= high:
            notes.append(
                f"A price of {then:.2f} is outside what was observed for {row['product']} ({low:.2f} to "
                f"{high:.2f}): the answer extrapolates."
            )
    if not np.isfinite(found.central_surplus).all():
        notes.append(
            "Consumer surplus is left out: it counts what is paid for products of both worlds, and here some "
            "leave or enter."
        )
    elif any(isinstance(p, PreferenceShift | IncomeShift) for p in asked.policies):
        notes.append("Tastes or incomes change here; the consumer surplus counts prices alone.")
    notes += _doubts(catalogue, asked, found)
    if asked.newcomers:
        notes.append(
            "A new product takes from the others by their shares; trips that are made because of it are not "
            "foreseen beyond what the offer columns say."
        )
    if any(isinstance(c, PriceChange) for c in asked.changes) and desk.market.skipped:
        notes.append(f"{desk.market.skipped:,} trips to stores without a slate of the category are left out.")
    return notes


def _doubts(catalogue: Catalogue, asked: Resolved, found: Rehearsal) -> list[str]:
    """What an analyst should look at twice."""
    notes = []
    units = found.central[0, ..., UNITS].sum(0)
    outside = units[-1] / max(units.sum(), 1e-12)
    if outside > OUTSIDE_TOLD:
        notes.append(
            f"{outside:.0%} of the category's units are products outside the slates; they have units and no "
            "price, so revenue, margin and levies leave them out."
        )
    known = np.isfinite(asked.cost[np.minimum(found.product[:-1], len(asked.cost) - 1)])
    covered = units[:-1][known].sum() / max(units[:-1].sum(), 1e-12)
    if known.any() and covered < COSTS_TOLD:
        notes.append(
            f"Margins count only products with a known cost, {covered:.0%} of the units on the shelf: what "
            "is taken from the others costs nothing here; give [scenario] margin or more [costs]."
        )
    called = name_of(catalogue, asked.newcomers)
    change = found.central[1, ..., UNITS].sum(0) - units
    for product in asked.products:
        mine = [c for c in asked.changes if getattr(c, "product", None) == product]
        better = all(_is_better(c) for c in mine) and len(asked.products) == 1 and not asked.policies
        at = np.flatnonzero(found.product == product)
        if mine and better and len(at) and change[at[0]] < 0:
            notes.append(
                f"The model says fewer units of {called[product]} although it only becomes more attractive: "
                "it has learnt an association that is not an effect; do not use this answer."
            )
    if any(isinstance(p, Subsidy) and p.amount is not None for p in asked.policies):
        notes.append("A subsidy by amount leaves at least 1 % of a price to pay, however large it is.")
    return notes


def _is_better(change: object) -> bool:
    """Whether a change makes its product more attractive by itself."""
    if isinstance(change, PriceChange):
        return change.relative is not None and change.relative < 0
    return isinstance(change, Display | Mailer) and change.on
