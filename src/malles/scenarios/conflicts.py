"""What cannot be rehearsed: changes that contradict each other, and shelves that they leave empty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import TypeGuard, get_args

import numpy as np

from malles.errors import ConfigError, OccasionError
from malles.scenarios.changes import Change, Delist, Display, Mailer, PriceChange
from malles.scenarios.policy import Policy
from malles.scenarios.shelf_changes import Discount, Enter, PriceSchedule, RivalsFollow
from malles.vocabulary import Occasions


def require_consistent(
    changes: Sequence[Change | Policy], *, name: Callable[[int], str] = "product {}".format
) -> None:
    """Refuse changes that say two things of one product in the same weeks and stores.

    Two of a kind that sets the price, an announcement that is both on and off, a product that is taken off
    the shelf and priced, announced or brought in; and two policies of a kind for the same products and
    customers.

    Args:
        changes: edits of the shelf and policies.
        name: what a product is called, by its code.

    Raises:
        ConfigError: two changes contradict each other; the message numbers them from 1.
    """
    for (i, one), (k, two) in combinations(enumerate(changes, start=1), 2):
        if not _meet(one, two):
            continue
        about = _shared_policy(one, two) if _is_policy(one) else _shared_product(one, two, name)
        if about:
            raise ConfigError(
                f"changes {i} and {k} contradict each other: both speak of {about} in the same weeks and "
                f"stores ({type(one).__name__}, {type(two).__name__}); leave one out or part their weeks or "
                "stores."
            )


def _shared_product(one: Change | Policy, two: Change | Policy, name: Callable[[int], str]) -> str:
    """The product on which two edits of a shelf contradict each other, or ''."""
    shared = _products(one).keys() & _products(two).keys()
    said = {_products(c)[p] for p in shared for c in (one, two)}
    return name(min(shared)) if shared and _contradict(one, two, said) else ""


def _shared_policy(one: Policy, two: Change | Policy) -> str:
    """What two policies of a kind both act on, or ''."""
    if not _is_policy(two) or type(one) is not type(two):
        return ""
    a, b = one.reach, two.reach
    if a.customers is not None and b.customers is not None and not (a.customers & b.customers).any():
        return ""
    if a.products is not None and b.products is not None and not set(a.products) & set(b.products):
        return ""
    return "the same products and customers"


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


def _is_policy(change: object) -> TypeGuard[Policy]:
    return isinstance(change, get_args(Policy))


def _products(change: Change | Policy) -> dict[int, str]:
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
    return {}  # a cap or a policy holds whatever else is said


def _meet(one: Change | Policy, two: Change | Policy) -> bool:
    """Whether two changes share a week and a store."""

    def of(change: Change | Policy, name: str) -> set[int] | None:
        within = change.lead if isinstance(change, RivalsFollow) else getattr(change, "reach", change)
        found = getattr(within, name)
        return None if found is None else set(found)

    for name in ("weeks", "stores"):
        a, b = of(one, name), of(two, name)
        if a is not None and b is not None and not a & b:
            return False
    return True


def _contradict(one: object, two: object, said: set[str]) -> bool:
    if "gone" in said:
        return True  # nothing else can be said of it, and saying it twice is a slip
    if said in ({"price"}, {"enter"}):
        return True
    return isinstance(one, type(two)) and len(said) == 2
