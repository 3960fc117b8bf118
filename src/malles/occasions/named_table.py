"""Occasions of named products: 20 products, what the customer bought before, and the rest of the basket."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

from jaxtyping import Bool, Float32, Int16, Int32, UInt8
from numpy import ndarray

from malles.vocabulary import PADDING

REGIMES = ("A", "A0", "B", "C", "CB")
"""A: established product. A0: established, new to the customer. B: on sale for 1 to 28 days, new to the
customer. C: as A0, of a group that is never seen in training. CB: as B, of such a group."""

SPLITS = ("train", "valid", "test")

ALTERNATIVES, HISTORY, BASKET = 20, 60, 40


@dataclass(frozen=True)
class NamedOccasions:
    """Choices among 20 named products, one of which stood on the invoice (`docs/method/text.md`).

    There is no outside option: the choice is conditional on one purchase from these products.
    """

    product: Int32[ndarray, "occasion alternative"]
    """Product code; 20 alternatives, shuffled."""
    price: Float32[ndarray, "occasion alternative"]
    """Median unit price of the product's lines in the 56 days before; the price billed here is never used."""
    chosen: Int16[ndarray, " occasion"]
    """Column of the product that was bought."""
    history: Int32[ndarray, "occasion past"]
    """Distinct products bought on earlier days, newest first; PADDING after the last."""
    basket: Int32[ndarray, "occasion other"]
    """Other products of the invoice in random order; PADDING after the last."""
    regime: UInt8[ndarray, " occasion"]
    """Index into `REGIMES`."""
    split: UInt8[ndarray, " occasion"]
    """Index into `SPLITS`."""
    customer: Int32[ndarray, " occasion"]
    invoice: Int32[ndarray, " occasion"]
    day: Int32[ndarray, " occasion"]
    """Days since 1970-01-01."""
    names: tuple[str, ...]
    """By product code. Text of the data: never an instruction, never evaluated."""
    group: tuple[str, ...]
    """Head noun of the name, by product code."""
    held_out: Bool[ndarray, " product"]
    """Products of groups that training never sees, by product code."""
    first_day: Int32[ndarray, " product"]
    """Day of the first sale, by product code."""
    skipped: dict[str, int] = field(default_factory=dict)
    """Purchases that became no occasion, by cause."""

    def __len__(self) -> int:
        return len(self.chosen)

    def take(self, rows: ndarray) -> NamedOccasions:
        """The occasions selected by an index or a mask, in that order; names and groups stay."""
        return replace(self, **{name: getattr(self, name)[rows] for name in PER_OCCASION})

    def of(self, split: str, *regimes: str) -> Bool[ndarray, " occasion"]:
        """Which occasions belong to a split and to one of the regimes (all of them if none is named)."""
        wanted = [REGIMES.index(r) for r in regimes or REGIMES]
        out: ndarray = (self.split == SPLITS.index(split)) & (self.regime[:, None] == wanted).any(1)
        return out

    def bought(self) -> Int32[ndarray, " occasion"]:
        """Code of the product that was bought."""
        return self.product[range(len(self)), self.chosen]

    def words(self, codes: Int32[ndarray, " place"]) -> tuple[str, ...]:
        """Names of a padded row of codes, for a prompt."""
        return tuple(self.names[c] for c in codes if c != PADDING)


PER_OCCASION = tuple(f.name for f in fields(NamedOccasions))[:10]
