"""How far people go: private limits read off deals, no-deals and prices.

    x = part of the way from the list price to the buyer's target that the seller gave up
    seller's most  s ~ N(m_s, σ²),   buyer's most  b ~ N(m_b, σ²), independent
    deal if s + b >= 1, at the middle of what both accept: x = (s + 1 − b) / 2

Then x is independent of whether there is a deal, so that

    σ = √2 sd(x),   m_s − m_b = 2 mean(x) − 1,   m_s + m_b = 1 + σ √2 Φ⁻¹(deal rate)

Targets themselves are no limits: a fifth of human deals lie outside [buyer's target, list price].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy.stats import norm

from malles.data.dialogues import Dialogue, Listing
from malles.data.sources.craigslist_bargain import is_plausible
from malles.errors import DataError
from malles.wholesale.bargaining.policies import Side

BANDS = (0.65, 0.8)
"""Target ratios are fitted apart below, between and above: the same step is a larger part of a short way."""
FEWEST = 20
"""Deals that a band needs."""


@dataclass(frozen=True)
class Limits:
    """The distribution of limits, in parts of the way between the two targets."""

    seller: float
    """Mean part that a seller is ready to give up."""
    buyer: float
    """Mean part that a buyer is ready to give up."""
    deviation: float


def estimate_limits(given_up: Float[ndarray, " deal"], deal_rate: float) -> Limits:
    """Limits from deals; median and median absolute deviation stand for mean and deviation (typing errors).

    Args:
        given_up: x of every deal.
        deal_rate: deals among all bargains, in (0, 1).

    Raises:
        DataError: too few deals, or a deal rate of 0 or 1.
    """
    if len(given_up) < FEWEST or not 0 < deal_rate < 1:
        raise DataError(
            f"limits need at least {FEWEST} deals and a deal rate between 0 and 1, got {len(given_up)} and "
            f"{deal_rate:g}"
        )
    middle = float(np.median(given_up))
    spread = max(float(np.median(np.abs(given_up - middle))) / float(norm.ppf(0.75)), 1e-6)
    sigma = 2**0.5 * spread
    total = 1 + sigma * 2**0.5 * float(norm.ppf(deal_rate))
    apart = 2 * middle - 1
    return Limits((total + apart) / 2, (total - apart) / 2, sigma)


def band_of(ratio: float) -> int:
    """Band of a target ratio."""
    return int(np.searchsorted(BANDS, ratio, side="right"))


def fit_limits(dialogues: Sequence[Dialogue[Listing]]) -> dict[int, Limits]:
    """Limits by band of target ratios; a band with too few deals gets those of all.

    Args:
        dialogues: with and without deals; agreed prices that are typing errors are left out.
    """
    found: dict[int, list[tuple[bool, float]]] = {}
    for d in dialogues:
        ratio = d.subject.buyer_target / d.subject.list_price
        if ratio >= 1:
            continue
        price = d.outcome.price
        share = price / d.subject.list_price if price is not None else np.nan
        if price is not None and not is_plausible(d):
            continue
        found.setdefault(band_of(ratio), []).append((d.outcome.agreed, (1 - share) / (1 - ratio)))
    everything = [pair for pairs in found.values() for pair in pairs]
    return {band: _estimate(found.get(band, []), everything) for band in range(len(BANDS) + 1)}


def draw_sides(
    ratios: Float[ndarray, " case"], limits: Mapping[int, Limits], rng: np.random.Generator
) -> list[tuple[Side, Side]]:
    """Buyer and seller of every case, with limits drawn; shares of the list price.

    Args:
        ratios: buyer's target as a share of the list price.
        limits: by band.
        rng: draws.
    """
    sides = []
    for ratio in ratios:
        band = limits[band_of(float(ratio))]
        way = 1 - float(ratio)
        ready = rng.normal([band.buyer, band.seller], band.deviation)
        sides.append(
            (
                Side("buyer", float(ratio), float(ratio) + way * float(ready[0])),
                Side("seller", 1.0, max(1 - way * float(ready[1]), 0.01)),
            )
        )
    return sides


def has_room(sides: Sequence[tuple[Side, Side]]) -> Bool[ndarray, " case"]:
    """Whether some price keeps both limits."""
    return np.array([buyer.limit >= seller.limit for buyer, seller in sides], bool)


def _estimate(pairs: list[tuple[bool, float]], everything: list[tuple[bool, float]]) -> Limits:
    deals = np.array([x for deal, x in pairs if deal])
    if len(deals) < FEWEST or len(deals) == len(pairs):
        pairs, deals = everything, np.array([x for deal, x in everything if deal])
    return estimate_limits(deals, len(deals) / max(len(pairs), 1))
