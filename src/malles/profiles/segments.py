"""Segments: customers with alike profiles, found by k-means from a fixed start."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32
from numpy import ndarray

from malles.errors import DataError
from malles.profiles.customer import Profiles

SEGMENT_TRAITS = (
    "baskets", "spend_per_week", "lines_per_basket", "discount_propensity", "price_rank", "private_label",
    "product_concentration", "repeat_share",
)  # fmt: skip
"""Traits customers are compared by: each in ranks, so that no unit counts more than another."""

ITERATIONS = 50


@dataclass(frozen=True)
class Segments:
    """Which customers are treated alike."""

    segment: Int32[ndarray, " customer"]
    """0 … count − 1 by rising spend; customers without earlier purchases form the last."""
    centre: Float32[ndarray, "segment trait"]
    """Mean rank, in [0, 1], of each trait; 0.5 for the segment without purchases."""
    names: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of segments, the one without purchases included."""
        return len(self.centre)


def build_segments(profiles: Profiles, count: int = 8) -> Segments:
    """At most `count` segments of customers alike in `SEGMENT_TRAITS`, and one for those without purchases.

    k-means on ranks; starts at the customers standing at equal steps of total rank, so no random numbers are
    needed and the result depends on the data only.

    Raises:
        DataError: `count` is below 1.
    """
    if count < 1:
        raise DataError(f"A market needs at least one segment, got count = {count}.")
    known = np.flatnonzero(profiles.known)
    columns = [profiles.names.index(name) for name in SEGMENT_TRAITS]
    segment = np.full(len(profiles.known), 0, np.int32)
    if not len(known):
        return Segments(segment, np.full((1, len(columns)), 0.5, np.float32), SEGMENT_TRAITS)
    x = profiles.numbers[known][:, columns]
    rank = np.stack([np.searchsorted(np.sort(v), v, side="right") / len(v) for v in x.T], axis=1)
    order = np.argsort(rank[:, SEGMENT_TRAITS.index("spend_per_week")] + rank.mean(axis=1), kind="stable")
    k = min(count, len(known))
    centre = rank[order[((np.arange(k) + 0.5) / k * len(known)).astype(int)]]
    nearest = np.full(len(known), -1)
    for _ in range(ITERATIONS):
        distance = ((rank[:, None] - centre[None]) ** 2).sum(axis=2)
        found = distance.argmin(axis=1)
        if np.array_equal(found, nearest):
            break
        nearest = found
        for s in np.unique(nearest):
            centre[s] = rank[nearest == s].mean(axis=0)
    occupied = np.unique(nearest)
    by_spend = occupied[np.argsort(centre[occupied, SEGMENT_TRAITS.index("spend_per_week")], kind="stable")]
    code = np.full(k, -1)
    code[by_spend] = np.arange(len(by_spend))
    segment[:] = len(by_spend)
    segment[known] = code[nearest]
    means = np.concatenate([centre[by_spend], np.full((1, len(columns)), 0.5)])
    return Segments(segment, means.astype(np.float32), SEGMENT_TRAITS)
