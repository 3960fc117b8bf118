"""What post-training learns from: prompts with a choice, a skip, perhaps a teacher and changed prices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Int32
from numpy import ndarray

from malles.llm.prompt import ShelfPrompt
from malles.llm.wording import CANONICAL, Wording

Render = Callable[[int, Wording], ShelfPrompt]


@dataclass(frozen=True)
class Examples:
    """Choice occasions as prompts; arrays are in the order of the prompts' lines."""

    render: Render
    """Row and wording to prompt; rows index the arrays below."""
    chosen: Int32[ndarray, " example"]
    """Line of the choice; -1 where it is not known."""
    skip: Float32[ndarray, "example alternative"]
    """Utilities that are given, not learnt; zero where there are none."""
    group: Int32[ndarray, " example"]
    """Category of each example, for batches that are balanced over categories."""
    teacher: Float32[ndarray, "example alternative"] | None = None
    """Log-probabilities of a fitted classical model; -inf without an alternative."""
    units: Int32[ndarray, " example"] | None = None
    """Units of the choice; 0 where unknown."""
    usual: Float32[ndarray, "example alternative"] | None = None
    """Logarithm of the units the customer usually takes of each alternative."""
    changed: Examples | None = None
    """The same rows under other prices: what the teacher says of them is known, what was chosen is not."""

    def __len__(self) -> int:
        return len(self.chosen)

    def take(self, rows: ndarray) -> Examples:
        """Some of the examples, in that order."""
        rows = np.asarray(rows)
        render = self.render

        def again(row: int, wording: Wording = CANONICAL) -> ShelfPrompt:
            return render(int(rows[row]), wording)

        def pick(table: ndarray | None) -> ndarray | None:
            return None if table is None else table[rows]

        return replace(
            self,
            render=again,
            chosen=self.chosen[rows],
            skip=self.skip[rows],
            group=self.group[rows],
            teacher=pick(self.teacher),
            units=pick(self.units),
            usual=pick(self.usual),
            changed=self.changed.take(rows) if self.changed is not None else None,
        )


def sampling_weights(group: Int32[ndarray, " example"], temperature: float) -> Float32[ndarray, " example"]:
    """Chance of each example, so that a category of n examples is drawn in proportion to n^temperature.

    1 leaves the data as they are, 0 gives every category the same weight.

    >>> sampling_weights(np.array([0, 0, 0, 1], np.int32), 0.0).round(3)
    array([0.167, 0.167, 0.167, 0.5  ], dtype=float32)
    """
    _, place, count = np.unique(group, return_inverse=True, return_counts=True)
    weight = count[place].astype(np.float64) ** (temperature - 1)
    chance: ndarray = (weight / weight.sum()).astype(np.float32)
    return chance
