"""What a scenario in codes may not say: of products that stand nowhere, of stock that nobody sells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from malles.errors import ConfigError
from malles.profiles.incidence import Shelf
from malles.scenarios.changes import Delist
from malles.scenarios.conflicts import require_consistent
from malles.scenarios.naming import Resolved
from malles.scenarios.shelf_changes import Enter, PriceCap, RivalsFollow


def standing_products(
    shelves: Mapping[int, Shelf], category: int, weeks: Sequence[int]
) -> dict[int, Int[ndarray, " product"]]:
    """Codes of the products of a category that stand on some shelf, by week."""
    found = {}
    for week in weeks:
        rows = np.unique(shelves[week].row[:, category])
        products = np.unique(shelves[week].product[rows[rows >= 0]])
        found[week] = products[products >= 0].astype(int)
    return found


def require_sense(
    asked: Resolved, standing: Mapping[int, Int[ndarray, " product"]], name: Callable[[int], str]
) -> None:
    """Refuse what contradicts itself or changes nothing.

    Args:
        asked: the scenario.
        standing: codes of the products on some shelf, by week of the scenario.
        name: what a product is called, by its code.

    Raises:
        ConfigError: changes contradict each other; a product stands on no shelf in the weeks in which it is
            spoken of; the stock of a product that is gone everywhere is limited; a new product costs more
            than a cap allows.
    """
    require_consistent([*asked.changes, *asked.policies], name=name)
    _require_standing(asked, standing, name)
    everything = set(np.concatenate([standing[week] for week in asked.weeks]).tolist())
    for change in asked.changes:
        if isinstance(change, Delist) and change.product in asked.stock and _everywhere(change, asked):
            raise ConfigError(
                f"{name(change.product)} is taken off every shelf and its stock is limited; leave one of the "
                "two changes out."
            )
        if isinstance(change, PriceCap) and everything <= set(change.products):
            for _, newcomer in asked.newcomers:
                if newcomer.price > change.cap:
                    raise ConfigError(
                        f"the new product {newcomer.name!r} costs {newcomer.price:.2f}, above the cap of "
                        f"{change.cap:.2f} on all products; lower its price or name the products of the cap."
                    )


def _everywhere(change: Delist, asked: Resolved) -> bool:
    return change.stores is None and set(change.weeks or asked.weeks) == set(asked.weeks)


def _require_standing(
    asked: Resolved, standing: Mapping[int, Int[ndarray, " product"]], name: Callable[[int], str]
) -> None:
    new = {code for code, _ in asked.newcomers}
    new |= {change.product for change in asked.changes if isinstance(change, Enter)}
    for product, weeks in _spoken_of(asked):
        when = weeks or asked.weeks
        if product not in new and not any(product in standing[week] for week in when):
            raise ConfigError(
                f'{name(product)} stands on no shelf in {_words(when)}; bring it in with kind = "enter", or '
                "name another product or other weeks."
            )


def _spoken_of(asked: Resolved) -> Iterator[tuple[int, tuple[int, ...] | None]]:
    """Every product that a change needs on a shelf, and the weeks of the change."""
    for change in asked.changes:
        if isinstance(change, RivalsFollow):
            yield from ((product, change.lead.weeks) for product in (change.lead.product, *change.rivals))
        elif not isinstance(change, PriceCap):  # a cap speaks of all products, there or not
            yield change.product, change.weeks  # type: ignore[attr-defined]  # every other edit is of one
    for policy in asked.policies:
        yield from ((product, policy.reach.weeks) for product in policy.reach.products or ())
    for _, newcomer in asked.newcomers:
        yield from ((product, newcomer.weeks) for product in newcomer.like)
    yield from ((product, None) for product in asked.stock)


def _words(weeks: Sequence[int]) -> str:
    return f"week {weeks[0]}" if len(weeks) == 1 else f"weeks {', '.join(map(str, weeks))}"
