"""From people to a market: every trip of every household meets every category, week by week.

    trips (from the data, or simulated) → incidence → shelf or other → choice (in the mean field) → units →
    history

A week is simulated in rounds: the first trip of every household, then the second, and so on; what was drawn
on one trip is remembered on the next. Expected units are sums of probability x units given purchase over all
cells, given the remembered draws; the choice model is asked only for the purchases drawn (a few percent of
the cells), each of which stands for its category's expected units in that week. Draws have keys (seed, week,
customer, draw), so two worlds with the same trips meet the same luck.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from malles.errors import DataError
from malles.population.week import WeekResult, append_lines, drawn_lines, simulate_week, slate_occasions
from malles.population.world import Choose, Deciders, Mode, Trips, TripSource, World, simulate_trips
from malles.profiles.incidence import History, join_purchases

__all__ = [
    "Choose",
    "Deciders",
    "Mode",
    "Simulation",
    "TripSource",
    "Trips",
    "WeekResult",
    "World",
    "simulate",
    "simulate_trips",
    "slate_occasions",
]


@dataclass(frozen=True)
class Simulation:
    """Simulated weeks in order."""

    weeks: tuple[WeekResult, ...]
    mode: Mode
    trips: TripSource
    stopped: str = ""
    """Why `watch` stopped before the last week; empty if it did not."""

    @property
    def units(self) -> Float[ndarray, "category week"]:
        """Expected units of every category in every week."""
        return np.stack([w.expected_units for w in self.weeks], 1)

    @property
    def drawn(self) -> Int[ndarray, "category week"]:
        """Drawn units of every category in every week."""
        return np.stack([w.drawn_units for w in self.weeks], 1)


def simulate(
    world: World,
    deciders: Deciders,
    weeks: Sequence[int],
    *,
    mode: Mode,
    trips: TripSource,
    seed: int,
    progress: Callable[[int], None] = lambda week: None,
    watch: Callable[[WeekResult], str] = lambda week: "",
) -> Simulation:
    """Simulate all households for consecutive weeks.

    Args:
        world: true history, shelves and codes.
        deciders: the models.
        weeks: consecutive weeks, ascending.
        mode: whose past the customers remember.
        trips: where the trips come from.
        seed: of every draw.
        progress: called with each finished week.
        watch: looks at each finished week; a sentence stops the simulation after it.
    """
    weeks = list(weeks)
    if not weeks or weeks != list(range(weeks[0], weeks[0] + len(weeks))):
        raise DataError(f"weeks must be consecutive and ascending, got {weeks}")
    missing = [w for w in weeks if w not in world.shelves]
    if missing:
        raise DataError(f"shelves lack the simulated weeks {missing}; build them first")
    past = world.purchases.before(weeks[0])
    lines = world.lines.before(weeks[0])
    history = History.empty(world.n_customers, world.n_stores, world.group)
    history.follow(past)
    results: list[WeekResult] = []
    stopped = ""
    for week in weeks:
        earlier = [world.shelves[w].chain_offer() for w in range(week - 8, week) if w in world.shelves]
        offers = np.stack(earlier) if earlier else np.zeros((0, len(world.group), 4))
        if trips is TripSource.DATA:
            rows = world.purchases.week == week
            true = world.purchases
            who = Trips(true.customer[rows], true.store[rows], true.timestamp[rows])
        else:
            who = simulate_trips(past, week, seed=seed)
        present = history.copy() if mode is Mode.ONE_WEEK_AHEAD else history
        result = simulate_week(world, deciders, week, who, past, lines, present, offers, seed)
        results.append(result)
        if mode is Mode.ONE_WEEK_AHEAD:
            true_week = world.purchases.take(world.purchases.week == week)
            history.follow(true_week)
            past = world.purchases.before(week + 1)
            lines = world.lines.before(week + 1)
        else:
            past = join_purchases([past, result.purchases])
            lines = append_lines(lines, drawn_lines(result.purchases, world.shelves[week]))
        progress(week)
        stopped = watch(result)
        if stopped:
            break
    return Simulation(tuple(results), mode, trips, stopped)
