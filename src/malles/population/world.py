"""What is given to a simulation of a market: the true history, the shelves, the trips, and the models that
decide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Float, Int32, Int64
from numpy import ndarray

from malles.head.incidence import FittedIncidence
from malles.population.kernels import uniform
from malles.population.mean_field import NO_REACTION, Reaction
from malles.profiles.incidence import Purchases, Shelf
from malles.vocabulary import Lines, Occasions

Choose = Callable[[Occasions, Lines], Float[ndarray, "occasion alternative"]]
"""Choice probabilities of occasions that buy on the shelf, given the order lines of weeks before theirs."""

AdjustUnits = Callable[
    [Int64[ndarray, " purchase"], Float[ndarray, " purchase"]], Int64[ndarray, " purchase"]
]
"""Calibrated units of drawn ones, given a uniform number each."""


TRIPS_KEY = 1 << 50
"""Where the draw keys of simulated trips begin."""


class Mode(StrEnum):
    """Whose past the customers remember."""

    ONE_WEEK_AHEAD = "one_week_ahead"
    """The true purchases of every week before the simulated one."""
    FREE_RUNNING = "free_running"
    """The true purchases before the first simulated week, then their own simulated ones."""


class TripSource(StrEnum):
    """Where the trips of a simulated week come from."""

    DATA = "data"
    """Customer, store and time of the real trips; what they bought is not looked at."""
    SIMULATED = "simulated"
    """Every household repeats the trips of one of its last eight weeks, drawn at random."""


@dataclass(frozen=True)
class Trips:
    """Who goes where and when, in order of (customer, time)."""

    customer: Int32[ndarray, " trip"]
    store: Int32[ndarray, " trip"]
    timestamp: Int64[ndarray, " trip"]

    def __len__(self) -> int:
        return len(self.customer)


def simulate_trips(past: Purchases, week: int, *, seed: int, window: int = 8) -> Trips:
    """Trips of a week: every household repeats those of one of its last `window` weeks, drawn at random.

    The expected number of trips of a household is its mean over the window; days, hours, stores and the
    bunching of trips are its own. A household that made no trip in the window makes none.

    Args:
        past: trips of earlier weeks; later ones are not looked at.
        week: the week to simulate.
        seed: of the run.
        window: weeks looked back.
    """
    n = int(past.customer.max(initial=-1)) + 1
    u = uniform(seed, week, np.arange(n), np.full(n, TRIPS_KEY))
    back = 1 + np.minimum((u * window).astype(np.int64), window - 1)
    rows = np.flatnonzero(past.week == week - back[past.customer])
    customer = past.customer[rows]
    return Trips(customer, past.store[rows], past.timestamp[rows] + back[customer] * 7 * 86400)


@dataclass(frozen=True)
class World:
    """Everything that is given to a simulation."""

    purchases: Purchases
    """The true trips and purchases; the simulated weeks' purchases are used in no decision of their own week.
    """
    lines: Lines
    """The true order lines."""
    shelves: Mapping[int, Shelf]
    """What stands in the stores by week; at least the simulated weeks, and up to eight weeks before."""
    group: Int32[ndarray, " category"]
    category_of_product: Int32[ndarray, " product"]
    n_customers: int

    @property
    def n_stores(self) -> int:
        """Number of stores."""
        return len(next(iter(self.shelves.values())).row)


@dataclass(frozen=True)
class Deciders:
    """The models that decide for the customers."""

    incidence: FittedIncidence
    choose: Choose
    reaction: Reaction = NO_REACTION
    rate: Float[ndarray, " category"] | None = None
    """Calibrated factor on the chance of a purchase, by category; None = 1."""
    window: int = 8
    """Weeks before the short window that say what shares are usual; 0 = customers look at nobody."""
    adjust_units: AdjustUnits | None = None
    """Calibrated map of drawn units; None keeps them. Expected units are not touched."""
