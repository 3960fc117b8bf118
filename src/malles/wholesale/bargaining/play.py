"""A bargain between two policies: turns alternate, every offer is answered, limits hold whatever is said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from malles.wholesale.bargaining.policies import Move, Policy, Side, View


@dataclass(frozen=True)
class Bargain:
    """How a bargain went."""

    deal: bool
    price: float
    """Share of the list price; NaN without a deal."""
    turns: int
    offers: tuple[tuple[str, float], ...]
    """(Role, price) in order."""
    corrected: int
    """Moves beyond the mover's own limit, which were pulled back to it."""
    unreadable: int
    """Moves that were none; the side said nothing instead."""


def bargain(
    policies: dict[str, Policy],
    buyer: Side,
    seller: Side,
    rng: np.random.Generator,
    *,
    turns: int = 8,
    first: str = "buyer",
    messages: dict[str, str] | None = None,
) -> Bargain:
    """Let two policies haggle.

    An offer beyond the mover's own limit becomes the limit; an acceptance beyond it becomes an offer of the
    limit; both are counted. What is no move is counted and says nothing.

    The side that moves second makes the last offer. An offer is a promise to sell or buy, so it is not lost
    by counting turns: the side that began may still take it (`View.closed`); anything else ends the talk
    without a deal.

    Args:
        policies: by role.
        buyer: target and limit.
        seller: target and limit.
        rng: draws of the policies.
        turns: of each side at most.
        first: role that begins.
        messages: words that a role attaches to all it does, for probes.
    """
    sides = {"buyer": buyer, "seller": seller}
    order = (first, "seller" if first == "buyer" else "buyer")
    offers: list[tuple[str, float]] = []
    corrected = unreadable = 0
    for t, role in [*((t, role) for t in range(turns) for role in order), (turns, first)]:
        if t == turns and (not offers or offers[-1][0] == first):
            break  # nothing is left to answer
        rival = order[1 - order.index(role)]
        own, other = (tuple(p for r, p in offers if r == who) for who in (role, rival))
        view = View(sides[role], t, turns, own, other, (messages or {}).get(rival, "") if other else "")
        move = policies[role].move(view, rng)
        if not _readable(move, other):
            unreadable += 1
            continue
        if move.kind == "quit" or (view.closed and move.kind == "offer"):
            return Bargain(False, math.nan, min(t + 1, turns), tuple(offers), corrected, unreadable)
        price = other[-1] if move.kind == "accept" else float(move.price)
        if not sides[role].within(price):
            corrected += 1
            if view.closed:
                break  # it would take what it must not
            move, price = Move("offer"), sides[role].limit
        if move.kind == "accept":
            return Bargain(True, price, min(t + 1, turns), tuple(offers), corrected, unreadable)
        offers.append((role, price))
    return Bargain(False, math.nan, turns, tuple(offers), corrected, unreadable)


def bargain_all(
    policies: dict[str, Policy],
    sides: Sequence[tuple[Side, Side]],
    seed: int,
    *,
    turns: int = 8,
    first: str = "buyer",
    messages: dict[str, str] | None = None,
) -> list[Bargain]:
    """One bargain per case, each with random numbers of its own: the same whatever else is played.

    Args:
        policies: by role.
        sides: (buyer, seller) of every case.
        seed: of all cases.
        turns: of each side at most.
        first: role that begins.
        messages: words that a role attaches, for probes.
    """
    return [
        bargain(
            policies, buyer, seller, np.random.default_rng([seed, i]), turns=turns, first=first,
            messages=messages,
        )
        for i, (buyer, seller) in enumerate(sides)
    ]  # fmt: skip


def _readable(move: object, other: tuple[float, ...]) -> bool:
    if not isinstance(move, Move):
        return False
    if move.kind == "accept":
        return bool(other)
    if move.kind == "offer":
        return isinstance(move.price, int | float) and math.isfinite(move.price) and move.price > 0
    return move.kind == "quit"
