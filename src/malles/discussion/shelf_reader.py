"""The pointer of a local language model as the reader of long shelves."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from numpy import ndarray

from malles.errors import OccasionError
from malles.llm.backends.local import LocalBackend
from malles.llm.prompt import Field, Line, ShelfPrompt
from malles.llm.reader import Reader


class PointerShelfReader:
    """Scores with the pointer of an aligned reader; a prompt is never shortened, it must fit.

    Args:
        reader: a trained reader in the attention `set`.
        context: tokens of a specialist's or decider's prompt at most; the reader's own limit if not given.
    """

    def __init__(self, reader: Reader, context: int | None = None) -> None:
        self.backend = LocalBackend(reader)
        self.encoder = reader.encoder
        self.context = context or reader.encoder.longest

    def tokens(self, line: Line) -> int:
        """Tokens of one line without its end."""
        return sum(
            len(self.encoder.soft(words) if field is Field.SOFT else self.encoder.tokens(words))
            for field, words in line
        )

    def utilities(self, prompts: Sequence[ShelfPrompt]) -> list[Float[ndarray, " alternative"]]:
        """V of the alternatives of every prompt.

        Raises:
            OccasionError: a prompt would have to be shortened.
        """
        encoded = [self.encoder.encode(p) for p in prompts]
        short = [e.shortened for e in encoded if e.shortened]
        if short:
            raise OccasionError(
                f"{len(short)} prompts exceed the reader's {self.encoder.longest} tokens and would lose "
                "fields; read them in parts of the shelf."
            )
        return self.backend.utilities(encoded, share=False)
