"""Two policies divide items: each knows its own values, concedes by a clock or by what the other conceded.

    points asked at time t = best − (best − floor · best) (t / (T − 1))^(1 / β)

Among divisions that bring at least that, a side proposes the one nearest to the other's last proposal. Who
began may still take the very last proposal: it is not lost by counting turns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from malles.errors import DataError
from malles.wholesale.bargaining.division import Divisions


@dataclass(frozen=True)
class DivisionPolicy:
    """A way to divide."""

    beta: float = 1.0
    """1 linear, below 1 late (boulware), above 1 early."""
    floor: float = 0.4
    """Part of its best points below which a side takes nothing."""
    mirror: bool = False
    """Concede as many points as the other side's last proposal did, instead of by the clock."""

    def asked(self, best: float, turn: int, turns: int, offered: tuple[float, ...]) -> float:
        """Points that a side wants now.

        Args:
            best: points of taking everything.
            turn: own turns before this one; `turns` when only the last proposal is left to answer.
            turns: own turns at most.
            offered: own points of what the other side proposed so far.
        """
        floor = self.floor * best
        if self.mirror:
            if turn >= turns - 1:
                return floor
            given = max(max(offered) - offered[0], 0.0) if offered else 0.0
            return max(best - given - 0.1 * best * min(turn, 1), floor)
        if self.beta <= 0:
            raise DataError(f"beta must be above 0, got {self.beta}")
        time = min(turn / (turns - 1), 1.0) if turns > 1 else 1.0
        return best - (best - floor) * float(time ** (1 / self.beta))


DIVIDING: dict[str, DivisionPolicy] = {
    "linear": DivisionPolicy(),
    "boulware": DivisionPolicy(0.3),
    "conceder": DivisionPolicy(3.0),
    "tit for tat": DivisionPolicy(mirror=True),
}
"""Policies by name."""


@dataclass(frozen=True)
class Divided:
    """How a division went."""

    row: int | None
    """The agreed division; None without a deal."""
    turns: int


def divide(
    all_: Divisions, policies: tuple[DivisionPolicy, DivisionPolicy], *, turns: int = 5, first: int = 0
) -> Divided:
    """Let two policies divide; none proposes or takes less than its floor, and the last proposal is answered.

    Args:
        all_: the divisions there are.
        policies: of the first and of the second role.
        turns: of each side at most.
        first: who begins, 0 or 1.
    """
    proposals: tuple[list[int], list[int]] = ([], [])
    for t, side in [*((t, side) for t in range(turns) for side in (first, 1 - first)), (turns, first)]:
        u = all_.points[:, side]
        theirs = proposals[1 - side]
        asked = policies[side].asked(float(u.max()), t, turns, tuple(float(u[k]) for k in theirs))
        if theirs and u[theirs[-1]] >= asked - 1e-9:
            return Divided(theirs[-1], min(t + 1, turns))
        proposals[side].append(_propose(all_, side, asked, theirs))
    return Divided(None, turns)


def _propose(all_: Divisions, side: int, asked: float, theirs: list[int]) -> int:
    """The division nearest to the other's last one, or with the fewest units for oneself."""
    u = all_.points[:, side]
    good = np.flatnonzero(u >= asked - 1e-9)
    if theirs:
        away = np.abs(all_.takes[good] - all_.takes[theirs[-1]]).sum(axis=1)
    else:
        units = all_.takes[good].sum(axis=1)
        away = units if side == 0 else -units
    return int(good[np.lexsort((-u[good], away))[0]])
