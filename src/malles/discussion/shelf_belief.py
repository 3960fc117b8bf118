"""What a talk over a long shelf says of every alternative: probabilities in three tiers.

    read by the decider          P[j] = m0 softmax(V / temperature)[j]
    read by specialists alone    P[j] = m1 softmax(sum over s of b[s] V[s])[j]
    read by nobody               P[j] = m2 / (number of them)

    m[t] proportional to (choices found in tier t + 1/2) / (occasions where tier t holds something + 1),
           over the tiers that hold something; m sums to one

Masses, temperature and the weights b of the specialists are fitted on occasions that are not scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.discussion.shelves import ShelfTalk

DECIDED, HANDED_OVER, DROPPED = 0, 1, 2
"""Tiers: read by the decider, by specialists alone, by nobody."""

RIDGE = 0.05
"""Weight of sum (b - 1 / specialists)^2 beside the mean log-loss: few occasions fit four weights."""


@dataclass(frozen=True)
class ShelfBelief:
    """How far each tier is trusted; `fit_belief` makes one."""

    mass: Float[ndarray, " tier"]
    """Odds of the choice in each tier; they are made to sum to one over the tiers that hold something."""
    temperature: float = 1.0
    """The decider's."""
    weight: Float[ndarray, " specialist"] | None = None
    """b, at least 0, of every specialist; None without specialists."""

    def probabilities(self, talk: ShelfTalk) -> Float[ndarray, " alternative"]:
        """P of every alternative of one occasion; sums to one.

        >>> half = np.array([[0.0, 1.0, np.nan]]), np.array([5.0, np.nan, np.nan])
        >>> talk = ShelfTalk(*half, (0,))
        >>> ShelfBelief(np.array([0.8, 0.1, 0.1]), weight=np.ones(1)).probabilities(talk)
        array([0.8, 0.1, 0.1])
        """
        tier = tiers_of(talk)
        held = np.array([bool((tier == t).any()) for t in range(3)])
        mass = self.mass * held / (self.mass * held).sum()
        out = np.zeros(len(tier))
        for t in np.flatnonzero(held):
            inside = tier == t
            out[inside] = mass[t] * _softmax(self._utility(talk, int(t))[inside])
        return out

    def _utility(self, talk: ShelfTalk, tier: int) -> ndarray:
        if tier == DECIDED:
            decided: ndarray = talk.decider / self.temperature
            return decided
        if tier == HANDED_OVER and self.weight is not None:
            pooled: ndarray = self.weight @ known_scores(talk)
            return pooled
        return np.zeros(len(talk.decider))


def tiers_of(talk: ShelfTalk) -> ndarray:
    """Tier of every alternative."""
    found: ndarray = np.where(~np.isnan(talk.decider), DECIDED, np.where(talk.read, HANDED_OVER, DROPPED))
    return found


def known_scores(talk: ShelfTalk) -> Float[ndarray, "specialist alternative"]:
    """V by specialist; what one did not read gets the least that it gave (0 if it read nothing)."""
    scores: ndarray = talk.specialist.copy()
    for row in scores:
        unknown = np.isnan(row)
        row[unknown] = 0.0 if unknown.all() else np.nanmin(row)
    return scores


def fit_belief(talks: Sequence[ShelfTalk], chosen: Sequence[int]) -> ShelfBelief:
    """Masses by counting, temperature and specialists' weights by likelihood.

    Args:
        talks: over occasions that will not be scored.
        chosen: place of each choice among the alternatives.
    """
    tiers = [tiers_of(talk) for talk in talks]
    mass = count_masses(tiers, chosen)
    read = [(t, c) for t, c, tier in zip(talks, chosen, tiers, strict=True) if tier[c] == DECIDED]
    return ShelfBelief(mass, _fit_temperature(read), _fit_weights(talks, chosen))


def count_masses(tiers: Sequence[ndarray], chosen: Sequence[int]) -> Float[ndarray, " tier"]:
    """Mass of each tier from where the choices were found.

    A tier that held nothing in n occasions gets (1/2) / (n + 1). Here three of four choices were read by
    the decider and one by nobody: (3.5, 0.5, 1.5) / 5, made to sum to one.

    >>> tiers = [np.array([0, 2])] * 4
    >>> count_masses(tiers, [0, 0, 0, 1]).round(4)
    array([0.6364, 0.0909, 0.2727])
    """
    found = np.array([sum(tier[c] == t for tier, c in zip(tiers, chosen, strict=True)) for t in range(3)])
    held = np.array([sum((tier == t).any() for tier in tiers) for t in range(3)])
    odds = (found + 0.5) / (np.where(held > 0, held, len(tiers)) + 1)
    mass: ndarray = odds / odds.sum()
    return mass


def _fit_temperature(read: Sequence[tuple[ShelfTalk, int]]) -> float:
    from scipy.optimize import minimize_scalar

    if not read:
        return 1.0

    def loss(log_temperature: float) -> float:
        scale = np.exp(-log_temperature)
        return float(np.mean([_log_loss(t.decider * scale, c) for t, c in read]))

    return float(np.exp(minimize_scalar(loss, bounds=(-1.5, 1.5), method="bounded").x))


def _fit_weights(talks: Sequence[ShelfTalk], chosen: Sequence[int]) -> ndarray | None:
    from scipy.optimize import minimize

    count = len(talks[0].specialist) if talks else 0
    if not count:
        return None
    scores = [known_scores(talk) for talk in talks]

    def loss(b: ndarray) -> float:
        fit = np.mean([_log_loss(b @ v, c) for v, c in zip(scores, chosen, strict=True)])
        return float(fit + RIDGE * ((b - 1 / count) ** 2).sum())

    found = minimize(loss, np.full(count, 1 / count), method="L-BFGS-B", bounds=[(0.0, None)] * count)
    weight: ndarray = found.x
    return weight


def _log_loss(utility: ndarray, chosen: int) -> float:
    known = utility[~np.isnan(utility)]
    top = known.max()
    return float(top + np.log(np.exp(known - top).sum()) - utility[chosen])


def _softmax(utility: ndarray) -> ndarray:
    weight = np.exp(utility - utility.max())
    found: ndarray = weight / weight.sum()
    return found
