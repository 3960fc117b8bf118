"""Audits of bargains: deals, who gets the surplus, anchors, who begins, spread beside people's.

Every figure comes with a bootstrap interval over bargains.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.stats import wasserstein_distance

from malles.errors import DataError
from malles.evaluation.bootstrap import DRAWS, Interval, interval_of, mean_interval
from malles.wholesale.bargaining.division import Divisions
from malles.wholesale.bargaining.play import Bargain
from malles.wholesale.bargaining.policies import Side


def mean_of(value: Float[ndarray, " row"], rng: np.random.Generator) -> Interval:
    """A mean with its interval, rows resampled."""
    return mean_interval(np.asarray(value, float), np.arange(len(value)), rng)


def deal_rate(played: Sequence[Bargain], rng: np.random.Generator) -> Interval:
    """Deals among all bargains."""
    return mean_of(np.array([b.deal for b in played], float), rng)


def buyer_surplus_share(
    played: Sequence[Bargain], sides: Sequence[tuple[Side, Side]], rng: np.random.Generator
) -> Interval:
    """Mean part of what lies between the two limits that the buyer got, over deals with room.

        (buyer's limit − price) / (buyer's limit − seller's limit), 0.5 = even

    Args:
        played: bargains.
        sides: (buyer, seller) of each.
        rng: of the bootstrap.
    """
    share = [
        (buyer.limit - b.price) / (buyer.limit - seller.limit)
        for b, (buyer, seller) in zip(played, sides, strict=True)
        if b.deal and buyer.limit - seller.limit > 1e-9
    ]
    if len(share) < 2:
        raise DataError(
            f"a surplus split needs at least 2 deals with room between the limits, got {len(share)}"
        )
    return mean_of(np.array(share), rng)


def first_price_slope(
    first: Float[ndarray, " deal"],
    price: Float[ndarray, " deal"],
    ratio: Float[ndarray, " deal"],
    rng: np.random.Generator,
    *,
    draws: int = DRAWS,
) -> Interval:
    """How much of a first price is found in the agreed one, the target ratio held fixed (the anchor).

        price = a + b · first + c · ratio,   least squares; the interval is of b

    An association: who opens high may also be the tougher bargainer. With policies that play it is causal.

    Args:
        first: first price named by one side, share of the list price.
        price: agreed, share.
        ratio: buyer's target, share.
        rng: of the bootstrap.
        draws: bootstrap samples.
    """
    x = np.column_stack([np.ones(len(first)), first, ratio])
    if len(x) < 5 or np.ptp(first) < 1e-9:
        raise DataError("the slope on a first price needs at least 5 deals with differing first prices")

    def slope(at: ndarray) -> float:
        return float(np.linalg.lstsq(x[at], price[at], rcond=None)[0][1])

    at = np.arange(len(x))
    drawn = np.array([slope(rng.integers(0, len(x), len(x))) for _ in range(draws)])
    return interval_of(slope(at), drawn)


def position_bias(
    buyer_first: Sequence[Bargain], seller_first: Sequence[Bargain], rng: np.random.Generator
) -> Interval:
    """Mean price when the buyer begins minus when the seller does, over cases with a deal both ways."""
    gap = [a.price - b.price for a, b in zip(buyer_first, seller_first, strict=True) if a.deal and b.deal]
    if len(gap) < 2:
        raise DataError(f"position bias needs at least 2 cases with a deal both ways, got {len(gap)}")
    return mean_of(np.array(gap), rng)


def variance_ratio(
    simulated: Float[ndarray, " deal"],
    human: Float[ndarray, " other"],
    rng: np.random.Generator,
    *,
    draws: int = DRAWS,
) -> Interval:
    """Variance of simulated over variance of human values; below 1 the simulation is under-dispersed.

    Args:
        simulated: prices as shares of the list price.
        human: the same of people, typing errors left out.
        rng: of the bootstrap; both samples are drawn.
        draws: bootstrap samples.

    >>> variance_ratio(np.array([0.0, 1.0]), np.array([0.0, 2.0]), np.random.default_rng(0)).value
    0.25
    """
    if len(simulated) < 2 or len(human) < 2 or not np.ptp(human) > 0:
        raise DataError("a variance ratio needs at least 2 values on each side and spread among people")
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = np.array(
            [
                rng.choice(simulated, len(simulated)).var() / rng.choice(human, len(human)).var()
                for _ in range(draws)
            ]
        )
    return interval_of(float(simulated.var() / human.var()), drawn)


def price_distance(
    simulated: Float[ndarray, " deal"],
    human: Float[ndarray, " other"],
    rng: np.random.Generator,
    *,
    draws: int = DRAWS,
) -> tuple[Interval, float]:
    """Wasserstein-1 between simulated and human prices, and its sampling floor.

    Args:
        simulated: prices as shares of the list price.
        human: the same of people.
        rng: of the bootstrap; the interval is centred, since resampling alone makes a distance larger.
        draws: bootstrap samples.

    Returns:
        The distance with its interval, and the mean distance between human prices and a sample of them of
        the size of the simulation: what is left when the distribution is the same.
    """
    value = float(wasserstein_distance(simulated, human))
    drawn = [
        wasserstein_distance(rng.choice(simulated, len(simulated)), rng.choice(human, len(human)))
        for _ in range(draws)
    ]
    floor = [wasserstein_distance(rng.choice(human, len(simulated)), human) for _ in range(draws)]
    return interval_of(value, np.array(drawn), centred=True), float(np.mean(floor))


def division_audit(
    cases: Sequence[Divisions], rows: Sequence[int | None], rng: np.random.Generator
) -> dict[str, Interval]:
    """Agreement, points, Pareto efficiency and Nash gap of divisions.

    Args:
        cases: what there was to divide.
        rows: the agreed division of each; None without a deal.
        rng: of the bootstrap.

    Returns:
        `agreed` over all; of deals: `points` (mean of both sides), `split` (smaller over larger side),
        `efficient`, `nash_gap`, and `lost` (points of both sides below the best sum there was).
    """
    deals = [(c, r) for c, r in zip(cases, rows, strict=True) if r is not None]
    if len(deals) < 2:
        raise DataError(f"an audit of divisions needs at least 2 deals, got {len(deals)}")
    u = np.array([c.points[r] for c, r in deals])
    of_deals = {
        "points": u.mean(axis=1),
        "split": u.min(axis=1) / np.maximum(u.max(axis=1), 1e-9),
        "efficient": np.array([c.efficient[r] for c, r in deals], float),
        "nash_gap": np.array([c.nash_gap(r) for c, r in deals]),
        "lost": np.array([c.points.sum(axis=1).max() for c, _ in deals]) - u.sum(axis=1),
    }
    agreed = mean_of(np.array([r is not None for r in rows], float), rng)
    return {"agreed": agreed, **{name: mean_of(value, rng) for name, value in of_deals.items()}}
