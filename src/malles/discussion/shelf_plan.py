"""Which lines of a long shelf are read by whom, within a number of tokens; and what is handed on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.discussion.specialists import SPECIALISTS, ShelfReader, Specialist, fixed_tokens, line_tokens
from malles.errors import OccasionError
from malles.llm.prompt import Line, ShelfPrompt


def split_parts(cost: Sequence[int], room: int) -> list[list[int]]:
    """Places 0, 1, ... cut into parts of at most `room` tokens, every place in exactly one part.

    Raises:
        OccasionError: one place alone needs more than the room.

    >>> split_parts([3, 3, 3, 2], 6)
    [[0, 1], [2, 3]]
    """
    parts: list[list[int]] = []
    left = 0
    for place, need in enumerate(cost):
        if need > room:
            raise OccasionError(
                f"One alternative needs {need} tokens, but a part of the shelf has room for {room}; "
                "take a longer context (llm.longest)."
            )
        if not parts or need > left:
            parts.append([])
            left = room
        parts[-1].append(place)
        left -= need
    return parts


def first_that_fit(order: Sequence[int], cost: Sequence[int], room: int) -> list[int]:
    """The longest beginning of `order` that fits into `room` tokens.

    >>> first_that_fit([2, 0, 1], [5, 1, 3], 8)
    [2, 0]
    """
    taken: list[int] = []
    for j in order:
        room -= cost[j]
        if room < 0:
            break
        taken.append(j)
    return taken


def plan_reading(
    prompt: ShelfPrompt,
    order: Sequence[int],
    budget: int,
    reader: ShelfReader,
    specialists: Sequence[Specialist] = SPECIALISTS,
) -> list[list[list[list[int]]]]:
    """What every specialist reads: parts of the shelf, each a list of alternatives with the same words.

    Tokens are given out in proportion to what each would need to read its fields of the whole shelf. Those
    who cannot read it all leave out the least popular lines; nobody reads a line twice.
    """
    work = []
    for one in specialists:
        twins: dict[tuple[Line, Line], list[int]] = {}
        for j in order:
            twins.setdefault((one.cut(prompt.shelf[j]), one.cut(prompt.remarks[j])), []).append(j)
        lines = list(twins.values())
        view = one.view(prompt, [same[0] for same in lines])
        work.append((lines, line_tokens(view, reader), fixed_tokens(view, reader)))
    parts_of = [split_parts(cost, reader.context - fixed) for _, cost, fixed in work]
    need = [sum(c) + f * len(p) for (_, c, f), p in zip(work, parts_of, strict=True)]
    part = min(budget / max(sum(need), 1), 1.0)
    plan = []
    for (lines, cost, fixed), parts, all_of_it in zip(work, parts_of, need, strict=True):
        left = int(all_of_it * part)
        chosen = []
        for places in parts:
            kept = first_that_fit(places, cost, left - fixed) if part < 1 else places
            if kept:
                chosen.append([lines[p] for p in kept])
            left -= fixed + sum(cost[p] for p in kept)
            if len(kept) < len(places):
                break
        plan.append(chosen)
    return plan


def rank_alternatives(
    table: Float[ndarray, "specialist alternative"], order: Sequence[int], best: int
) -> list[list[int]]:
    """By specialist the `best` alternatives that it read; among equals the more popular first."""
    place = np.empty(table.shape[1], int)
    place[list(order)] = np.arange(len(order))
    ranked = []
    for row in table:
        known = np.flatnonzero(~np.isnan(row))
        ranked.append([int(j) for j in known[np.lexsort((place[known], -row[known]))][:best]])
    return ranked


def hand_on(
    lists: Sequence[Sequence[int]], cost: Sequence[int], room: int
) -> tuple[list[int], tuple[tuple[int, ...], ...]]:
    """The union for the decider: everybody in turn hands on its next best that fits into the room.

    Returns:
        The union in the order in which it came together, and by specialist what it handed on: what another
        one had named before counts as handed on and costs nothing.

    >>> hand_on([[3, 1], [3, 2]], [9, 2, 2, 2], 4)
    ([3, 1], ((3, 1), (3,)))
    """
    union: list[int] = []
    given: list[list[int]] = [[] for _ in lists]
    for turn in range(max((len(names) for names in lists), default=0)):
        for names, mine in zip(lists, given, strict=True):
            if turn >= len(names):
                continue
            j = names[turn]
            if j not in union:
                if cost[j] > room:
                    continue
                room -= cost[j]
                union.append(j)
            mine.append(j)
    return union, tuple(tuple(mine) for mine in given)
