"""Candidate rules of the cognitive core, ranked by a language model.

    prompt     one line per production that matches: the rule in words, the product that it would take first
    q[n, r]    what the model says of the rules, by letter, averaged over rotations of the lines
    share      proportional to share_core[n, r] q[n, r]^w          w = 0: the core alone

w ≥ 0 is fitted by likelihood on occasions that are not scored: how much the model's ranking is worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from jaxtyping import Float, Integer
from numpy import ndarray

from malles.cognition.core import FittedCognitiveCore
from malles.cognition.productions import PRODUCTIONS, WORDS
from malles.llm.backend import Scored
from malles.llm.prompt import Field, Line, ShelfPrompt
from malles.llm.wording import ChoicePrompts
from malles.vocabulary import ChoiceData

OPENING: Line = ((Field.FRAME, "Which rule does this customer follow at the shelf?"),)
MOST_WEIGHT = 3.0


class LetterReader(Protocol):
    """A model that answers a lettered list by a letter."""

    def score_letters(self, prompts: Sequence[ShelfPrompt], rotations: int = 1) -> list[Scored]:
        """Distribution over the lines of every prompt."""
        ...


def rule_prompt(
    prompts: ChoicePrompts, row: int, matching: Integer[ndarray, " rule"], first: Integer[ndarray, " rule"]
) -> ShelfPrompt:
    """The rules that match, as lines of a prompt.

    Args:
        prompts: words of the occasions.
        row: which of them.
        matching: productions, by number.
        first: column that each would take first.
    """
    whole = prompts.prompt(row)
    line = {column: place for place, column in enumerate(prompts.columns(row))}
    shelf = []
    for r, column in zip(matching, first, strict=True):
        taken = "".join(words for _, words in whole.shelf[line[int(column)]]).removeprefix("-").strip()
        shelf.append(((Field.NAME, f"- {WORDS[PRODUCTIONS[r]]}"), (Field.HISTORY, f": {taken}")))
    none: tuple[Line, ...] = tuple(() for _ in shelf)
    return ShelfPrompt(OPENING, tuple(shelf), whole.customer, none)


def rank_rules(
    core: FittedCognitiveCore, data: ChoiceData, reader: LetterReader, *, rotations: int = 2
) -> tuple[Float[ndarray, "occasion production"], int]:
    """(Chances that the model gives the rules that match, number of occasions it gave none).

    Rows sum to one; where one rule or none matches, or the model says nothing, rules that match are equal.

    Args:
        core: proposes.
        data: occasions with their features and catalogue.
        reader: ranks.
        rotations: orders of the lines that are averaged.
    """
    share, proposal = core.compete(data)
    matching = share > 0
    found = matching / np.maximum(matching.sum(axis=1, keepdims=True), 1)
    prompts, rows = ChoicePrompts(data), np.flatnonzero(matching.sum(axis=1) > 1)
    asked = []
    for n in rows:
        rules = np.flatnonzero(matching[n])
        asked.append(rule_prompt(prompts, int(n), rules, proposal[n, rules].argmax(axis=1)))
    lost = 0
    for n, said in zip(rows, reader.score_letters(asked, rotations), strict=True):
        if said.log_probability is None:
            lost += 1
            continue
        found[n, matching[n]] = np.exp(said.log_probability)
    return found, lost


def join_ranking(
    share: Float[ndarray, "occasion production"],
    ranking: Float[ndarray, "occasion production"],
    weight: float,
) -> Float[ndarray, "occasion production"]:
    """Shares of the core times the ranking to the power of a weight; rows sum as they did.

    >>> join_ranking(np.array([[0.5, 0.5, 0.0]]), np.array([[0.8, 0.2, 0.0]]), 1.0)
    array([[0.8, 0.2, 0. ]])
    """
    joined = share * np.maximum(ranking, 1e-6) ** weight
    total = joined.sum(axis=1, keepdims=True)
    return np.asarray(joined * share.sum(axis=1, keepdims=True) / np.where(total > 0, total, 1.0))


def fit_ranking_weight(
    core: FittedCognitiveCore, data: ChoiceData, ranking: Float[ndarray, "occasion production"]
) -> float:
    """The weight of a ranking with the highest likelihood of the choices of `data`, in [0, 3]."""
    from scipy.optimize import minimize_scalar

    share, proposal = core.compete(data)
    rows = np.arange(len(data))

    def loss(weight: float) -> float:
        p = core.blend(data, join_ranking(share, ranking, weight), proposal)
        return float(-np.log(np.maximum(p[rows, data.occasions.chosen], 1e-6)).mean())

    best = minimize_scalar(loss, bounds=(0.0, MOST_WEIGHT), method="bounded", options={"xatol": 1e-3})
    return float(best.x) if best.fun < loss(0.0) else 0.0
