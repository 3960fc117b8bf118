"""A policy learnt from human concessions: first prices, steps and answers drawn as people's were.

Prices become parts of the way between the two targets that a side has given up: 0 = its own target,
1 = the other's. An answer (accept, counter, quit) is drawn from a multinomial logit on the distance that is
left and the number of prices named so far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.data.dialogues import Dialogue, Listing
from malles.errors import DataError, MissingExtra
from malles.wholesale.bargaining.features import LISTED, Said, prices_said
from malles.wholesale.bargaining.limits import BANDS, band_of
from malles.wholesale.bargaining.policies import Move, View

ANSWERS = ("accept", "offer", "quit")
EARLY = 2
"""Steps are drawn apart for the first, the second and later ones."""


@dataclass(frozen=True)
class HumanPolicy:
    """Draws moves from what people did in the same place."""

    ratio: float
    """Buyer's target as a share of the list price: the way between the targets is 1 − ratio."""
    first: Mapping[str, ndarray]
    """Parts given up by first prices, by role."""
    steps: Mapping[tuple[str, int], ndarray]
    """Parts of the distance left that a further price gave up, by role and step."""
    answers: Float[ndarray, "answer 4"]
    """Coefficients of `ANSWERS` on 1, distance, distance², log prices named."""

    def move(self, view: View, rng: np.random.Generator) -> Move:
        """Draw an answer to the last price; name a first or a further price."""
        mine = self._given(view.side.role, view.own[-1]) if view.own else 0.0
        rival = "seller" if view.side.role == "buyer" else "buyer"
        theirs = self._given(rival, view.other[-1]) if view.other else 0.0
        left = 1 - mine - theirs
        if view.other:
            chance = answer_chances(self.answers, left, len(view.own) + len(view.other))
            if view.closed:  # no counter-offer is possible: a logit without that alternative
                chance = np.where(np.array(ANSWERS) == "offer", 0.0, chance)
                chance = chance / chance.sum()
            answer = ANSWERS[int(rng.choice(len(ANSWERS), p=chance))]
            if answer != "offer":
                return Move(answer)
        if view.own:
            step = self.steps[view.side.role, min(len(view.own) - 1, EARLY)]
            mine += float(rng.choice(step)) * max(left, 0.0)
        else:
            mine = min(float(rng.choice(self.first[view.side.role])), 1 - theirs)
        price = self._price(view.side.role, mine)
        if view.other and view.side.prefers(view.other[-1], price):
            return Move("accept")
        return Move("offer", max(price, 0.01))

    def _given(self, role: str, price: float) -> float:
        return (price - self.ratio if role == "buyer" else 1 - price) / (1 - self.ratio)

    def _price(self, role: str, given: float) -> float:
        way = 1 - self.ratio
        return self.ratio + way * given if role == "buyer" else 1 - way * given


@dataclass(frozen=True)
class Concessions:
    """What people did, counted; makes a policy for any target ratio."""

    first: Mapping[int, Mapping[str, ndarray]]
    """By band of target ratios."""
    steps: Mapping[tuple[str, int], ndarray]
    answers: Float[ndarray, "answer 4"]
    dialogues: int

    def policy(self, ratio: float) -> HumanPolicy:
        """The policy of a case."""
        return HumanPolicy(ratio, self.first[band_of(ratio)], self.steps, self.answers)


def answer_chances(coefficient: ndarray, left: float, named: int) -> Float[ndarray, " answer"]:
    """Chances of accept, counter-offer and quit."""
    v = coefficient @ _row(left, named)
    weight = np.exp(v - v.max())
    return np.asarray(weight / weight.sum())


def fit_concessions(dialogues: Sequence[Dialogue[Listing]]) -> Concessions:
    """First prices, steps and answers of people.

    A price is accepted if nothing else is named after it and it is the agreed price; answered by an offer if
    the other side names another one; left if nothing follows and there is no deal.

    Args:
        dialogues: for training; buyers' targets lie below the list price.

    Raises:
        DataError: some answer never occurs. MissingExtra: scikit-learn is not installed.
    """
    first: dict[int, dict[str, list[float]]] = {}
    steps: dict[tuple[str, int], list[float]] = {}
    rows: list[ndarray] = []
    answers: list[int] = []
    used = 0
    for d in dialogues:
        ratio = d.subject.buyer_target / d.subject.list_price
        said = _path(d)
        if ratio >= 1 or not said:
            continue
        used += 1
        at: dict[str, list[float]] = {"buyer": [], "seller": []}
        for n, s in enumerate(said):
            given = (s.share - ratio if s.role == "buyer" else 1 - s.share) / (1 - ratio)
            rival = "seller" if s.role == "buyer" else "buyer"
            own = at[s.role]
            theirs = (at[rival] or [0.0])[-1]
            if not own:
                first.setdefault(band_of(ratio), {}).setdefault(s.role, []).append(
                    float(np.clip(given, -1, 1))
                )
            else:
                left = 1 - own[-1] - theirs
                if left > 0:
                    key = (s.role, min(len(own) - 1, EARLY))
                    steps.setdefault(key, []).append(float(np.clip((given - own[-1]) / left, 0, 1)))
            own.append(given)
            answer = _answer(d, said, n)
            if answer is not None:
                rows.append(_row(1 - given - theirs, n + 1))
                answers.append(answer)
    everyone = {r: [x for b in first.values() for x in b.get(r, [])] for r in ("buyer", "seller")}
    if not all(everyone.values()) or len(set(answers)) < len(ANSWERS):
        raise DataError(
            f"human concessions need prices of both sides and every answer ({', '.join(ANSWERS)}); these "
            f"{len(dialogues)} dialogues do not have them"
        )
    pooled = [x for xs in steps.values() for x in xs] or [0.5]
    roles = ("buyer", "seller")
    return Concessions(
        {
            b: {r: np.array(first.get(b, {}).get(r) or everyone[r]) for r in roles}
            for b in range(len(BANDS) + 1)
        },
        {(r, k): np.array(steps.get((r, k)) or pooled) for r in roles for k in range(EARLY + 1)},
        _fit_answers(np.array(rows), np.array(answers)),
        used,
    )


def _path(d: Dialogue[Listing]) -> list[Said]:
    """Prices named in messages and offers, a seller's list price and repetitions left out."""
    found: list[Said] = []
    for s in prices_said(d.turns, d.subject.list_price):
        if s.role == "seller" and s.share >= LISTED:
            continue
        if not found or abs(s.share - found[-1].share) > 1e-9:
            found.append(s)
    return found


def _answer(d: Dialogue[Listing], said: Sequence[Said], n: int) -> int | None:
    if n + 1 < len(said):
        return 1 if said[n + 1].role != said[n].role else None
    price = d.outcome.price
    if price is None:
        return 2
    return 0 if abs(price / d.subject.list_price - said[n].share) < 1e-6 else None


def _row(left: float, named: int) -> Float[ndarray, "4"]:
    left = float(np.clip(left, -1.0, 2.0))
    return np.array([1.0, left, left * left, np.log(named)])


def _fit_answers(x: ndarray, answer: ndarray) -> ndarray:
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise MissingExtra("models of bargaining", "scikit-learn", "text") from error
    model: Any = LogisticRegression(C=10.0, max_iter=1_000).fit(x[:, 1:], answer)
    return np.column_stack([model.intercept_, model.coef_])
