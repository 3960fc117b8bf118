"""Long shelves: specialists read some fields of many alternatives, one decider reads few of them whole.

    specialist s   its fields of the shelf, every distinct line once, the most popular first, in parts that
                   fit the context                                              → utility V[s, j]
    handed on      from every specialist in turn its next best alternative, with the fact that speaks for it,
                   until the tokens are used up or each has handed on `best`
    decider        the union with all fields, in one prompt                      → utility V[j]

An alternative whose line a specialist has read elsewhere on the shelf (same words) counts as read: in the
attention `set` lines do not see each other. What nobody reads is counted. `shelf_belief` makes probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.discussion.shelf_plan import first_that_fit, hand_on, plan_reading, rank_alternatives
from malles.discussion.specialists import SPECIALISTS, ShelfReader, Specialist, fixed_tokens, line_tokens
from malles.errors import OccasionError
from malles.llm.prompt import ShelfPrompt


@dataclass(frozen=True)
class ShelfSettings:
    """How a long shelf is talked over."""

    best: int = 20
    """Alternatives that a specialist hands on at most."""
    reading: float = 0.5
    """Part of the tokens that specialists may use; the decider may use what they leave."""


@dataclass(frozen=True)
class ShelfTalk:
    """One occasion: who read what, and what it was worth to them."""

    specialist: Float[ndarray, "specialist alternative"]
    """V by specialist; NaN where it did not read the alternative."""
    decider: Float[ndarray, " alternative"]
    """V of the decider; NaN where it did not read the alternative."""
    union: tuple[int, ...]
    """Alternatives that the decider read, in the order of its prompt."""
    handed: tuple[tuple[int, ...], ...] = ()
    """By specialist, the alternatives that it handed on, best first."""
    reading_tokens: int = 0
    deciding_tokens: int = 0

    @property
    def tokens(self) -> int:
        """Tokens of all prompts of this occasion."""
        return self.reading_tokens + self.deciding_tokens

    @property
    def dropped(self) -> int:
        """Alternatives that nobody read."""
        return int((~self.read).sum())

    @property
    def read(self) -> ndarray:
        """Which alternatives somebody read."""
        found: ndarray = ~np.isnan(self.decider)
        for row in self.specialist:
            found = found | ~np.isnan(row)
        return found

    @property
    def choice(self) -> int:
        """What the decider takes."""
        return int(np.nanargmax(self.decider))


def read_alone(
    prompts: Sequence[ShelfPrompt], orders: Sequence[Sequence[int]], reader: ShelfReader, context: int
) -> list[ShelfTalk]:
    """One reader reads all fields in one prompt; what exceeds the context is cut from the end of `orders`.

    Args:
        prompts: occasions in words.
        orders: of every occasion its alternatives, those to keep first.
        reader: scores the alternatives.
        context: tokens of a prompt at most.
    """
    unions = [
        first_that_fit(order, line_tokens(p, reader), context - fixed_tokens(p, reader))
        for p, order in zip(prompts, orders, strict=True)
    ]
    nobody = [np.zeros((0, len(p))) for p in prompts]
    return _decide(prompts, unions, nobody, [()] * len(prompts), [0] * len(prompts), reader)


def talk_over_shelves(
    prompts: Sequence[ShelfPrompt],
    orders: Sequence[Sequence[int]],
    budgets: Sequence[int],
    reader: ShelfReader,
    settings: ShelfSettings | None = None,
    specialists: Sequence[Specialist] = SPECIALISTS,
) -> list[ShelfTalk]:
    """Specialists read, hand on, and one decider chooses, within a number of tokens for each occasion.

    Args:
        prompts: occasions in words.
        orders: of every occasion its alternatives, most popular first: read first, and first among equals.
        budgets: tokens of every occasion, all prompts together.
        reader: scores the alternatives; its context bounds every prompt.
        settings: how much is read and handed on.
        specialists: who reads which fields.

    Raises:
        OccasionError: the decider cannot read a single alternative within the budget.
    """
    settings = settings or ShelfSettings()
    asked: list[ShelfPrompt] = []
    where: list[tuple[int, int, list[list[int]]]] = []
    used = [0] * len(prompts)
    for i, (prompt, order, budget) in enumerate(zip(prompts, orders, budgets, strict=True)):
        plan = plan_reading(prompt, order, int(budget * settings.reading), reader, specialists)
        for s, parts in enumerate(plan):
            for twins in parts:
                asked.append(specialists[s].view(prompt, [same[0] for same in twins]))
                where.append((i, s, twins))
                used[i] += fixed_tokens(asked[-1], reader) + sum(line_tokens(asked[-1], reader))
    tables = [np.full((len(specialists), len(p)), np.nan) for p in prompts]
    for (i, s, twins), values in zip(where, reader.utilities(asked), strict=True):
        for same, value in zip(twins, values, strict=True):
            tables[i][s, same] = value
    unions, handed = [], []
    for prompt, order, budget, table, spent in zip(prompts, orders, budgets, tables, used, strict=True):
        room = min(budget - spent, reader.context) - fixed_tokens(prompt, reader)
        lists = rank_alternatives(table, order, settings.best)
        union, given = hand_on(lists, line_tokens(prompt, reader), room)
        if not union:  # nobody could read anything: the most popular that the decider can pay
            union = first_that_fit(order, line_tokens(prompt, reader), room)
        unions.append(union)
        handed.append(given)
    return _decide(prompts, unions, tables, handed, used, reader)


def _decide(
    prompts: Sequence[ShelfPrompt],
    unions: Sequence[Sequence[int]],
    tables: Sequence[ndarray],
    handed: Sequence[tuple[tuple[int, ...], ...]],
    used: Sequence[int],
    reader: ShelfReader,
) -> list[ShelfTalk]:
    for prompt, union in zip(prompts, unions, strict=True):
        if not union:
            raise OccasionError(
                f"The decider cannot read one of {len(prompt)} alternatives within its tokens; "
                "give more tokens, or a longer context (llm.longest)."
            )
    shown = [p.reorder(list(union)) for p, union in zip(prompts, unions, strict=True)]
    talks = []
    for i, values in enumerate(reader.utilities(shown)):
        decider = np.full(len(prompts[i]), np.nan)
        decider[list(unions[i])] = values
        spent = fixed_tokens(shown[i], reader) + sum(line_tokens(shown[i], reader))
        talks.append(ShelfTalk(tables[i], decider, tuple(unions[i]), handed[i], used[i], spent))
    return talks
