"""A side of a bargain that a language model speaks for: a view becomes a case, its decision a move.

    price in whole currency = units of the one option;   limit = a bound of the option

The bound holds in the discussion (`enforce_limits`) and again in `bargain`; the words of the other side
reach the model as data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from malles.discussion.case import Case, Fact, Option
from malles.discussion.roles import EVERYTHING, Role
from malles.discussion.rounds import Discussion, DiscussionSettings, End, discuss
from malles.errors import DataError
from malles.llm.backend import Backend
from malles.wholesale.bargaining.policies import Move, View

PRICE = "A"
"""The option: agree on a price."""
FURTHEST = 2.0
"""A seller asks at most this share of the list price."""
WANTS = {
    "buyer": "Buy it, as cheaply as you can; no deal is better than paying too much.",
    "seller": "Sell it, as dearly as you can; no deal is better than selling too cheaply.",
}


def price_case(view: View, title: str, list_price: float) -> Case:
    """The decision of one turn, as a case whose units are the price in whole currency.

    >>> from malles.wholesale.bargaining.policies import Side
    >>> view = View(Side("buyer", 0.6, 0.9), 1, 5, (0.6,), (0.95,), "95 is fair")
    >>> case = price_case(view, "red bike", 100.0)
    >>> [(o.low, o.high) for o in case.options], [f.text for f in case.facts][-2:]
    ([(1, 90)], ['95 is the last price they named', 'they wrote: 95 is fair'])

    Raises:
        DataError: the list price is below 2, so that whole prices cannot tell offers apart.
    """
    if not (math.isfinite(list_price) and list_price >= 2):
        raise DataError(f"a talk over a price needs a list price of at least 2, got {list_price:g}")
    side = view.side
    if side.role == "buyer":
        low, high = 1, max(math.floor(side.limit * list_price + 1e-9), 1)
    else:
        low = max(math.ceil(side.limit * list_price - 1e-9), 1)
        high = max(math.floor(FURTHEST * list_price), low)
    said = [
        ("listing", f"{title}, listed at {list_price:.0f}"),
        ("target", f"you aim at {side.target * list_price:.0f}"),
        (
            "time",
            "take their last price or leave it"
            if view.closed
            else f"{view.turns - view.turn} turns are left",
        ),
    ]
    if view.own:
        said.append(("own price", f"{view.own[-1] * list_price:.0f} is the last price you named"))
    if view.other:
        said.append(("their price", f"{view.other[-1] * list_price:.0f} is the last price they named"))
    if view.message:
        said.append(("their words", f"they wrote: {view.message}"))
    facts = tuple(Fact(f"f{k}", topic, text) for k, (topic, text) in enumerate(said, 1))
    option = Option(PRICE, "agree on a price; the units are the price", low=low, high=high)
    return Case(f"{side.role} {view.turn}", "Which price do you name now?", facts, (option,))


def read_move(talk: Discussion, view: View, list_price: float) -> Move:
    """The move that a decision stands for: a price, an acceptance if theirs is at least as good, or to quit.

    A reply that could not be read is no move; `bargain` counts it.
    """
    if talk.end is End.UNREADABLE:
        return Move("unreadable")
    if talk.decision.choice is None:
        return Move("quit")
    price = talk.decision.units / list_price
    if view.other and view.side.prefers(view.other[-1], price):
        return Move("accept")
    return Move("offer", price)


@dataclass(frozen=True)
class TalkingPolicy:
    """Asks a backend for every move of one side."""

    backend: Backend
    title: str
    list_price: float
    settings: DiscussionSettings = DiscussionSettings()  # noqa: RUF009  (frozen)

    def move(self, view: View, rng: np.random.Generator) -> Move:
        """One turn of a discussion with one role."""
        case = price_case(view, self.title, self.list_price)
        role = Role(view.side.role, WANTS[view.side.role], (EVERYTHING,), decides=True)
        settings = replace(self.settings, rounds=1, seed=int(rng.integers(2**20)))
        talk = discuss([case], [role], self.backend, settings)[0]
        return read_move(talk, view, self.list_price)
