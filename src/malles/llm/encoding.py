"""Prompts to token arrays: ids, positions, what each token belongs to, and where the pointer reads.

Pieces are tokenised one by one, so the end of every line is known exactly, whatever the tokenizer merges, and
the few thousand distinct pieces are tokenised once.

Two ways to attend:

    set      the shelf is a set: lines start at the same position and see the opening, the customer and their
             own alternative, never each other; the question sees everything. The order of alternatives then
             cannot matter.
    causal   the ordinary left-to-right reading, in which later lines see earlier ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Int32, UInt8
from numpy import ndarray

from malles.errors import OccasionError
from malles.llm.prompt import Field, Line, ShelfPrompt, soft_number

Attention = Literal["set", "causal"]

SHARED, ASKING = -1, -2
"""Owners of tokens that belong to no alternative: those every token may see, and the question."""

PADDED = -3


@dataclass(frozen=True)
class Encoded:
    """One prompt as arrays over tokens; `end` by alternative."""

    token: Int32[ndarray, " token"]
    position: Int32[ndarray, " token"]
    owner: Int32[ndarray, " token"]
    """Alternative, SHARED or ASKING."""
    field: UInt8[ndarray, " token"]
    """`Field` of each token."""
    end: Int32[ndarray, " alternative"]
    """Token that the pointer reads for each alternative: the end of its remark."""
    shared: int
    """Tokens from the start that do not depend on the customer: opening and shelf."""
    shortened: int = 0
    """Tokens left out to fit the context."""

    def __len__(self) -> int:
        return len(self.token)


@dataclass(frozen=True)
class Batch:
    """Prompts padded to one length and to one number of alternatives."""

    token: Int32[ndarray, "prompt token"]
    position: Int32[ndarray, "prompt token"]
    owner: Int32[ndarray, "prompt token"]
    field: UInt8[ndarray, "prompt token"]
    end: Int32[ndarray, "prompt alternative"]
    """0 where there is no alternative."""
    present: Bool[ndarray, "prompt alternative"]
    last: Int32[ndarray, " prompt"]
    """Token of the question's end."""


@dataclass
class Encoder:
    """Turns prompts into tokens with one tokenizer."""

    tokenizer: Any
    attention: Attention = "set"
    longest: int = 2048
    """Tokens of the context; longer prompts are shortened by rule."""
    soft_first: int = 0
    """Vector number k is token `soft_first` + k, beyond the vocabulary; 0: vectors are left out."""
    _pieces: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def tokens(self, text: str) -> tuple[int, ...]:
        """Tokens of one piece."""
        found = self._pieces.get(text)
        if found is None:
            ids = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
            found = tuple(ids)  # a product called "<|im_end|>" is a name, not the end of a message
            if len(self._pieces) < 500_000:
                self._pieces[text] = found
        return found

    def soft(self, words: str) -> tuple[int, ...]:
        """The token of an embedding vector, or nothing if the model does not read vectors."""
        return (self.soft_first + soft_number(words),) if self.soft_first else ()

    def encode(self, prompt: ShelfPrompt) -> Encoded:
        """One prompt, shortened if it must be: first names, then remarks, then the profile; never a price.

        Raises:
            OccasionError: even without names, remarks and profile the shelf does not fit.
        """
        full = self._lay_out(prompt)
        if len(full) <= self.longest:
            return full
        for drop in _SHORTER:
            short = self._lay_out(_without(prompt, drop))
            if len(short) <= self.longest:
                return _shortened(short, len(full) - len(short))
        raise OccasionError(
            f"A shelf of {len(prompt)} alternatives needs {len(short)} tokens even without names and "
            f"history, but the context of the model is {self.longest}; offer fewer alternatives "
            "(occasions.slate_size)."
        )

    def _lay_out(self, prompt: ShelfPrompt) -> Encoded:
        token: list[int] = []
        position: list[int] = []
        owner: list[int] = []
        kind: list[int] = []
        end = np.zeros(len(prompt), np.int32)
        newline = self.tokens("\n")
        start, deepest = 0, 0  # where the current block of lines starts, and the deepest position in it
        shared, block = 0, 0
        sections = list(prompt.sections())
        for index, (mine, line) in enumerate(sections):
            asking = index == len(sections) - 1
            if mine < 0:  # opening, customer, question: after everything before
                start, block = deepest, index
                if block == 1 + len(prompt):
                    shared = len(token)
            at = start if self.attention == "set" else len(token)
            for which, words in line:
                ids = self.soft(words) if which is Field.SOFT else self.tokens(words)
                token += ids
                kind += [int(which)] * len(ids)
            if not asking:
                token += newline
                kind += [0] * len(newline)
            count = len(token) - len(position)
            position += range(at, at + count)
            owner += [ASKING if asking else mine if mine >= 0 else SHARED] * count
            deepest = max(deepest, at + count)
            if mine < 0:
                start = deepest
            else:
                end[mine] = len(token) - 1
        return Encoded(
            np.array(token, np.int32),
            np.array(position, np.int32),
            np.array(owner, np.int32),
            np.array(kind, np.uint8),
            end,
            shared,
        )


