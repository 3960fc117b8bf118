"""Who reads a long shelf: specialists that see some of its fields, and what a reader must be able to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Float
from numpy import ndarray

from malles.discussion.roles import Role
from malles.llm.prompt import Field, Line, ShelfPrompt


class ShelfReader(Protocol):
    """What reads a shelf: counts the tokens of a line (without its end), and scores alternatives."""

    context: int
    """Tokens of one prompt at most."""

    def tokens(self, line: Line) -> int:
        """Tokens of one line."""
        ...

    def utilities(self, prompts: Sequence[ShelfPrompt]) -> list[Float[ndarray, " alternative"]]:
        """V of the alternatives of every prompt."""
        ...


@dataclass(frozen=True)
class Specialist:
    """Reads some fields of the shelf."""

    name: str
    wants: str
    fields: frozenset[Field]
    """Fields it is shown; words that are the same everywhere stay."""
    remarks: tuple[str, ...] = ()
    """Of the customer's history it is shown what holds one of these words; () shows all of it."""

    @property
    def role(self) -> Role:
        """As a speaker of a discussion: it sees the facts of its own topic."""
        return Role(self.name, self.wants, (self.name,))

    def cut(self, line: Line) -> Line:
        """What it sees of a line."""
        return tuple(
            (field, words)
            for field, words in line
            if field is Field.FRAME
            or (
                field in self.fields
                and (field is not Field.HISTORY or not self.remarks or any(w in words for w in self.remarks))
            )
        )

    def view(self, prompt: ShelfPrompt, alternatives: Sequence[int]) -> ShelfPrompt:
        """What it reads of some alternatives."""
        return ShelfPrompt(
            prompt.opening,
            tuple(self.cut(prompt.shelf[j]) for j in alternatives),
            self.cut(prompt.customer),
            tuple(self.cut(prompt.remarks[j]) for j in alternatives),
            prompt.question,
        )


SPECIALISTS = (
    Specialist(
        "price", "Name what is cheap, reduced or announced.",
        frozenset({Field.PRICE, Field.LIST_PRICE, Field.DISCOUNT, Field.PROMOTION, Field.CUSTOMER}),
    ),
    Specialist(
        "attributes", "Name what is of the kind, maker and size that this customer takes.",
        frozenset({Field.NAME, Field.HISTORY, Field.CUSTOMER}), ("usual",),
    ),
    Specialist(
        "history", "Name what this customer bought before.",
        frozenset({Field.HISTORY}), ("habit", "expected", "trip", "last time", "cheaper", "dearer"),
    ),
    Specialist(
        "crowd", "Name what other customers take, and move to from what this one took.",
        frozenset({Field.CROWD, Field.HISTORY}), ("switch", "move here"),
    ),
)  # fmt: skip
"""In the order in which they hand on. Reviews belong to `crowd`; no data set has them in words yet."""


def fixed_tokens(prompt: ShelfPrompt, reader: ShelfReader) -> int:
    """Tokens of a prompt before any alternative stands in it."""
    return reader.tokens(prompt.opening) + reader.tokens(prompt.customer) + reader.tokens(prompt.question) + 2


def line_tokens(prompt: ShelfPrompt, reader: ShelfReader) -> list[int]:
    """Tokens of each alternative: its shelf line, its remark, and the ends of both."""
    pairs = zip(prompt.shelf, prompt.remarks, strict=True)
    return [reader.tokens(line) + reader.tokens(remark) + 2 for line, remark in pairs]
