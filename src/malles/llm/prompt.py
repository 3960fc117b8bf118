"""One choice occasion in words: what a language model reads.

    opening                     the category, the store, the market: the same for everyone at this shelf
    shelf      one line per alternative: name, price, list price, discount, promotion
    customer                    the profile in words
    remarks    one line per alternative: what this customer's own history says of it
    question

The shelf comes before the customer, so that many customers who stand before one shelf share its computation.
A line is a tuple of pieces, each with the field it belongs to: an attention prior and a rewording need to
know which words are the price.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum


class Field(IntEnum):
    """What a piece of a prompt speaks of."""

    FRAME = 0
    """Words that are the same for all occasions."""
    NAME = 1
    PRICE = 2
    LIST_PRICE = 3
    DISCOUNT = 4
    PROMOTION = 5
    CROWD = 6
    """What other customers do: the market state."""
    HISTORY = 7
    """What this customer did before."""
    CUSTOMER = 8
    """The profile."""
    SOFT = 9
    """A place that an embedding vector of the product is written into, not words."""


ECONOMIC = (Field.PRICE, Field.LIST_PRICE, Field.DISCOUNT)

Piece = tuple[Field, str]
Line = tuple[Piece, ...]


def soft_piece(number: int) -> Piece:
    """The place of one embedding vector, by its number in the catalogue: product * columns + column."""
    return Field.SOFT, f" <vector {number}>"


def soft_number(words: str) -> int:
    """The number in the words of `soft_piece`.

    >>> soft_number(soft_piece(17)[1])
    17
    """
    return int(words[len(" <vector ") : -1])


@dataclass(frozen=True)
class ShelfPrompt:
    """The words of one occasion; alternatives are in the order of `shelf` and `remarks`."""

    opening: Line
    shelf: tuple[Line, ...]
    customer: Line
    remarks: tuple[Line, ...]
    question: Line = ((Field.FRAME, "Choice:"),)

    def __post_init__(self) -> None:
        if len(self.shelf) != len(self.remarks):
            raise ValueError(
                f"A prompt has {len(self.shelf)} shelf lines and {len(self.remarks)} remarks; "
                "there must be as many."
            )

    def __len__(self) -> int:
        return len(self.shelf)

    def reorder(self, order: list[int]) -> ShelfPrompt:
        """The same occasion with its alternatives in another order."""
        return ShelfPrompt(
            self.opening,
            tuple(self.shelf[j] for j in order),
            self.customer,
            tuple(self.remarks[j] for j in order),
            self.question,
        )

    def sections(self) -> Iterator[tuple[int, Line]]:
        """Lines in reading order, with the alternative they belong to (from 0), or -1."""
        yield -1, self.opening
        yield from enumerate(self.shelf)
        yield -1, self.customer
        yield from enumerate(self.remarks)
        yield -1, self.question

    def text(self) -> str:
        """The prompt as a person reads it; alternatives carry no numbers, a pointer needs none.

        >>> prompt = ShelfPrompt(
        ...     opening=((Field.FRAME, "Shelf: cola"),),
        ...     shelf=(((Field.NAME, "- big"), (Field.PRICE, " 2.49")), ((Field.NAME, "- small"),)),
        ...     customer=((Field.CUSTOMER, "Customer: new"),),
        ...     remarks=(((Field.HISTORY, "- usual"),), ((Field.HISTORY, "- never"),)),
        ... )
        >>> print(prompt.text())
        Shelf: cola
        - big 2.49
        - small
        Customer: new
        - usual
        - never
        Choice:
        """
        return "\n".join("".join(words for _, words in line) for _, line in self.sections())

    def lettered(self, letters: tuple[str, ...]) -> str:
        """The prompt for a model that answers with a letter: remarks stand on the line they speak of."""
        if len(letters) < len(self):
            raise ValueError(f"{len(self)} alternatives need as many letters, got {len(letters)}.")

        def words(line: Line) -> str:
            return "".join(text for field, text in line if field is not Field.SOFT).removeprefix("-").strip()

        lines = [words(self.opening), words(self.customer)]
        for letter, line, remark in zip(letters, self.shelf, self.remarks, strict=False):
            said = words(remark)
            lines.append(f"{letter}. {words(line)}" + (f"; {said}" if said else ""))
        return "\n".join(lines)
