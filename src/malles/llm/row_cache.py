"""Keys and values of many conversations side by side, so that each is read as if it stood alone.

    row 0   k k k k k k n . | . .       k of the prompt, n of a written token, . not yet there
    row 1   k k k n . . . . | . .       every row begins at place 0 and grows at its own end

Attention adds up its places in an order that depends on where a row begins and on how many places there are.
Rows that begin at place 0 in a width of whole blocks are added up in the same order alone and beside longer
ones: bit for bit on a CPU, in bfloat16 and in float32. Rows padded on the left are not, and in bfloat16 the
difference is large enough to change the likeliest token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

WIDTH = 64
"""Places come in blocks of so many: a multiple of what a processor adds up at once (16 numbers)."""


class RowCache:
    """What a decoder of transformers asks of its keys and values, with an end for every row.

    Args:
        alone: one cache per conversation, as its prompt was read.
        more: tokens that may be written after each.
    """

    def __init__(self, alone: Sequence[Any], more: int) -> None:
        self._end = torch.tensor([int(c.layers[0].keys.shape[2]) for c in alone])
        self._row = torch.arange(len(alone))
        self._longest = int(self._end.max())
        room = in_blocks(self._longest + more)
        self._states = []
        for layer in range(len(alone[0].layers)):
            pair = []
            for part in ("keys", "values"):
                own = [getattr(c.layers[layer], part) for c in alone]
                _, heads, _, size = own[0].shape
                states = torch.zeros(len(own), heads, room, size, dtype=own[0].dtype, device=own[0].device)
                for i, state in enumerate(own):
                    states[i, :, : state.shape[2]] = state[0]
                pair.append(states)
            self._states.append(pair)

    @property
    def rows(self) -> int:
        """How many conversations."""
        return len(self._end)

    @property
    def positions(self) -> torch.Tensor:
        """Place of the next token of every row, one column."""
        return self._end[:, None]

    def mask(self) -> torch.Tensor:
        """Which places the next token of every row may look at, itself among them."""
        place = torch.arange(in_blocks(self._longest + 1))
        return (place <= self.positions)[:, None, None]

    def advance(self) -> None:
        """One token was written in every row."""
        self._end = self._end + 1
        self._longest += 1

    def get_seq_length(self, layer: int = 0) -> int:
        """Places in use by the longest row."""
        return self._longest

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer: int, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keep those of the next token of every row; returns all of a layer, as wide as `mask`."""
        width = in_blocks(self._longest + 1)
        for states, new in zip(self._states[layer], (keys, values), strict=True):
            states[self._row, :, self._end] = new[:, :, 0]
        mine, other = self._states[layer]
        return mine[:, :, :width], other[:, :, :width]


def in_blocks(places: int) -> int:
    """The next whole number of blocks.

    >>> in_blocks(64), in_blocks(65)
    (64, 128)
    """
    return -(-places // WIDTH) * WIDTH
