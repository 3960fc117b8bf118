"""What comes after a promotion: two free-running markets with the same trips and luck, week after week.

Customers who stock up in the scenario remember it and have it at home, so later weeks may dip.

    dip = - sum of changes after the scenario's weeks / sum of changes during them
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.errors import ConfigError
from malles.population.simulation import Deciders, Mode, TripSource, World, simulate
from malles.profiles.incidence import Shelf
from malles.scenarios.changes import Scenario
from malles.scenarios.conflicts import require_shelves
from malles.vocabulary import OUTSIDE, PADDING, Occasions


@dataclass(frozen=True)
class Aftermath:
    """Weekly expected units in both worlds, by seed of the draws."""

    weeks: tuple[int, ...]
    during: int
    """Weeks of the scenario; the rest come after."""
    product: Float[ndarray, "seed world week"]
    category: Float[ndarray, "seed world week"]

    def dip(self) -> Float[ndarray, " seed"]:
        """Part of the additional units of the category that is lost later; NaN where nothing was added."""
        change = self.category[:, 1] - self.category[:, 0]
        gained, later = change[:, : self.during].sum(1), change[:, self.during :].sum(1)
        return np.where(np.abs(gained) > 1e-9, -later / np.where(gained == 0, 1.0, gained), np.nan)


def follow_scenario(
    world: World,
    deciders: Deciders,
    scenario: Scenario,
    category: int,
    product: int,
    weeks: Sequence[int],
    *,
    after: int,
    seeds: Sequence[int],
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Aftermath:
    """Simulate the scenario's weeks and those after, in both worlds.

    Weeks whose shelves are not known have the last known shelf at list prices, without promotions.

    Args:
        world: true history before the first week, and shelves.
        deciders: the models.
        scenario: edits of the shelf of one category.
        category: its code.
        product: the product that is followed.
        weeks: of the scenario, consecutive.
        after: weeks that follow, >= 1.
        seeds: of trips and draws; every seed is one pair of markets.
        tell: told (done, total) simulated weeks.
    """
    if after < 1 or not seeds:
        raise ConfigError(
            f"following a scenario takes at least one week and one seed, got {after} and {len(seeds)}"
        )
    every = range(weeks[0], weeks[-1] + after + 1)
    base = {**world.shelves, **_later_shelves(world.shelves, every)}
    changed = dict(base)
    for week in weeks:
        changed[week] = change_shelf(base[week], scenario, category, week)
    product_units, category_units = np.zeros((2, len(seeds), 2, len(every)))
    done, total = 0, len(seeds) * 2 * len(every)
    for i, seed in enumerate(seeds):
        for k, shelves in enumerate((base, changed)):

            def count(week: int) -> None:
                nonlocal done
                done += 1
                tell(done, total)

            walked = simulate(
                replace(world, shelves=shelves), deciders, every, mode=Mode.FREE_RUNNING,
                trips=TripSource.SIMULATED, seed=seed, progress=count,
            )  # fmt: skip
            for t, result in enumerate(walked.weeks):
                product_units[i, k, t] = result.product_units[product]
                category_units[i, k, t] = result.expected_units[category]
    return Aftermath(tuple(every), len(weeks), product_units, category_units)


def change_shelf(shelf: Shelf, scenario: Scenario, category: int, week: int) -> Shelf:
    """The shelves of a week with a scenario's changes in one category; every store gets a row of its own.

    Args:
        shelf: all stores and categories.
        scenario: edits of occasions.
        category: whose rows are changed.
        week: of the shelf.
    """
    stores = np.flatnonzero(shelf.row[:, category] >= 0)
    row = shelf.row[stores, category]
    n, J = len(stores), shelf.product.shape[1]

    def beside(table: ndarray, first: float) -> ndarray:
        out = np.empty((n, J + 1), table.dtype)
        out[:, 0], out[:, 1:] = first, table[row]
        return out

    product = beside(shelf.product.astype(np.int32), OUTSIDE)
    product[:, 1:] = np.where(product[:, 1:] < 0, PADDING, product[:, 1:])
    zero = np.zeros(n, np.int32)
    occasions = Occasions(
        zero, stores.astype(np.int32), np.arange(n), np.full(n, week, np.int16), np.arange(n),
        np.full(n, category, np.int32), product, beside(shelf.price.astype(np.float32), 0),
        beside(shelf.list_price.astype(np.float32), 0), beside(shelf.promotion, 0), product >= 0,
        beside(shelf.rank.astype(np.int16), -1), np.full(n, -1, np.int16), zero,
    )  # fmt: skip
    after = scenario.apply(occasions)
    require_shelves(after)
    more = after.shape[1] - 1 - J
    places = shelf.row.copy()
    places[stores, category] = len(shelf.product) + np.arange(n)

    def joined(old: ndarray, new: ndarray, fill: float) -> ndarray:
        wide = np.pad(old, ((0, 0), (0, more)), constant_values=fill)
        return np.concatenate([wide, new[:, 1:].astype(old.dtype)])

    return Shelf(
        places, joined(shelf.product, after.product, PADDING), joined(shelf.price, after.price, 0),
        joined(shelf.list_price, after.list_price, 0), joined(shelf.promotion, after.promotion, 0),
        joined(shelf.rank, after.rank, -1),
    )  # fmt: skip


def _later_shelves(shelves: Mapping[int, Shelf], weeks: Sequence[int]) -> dict[int, Shelf]:
    """Plain shelves for the weeks that have none."""
    known = dict(shelves)
    last = known[max(known)]
    plain = replace(last, price=last.list_price.copy(), promotion=np.zeros_like(last.promotion))
    return {week: plain for week in weeks if week not in known}
