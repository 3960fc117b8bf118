"""What a plan is worth: its goal, draw by draw, and how far it is from breaking what must hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from malles.errors import ConfigError
from malles.scenarios.cube_kernels import REVENUE, UNITS
from malles.scenarios.outcomes import margin, unit_costs
from malles.scenarios.rehearsal import Rehearsal

TOLERANCE = 1e-9
"""Slack below minus this breaks a constraint."""


@dataclass(frozen=True)
class Floor:
    """A quantity that must stay at a part of today's."""

    quantity: str
    part: float
    own: bool
    """Of own products; else of the category."""

    @property
    def name(self) -> str:
        """As in the file."""
        return f"{self.quantity}_at_least"


@dataclass(frozen=True)
class Target:
    """What is sought, and what the market has to say about it."""

    goal: str
    """"margin", "revenue", "units" or "consumer surplus"."""
    cost: Float[ndarray, " product"]
    """Per unit by product code; NaN = unknown."""
    own: Int[ndarray, " own"] | None = None
    """Codes of the products whose goal counts; None = the category."""
    floors: tuple[Floor, ...] = ()
    loss_probability_at_most: float | None = None


@dataclass(frozen=True)
class Worth:
    """A plan under given luck."""

    base: float
    """Mean of the goal over the draws, today."""
    value: float
    """The same of the plan."""
    slack: dict[str, float]
    """How far every constraint is from being broken; parts of today's value, or chances."""

    @property
    def violation(self) -> float:
        """Sum of what is broken; 0 = all holds."""
        return -sum(min(slack, 0.0) for slack in self.slack.values() if slack < -TOLERANCE)


def measure(
    found: Rehearsal, quantity: str, cost: Float[ndarray, " code"], own: Int[ndarray, " own"] | None,
    *, lucky: bool = True,
) -> Float[ndarray, "draw world"]:  # fmt: skip
    """A quantity of both worlds by draw.

    Args:
        found: the rehearsal.
        quantity: "margin", "revenue", "units" or "consumer surplus".
        cost: per unit by product code; NaN = unknown, and not counted.
        own: codes of the products that count; None = the category.
        lucky: whether the luck of every trip is in it.

    Raises:
        ConfigError: no product that counts has a known cost; the model has no response to prices.
    """
    if quantity == "consumer surplus":
        if not np.isfinite(found.central_surplus).all():
            raise ConfigError(
                "consumer surplus is unknown where products leave or enter the shelf; choose another goal."
            )
        gain = found.surplus.sum(1)
        return np.stack([np.zeros_like(gain), gain], 1)
    table = (found.drawn if lucky else found.expected).sum(2)  # [draw, world, product, quantity]
    which = np.arange(len(found.product))
    if own is not None:
        which = np.flatnonzero(np.isin(found.product, own))
    if quantity == "margin":
        worth, slate = unit_costs(found, cost), which[which < len(found.product) - 1]
        if worth is None or not np.isfinite(worth[slate]).any():
            raise ConfigError(
                "margin is unknown here: no product that counts has a cost; name theirs in [costs], or add "
                "[plan] margin."
            )
        return margin(table, worth, slate)
    return np.asarray(table[..., which, {"units": UNITS, "revenue": REVENUE}[quantity]].sum(-1))


def judge(found: Rehearsal, target: Target) -> Worth:
    """The goal of a plan over the draws of a rehearsal, and its constraints.

    slack of a floor = (plan - part x base) / |base|,   slack of the risk = limit - chance(plan < base)
    """
    goal = measure(found, target.goal, target.cost, target.own)
    base, value = goal.mean(0)
    slack = {}
    for floor in target.floors:
        today, then = measure(
            found, floor.quantity, target.cost, target.own if floor.own else None
        ).mean(0)  # fmt: skip
        slack[floor.name] = float((then - floor.part * today) / max(abs(today), 1e-12))
    if target.loss_probability_at_most is not None:
        chance = float((goal[:, 1] < goal[:, 0]).mean())
        slack["loss_probability_at_most"] = target.loss_probability_at_most - chance
    return Worth(float(base), float(value), slack)
