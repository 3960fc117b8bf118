"""Choice data to examples of post-training: prompts, skip, teacher, and the same at other prices."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np
from jaxtyping import Float32, Int32
from numpy import ndarray

from malles.llm.training.examples import Examples
from malles.llm.wording import ChoicePrompts
from malles.vocabulary import ChoiceData, Occasions

CHANGES = (0.6, 0.7, 0.8, 0.9, 1.1, 1.2, 1.3)
"""Price multipliers of the occasions at changed prices."""


class Utility(Protocol):
    """Systematic utilities of a fitted model."""

    def __call__(self, data: ChoiceData) -> Float32[ndarray, "occasion alternative"]: ...


def build_examples(
    data: ChoiceData,
    group: Int32[ndarray, " occasion"],
    *,
    skip: ndarray | None = None,
    teacher: ndarray | None = None,
    usual: ndarray | None = None,
) -> Examples:
    """Occasions with known choices as examples; tables are by column of the occasions.

    Args:
        data: occasions with their features and the catalogue.
        group: category that batches are balanced over.
        skip: utilities of a fitted model that the language model adds to.
        teacher: probabilities of a fitted model as soft targets.
        usual: units that the customer usually takes of each alternative.
    """
    prompts = ChoicePrompts(data)
    o = data.occasions
    available = o.available
    line = np.cumsum(available, axis=1) - 1  # column to line of the prompt
    rows = np.arange(len(data))
    known = o.chosen >= 0
    chosen = np.where(known, line[rows, np.maximum(o.chosen, 0)], -1)
    J = int(available.sum(axis=1).max(initial=1))
    log_teacher = None
    if teacher is not None:
        log_teacher = by_line(np.log(np.maximum(teacher, 1e-9)), available, J, fill=-1e9)
    return Examples(
        render=prompts.prompt,
        chosen=chosen.astype(np.int32),
        skip=by_line(skip, available, J) if skip is not None else np.zeros((len(data), J), np.float32),
        group=group.astype(np.int32),
        teacher=log_teacher,
        units=np.where(known, o.units, 0).astype(np.int32),
        usual=by_line(np.log(np.maximum(usual, 1.0)), available, J) if usual is not None else None,
    )


def usual_units(data: ChoiceData) -> ndarray:
    """Units the customer usually takes of an alternative: of the product, else of the category, else one."""
    names, context = data.feature_names, data.context_names
    if "own_mean_units" not in names:
        return np.ones(data.occasions.shape, np.float32)
    own = np.exp(data.feature("own_mean_units"))
    ever = data.feature("own_ever") > 0
    rest = np.exp(data.context[:, context.index("category_units")])[:, None]
    usual: ndarray = np.where(ever, own, rest).astype(np.float32)
    return usual


def by_line(table: ndarray, available: ndarray, width: int, fill: float = 0.0) -> ndarray:
    """A table by column as one by line of the prompt: available columns moved to the left."""
    order = np.argsort(~available, axis=1, kind="stable")[:, :width]
    moved = np.take_along_axis(np.asarray(table, np.float32), order, axis=1)
    present = np.take_along_axis(available, order, axis=1)
    return np.where(present, moved, np.float32(fill)).astype(np.float32)


def by_column(table: ndarray, available: ndarray) -> ndarray:
    """The way back from `by_line`; unavailable columns are zero."""
    line = np.clip(np.cumsum(available, axis=1) - 1, 0, table.shape[1] - 1)
    return np.where(available, np.take_along_axis(table, line, axis=1), 0)


def change_prices(occasions: Occasions, rng: np.random.Generator) -> Occasions:
    """The same occasions with the price of one random alternative of each multiplied by one of `CHANGES`.

    The list price stays, so that a cut shows as a discount; a rise above it raises it.
    """
    price, full = occasions.price.copy(), occasions.list_price.copy()
    real = occasions.available & (occasions.product >= 0)
    draw = np.where(real, rng.random(real.shape), -1.0)
    j = draw.argmax(axis=1)
    rows = np.flatnonzero(real.any(axis=1))
    factor = rng.choice(CHANGES, len(occasions)).astype(np.float32)
    new = np.maximum(np.round(price[rows, j[rows]] * factor[rows], 2), 0.01)
    price[rows, j[rows]] = new
    full[rows, j[rows]] = np.maximum(full[rows, j[rows]], new)
    return replace(occasions, price=price, list_price=full)
