"""What cannot be rehearsed: changes that contradict each other, and shelves that they leave empty."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from malles.errors import ConfigError, OccasionError
from malles.scenarios.changes import Change, Delist, Display, Mailer, PriceChange
from malles.scenarios.shelf_changes import Discount, Enter, PriceSchedule, RivalsFollow
from malles.vocabulary import Occasions


def require_consistent(changes: Sequence[Change]) -> None:
    """Refuse changes that say two things of one product in the same weeks and stores.

    Two of a kind that sets the price, an announcement that is both on and off, and a product that is taken
    off the shelf and priced, announced or brought in.

    Raises:
        ConfigError: two changes contradict each other; the message numbers them from 1.
    """
    for (i, one), (k, two) in combinations(enumerate(changes, start=1), 2):
        shared = _products(one).keys() & _products(two).keys()
        said = {_products(c)[p] for p in shared for c in (one, two)}
        if not shared or not _meet(one, two) or not _contradict(one, two, said):
            continue
        raise ConfigError(
            f"changes {i} and {k} contradict each other: both speak of product {min(shared)} in the same "
            f"weeks and stores ({type(one).__name__}, {type(two).__name__}); leave one out or part their "
            "weeks or stores."
        )


def require_shelves(after: Occasions) -> None:
    """Refuse occasions without any product, and prices that are not above zero.

    Raises:
        OccasionError: the first such occasion, by week and store.
    """
    real = (after.product >= 0) & after.available
    empty = np.flatnonzero(~real.any(1))
    if len(empty):
        raise OccasionError(
            f"the scenario leaves {len(empty)} of {len(after)} occasions without any product (first: week "
            f"{after.week[empty[0]]}, store {after.store[empty[0]]}); leave one product on the shelf."
        )
    wrong = np.argwhere(real & ~(after.price > 0))
    if len(wrong):
        row, column = wrong[0]
        raise OccasionError(
            f"the scenario gives product {after.product[row, column]} a price of "
            f"{after.price[row, column]:.2f} in week {after.week[row]}; a price must be above 0."
        )


def _products(change: Change) -> dict[int, str]:
    """Every product a change speaks of, and of what: price, shelf, display or mailer."""
    if isinstance(change, PriceChange | PriceSchedule | Discount):
        return {change.product: "price"}
    if isinstance(change, RivalsFollow):
        return dict.fromkeys((change.lead.product, *change.rivals), "price")
    if isinstance(change, Delist):
        return {change.product: "gone"}
    if isinstance(change, Enter):
        return {change.product: "enter"}
    if isinstance(change, Display | Mailer):
        return {change.product: type(change).__name__ + (" on" if change.on else " off")}
    return {}  # a cap holds whatever else is said


def _meet(one: Change, two: Change) -> bool:
    """Whether two changes share a week and a store."""

    def of(change: Change, name: str) -> set[int] | None:
        change = change.lead if isinstance(change, RivalsFollow) else change
        found = getattr(change, name)
        return None if found is None else set(found)

    for name in ("weeks", "stores"):
        a, b = of(one, name), of(two, name)
        if a is not None and b is not None and not a & b:
            return False
    return True


def _contradict(one: Change, two: Change, said: set[str]) -> bool:
    if "gone" in said:
        return True  # nothing else can be said of it, and saying it twice is a slip
    if said in ({"price"}, {"enter"}):
        return True
    return isinstance(one, type(two)) and len(said) == 2
