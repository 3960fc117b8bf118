"""Prompts laid end to end, without padding, and which tokens each of them sees, as ranges.

What `encoding.allowed` says with a table of all pairs is said here with spans: tokens of one owner that
follow each other see the same earlier ranges, and of their own span what comes before them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Int32, Int64
from numpy import ndarray

from malles.llm.encoding import ASKING, PADDED, SHARED, Attention, Batch

EARLIER, HERE = 0, 1
"""Tables that a range lies in: tokens read before, or the tokens of this pack."""


@dataclass(frozen=True)
class Pack:
    """Tokens of several prompts in one row, and what is read of them."""

    token: Int32[ndarray, " token"]
    position: Int32[ndarray, " token"]
    spans: Int64[ndarray, "span four"]
    """First token, last token + 1, first and last + 1 row of `ranges`."""
    ranges: Int64[ndarray, "range three"]
    """EARLIER or HERE, first token, last token + 1."""
    room: int
    """The most tokens that one token sees."""
    rows: Int64[ndarray, "prompt read"]
    """Tokens whose state is read: the end of every alternative, then of the question."""

    def pairs(self, asked: Bool[ndarray, " token"] | None = None) -> int:
        """How many pairs of tokens attention has to compute."""
        count = 0
        for begin, end, first, last in self.spans:
            before = int((self.ranges[first:last, 2] - self.ranges[first:last, 1]).sum())
            own = np.arange(1, end - begin + 1) + before
            count += int(own.sum() if asked is None else own[asked[begin:end]].sum())
        return count


def pack(batch: Batch, attention: Attention, earlier: Int32[ndarray, " token"] | None = None) -> Pack:
    """Lay the prompts of a padded batch end to end.

    Args:
        batch: as `encoding.collate` makes it; padding is left out.
        attention: how tokens see each other.
        earlier: owners of the tokens that every prompt begins with and that were read before.
    """
    known = np.zeros(0, np.int32) if earlier is None else earlier
    real = batch.owner != PADDED
    length = real.sum(axis=1)
    begin = np.cumsum(length) - length
    spans: list[tuple[int, int, int, int]] = []
    ranges: list[tuple[int, int, int]] = []
    room = 0
    for i, count in enumerate(length):
        owner = np.concatenate([known, batch.owner[i, :count]])
        for a, b, seen in spans_of(owner, attention, cut=len(known)):
            if a < len(known):
                continue
            moved = [
                (HERE, x - len(known) + begin[i], y - len(known) + begin[i])
                if x >= len(known)
                else (EARLIER, x, y)
                for x, y in seen
            ]
            start = begin[i] - len(known)
            spans.append((a + start, b + start, len(ranges), len(ranges) + len(moved)))
            ranges += moved
            room = max(room, b - a + sum(y - x for x, y in seen))
    rows = np.concatenate([batch.end, batch.last[:, None]], axis=1) + begin[:, None]
    return Pack(
        batch.token[real],
        batch.position[real],
        np.array(spans, np.int64).reshape(-1, 4),
        np.array(ranges, np.int64).reshape(-1, 3),
        room,
        rows.astype(np.int64),
    )


def spans_of(
    owner: Int32[ndarray, " token"], attention: Attention, cut: int = 0
) -> list[tuple[int, int, Sequence[tuple[int, int]]]]:
    """Spans of tokens that see alike: begin, end, and the earlier ranges seen; none crosses `cut`.

    >>> spans_of(np.array([SHARED, 0, 0, 1, SHARED, 0, ASKING], np.int32), "set")
    ... # doctest: +NORMALIZE_WHITESPACE
    [(0, 1, []), (1, 3, [(0, 1)]), (3, 4, [(0, 1)]), (4, 5, [(0, 1)]),
     (5, 6, [(0, 1), (1, 3), (4, 5)]), (6, 7, [(0, 6)])]
    >>> spans_of(np.array([SHARED, 0, ASKING], np.int32), "causal")
    [(0, 3, [])]
    """
    changes = np.flatnonzero(np.diff(owner)) + 1 if attention == "set" else np.zeros(0, np.int64)
    edges = np.unique(np.concatenate([[0], changes, [cut], [len(owner)]])).tolist()
    runs = [(a, b, int(owner[a])) for a, b in pairwise(edges)]
    spans: list[tuple[int, int, Sequence[tuple[int, int]]]] = []
    for k, (a, b, mine) in enumerate(runs):
        if attention == "causal" or mine == ASKING:
            seen = [(x, y) for x, y in ((0, min(cut, a)), (min(cut, a), a)) if x < y]
        else:
            seen = [(x, y) for x, y, whose in runs[:k] if whose in (SHARED, mine)]
        spans.append((a, b, seen))
    return spans