_SHORTER = (
    frozenset({Field.NAME}),
    frozenset({Field.NAME, Field.HISTORY}),
    frozenset({Field.NAME, Field.HISTORY, Field.CUSTOMER, Field.CROWD}),
)
"""What is left out, one step after the other, when a prompt does not fit; whole fields of every line.

A line without a price keeps its name: "buy nothing" must not become an empty line."""


def _without(prompt: ShelfPrompt, fields: frozenset[Field]) -> ShelfPrompt:
    def cut(line: Line) -> Line:
        return tuple(piece for piece in line if piece[0] not in fields)

    return ShelfPrompt(
        prompt.opening,
        tuple(cut(line) if any(f is Field.PRICE for f, _ in line) else line for line in prompt.shelf),
        cut(prompt.customer),
        tuple(cut(line) for line in prompt.remarks),
        prompt.question,
    )


def _shortened(short: Encoded, by: int) -> Encoded:
    return replace(short, shortened=by)


def collate(prompts: Sequence[Encoded], *, multiple: int = 16) -> Batch:
    """Pad encoded prompts on the right to a common length, a multiple of `multiple`."""
    n = len(prompts)
    T = -(-max(len(p) for p in prompts) // multiple) * multiple
    J = max(len(p.end) for p in prompts)
    token, position = np.zeros((n, T), np.int32), np.zeros((n, T), np.int32)
    owner, kind = np.full((n, T), PADDED, np.int32), np.zeros((n, T), np.uint8)
    end, present = np.zeros((n, J), np.int32), np.zeros((n, J), bool)
    last = np.zeros(n, np.int32)
    for i, p in enumerate(prompts):
        t, j = len(p), len(p.end)
        token[i, :t], position[i, :t], owner[i, :t], kind[i, :t] = p.token, p.position, p.owner, p.field
        end[i, :j], present[i, :j], last[i] = p.end, True, t - 1
    return Batch(token, position, owner, kind, end, present, last)


def allowed(
    owner: Int32[ndarray, "prompt token"], attention: Attention
) -> Bool[ndarray, "prompt token token"]:
    """Which tokens (second axis) each token (first axis) sees.

    >>> allowed(np.array([[SHARED, 0, 1, SHARED, 0, 1, ASKING]], np.int32), "set")[0].astype(int)
    array([[1, 0, 0, 0, 0, 0, 0],
           [1, 1, 0, 0, 0, 0, 0],
           [1, 0, 1, 0, 0, 0, 0],
           [1, 0, 0, 1, 0, 0, 0],
           [1, 1, 0, 1, 1, 0, 0],
           [1, 0, 1, 1, 0, 1, 0],
           [1, 1, 1, 1, 1, 1, 1]])
    """
    T = owner.shape[1]
    before = np.tril(np.ones((T, T), bool))
    asked, seen = owner[:, :, None], owner[:, None, :]
    padding = seen == PADDED
    if attention == "causal":
        seen_by: ndarray = (before[None] & ~padding) | np.eye(T, dtype=bool)[None]
        return seen_by
    open_ = (seen == SHARED) | (seen == asked) | (asked == ASKING)
    visible: ndarray = (before[None] & open_ & ~padding) | np.eye(T, dtype=bool)[None]
    return visible
