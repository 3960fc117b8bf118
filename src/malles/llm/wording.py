"""Choice occasions in words: `ChoicePrompts` renders what the features of an occasion say.

Numbers are those a person would read: prices with two decimals, shares in whole percent, trips and weeks as
counts. What is not remarkable is left out, so that a shelf of twenty products stays near four hundred tokens.
`REWORDINGS` say the same in other words; a choice must not depend on which of them is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product as all_pairs

import numpy as np

from malles.errors import ModelError
from malles.llm.prompt import Field, Line, Piece, ShelfPrompt, soft_piece
from malles.llm.remarks import customer_line, remarks_of
from malles.vocabulary import OTHER, OUTSIDE, Catalogue, ChoiceData, Promotion

MOST_NAME = 40
"""Characters kept of a product's name."""

SYMBOLS = {"USD": "$", "GBP": "£", "EUR": "€", "BRL": "R$"}


@dataclass(frozen=True)
class Wording:
    """One way of saying it; the default is what models are read with."""

    money: int = 0
    """0: 2.49; 1: $2.49; 2: 2.49 USD."""
    promotion_first: bool = False
    """Whether the promotion stands before the price."""
    synonyms: bool = False
    """Other words for the same facts."""


CANONICAL = Wording()
REWORDINGS = tuple(Wording(m, p, s) for m, p, s in all_pairs((0, 1, 2), (False, True), (False, True)))
"""Decision-neutral ways to say the same; the first is `CANONICAL`."""


def clean_name(name: str, limit: int = MOST_NAME) -> str:
    r"""A name from data as one short lower-case line without control characters.

    >>> clean_name("WHITE HANGING\nHEART\x00 T-LIGHT")
    'white hanging heart t-light'
    """
    text = "".join(c if c.isprintable() else " " for c in name)
    return " ".join(text.split()).lower()[:limit].strip()


def has_digit(word: str) -> bool:
    """Whether a word carries a number.

    >>> has_digit("12oz"), has_digit("oz")
    (True, False)
    """
    return any(c.isdigit() for c in word)


@dataclass(frozen=True)
class ChoicePrompts:
    """Prompts of the occasions of `data`, made when they are asked for.

    Raises:
        ModelError: the data carries no catalogue to take names from.
    """

    data: ChoiceData

    def __post_init__(self) -> None:
        if self.data.catalogue is None:
            raise ModelError(
                "These occasions carry no names of products; build their features with `build_features`, "
                "which keeps the catalogue."
            )

    def __len__(self) -> int:
        return len(self.data)

    @property
    def catalogue(self) -> Catalogue:
        """Where names come from."""
        assert self.data.catalogue is not None
        return self.data.catalogue

    @cached_property
    def _currency(self) -> str:
        return clean_name(self.catalogue.currency, 8).upper()

    def columns(self, row: int) -> list[int]:
        """Columns of an occasion's alternatives, in the order of its prompt's lines."""
        return [int(j) for j in np.flatnonzero(self.data.occasions.available[row])]

    def prompt(self, row: int, wording: Wording = CANONICAL) -> ShelfPrompt:
        """One occasion in words."""
        columns = self.columns(row)
        said = remarks_of(self.data, row, columns, synonyms=wording.synonyms)
        return ShelfPrompt(
            opening=self._opening(row, wording),
            shelf=tuple(self._shelf_line(row, j, wording) for j in columns),
            customer=customer_line(self.data, row),
            remarks=said,
        )

    def _opening(self, row: int, wording: Wording) -> Line:
        parts = [clean_name(part, 60) for part in self._category(row).split("|")]
        name = ", ".join(dict.fromkeys(part for part in parts if part))[:60].strip(" ,") or "products"
        return ((Field.FRAME, "Choose from: " if wording.synonyms else "Shelf: "), (Field.NAME, name))

    def _category(self, row: int) -> str:
        """Name of the occasion's category; '' where it is not known."""
        category, names = int(self.data.occasions.category[row]), self.catalogue.category_name
        return names[category] if 0 <= category < len(names) else ""

    def _shelf_line(self, row: int, column: int, wording: Wording) -> Line:
        o = self.data.occasions
        code = int(o.product[row, column])
        if code == OUTSIDE:
            return ((Field.FRAME, "-"), (Field.NAME, " buy nothing"))
        if code == OTHER:
            return ((Field.FRAME, "-"), (Field.NAME, " another product"))
        price, full = float(o.price[row, column]), float(o.list_price[row, column])
        cost: list[Piece] = [(Field.PRICE, f" {self._money(price, wording)}")]
        cut = 1 - price / full if full > 0 else 0.0
        if cut >= 0.005:
            word = "regular" if wording.synonyms else "was"
            off = f" {cut:.0%} off" if wording.synonyms else f" -{cut:.0%}"
            cost += [(Field.LIST_PRICE, f" {word} {self._money(full, wording)}"), (Field.DISCOUNT, off)]
        promotion = _promotion_words(int(o.promotion[row, column]), wording)
        told = [*promotion, *cost] if wording.promotion_first else [*cost, *promotion]
        return (
            (Field.FRAME, "-"),
            *self._name(row, code),
            *self._soft(code),
            *told,
            *self._crowd(row, column),
        )

    def _name(self, row: int, code: int) -> Line:
        """The name without the words that the opening said already; numbers tell products apart and stay."""
        products = self.catalogue.products
        spoken = set(clean_name(self._category(row), 200).replace("|", " ").split())
        words = [
            w for w in clean_name(str(products.text[code]), 200).split() if has_digit(w) or w not in spoken
        ]
        name = " ".join(words).replace("private label", "store brand")[:MOST_NAME].strip()
        return ((Field.NAME, f" {name}"),) if name else ()

    def _soft(self, code: int) -> Line:
        columns = len(self.catalogue.products.embeddings)
        return tuple(soft_piece(code * columns + k) for k in range(columns))

    def _crowd(self, row: int, column: int) -> Line:
        names = self.data.feature_names
        if "popularity" not in names:
            return ()
        share = float(np.exp(self.data.features[row, column, names.index("popularity")]))
        least = 0.045 if "own_frequency" in names else 0.0095  # where history is told, only what stands out
        return ((Field.CROWD, f" crowd {share:.0%}"),) if share >= least else ()

    def _money(self, value: float, wording: Wording) -> str:
        currency = self._currency
        if wording.money == 1:
            return f"{SYMBOLS.get(currency, currency + ' ')}{value:.2f}"
        return f"{value:.2f} {currency}" if wording.money == 2 else f"{value:.2f}"


def _promotion_words(bits: int, wording: Wording) -> list[Piece]:
    words = []
    if bits & Promotion.DISPLAY:
        words.append(" on display" if wording.synonyms else " display")
    if bits & Promotion.MAILER_PAGE:
        words.append(" flyer front" if wording.synonyms else " ad front")
    elif bits & Promotion.MAILER:
        words.append(" in flyer" if wording.synonyms else " ad")
    if bits & Promotion.COUPON:
        words.append(" coupon")
    return [(Field.PROMOTION, "".join(words))] if words else []
