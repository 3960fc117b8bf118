"""Stock is given out by lot: in the order of random priorities, whatever shard a customer stands in.

Every customer draws a priority of 64 bits (seed, period, customer, draw 3). Where more units are wished than
there are, the customers with the lowest priorities are served; the one at the margin gets what is left. The
margin is found without sorting or moving customers: (1) every shard counts wished units by the first 12 bits
of the priority; (2) the sums say in which bucket the stock ends; (3) the few customers of that bucket are put
in order. The sums are of integers, so shards and workers may come in any order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray

from malles.population import crowd_kernels as kernels
from malles.population.crowd import Crowd

BITS = 12
"""Of the priority that make a bucket: of 10 million customers and 20 products, about 60 are left in one."""
SHIFT = 64 - BITS

Candidates = tuple[ndarray, ndarray]
"""Priorities [candidate], uint64, and customer, product, units [3, candidate], int64."""
Limits = tuple[ndarray, ndarray, ndarray]
"""[product]: priority and number of the customer at the margin, and the units it gets; -1 units: no limit."""


def find_scarce(wished: Int[ndarray, " product"], stock: Int[ndarray, " product"]) -> Bool[ndarray, " slot"]:
    """Which products more units are wished of than there are; slot 0 (buying nothing) never.

    >>> find_scarce(np.array([5, 5, 5]), np.array([4, 5, -1]))
    array([False,  True, False, False])
    """
    return np.concatenate([[False], (stock >= 0) & (wished > stock)])


def count_priorities(
    crowd: Crowd, period: int, scarce: Bool[ndarray, " slot"]
) -> Int[ndarray, "slot bucket"]:
    """Units that this shard wishes of scarce products, by bucket of priority."""
    out = np.zeros((len(scarce), 1 << BITS), np.int64)
    key = kernels.period_key(crowd.seed, period)
    kernels.count_priorities(key, crowd.first, crowd.choice, crowd.units, scarce, SHIFT, out)
    return out


def find_buckets(
    counted: Int[ndarray, "slot bucket"], stock: Int[ndarray, " product"], scarce: Bool[ndarray, " slot"]
) -> tuple[Int[ndarray, " slot"], Int[ndarray, " slot"]]:
    """The bucket in which the stock of each scarce product ends, and what is left when it begins.

    Returns:
        Bucket, -1 for products that are not scarce, and units left.
    """
    bucket, left = np.full(len(scarce), -1), np.zeros(len(scarce), np.int64)
    for j in np.flatnonzero(scarce):
        run = np.cumsum(counted[j])
        bucket[j] = np.searchsorted(
            run, stock[j - 1], side="right"
        )  # the first bucket that is not all served
        left[j] = stock[j - 1] - (run[bucket[j] - 1] if bucket[j] else 0)
    return bucket, left


def find_candidates(crowd: Crowd, period: int, bucket: Int[ndarray, " slot"]) -> Candidates:
    """Those of this shard who stand in the bucket in which the stock of their product ends."""
    key = kernels.period_key(crowd.seed, period)
    priority, rest = kernels.find_candidates(key, crowd.first, crowd.choice, crowd.units, bucket, SHIFT)
    return priority, rest


def no_limits(slots: int) -> Limits:
    """Limits that bind nobody."""
    return np.zeros(slots, np.uint64), np.zeros(slots, np.int64), np.full(slots, -1, np.int64)


def find_limits(
    candidates: Sequence[Candidates], bucket: Int[ndarray, " slot"], left: Int[ndarray, " slot"]
) -> Limits:
    """Who stands at the margin of each scarce product.

    Args:
        candidates: of all shards, in any order.
        bucket: of `find_buckets`.
        left: units left for the candidates.
    """
    priority = np.concatenate([c[0] for c in candidates])
    customer, product, units = np.concatenate([c[1] for c in candidates], axis=1)
    bound_key, bound_customer, bound_units = no_limits(len(bucket))
    for j in np.flatnonzero(bucket >= 0):
        mine = np.flatnonzero(product == j)
        mine = mine[np.lexsort((customer[mine], priority[mine]))]
        run = np.cumsum(units[mine])
        at = int(np.searchsorted(run, left[j], side="right"))  # the first who does not get all
        margin = mine[at]
        bound_key[j], bound_customer[j] = priority[margin], customer[margin]
        bound_units[j] = left[j] - (run[at - 1] if at else 0)
    return bound_key, bound_customer, bound_units
