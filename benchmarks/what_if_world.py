"""A made-up market of one category whose truth is known: a nested logit with tastes that differ.

    U[h, j] = a[j] + b[h] log price + d display + m mailer            utility on the shelf
    P(buy) = 1 / (1 + exp(-(c + z[h] + u[h] + λ log sum exp U)))      u is seen by nobody

Errors are those of a nested logit (Gumbel on every alternative, one positive stable number for the nest), so
one trip meets two shelves with one taste, whatever the shelves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from malles.vocabulary import OUTSIDE, Occasions, Promotion

PRODUCTS, STORES, HOUSEHOLDS = 8, 8, 500
UNITS = 1.3
"""Mean units of a purchase, 1 + Poisson."""


@dataclass(frozen=True)
class Truth:
    """What nature knows of one market."""

    constant: ndarray
    price: float
    display: float
    mailer: float
    level: float
    nest: float
    """λ: part of the inclusive value that moves the decision to buy."""
    spread_price: float
    spread_level: float


@dataclass(frozen=True)
class People:
    """Households: what the analyst sees of them (z, store), and what nobody sees (u, own price taste)."""

    seen: ndarray
    unseen: ndarray
    price: ndarray
    store: ndarray

    def __len__(self) -> int:
        return len(self.seen)


def draw_truth(rng: np.random.Generator) -> Truth:
    """Tastes of one market."""
    nest = rng.uniform(0.15, 1.0)
    constant = rng.normal(0, 0.8, PRODUCTS)
    level = np.log(0.3 / 0.7) - nest * np.log(np.exp(constant).sum())
    return Truth(
        constant, -rng.uniform(1.5, 3.5), rng.uniform(0.3, 0.9), rng.uniform(0.2, 0.6), level, nest, 0.3, 0.3
    )


def draw_people(truth: Truth, n: int, rng: np.random.Generator) -> People:
    """Households of the population."""
    return People(
        rng.normal(0, 0.7, n), rng.normal(0, truth.spread_level, n),
        truth.price + rng.normal(0, truth.spread_price, n), rng.integers(0, STORES, n),
    )  # fmt: skip


@dataclass(frozen=True)
class Shelves:
    """Prices (relative to the usual one of each product) and promotions by week and store."""

    price: ndarray
    full: ndarray
    promotion: ndarray


def draw_shelves(weeks: int, rng: np.random.Generator) -> Shelves:
    """Discounts of 10 to 35 % in a fifth of the cells, more often announced than not; list prices wander."""
    shape = (weeks, STORES, PRODUCTS)
    full = np.exp(rng.normal(0, 0.05, shape))
    off = rng.random(shape) < 0.2
    price = full * np.where(off, 1 - rng.uniform(0.1, 0.35, shape), 1.0)
    display = rng.random(shape) < np.where(off, 0.4, 0.05)
    mailer = rng.random((weeks, 1, PRODUCTS)) < 0.15
    return Shelves(price, full, display * int(Promotion.DISPLAY) + mailer * int(Promotion.MAILER))


def trips_of(people: People, shelves: Shelves, weeks: range) -> Occasions:
    """One trip of every household in every week, to its store; column 0 is the outside option."""
    who = np.tile(np.arange(len(people)), len(weeks))
    week = np.repeat(np.array(weeks), len(people))
    store, n = people.store[who], len(who)

    def beside(first: float, table: ndarray, dtype: type) -> ndarray:
        return np.column_stack([np.full(n, first), table]).astype(dtype)

    zero = np.zeros(n, np.int32)
    product = np.tile(np.arange(PRODUCTS), (n, 1))
    return Occasions(
        customer=who.astype(np.int32), store=store.astype(np.int32), basket=np.arange(n),
        week=week.astype(np.int16), timestamp=np.arange(n), category=zero,
        product=beside(OUTSIDE, product, np.int32), price=beside(0, shelves.price[week, store], np.float32),
        list_price=beside(0, shelves.full[week, store], np.float32),
        promotion=beside(0, shelves.promotion[week, store], np.uint8),
        available=beside(0, np.ones((n, PRODUCTS)), bool), rank=beside(-1, product, np.int16),
        chosen=np.full(n, -1, np.int16), units=zero,
    )  # fmt: skip


def utilities(truth: Truth, people: People, o: Occasions) -> ndarray:
    """U of every product column, -inf where nothing stands."""
    price = np.log(np.where(o.available, o.price, 1.0).astype(float)[:, 1:])
    U = truth.constant + people.price[o.customer][:, None] * price
    U = U + truth.display * ((o.promotion[:, 1:] & 1) > 0) + truth.mailer * ((o.promotion[:, 1:] & 2) > 0)
    return np.where(o.available[:, 1:], U, -np.inf)


def expected_units(truth: Truth, people: People, o: Occasions) -> ndarray:
    """Expected units of every product on every trip."""
    weight = np.exp(utilities(truth, people, o))
    total = weight.sum(1)
    score = truth.level + people.seen[o.customer] + people.unseen[o.customer] + truth.nest * np.log(total)
    return UNITS * weight / (total * (1 + np.exp(-score)))[:, None]


@dataclass(frozen=True)
class Luck:
    """What a trip brings along, whatever it meets: tastes of the moment, and how much it buys."""

    taste: ndarray
    nest: ndarray
    outside: ndarray
    extra: ndarray


def draw_luck(truth: Truth, n: int, rng: np.random.Generator) -> Luck:
    """Gumbel tastes, and log of a positive stable number S with E exp(-S t) = exp(-t^λ) (Kanter 1975)."""
    lam, turn, wait = truth.nest, rng.uniform(0, np.pi, n), rng.exponential(size=n)
    stable = np.log(np.sin(lam * turn)) - np.log(np.sin(turn)) / lam
    stable += (1 - lam) / lam * np.log(np.sin((1 - lam) * turn) / wait)
    return Luck(rng.gumbel(size=(n, PRODUCTS)), stable, rng.gumbel(size=n), rng.poisson(UNITS - 1, n))


def live(truth: Truth, people: People, o: Occasions, luck: Luck) -> tuple[ndarray, ndarray]:
    """What happens: the column chosen on every trip (0 = nothing), and units."""
    best = utilities(truth, people, o) + luck.taste
    worth = truth.nest * (best.max(1) + luck.nest)
    buys = truth.level + people.seen[o.customer] + people.unseen[o.customer] + worth > luck.outside
    return np.where(buys, best.argmax(1) + 1, 0), np.where(buys, 1 + luck.extra, 0)
