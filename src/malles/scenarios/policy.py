"""Changes that are not edits of a shelf: taxes, subsidies, incomes and tastes, and who gets what of a price.

With p the price after all price changes:

    sales tax t with pass-through s   customer pays p (1 + s t), seller keeps p (1 + s t) / (1 + t)
    subsidy r, or an amount a         customer pays p (1 - r) or p - a, seller keeps p, the state the rest
    income x (1 + m)                  utility + λ m / (1 + m) paid price (λ = utility of money; log income)
    taste                             utility + shift
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from malles.errors import ConfigError
from malles.vocabulary import Occasions


@dataclass(frozen=True)
class Pricing:
    """Who gets what of each unit in the scenario, and what else moves utility."""

    paid: Occasions
    """What the customers meet: their prices."""
    net: Float[ndarray, "occasion alternative"]
    """What the seller keeps per unit."""
    levy: Float[ndarray, "occasion alternative"]
    """What the state gets per unit; negative for a subsidy."""
    shift: Float[ndarray, "occasion alternative"]
    """Given change of utility."""
    whole: Bool[ndarray, " occasion"] | None = None
    """Rows on which a policy holds for every product, those outside the slate too; None = no row."""


def pay_the_seller(shelf: Occasions) -> Pricing:
    """Customers pay the prices of the shelf, and the seller keeps them."""
    nothing = np.zeros(shelf.shape)
    return Pricing(shelf, shelf.price.astype(float), nothing, nothing)


@dataclass(frozen=True)
class Reach:
    """Whom and what a policy concerns; None = everybody, everything, always, everywhere."""

    customers: Bool[ndarray, " customer"] | None = None
    """By customer code."""
    products: tuple[int, ...] | None = None
    weeks: tuple[int, ...] | None = None
    stores: tuple[int, ...] | None = None

    def cells(self, occasions: Occasions) -> Bool[ndarray, "occasion alternative"]:
        """Where it holds."""
        rows = np.ones(len(occasions), bool)
        if self.customers is not None:
            known = occasions.customer >= 0
            rows &= known & self.customers[np.where(known, occasions.customer, 0)]
        if self.weeks is not None:
            rows &= np.isin(occasions.week, self.weeks)
        if self.stores is not None:
            rows &= np.isin(occasions.store, self.stores)
        there = occasions.product >= 0
        if self.products is not None:
            there &= np.isin(occasions.product, self.products)
        return np.asarray(there & rows[:, None])


@dataclass(frozen=True)
class SalesTax:
    """A tax on the price before tax."""

    rate: float
    pass_through: float
    reach: Reach

    def __post_init__(self) -> None:
        _require("rate", self.rate, self.rate > 0, "above 0")
        _require("pass_through", self.pass_through, self.pass_through >= 0, "0 or more")


@dataclass(frozen=True)
class Subsidy:
    """What the state pays of the price: a part of it, or an amount per unit, at most the price."""

    rate: float | None
    amount: float | None
    reach: Reach

    def __post_init__(self) -> None:
        if (self.rate is None) == (self.amount is None):
            raise ConfigError(
                f"a subsidy needs either `rate` or `amount`, got rate={self.rate}, amount={self.amount}"
            )
        if self.rate is not None:
            _require("rate", self.rate, 0 < self.rate < 1, "between 0 and 1")
        if self.amount is not None:
            _require("amount", self.amount, self.amount > 0, "above 0")

    def paid_by_state(self, price: Float[ndarray, "..."]) -> Float[ndarray, "..."]:
        """Currency per unit; 1 % of the price is always left to pay."""
        if self.rate is not None:
            return self.rate * price
        return np.minimum(self.amount or 0.0, 0.99 * price)


@dataclass(frozen=True)
class IncomeShift:
    """More or less income."""

    relative: float
    reach: Reach

    def __post_init__(self) -> None:
        _require("relative", self.relative, self.relative > -1, "above -1")


@dataclass(frozen=True)
class PreferenceShift:
    """A product that is liked more or less."""

    shift: float
    reach: Reach

    def __post_init__(self) -> None:
        _require("shift", self.shift, abs(self.shift) <= 10, "between -10 and 10")


Policy = SalesTax | Subsidy | IncomeShift | PreferenceShift


def apply_policies(
    shelf: Occasions, policies: Sequence[Policy], money: Float[ndarray, " occasion"]
) -> Pricing:
    """What customers pay and sellers keep under policies, taken in order.

    List prices move with what is paid, so that a tax or a subsidy is no promotion.

    Args:
        shelf: after all price changes.
        policies: taxes, subsidies, incomes and tastes.
        money: utility of a unit of currency, λ, by occasion.
    """
    paid = shelf.price.astype(float)
    levy, shift, felt = np.zeros(shelf.shape), np.zeros(shelf.shape), np.ones(shelf.shape)
    whole = np.zeros(len(shelf), bool)
    for policy in policies:
        cells = policy.reach.cells(shelf)
        if isinstance(policy, SalesTax | Subsidy) and policy.reach.products is None:
            whole |= cells.any(1)
        if isinstance(policy, SalesTax):
            paid = np.where(cells, paid * (1 + policy.pass_through * policy.rate), paid)
            levy = np.where(cells, levy + paid * policy.rate / (1 + policy.rate), levy)
        elif isinstance(policy, Subsidy):
            given = np.where(cells, policy.paid_by_state(paid), 0.0)
            levy, paid = levy - given, paid - given
        elif isinstance(policy, IncomeShift):
            felt = np.where(cells, felt / (1 + policy.relative), felt)
        else:
            shift += np.where(cells, policy.shift, 0.0)
    shift += money[:, None] * (1 - felt) * paid
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(shelf.price > 0, paid / shelf.price, 1.0)
    moved = factor != 1
    return Pricing(
        replace(
            shelf,
            price=np.where(moved, paid, shelf.price).astype(np.float32),
            list_price=np.where(moved, shelf.list_price * factor, shelf.list_price).astype(np.float32),
        ),
        paid - levy, levy, shift, whole,
    )  # fmt: skip


def _require(name: str, value: float, holds: bool, expected: str) -> None:
    if not (np.isfinite(value) and holds):
        raise ConfigError(f"`{name}` must be {expected}, got {value}")
