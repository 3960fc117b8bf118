"""The shards that one worker owns, and everything a roll-out asks of them.

A worker keeps its customers in memory from period to period. What travels is small: the shelf one way,
integer counts the other, and a few customers at the margin of scarce stock. What is kept goes straight from
the worker to the disk, one Parquet file per shard and period.
"""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy import ndarray

from malles.population import crowd as people
from malles.population import rationing
from malles.population.crowd import CrowdLaws, CrowdState, Shelf

STATE = ("last", "inventory", "paid", "money")
"""Columns of a kept state, one row per customer in order."""


@dataclass(frozen=True)
class ShardPlan:
    """Which customers one worker owns."""

    laws: CrowdLaws
    seed: int
    shards: tuple[tuple[int, int, int], ...]
    """(number of the shard, first customer, customers)."""


def split(laws: CrowdLaws, seed: int, customers: int, shard_size: int, workers: int) -> list[ShardPlan]:
    """Consecutive shards, and for each worker every `workers`-th of them.

    >>> laws = CrowdLaws((1.0,), ((0.0,),), ((0.0,),), (1.0,), (0.5,), (100,))
    >>> [p.shards for p in split(laws, 1, 250, 100, 2)]
    [((0, 0, 100), (2, 200, 50)), ((1, 100, 100),)]
    """
    starts = range(0, customers, shard_size)
    shards = [(k, first, min(shard_size, customers - first)) for k, first in enumerate(starts)]
    workers = max(1, min(workers, len(shards)))
    return [ShardPlan(laws, seed, tuple(shards[w::workers])) for w in range(workers)]


class ShardWorker:
    """Owns some shards; lives in this process, in a process of its own, or on another machine."""

    def __init__(self, plan: ShardPlan) -> None:
        self.plan = plan
        self.crowds = [
            people.build_crowd(plan.laws, plan.seed, first, size) for _, first, size in plan.shards
        ]

    def decide(self, shelf: Shelf, period: int) -> tuple[ndarray, ndarray]:
        """Counts of pass 1, and units wished and affordable by product."""
        counts = sum(people.decide(c, shelf, period) for c in self.crowds)
        wished = np.zeros(len(shelf.constant) + 1, np.int64)
        for c in self.crowds:
            wished += np.bincount(c.choice, c.units, len(wished)).astype(np.int64)  # exact below 2^53
        return np.asarray(counts), wished[1:]

    def count_priorities(self, period: int, scarce: ndarray) -> ndarray:
        """Units wished of scarce products by bucket of priority."""
        return np.asarray(sum(rationing.count_priorities(c, period, scarce) for c in self.crowds))

    def find_candidates(self, period: int, bucket: ndarray) -> list[rationing.Candidates]:
        """Customers in the bucket in which the stock of their product ends."""
        return [rationing.find_candidates(c, period, bucket) for c in self.crowds]

    def settle(self, shelf: Shelf, period: int, limits: rationing.Limits) -> ndarray:
        """Counts of pass 2; the state has moved on."""
        return np.asarray(sum(people.settle(c, shelf, period, limits) for c in self.crowds))

    def write(self, folder: str, decisions: bool, state: bool) -> int:
        """Keep the latest decisions, the state, or both; returns bytes written."""
        written = 0
        for (number, first, size), c in zip(self.plan.shards, self.crowds, strict=True):
            if decisions:
                path = Path(folder) / f"decisions-{number:06d}.parquet"
                customer = np.arange(first, first + size)
                chose = np.flatnonzero(c.choice)
                pl.DataFrame(
                    {"customer": customer[chose], "product": c.choice[chose], "units": c.units[chose]}
                ).write_parquet(path, compression="zstd")
                written += path.stat().st_size
            if state:
                path = Path(folder) / f"state-{number:06d}.parquet"
                columns = dict(zip(STATE, c.state.columns(), strict=True))
                pl.DataFrame(columns).write_parquet(path, compression="zstd", compression_level=1)
                written += path.stat().st_size
        return written

    def read_state(self, folder: str) -> None:
        """Go back to a kept state."""
        for k, (number, _, _) in enumerate(self.plan.shards):
            frame = pl.read_parquet(Path(folder) / f"state-{number:06d}.parquet")
            state = CrowdState(*(frame[name].to_numpy().copy() for name in STATE))
            self.crowds[k] = replace(self.crowds[k], state=state)

    def peak_memory(self) -> int:
        """Most memory this process ever held, in bytes."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
