"""Does a market that runs by itself stay a market? Checks of every simulated week against real ones.

explodes   units per customer above `EXPLODED` times the usual
dies       units per customer below `DIED` of the usual, or nobody buys
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float
from numpy import ndarray

from malles.calibration.distances import total_variation_distance

EXPLODED, DIED = 3.0, 1 / 3
"""Weekly units per customer over the usual ones beyond which a market is no longer one (a real Christmas is
about 1.3, a real week of two days 0.3 and left out)."""


@dataclass(frozen=True)
class MacroWeek:
    """The market of one week in a few numbers."""

    week: int
    units: Float[ndarray, " category"]
    spend: float
    """Money paid, in the catalogue's currency."""
    active: int
    """Customers who bought something."""
    customers: int
    price_index: float
    """Money paid over the list price of the same units."""


def check_week(week: MacroWeek, usual: float) -> str:
    """A sentence if the market has exploded or died, else an empty one.

    Args:
        week: what happened.
        usual: real weekly units per customer.

    >>> quiet = MacroWeek(30, np.zeros(2), 0.0, 0, 100, 1.0)
    >>> check_week(quiet, 5.0)
    'Week 30: nobody buys any more; the simulated market has died.'
    """
    each = week.units.sum() / week.customers
    if not np.isfinite(each) or each > EXPLODED * usual:
        return (
            f"Week {week.week}: {each:.1f} units per customer, {each / usual:.1f} times the usual; "
            "the simulated market has exploded."
        )
    if week.active == 0:
        return f"Week {week.week}: nobody buys any more; the simulated market has died."
    if each < DIED * usual:
        return (
            f"Week {week.week}: {each:.2f} units per customer, {each / usual:.0%} of the usual; "
            "the simulated market is dying."
        )
    return ""


def macro_table(
    simulated: Sequence[MacroWeek], real: Float[ndarray, " category"], usual: float
) -> pl.DataFrame:
    """One row per week: units and spend per customer, active customers, distance of category shares, prices.

    Args:
        simulated: weeks in order.
        real: units by category in real weeks together; shares are compared with theirs.
        usual: real weekly units per customer.
    """
    rows = []
    for i, week in enumerate(simulated):
        before = simulated[i - 1].units if i else None
        rows.append(
            {
                "week": week.week,
                "units_per_customer": float(week.units.sum() / week.customers),
                "over_usual": float(week.units.sum() / week.customers / usual),
                "spend_per_customer": week.spend / week.customers,
                "active": week.active / week.customers,
                "price_index": week.price_index,
                "share_distance_to_real": _distance(real, week.units),
                "share_distance_to_last_week": None if before is None else _distance(before, week.units),
                "verdict": check_week(week, usual),
            }
        )
    return pl.DataFrame(rows)


def _distance(one: ndarray, other: ndarray) -> float:
    return total_variation_distance(one, other) if one.sum() > 0 and other.sum() > 0 else 1.0
