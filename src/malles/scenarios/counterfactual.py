"""Two worlds with the same luck: what a scenario changes, and where the units come from.

    D[n, j] = w[n] P(buy)[n] (1 - P(other)[n]) P[n, j] q[n, j]        expected units of alternative j
    change of the target = - change of the rest of the shelf - change of other products + change of the
    category

Intervals: households are resampled, and in each resample both worlds are drawn with the same random numbers,
so that an interval contains the chance of who is in the panel and the chance of what they happen to do. The
models themselves are not refitted per resample: their own estimation error is not in the interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.errors import OccasionError
from malles.population.kernels import choose, draw_units, uniform
from malles.scenarios.changes import PriceChange, Scenario
from malles.scenarios.conflicts import require_consistent, require_shelves
from malles.vocabulary import Occasions


@dataclass(frozen=True)
class Demand:
    """What the customers of one world would do on each occasion (one trip and one category)."""

    buy: Float[ndarray, " occasion"]
    """Probability that the trip buys in the category."""
    other: Float[ndarray, " occasion"]
    """Probability that it buys outside the slate, given that it buys."""
    probability: Float[ndarray, "occasion alternative"]
    """Choice probabilities given that it buys on the shelf."""
    units: Float[ndarray, "occasion alternative"]
    """Expected units of each alternative, given that it is bought."""
    other_units: Float[ndarray, " occasion"]
    """Expected units given that it buys outside the slate."""

    def expected(self) -> tuple[Float[ndarray, "occasion alternative"], Float[ndarray, " occasion"]]:
        """Expected units of every alternative, and of other products."""
        shelf = (self.buy * (1 - self.other))[:, None] * self.probability * self.units
        return np.asarray(shelf), np.asarray(self.buy * self.other * self.other_units)


Decide = Callable[[Occasions], Demand]


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


@dataclass(frozen=True)
class Outcome:
    """One quantity in both worlds."""

    base: float
    scenario: float
    change: Estimate
    """scenario - base; the interval holds household resampling and the noise of the draws."""
    expected_change: Estimate
    """The same value; the interval holds household resampling alone."""


@dataclass(frozen=True)
class Comparison:
    """What a scenario does to one product and its category."""

    product: int
    units: Outcome
    share: Outcome
    """Share of the product in the units of the category, [0, 1]."""
    revenue: Outcome
    """Units x net price of the product, currency."""
    category_units: Outcome
    category_revenue: Outcome
    """Net price x units of the shelf; other products have no price and are left out."""
    diversion: dict[str, Estimate]
    """Part of the product's change of units that came from "shelf" (other products of the slate), "other"
    (products outside it) and "expansion" (purchases that would not have happened, or units that would not
    have been bought); sums to 1.
    """
    sources: dict[int, Estimate]
    """Change of units of every other product of the slates, by product code, the largest first."""
    occasions: int
    households: int


def compare_worlds(
    occasions: Occasions,
    scenario: Scenario,
    decide: Decide,
    *,
    product: int,
    seed: int,
    weight: Float[ndarray, " occasion"] | None = None,
    draws: int = 200,
    most_sources: int = 10,
) -> Comparison:
    """Decide the same occasions in the base world and in the scenario's.

    Args:
        occasions: every trip that could buy in the category of `product`.
        scenario: what is changed.
        decide: the customers' models; called once per world.
        product: the product whose change is explained.
        seed: of resampling and draws.
        weight: how many trips each occasion stands for; default 1.
        draws: resamples, >= 20.
        most_sources: products listed by name in `sources`.

    Raises:
        ConfigError: two changes contradict each other.
        OccasionError: a shelf is left empty, a price is not above zero, or no shelf of either world carries
            the product.
    """
    require_consistent(scenario.changes)
    after = scenario.apply(occasions)
    require_shelves(after)
    if not ((occasions.product == product).any() or (after.product == product).any()):
        raise OccasionError(
            f"product {product} is on the shelf of none of the {len(occasions)} occasions; choose one of "
            f"{np.unique(occasions.product[occasions.product >= 0])[:5].tolist()} ..."
        )
    w = np.ones(len(occasions)) if weight is None else np.asarray(weight, float)
    worlds = (_World(occasions, decide(occasions), w, product), _World(after, decide(after), w, product))
    customers, household = np.unique(occasions.customer, return_inverse=True)
    rng = np.random.default_rng(seed)
    expected = [world.by_household(household, len(customers)) for world in worlds]
    totals = [world.sum(0) for world in expected]
    codes = np.unique(np.concatenate([o.product[o.product >= 0] for o in (occasions, after)]))
    by_product = [world.by_product(household, len(customers), codes) for world in worlds]
    alone, noisy, sources = [], [], []
    for draw in range(draws):
        counts = np.bincount(rng.integers(0, len(customers), len(customers)), minlength=len(customers))
        alone.append([counts @ world for world in expected])
        sources.append(counts @ (by_product[1] - by_product[0]))
        resampled = counts[household]
        noisy.append([world.draw(seed, draw, resampled) for world in worlds])
    A, N = np.array(alone), np.array(noisy)  # [draw, world, quantity]
    measures: dict[str, Callable[[ndarray], ndarray]] = {
        "units": lambda t: t[..., 0],
        "share": lambda t: t[..., 0] / np.maximum(t[..., :3].sum(-1), 1e-12),
        "revenue": lambda t: t[..., 3],
        "category_units": lambda t: t[..., :3].sum(-1),
        "category_revenue": lambda t: t[..., 3] + t[..., 4],
    }
    outcomes = {}
    for name, measure in measures.items():
        base, new = float(measure(totals[0])), float(measure(totals[1]))
        change = new - base
        outcomes[name] = Outcome(
            base, new, _estimate(change, measure(N[:, 1]) - measure(N[:, 0])),
            _estimate(change, measure(A[:, 1]) - measure(A[:, 0])),
        )  # fmt: skip
    moved = totals[1] - totals[0]
    spread = A[:, 1] - A[:, 0]

    def part(of: Callable[[ndarray], ndarray]) -> Estimate:
        if abs(moved[0]) < 1e-12:
            return Estimate(float("nan"), float("nan"), float("nan"))
        return _estimate(
            float(of(moved) / moved[0]), of(spread) / np.where(spread[:, 0] == 0, np.nan, spread[:, 0])
        )

    diversion = {
        "shelf": part(lambda t: -t[..., 1]),
        "other": part(lambda t: -t[..., 2]),
        "expansion": part(lambda t: t[..., :3].sum(-1)),
    }
    change_of = (by_product[1] - by_product[0]).sum(0)
    order = [i for i in np.argsort(-np.abs(change_of)) if codes[i] != product][:most_sources]
    S = np.array(sources)
    listed = {int(codes[i]): _estimate(float(change_of[i]), S[:, i]) for i in order}
    return Comparison(
        product, outcomes["units"], outcomes["share"], outcomes["revenue"], outcomes["category_units"],
        outcomes["category_revenue"], diversion, listed, len(occasions), len(customers),
    )  # fmt: skip


@dataclass(frozen=True)
class Curve:
    """How a product's demand answers its price."""

    multiplier: Float[ndarray, " point"]
    """Price over today's price."""
    units: tuple[Estimate, ...]
    share: tuple[Estimate, ...]
    revenue: tuple[Estimate, ...]
    elasticity: Float[ndarray, " point"]
    """d log(units) / d log(price) between neighbouring points; NaN for a single point."""


