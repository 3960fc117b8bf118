"""What other categories say of an alternative and of a customer: for launches, which have no past."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

Get = Callable[[str], "np.ndarray | None"]
MOST_TIMES = 9.5


def elsewhere(get: Get, j: int) -> list[str]:
    """Maker and size: how they do in other categories, and what this customer bought of them there."""
    said = []
    for name, word in (("manufacturer", "maker"), ("size", "size")):
        strength, wins = get(f"{name}_strength_all"), get(f"{name}_volume")
        if strength is not None and wins is not None and wins[j] > 1:
            times = math.exp(float(strength[j]))
            if times >= 1.25 or times <= 0.8:
                said.append(f"{word} sells {min(times, MOST_TIMES):.1f}x")
        count, own = get(f"own_{name}_count_all"), get(f"own_{name}_all")
        if count is not None and own is not None and count[j] >= math.log(3):
            times = math.exp(float(own[j]))
            if times >= 1.4 or times <= 0.7:
                said.append(f"own {word} {min(times, MOST_TIMES):.1f}x")
    rivals = get("same_manufacturer")
    if rivals is not None and rivals[j] >= math.log(4):
        said.append(f"{math.expm1(float(rivals[j])):.0f} of its maker")
    return said


def customer_elsewhere(value: Callable[[str], float | None]) -> list[str]:
    """Taste for store brands, discounts, displays, mailers and price tiers, against the usual customer."""
    said = []
    for name, word in (
        ("private_label_all", "store brands"),
        ("discount_all", "discounts"),
        ("display_all", "displays"),
        ("mailer_all", "ads"),
    ):
        taste = value(name)
        if taste is not None and abs(taste) > 0.1:
            said.append(f"{word} {min(math.exp(taste), MOST_TIMES):.1f}x")
    tier = value("price_tier_all")
    if tier is not None and abs(tier) > 0.05:
        said.append(f"buys {abs(math.expm1(tier)):.0%} {'dearer' if tier > 0 else 'cheaper'}")
    return said
