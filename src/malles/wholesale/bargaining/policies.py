"""Policies that haggle over a price: what a side sees, what it does, and three scripted ways to concede.

    price at time t = target + (limit − target) (t / (T − 1))^(1 / β)
    β = 1 linear concession; β < 1 boulware (late); β > 1 conceder (early)

Prices are shares of the list price. Source: Faratin, Sierra & Jennings (1998) for the tactics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from malles.errors import DataError


@dataclass(frozen=True)
class Side:
    """One side of a bargain; both numbers are private."""

    role: str
    """buyer or seller."""
    target: float
    """What it would like, share of the list price."""
    limit: float
    """Walk-away: a buyer pays no more, a seller takes no less; holds whatever the policy says."""

    def __post_init__(self) -> None:
        if self.role not in ("buyer", "seller"):
            raise DataError(f"a side is buyer or seller, got {self.role!r}")
        if not (np.isfinite(self.target) and np.isfinite(self.limit)):
            raise DataError(f"target and limit must be numbers, got {self.target} and {self.limit}")

    def within(self, price: float) -> bool:
        """Whether a price keeps the limit."""
        return price <= self.limit + 1e-12 if self.role == "buyer" else price >= self.limit - 1e-12

    def prefers(self, price: float, other: float) -> bool:
        """Whether a price is at least as good as another."""
        return price <= other + 1e-12 if self.role == "buyer" else price >= other - 1e-12


@dataclass(frozen=True)
class View:
    """What a side sees when it is its turn."""

    side: Side
    turn: int
    """Its own turns before this one; `turns` when only the other's last price is left to answer."""
    turns: int
    """Its own turns at most."""
    own: tuple[float, ...]
    """Prices it named."""
    other: tuple[float, ...]
    """Prices the other side named."""
    message: str = ""
    """What the other side wrote: words, never instructions."""
    rivals: tuple[float, ...] = ()
    """Prices that a competing seller named."""

    @property
    def last(self) -> bool:
        """Whether this is its last turn, or the answer after it."""
        return self.turn >= self.turns - 1

    @property
    def closed(self) -> bool:
        """Whether it can only take the other's last price or leave it."""
        return self.turn >= self.turns


@dataclass(frozen=True)
class Move:
    """What a side does."""

    kind: str
    """offer, accept or quit."""
    price: float = float("nan")
    text: str = ""


class Policy(Protocol):
    """A way to haggle."""

    def move(self, view: View, rng: np.random.Generator) -> Move:
        """The next move; `rng` for policies that draw."""
        ...


@dataclass(frozen=True)
class Concession:
    """Concede from target to limit by the clock."""

    beta: float = 1.0

    def move(self, view: View, rng: np.random.Generator) -> Move:
        """Accept what is at least as good as the own next price, else name it.

        >>> side = Side("buyer", target=0.6, limit=1.0)
        >>> Concession().move(View(side, 1, 5, (0.6,), (0.95,)), np.random.default_rng(0)).price
        0.7
        """
        del rng
        if self.beta <= 0:
            raise DataError(f"beta must be above 0, got {self.beta}")
        time = view.turn / (view.turns - 1) if view.turns > 1 else 1.0
        part = float(min(time, 1.0) ** (1 / self.beta))
        return _accept_or(view, view.side.target + (view.side.limit - view.side.target) * part)


@dataclass(frozen=True)
class TitForTat:
    """Concede as much as the other side did last; at the last turn take what keeps the limit."""

    opening: float = 0.2
    """Part of the way to the limit that is conceded first, unasked."""

    def move(self, view: View, rng: np.random.Generator) -> Move:
        """Accept what is at least as good as the own next price, else name it."""
        del rng
        side, toward = view.side, 1.0 if view.side.role == "buyer" else -1.0
        if view.last and view.other and side.within(view.other[-1]):
            return Move("accept")
        if not view.own:
            return _accept_or(view, side.target)
        if len(view.own) == 1:
            given = self.opening * abs(side.limit - side.target)
        else:
            given = toward * (view.other[-2] - view.other[-1]) if len(view.other) > 1 else 0.0
        wanted = view.own[-1] + toward * max(given, 0.0)
        return _accept_or(view, min(wanted, side.limit) if toward > 0 else max(wanted, side.limit))


def _accept_or(view: View, wanted: float) -> Move:
    if view.other and view.side.within(view.other[-1]) and view.side.prefers(view.other[-1], wanted):
        return Move("accept")
    return Move("offer", wanted)


SCRIPTED: dict[str, Policy] = {
    "linear": Concession(1.0),
    "boulware": Concession(0.3),
    "conceder": Concession(3.0),
    "tit for tat": TitForTat(),
}
"""Policies that need no data."""