def trace_price_response(
    occasions: Occasions,
    product: int,
    multipliers: Sequence[float],
    decide: Decide,
    *,
    seed: int,
    weight: Float[ndarray, " occasion"] | None = None,
    draws: int = 200,
    with_changes: tuple[object, ...] = (),
) -> Curve:
    """Expected units, share and revenue over a grid of price multipliers, with household-resampled intervals.

    Args:
        occasions: every trip that could buy in the category of `product`.
        product: the product.
        multipliers: prices over today's, > 0, ascending.
        decide: the customers' models; called once per point.
        seed: of resampling; the same households for every point.
        weight: how many trips each occasion stands for.
        draws: resamples.
        with_changes: further changes that hold at every point, for example a display.
    """
    w = np.ones(len(occasions)) if weight is None else np.asarray(weight, float)
    customers, household = np.unique(occasions.customer, return_inverse=True)
    rng = np.random.default_rng(seed)
    counts = np.stack(
        [
            np.bincount(rng.integers(0, len(customers), len(customers)), minlength=len(customers))
            for _ in range(draws)
        ]
    )
    units, share, revenue = [], [], []
    for multiplier in multipliers:
        changes = (*with_changes, PriceChange(product, relative=float(multiplier) - 1.0))
        world = Scenario("point", changes).apply(occasions)  # type: ignore[arg-type]
        table = _World(world, decide(world), w, product).by_household(household, len(customers))
        total, resampled = table.sum(0), counts @ table
        units.append(_estimate(float(total[0]), resampled[:, 0]))
        revenue.append(_estimate(float(total[3]), resampled[:, 3]))
        share.append(
            _estimate(
                float(total[0] / max(total[:3].sum(), 1e-12)),
                resampled[:, 0] / np.maximum(resampled[:, :3].sum(1), 1e-12),
            )
        )
    grid = np.asarray(multipliers, float)
    level = np.log(np.maximum([e.value for e in units], 1e-12))
    slope = np.gradient(level, np.log(grid)) if len(grid) > 1 else np.full(len(grid), np.nan)
    return Curve(grid, tuple(units), tuple(share), tuple(revenue), np.asarray(slope))


