"""Dialogues cut after half of their messages, without the price that they end at.

The last price written in a chat is the agreed price in nine of ten deals: whoever predicts the price must
not see it. A message that names the closing price, in whatever form, is removed before and after the cut.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from malles.data.dialogues import Dialogue, Listing, Subject, Turn

NUMBER = re.compile(
    r"(?<![\w.,])\$?\s?(\d{1,3}(?:,\d{3})+|\d+)?(\.\d+)?(?:\s?(k|grand|thousand|hundred|percent|%|miles?|mi"
    r"|years?|yrs?|months?|days?|inch(?:es)?|gb|am|pm|bed\w*|bath\w*|sq\w*)\b|(%))?",
    re.IGNORECASE,
)
"""A number with what follows it; what follows decides whether it can be a price."""
TIMES = {"k": 1_000.0, "grand": 1_000.0, "thousand": 1_000.0, "hundred": 100.0}
ONES = {
    **{"zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8},
    **{"nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15},
    **{"sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19},
}
TENS = {
    **{"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80},
    "ninety": 90,
}
NEAR = 0.005
"""A number within half a percent of a price names it: 1,499.99 is 1,500."""
SHARES = (0.25, 1.5)
"""A number is read as a price if it lies between these shares of the list price."""


def numbers_in(text: str) -> list[tuple[float, str]]:
    """Numbers of a text with the unit word behind them ('' if none); "2k" and "19 hundred" are multiplied.

    >>> numbers_in("Would you take $1,450, or 1.4k? It has 90k miles and is 12 years old.")
    [(1450.0, ''), (1400.0, ''), (90000.0, ''), (12.0, 'years')]
    """
    found = []
    for match in NUMBER.finditer(text):
        whole, part, unit, percent = match.groups()
        if whole is None and part is None:
            continue
        value = float((whole or "0").replace(",", "")[:15] + (part or ""))
        word = (unit or percent or "").lower()
        found.append((value * TIMES.get(word, 1.0), "" if word in TIMES else word))
    return found


def numbers_in_words(text: str) -> list[float]:
    """Numbers written in words, also short ones such as "one fifty" and "nineteen hundred".

    >>> numbers_in_words("Make it a hundred and fifty. No? One fifty-five!")
    [150.0, 155.0]
    """
    found: list[float] = []
    run: list[str] = []
    for word in [*re.findall(r"[a-z]+|[.,!?;]", text.lower()), "."]:
        if word in ONES or word in TENS or word in TIMES:
            run.append(word)
        elif word != "and":
            if run and (value := _value_of(run)):
                found.append(value)
            run = []
    return found


def _value_of(words: list[str]) -> float:
    """Value of a run of number words; "one fifty" reads as 150."""
    total, group = 0.0, 0.0
    for word in words:
        if word == "hundred":
            group = (group or 1.0) * 100
        elif word in TIMES:
            total, group = total + (group or 1.0) * TIMES[word], 0.0
        else:
            value = float(ONES.get(word, TENS.get(word, 0)))
            group = group * 100 + value if 0 < group < 100 and value >= 10 else group + value
    return total + group


def names_price(text: str, price: float) -> bool:
    """Whether a text contains a price in any form: 1,500, 1500.00, 1.5k, 15 hundred, fifteen hundred, or the
    short "15" and "1.5" of people who leave out the thousands.

    >>> [names_price(t, 1500.0) for t in ("ok 1,500", "1.5 and it is yours", "fifteen hundred?", "150")]
    [True, True, True, False]
    """
    sizes = (price, price / 100, price / 1000) if price >= 1000 else (price,)
    said = [value for value, _ in numbers_in(text)] + numbers_in_words(text)
    return any(abs(value - size) <= NEAR * size for value in said for size in sizes)


def prices_in(text: str, list_price: float) -> list[float]:
    """Prices that a text proposes: its numbers without a unit between a quarter and one and a half of the
    list price, currency.

    >>> prices_in("I can do 80, not 100, it is 12 years old", 100.0)
    [80.0, 100.0]
    """
    low, high = (share * list_price for share in SHARES)
    return [value for value, unit in numbers_in(text) if not unit and low <= value <= high]


def closing_price(dialogue: Dialogue[Listing]) -> float | None:
    """Where the talk of prices ended: the agreed price, else the last price offered or written.

    Removing it from dialogues with and without a deal alike keeps the removal from telling which is which.
    """
    if dialogue.outcome.price is not None:
        return dialogue.outcome.price
    for turn in reversed(dialogue.turns):
        if turn.kind == "offer" and turn.price is not None:
            return turn.price
        named = prices_in(turn.text, dialogue.subject.list_price)
        if named:
            return named[-1]
    return None


@dataclass(frozen=True)
class Cut:
    """What may be known of a dialogue half-way, and what follows, the closing price removed from both."""

    said: tuple[Turn, ...]
    later: tuple[Turn, ...]
    removed: int
    """Messages that named the closing price."""


def half_of(
    dialogue: Dialogue[Subject], most: int | None = None
) -> tuple[tuple[Turn, ...], tuple[Turn, ...]]:
    """The first half of the messages (the smaller one of an odd number) and the rest.

    Args:
        dialogue: messages only; offers through buttons, accepts and quits are left out.
        most: messages at most in the first part; the length of half a dialogue tells the length of the
            whole, a fixed number does not.
    """
    messages = tuple(t for t in dialogue.turns if t.kind == "message")
    at = len(messages) // 2 if most is None else min(most, len(messages))
    return messages[:at], messages[at:]


def cut_dialogue(dialogue: Dialogue[Listing], most: int | None = None) -> Cut:
    """Cut a dialogue after half of its messages and remove every message that names the closing price.

    Args:
        dialogue: over a listing.
        most: cut after this many messages instead.
    """
    first, rest = half_of(dialogue, most)
    price = closing_price(dialogue)
    if price is None:
        return Cut(first, rest, 0)
    said, later = (tuple(t for t in part if not names_price(t.text, price)) for part in (first, rest))
    return Cut(said, later, len(first) + len(rest) - len(said) - len(later))
