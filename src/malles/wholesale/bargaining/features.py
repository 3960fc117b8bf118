"""What a cut dialogue says in numbers: targets, prices said by each side, first proposal, concessions, words.

Every price is a share of the list price. Lengths and times are left out: half of a dialogue tells how long
the whole became, which nobody knows half-way.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.data.dialogues import Dialogue, Listing, Turn
from malles.data.sources.craigslist_bargain import PLAUSIBLE
from malles.wholesale.bargaining.cut import Cut, cut_dialogue, prices_in
from malles.wholesale.bargaining.table import Table

CATEGORIES = ("bike", "car", "electronics", "furniture", "housing", "phone")
LISTED = 0.995
"""A seller's price of at least this share of the list price repeats the listing; it proposes nothing."""

NAMES = (
    "target",
    "log list price",
    *CATEGORIES,
    "buyer spoke of a price",
    "seller spoke of a price",
    "seller left the list price",
    "buyer first",
    "buyer last",
    "seller first",
    "seller last",
    "middle",
    "gap",
    "buyer concession",
    "seller concession",
    "buyer proposed first",
)
"""Columns of `features_of`."""
PATH = (
    "buyer named",
    "seller named",
    "both named",
    "buyer's last price",
    "seller's last price",
    "seller left the list price, plausibly",
    "buyer named last",
    "buyer gave",
    "seller gave",
)
"""Columns of `path_of`."""
STANDING = (0, *range(len(NAMES), len(NAMES) + 5))
"""Columns of a table with a path that a regression reads: target, who named a price, last prices."""


@dataclass(frozen=True)
class Said:
    """One price named in a dialogue."""

    turn: int
    role: str
    share: float
    """Of the list price."""


def prices_said(turns: Sequence[Turn], list_price: float) -> list[Said]:
    """Prices named in messages, in order; of several in one message, the last.

    >>> prices_said([Turn("buyer", "message", "60? or 70"), Turn("seller", "message", "90!")], 100.0)
    [Said(turn=0, role='buyer', share=0.7), Said(turn=1, role='seller', share=0.9)]
    """
    found = []
    for number, turn in enumerate(turns):
        named = [turn.price] if turn.price is not None else prices_in(turn.text, list_price)
        if named:
            found.append(Said(number, turn.role, named[-1] / list_price))
    return found


def features_of(subject: Listing, turns: Sequence[Turn]) -> Float[ndarray, " feature"]:
    """The columns `NAMES` of a listing and of what was said.

    A side that named no price stands at its target: the buyer's own, the list price for the seller.
    Concession speed = (last − first) / (times it named a price − 1), 0 with fewer than two.
    """
    target = subject.buyer_target / subject.list_price
    said = prices_said(turns, subject.list_price)
    buyer = [s.share for s in said if s.role == "buyer"]
    seller = [s.share for s in said if s.role == "seller"]
    left = [x for x in seller if x < LISTED]
    low, high = (buyer or [target])[-1], (seller or [1.0])[-1]
    proposals = [s for s in said if s.role == "buyer" or s.share < LISTED]
    return np.array(
        [
            target,
            math.log(subject.list_price),
            *(float(subject.category == c) for c in CATEGORIES),
            float(bool(buyer)),
            float(bool(seller)),
            float(bool(left)),
            (buyer or [target])[0],
            low,
            (seller or [1.0])[0],
            high,
            (low + high) / 2,
            high - low,
            (buyer[-1] - buyer[0]) / (len(buyer) - 1) if len(buyer) > 1 else 0.0,
            (seller[-1] - seller[0]) / (len(seller) - 1) if len(seller) > 1 else 0.0,
            float(bool(proposals) and proposals[0].role == "buyer"),
        ]
    )


def path_of(subject: Listing, turns: Sequence[Turn]) -> Float[ndarray, " feature"]:
    """The columns `PATH`: where both sides stand, numbers outside `PLAUSIBLE` left out as typing errors.

        part given up: (price − target) / (1 − target) by the buyer, (1 − price) / (1 − target) by the seller

    A side that named no price has price 0 beside its zero column "named", and gave nothing.

    >>> listing = Listing(100.0, 60.0, 100.0, "bike", "Bike", "s")
    >>> said = [Turn("buyer", "message", "70?"), Turn("seller", "message", "90, or 140 with the helmet")]
    >>> [round(float(x), 2) for x in path_of(listing, said)]
    [1.0, 0.0, 0.0, 0.7, 0.0, 0.0, 1.0, 0.25, 0.0]
    """
    target = subject.buyer_target / subject.list_price
    low, high = PLAUSIBLE
    said = [s for s in prices_said(turns, subject.list_price) if low <= s.share <= high]
    buyer = [s.share for s in said if s.role == "buyer"]
    seller = [s.share for s in said if s.role == "seller"]
    way = max(1 - target, 0.01)
    gave = (buyer[-1] - target if buyer else 0.0) / way, (1 - seller[-1] if seller else 0.0) / way
    return np.array(
        [
            float(bool(buyer)),
            float(bool(seller)),
            float(bool(buyer and seller)),
            buyer[-1] if buyer else 0.0,
            seller[-1] if seller else 0.0,
            float(any(x < LISTED for x in seller)),
            float(bool(said) and said[-1].role == "buyer"),
            *np.clip(gave, -1.5, 1.5),
        ]
    )


def words_of(turns: Sequence[Turn], role: str | None = None) -> str:
    """What a side said (None = both), numbers masked: their digits must not tell the price.

    >>> words_of([Turn("buyer", "message", "Take $1,200.50?"), Turn("seller", "message", "No")], "buyer")
    'Take  # ?'
    """
    text = " ".join(t.text for t in turns if role is None or t.role == role)
    return re.sub(r"\$?\d[\d.,]*", " # ", text)


def build_table(dialogues: Sequence[Dialogue[Listing]], most: int | None = None) -> tuple[Table, list[Cut]]:
    """Features of cut dialogues, one row each, with the cuts they were made from.

    Rows of one listing are one group: scenarios that differ in the target alone share what the listing tells.

    Args:
        dialogues: over listings.
        most: messages kept at most; None = half of them.
    """
    cuts = [cut_dialogue(d, most) for d in dialogues]
    table = Table(
        np.array([features_of(d.subject, c.said) for d, c in zip(dialogues, cuts, strict=True)]).reshape(
            len(cuts), len(NAMES)
        ),
        tuple(tuple(words_of(c.said, role) for c in cuts) for role in ("buyer", "seller")),
        tuple(f"{d.subject.title} at {d.subject.list_price:g}" for d in dialogues),
    )
    return table, cuts


def add_path(table: Table, dialogues: Sequence[Dialogue[Listing]], cuts: Sequence[Cut]) -> Table:
    """The table of `build_table` with the columns `PATH` behind its own.

    Args:
        table: one row per dialogue.
        dialogues: over listings.
        cuts: of the same dialogues.
    """
    for column in np.array([path_of(d.subject, c.said) for d, c in zip(dialogues, cuts, strict=True)]).T:
        table = table.with_number(column)
    return table