class _World:
    """One world's decisions; quantities: target units, rest of the shelf, other, target revenue, rest's
    revenue.
    """

    def __init__(self, occasions: Occasions, demand: Demand, weight: ndarray, product: int) -> None:
        self.occasions, self.demand, self.weight = occasions, demand, weight
        self.target = occasions.product == product
        self.shelf, self.other = demand.expected()

    def by_household(self, household: ndarray, n: int) -> Float[ndarray, "household quantity"]:
        """Expected quantities of every household."""
        target = np.where(self.target, self.shelf, 0.0)
        price = self.occasions.price
        rows = [target.sum(1), (self.shelf - target).sum(1), self.other, (target * price).sum(1),
                ((self.shelf - target) * price).sum(1)]  # fmt: skip
        return np.stack([np.bincount(household, r * self.weight, minlength=n) for r in rows], 1)

    def by_product(self, household: ndarray, n: int, codes: ndarray) -> Float[ndarray, "household product"]:
        """Expected units of every household and product."""
        there = self.occasions.product >= 0
        place = np.searchsorted(codes, np.where(there, self.occasions.product, codes[0]))
        key = household[:, None] * len(codes) + place
        units = (self.shelf * self.weight[:, None])[there]
        return np.bincount(key[there], units, minlength=n * len(codes)).reshape(n, len(codes))

    def draw(self, seed: int, period: int, count: ndarray) -> Float[ndarray, " quantity"]:
        """One drawn world of the resampled households; the numbers do not depend on the world."""
        d, n = self.demand, len(count)
        ids = np.arange(n)
        # an occasion that stands for several trips, or a household drawn twice, counts that often
        u = uniform(seed, period, ids, np.zeros(n, np.int64))
        hit = np.flatnonzero((u < d.buy) & (count > 0))
        times = count[hit] * self.weight[hit]
        off = uniform(seed, period, ids[hit], np.ones(len(hit), np.int64)) < d.other[hit]
        column = choose(d.probability[hit], uniform(seed, period, ids[hit], np.full(len(hit), 2)))
        column = np.maximum(column, 0)
        v = uniform(seed, period, ids[hit], np.full(len(hit), 3))
        units = draw_units(np.where(off, d.other_units[hit], d.units[hit, column]), v) * times
        price = self.occasions.price[hit, column]
        target = self.target[hit, column] & ~off
        rest = ~target & ~off
        return np.array(
            [units[target].sum(), units[rest].sum(), units[off].sum(), (units * price)[target].sum(),
             (units * price)[rest].sum()]
        )  # fmt: skip


def _estimate(value: float, resampled: ndarray) -> Estimate:
    known = resampled[np.isfinite(resampled)]
    if not len(known):
        return Estimate(value, float("nan"), float("nan"))
    low, high = np.quantile(known, [0.025, 0.975])
    return Estimate(value, float(low), float(high))
