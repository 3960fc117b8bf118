"""One model answer per archetype and shelf, tilted to every customer: a chooser that wraps another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int64
from numpy import ndarray

from malles.population.archetypes import Archetypes, tilt_probabilities
from malles.population.world import Choose
from malles.vocabulary import Lines, Occasions, Promotion

LEAST = 1e-9
"""A logarithm must stay finite."""


@dataclass
class Calls:
    """How often the wrapped model was asked so far."""

    decided: int = 0
    """Occasions that got a distribution."""
    asked: int = 0
    """Of those, the ones that the model was asked about."""

    @property
    def saved(self) -> float:
        """Part of the model calls that were saved, [0, 1)."""
        return 1 - self.asked / max(self.decided, 1)

    def __str__(self) -> str:
        return f"{self.asked:,} answers for {self.decided:,} occasions ({self.saved:.1%} of the calls saved)"


@dataclass(frozen=True)
class ArchetypeChooser:
    """Choice probabilities from one answer per archetype and shelf, for every customer its own.

        P[n, j] is proportional to Q[a(n), j] (cheap[n, j] / cheap[a(n), j])^strength

    Q is the model's answer about the archetype's representative, who stands before the same shelf at the
    time of the first customer of its kind. Coupons are the customer's own and are left to the tilt.
    Categories without archetypes, and customers beyond them, are asked about one by one.
    """

    model: Choose
    """Any engine: it is handed occasions, and the order lines before them."""
    archetypes: Mapping[int, Archetypes]
    """By category."""
    cheap: Choose | None = None
    """A model in microseconds whose differences between customers tilt the answer; None = no tilt."""
    strength: float = 1.0
    """How far the tilt is believed; fit it with `fit_tilt`."""
    calls: Calls = field(default_factory=Calls)

    def __call__(self, occasions: Occasions, lines: Lines) -> Float[ndarray, "occasion alternative"]:
        """Choice probabilities, given the order lines of weeks before."""
        if not len(occasions):
            return np.zeros(occasions.shape)
        asked, answer = self.group(occasions)
        self.calls.decided += len(occasions)
        self.calls.asked += len(asked)
        found: ndarray = np.asarray(self.model(asked, lines), np.float64)[answer]
        if self.cheap is None:
            return found
        score = self.scores(occasions, asked, answer, lines)
        return tilt_probabilities(found, self.strength * score, occasions.available)

    def scores(
        self, occasions: Occasions, asked: Occasions, answer: ndarray, lines: Lines
    ) -> Float[ndarray, "occasion alternative"]:
        """Log-probability of the cheap model for each customer less the one for its representative."""
        assert self.cheap is not None
        own, other = (np.asarray(self.cheap(o, lines), np.float64) for o in (occasions, asked))
        return np.asarray(np.log(np.maximum(own, LEAST)) - np.log(np.maximum(other, LEAST))[answer])

    def group(self, occasions: Occasions) -> tuple[Occasions, Int64[ndarray, " occasion"]]:
        """The occasions that the model is asked about, and which of them answers each occasion."""
        n = len(occasions)
        code = np.full(n, -1, np.int64)
        who = occasions.customer.copy()
        for category in np.unique(occasions.category):
            kind = self.archetypes.get(int(category))
            rows = np.flatnonzero((occasions.category == category) & (occasions.customer >= 0))
            if kind is None:
                continue
            rows = rows[occasions.customer[rows] < len(kind.code)]
            code[rows] = kind.code[occasions.customer[rows]]
            who[rows] = kind.representative[code[rows]]
        alone = code < 0
        code[alone] = -1 - np.flatnonzero(alone)  # asked about as itself
        coupon = np.where(alone[:, None], 0, int(Promotion.COUPON)).astype(np.uint8)
        stripped = replace(occasions, customer=who, promotion=occasions.promotion & ~coupon)
        shelf = np.column_stack(
            [
                code, occasions.category, occasions.store, occasions.week,
                stripped.product, stripped.promotion, occasions.available,
                np.rint(occasions.price * 100), np.rint(occasions.list_price * 100),
            ]
        ).astype(np.int64)  # fmt: skip
        row = np.ascontiguousarray(shelf).view(np.dtype((np.void, shelf.shape[1] * 8)))[:, 0]
        _, first, answer = np.unique(row, return_index=True, return_inverse=True)
        order = np.argsort(first, kind="stable")  # asked in the order in which they come
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        return stripped.take(first[order]), place[answer.reshape(-1)].astype(np.int64)


def fit_tilt(
    probability: Float[ndarray, "occasion alternative"],
    score: Float[ndarray, "occasion alternative"],
    available: ndarray,
    chosen: ndarray,
) -> float:
    """The strength of a tilt that known choices are likeliest under, in [0, 1.5].

    Args:
        probability: answers about archetypes.
        score: log-odds of each customer against its archetype's.
        available: choice sets.
        chosen: columns chosen, on occasions that nothing else was fitted on.

    >>> even = np.full((4, 2), 0.5)
    >>> fit_tilt(even, np.log([[3.0, 1.0]] * 4), np.ones((4, 2), bool), np.array([0, 0, 0, 1])).__round__(2)
    1.0
    """
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(chosen))

    def loss(strength: float) -> float:
        p = tilt_probabilities(probability, strength * score, available)[rows, chosen]
        return float(-np.log(np.maximum(p, LEAST)).mean())

    return float(minimize_scalar(loss, bounds=(0.0, 1.5), method="bounded").x)
