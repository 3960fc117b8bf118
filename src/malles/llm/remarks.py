"""What a customer's own history says of each alternative, and of the customer, in words."""

from __future__ import annotations

import math

import numpy as np

from malles.llm.elsewhere import Get, customer_elsewhere, elsewhere
from malles.llm.prompt import Field, Line, Piece
from malles.vocabulary import OUTSIDE, ChoiceData

MOST_DEMOGRAPHICS = 4


def remarks_of(data: ChoiceData, row: int, columns: list[int], *, synonyms: bool = False) -> tuple[Line, ...]:
    """One line per column: habit, last purchase, price against what was paid, maker, size, others' switches.

    Only what stands out is said; an alternative of which nothing is known has the line "-".
    """
    get = _reader(data, row)
    habit = get("own_frequency")
    lines: list[Line] = []
    for j in columns:
        if data.occasions.product[row, j] == OUTSIDE:
            lines.append(((Field.FRAME, "-"),))
            continue
        said: list[str] = []
        if habit is not None and (share := math.exp(float(habit[j]))) >= 0.0095:
            said.append(f"{'expected' if synonyms else 'habit'} {_percent(share)}")
        said += _own_purchases(get, j, synonyms)
        said += _neighbours(get, j, synonyms)
        if habit is None:
            said += elsewhere(get, j)
        pieces: list[Piece] = [(Field.FRAME, "-")]
        pieces += [(Field.HISTORY, " " + words) for words in said]
        lines.append(tuple(pieces))
    return tuple(lines)


def customer_line(data: ChoiceData, row: int) -> Line:
    """The profile: purchases in this category, habits in general, demographics where known."""
    names = data.context_names
    context = data.context[row]

    def value(name: str) -> float | None:
        return float(context[names.index(name)]) if name in names else None

    parts: list[str] = []
    lines = value("category_lines")
    if lines is not None:
        bought = math.expm1(lines)
        if bought < 0.5:
            parts.append("never bought here")
        else:
            weeks = math.expm1(value("category_weeks_since") or 0.0)
            parts.append(f"bought {bought:.0f} here, last {_weeks_ago(weeks)}")
            parts.append(f"{_percent(value('category_discounted') or 0.0)} on discount")
    parts += customer_elsewhere(value)
    private, spend = value("customer_private"), value("customer_basket_spend")
    if private is not None:
        parts.append(f"store brands {_percent(private)}")
    if spend is not None:
        parts.append(f"spends {math.expm1(spend):.0f} a trip")
    parts += _demographics(data, row)
    said = ", ".join(parts) if parts else "unknown"
    return ((Field.FRAME, "Customer:"), (Field.CUSTOMER, f" {said}"))


def _reader(data: ChoiceData, row: int) -> Get:
    def get(name: str) -> np.ndarray | None:
        names = data.feature_names
        return data.features[row, :, names.index(name)] if name in names else None

    return get


def _percent(share: float) -> str:
    """Whole percent.

    >>> _percent(0.384), _percent(0.043)
    ('38%', '4%')
    """
    return f"{share:.0%}"


def _weeks_ago(weeks: float) -> str:
    """Whole weeks in words.

    >>> _weeks_ago(0.2), _weeks_ago(1.0), _weeks_ago(2.6)
    ('this week', '1 week ago', '3 weeks ago')
    """
    whole = round(weeks)
    return "this week" if whole == 0 else f"{whole} week{'s' if whole > 1 else ''} ago"


def _own_purchases(get: Get, j: int, synonyms: bool) -> list[str]:
    ever, lag = get("own_ever"), get("own_lag")
    if ever is None or lag is None or ever[j] < 0.5:
        return []
    trips = round(1 / max(float(lag[j]), 1e-3))
    said = ["bought last time" if synonyms else "last trip"] if trips == 1 else [f"{trips} trips ago"]
    change = get("price_to_last_paid")
    if change is not None and abs(float(change[j])) > 0.025:
        more = math.expm1(float(change[j]))
        said.append(f"{abs(more):.0%} {'dearer' if more > 0 else 'cheaper'}")
    return said


def _neighbours(get: Get, j: int, synonyms: bool) -> list[str]:
    said = []
    maker, size = get("maker_share"), get("size_share")
    if maker is not None and maker[j] >= 0.35:
        said.append("usual brand" if synonyms else "usual maker")
    if size is not None and size[j] >= 0.35:
        said.append("usual size")
    follow, known = get("follow_all"), get("own_lines")
    some = known is not None and bool((known > 0).any())
    if some and follow is not None and (share := math.exp(float(follow[j]))) >= 0.045:
        said.append(f"{'others move here' if synonyms else 'switch'} {share:.0%}")
    return said


def _demographics(data: ChoiceData, row: int) -> list[str]:
    customer = int(data.occasions.customer[row])
    catalogue = data.catalogue
    if catalogue is None or not 0 <= customer < len(catalogue.customers):
        return []
    known = []
    for key, value in catalogue.customers.row(customer, named=True).items():
        if key != "customer" and value is not None:
            text = "".join(c if c.isprintable() else " " for c in f"{key.replace('_', ' ')} {value}")
            known.append(" ".join(text.split())[:28].lower())
    return known[:MOST_DEMOGRAPHICS]
