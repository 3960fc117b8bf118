"""A profile in words: at most 120 tokens of plain text that a person, or a language model, can read."""

from __future__ import annotations

import numpy as np

from malles.profiles.customer import Profiles
from malles.vocabulary import Catalogue

MOST_WORDS = 80
"""Words per profile. Common tokenizers need about 1.4 tokens a word here, so 120 tokens are not exceeded."""

MOST_NAME = 24
"""Characters kept of any name that comes from data."""


def _grade(value: float, low: float, high: float, words: tuple[str, str, str]) -> str:
    return words[0] if value < low else words[2] if value > high else words[1]


def _clean(name: str) -> str:
    """A name from data as one short line without control characters or line breaks."""
    text = "".join(c if c.isprintable() else " " for c in name)
    return " ".join(text.split())[:MOST_NAME].strip().lower()


def describe_profile(profiles: Profiles, catalogue: Catalogue, customer: int) -> str:
    """One customer's profile as text.

    Args:
        profiles: from `build_profiles`; its cut-off is the profile's.
        catalogue: for the names of categories and demographics.
        customer: dense code.
    """
    who = _demographics(catalogue, customer)
    if customer < 0 or customer >= len(profiles.known) or not profiles.known[customer]:
        return f"Customer without earlier purchases.{who}"
    get = dict(zip(profiles.names, profiles.numbers[customer].tolist(), strict=True))
    favourites = np.argsort(-profiles.groups[customer], kind="stable")[:3]
    named = [
        f"{_clean(catalogue.group_name[g])} {profiles.groups[customer, g]:.0%}"
        for g in favourites
        if profiles.groups[customer, g] > 0
    ]
    spend = _grade(get["spend_quantile"], 1 / 3, 2 / 3, ("low", "medium", "high"))
    price = _grade(get["price_rank"], 0.4, 0.6, ("cheap", "mid-priced", "dear"))
    hunt = _grade(
        get["discount_propensity"], -0.03, 0.03, ("fewer than offered", "as offered", "more than offered")
    )
    loyal = _grade(get["product_concentration"], 0.45, 0.65, ("varied", "fairly loyal", "loyal"))
    parts = [
        f"{get['baskets']:.0f} trips, one every {get['trip_gap']:.1f} weeks,",
        f"last {get['weeks_since_last']:.1f} weeks ago,",
        f"{get['lines_per_basket']:.0f} lines a trip.",
        f"Spend {spend} ({get['spend_per_week']:.0f} {catalogue.currency} a week).",
        f"Buys {price} products; {get['discount_bought']:.0%} on discount, {hunt};",
        f"store brands {get['private_label']:.0%}; {loyal}.",
    ]
    if named:
        parts.append("Most: " + ", ".join(named) + ".")
    return " ".join(parts) + who


def _demographics(catalogue: Catalogue, customer: int) -> str:
    if not 0 <= customer < len(catalogue.customers):
        return ""
    row = catalogue.customers.row(customer, named=True)
    known = [
        f"{_clean(key.replace('_', ' '))} {_clean(str(value))}"
        for key, value in row.items()
        if key != "customer" and value is not None
    ]
    return " Household: " + ", ".join(known[:5]) + "." if known else ""
