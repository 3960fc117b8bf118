"""Divisions of items between two sides, all of them: points, Pareto efficiency, the Nash solution.

    Nash gap = 1 − (u_1 − w)(u_2 − w) / max over divisions,   w = points without a deal

Few items and units: every division is enumerated, so that nothing is approximated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Bool, Float, Integer
from numpy import ndarray

from malles.data.dialogues import Division
from malles.errors import DataError

MOST = 100_000
"""Divisions that are enumerated at most."""


@dataclass(frozen=True)
class Divisions:
    """Every way to divide the items of a case."""

    items: tuple[str, ...]
    roles: tuple[str, str]
    takes: Integer[ndarray, "division item"]
    """Units of the first role; the second gets the rest."""
    points: Float[ndarray, "division 2"]
    walk_away: float

    @property
    def efficient(self) -> Bool[ndarray, " division"]:
        """Whether no other division is better for one side and no worse for the other."""
        u = self.points
        least, more = u[None] >= u[:, None], u[None] > u[:, None]
        better = np.logical_and.reduce(least, axis=2) & np.logical_or.reduce(more, axis=2)
        return np.asarray(~np.logical_or.reduce(better, axis=1))

    @property
    def nash(self) -> Float[ndarray, " division"]:
        """Product of the two gains over the walk-away, 0 where a side would lose."""
        gain = np.maximum(self.points - self.walk_away, 0.0)
        return np.asarray(gain.prod(axis=1))

    def at(self, takes: Mapping[str, int]) -> int:
        """Row of a division, by the units of the first role.

        Raises:
            DataError: there are not that many units.
        """
        wanted = [takes.get(item, 0) for item in self.items]
        found = np.flatnonzero((self.takes == wanted).all(axis=1))
        if len(found) != 1:
            raise DataError(f"{dict(takes)} cannot be taken from what there is to divide")
        return int(found[0])

    def nash_gap(self, row: int) -> float:
        """How far a division is from the Nash solution, 0 = there, 1 = a side gains nothing."""
        best = float(self.nash.max())
        return 1.0 - float(self.nash[row]) / best if best > 0 else 0.0


def enumerate_divisions(division: Division) -> Divisions:
    """Every division with the points of both sides.

    >>> case = Division({"hat": 1, "ball": 1}, {"A": {"hat": 9, "ball": 1}, "B": {"hat": 1, "ball": 9}})
    >>> all_ = enumerate_divisions(case)
    >>> all_.points[all_.efficient].tolist()
    [[0.0, 10.0], [9.0, 9.0], [10.0, 0.0]]
    >>> all_.nash_gap(all_.at({"hat": 1}))
    0.0

    Raises:
        DataError: there are not two sides, or too many divisions.
    """
    roles = tuple(division.values)
    items = tuple(division.counts)
    many = 1
    for n in division.counts.values():
        many *= n + 1
    if len(roles) != 2 or many > MOST:
        raise DataError(f"a division has two sides and at most {MOST} outcomes, got {len(roles)} and {many}")
    takes = np.array(list(product(*(range(division.counts[i] + 1) for i in items))), dtype=np.int64)
    counts = np.array([division.counts[i] for i in items])
    worth = [np.array([division.values[r][i] for i in items], float) for r in roles]
    points = np.column_stack([takes @ worth[0], (counts - takes) @ worth[1]])
    return Divisions(items, (roles[0], roles[1]), takes, points, float(division.walk_away))
