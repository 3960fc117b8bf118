"""A product that nobody has sold yet: what customers would make of it, from products like it.

On an occasion where an analogue a stands at price p' and without promotion, the model says P'. Over the rest
of the shelf R both worlds are put on one scale, and the newcomer's utility is the mean over its analogues:

    V_new = mean over a of ( log P'[a] - log( sum over R of P'[j] / sum over R of P[j] ) ) + appeal

with p' the newcomer's price. It then stands beside its analogues and takes from all products by their shares,
theirs included.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.errors import ConfigError, OccasionError
from malles.scenarios.changes import Display, Mailer, PriceChange, changed_cells
from malles.scenarios.counterfactual import Decide, Demand
from malles.scenarios.inclusive_value import FLOOR
from malles.vocabulary import PADDING, Occasions


@dataclass(frozen=True)
class Newcomer:
    """A new product by its analogues."""

    name: str
    price: float
    like: tuple[int, ...]
    """Product codes."""
    appeal: float = 0.0
    """Added to utility: what makes it better or worse than its analogues at the same price."""
    weeks: tuple[int, ...] | None = None
    stores: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if not (np.isfinite(self.price) and self.price > 0):
            raise ConfigError(f"the new product {self.name!r} needs a price above 0, got {self.price}")
        if not self.like:
            raise ConfigError(f"the new product {self.name!r} needs at least one product that it is like")
        if not np.isfinite(self.appeal):
            raise ConfigError(f"`appeal` of {self.name!r} must be a number, got {self.appeal}")


def add_column(shelf: Occasions, newcomer: Newcomer, code: int) -> Occasions:
    """The occasions with the newcomer in one more column, wherever an analogue stands.

    Args:
        shelf: the scenario so far.
        newcomer: what enters.
        code: a product code that no product of the catalogue has.

    Raises:
        OccasionError: no analogue stands on any of the shelves.
    """
    rows = np.zeros(len(shelf), bool)
    for product in newcomer.like:
        rows |= changed_cells(shelf, product, newcomer.weeks, newcomer.stores).any(1)
    if not rows.any():
        raise OccasionError(
            f"none of the products that {newcomer.name!r} is like stands on a shelf in its weeks and stores; "
            "name others with `like`"
        )
    fill = {
        "product": np.where(rows, code, PADDING), "price": np.where(rows, newcomer.price, 0.0),
        "list_price": np.where(rows, newcomer.price, 0.0), "promotion": np.zeros(len(rows)),
        "available": rows, "rank": np.where(rows, shelf.rank.max(1) + 1, -1),
    }  # fmt: skip
    return replace(
        shelf,
        **{
            name: np.concatenate(
                [getattr(shelf, name), column[:, None].astype(getattr(shelf, name).dtype)], axis=1
            )
            for name, column in fill.items()
        },
    )


def drop_columns(occasions: Occasions, columns: int) -> Occasions:
    """The occasions without their last columns."""
    if not columns:
        return occasions
    names = ("product", "price", "list_price", "promotion", "available", "rank")
    return replace(occasions, **{name: getattr(occasions, name)[:, :-columns] for name in names})


def judge_newcomer(
    ask: Decide, shelf: Occasions, said: Demand, newcomer: Newcomer, price: Float[ndarray, " occasion"]
) -> tuple[Float[ndarray, " occasion"], Float[ndarray, " occasion"]]:
    """Utility of the newcomer on the scale of log P, -inf where it is not sold; and units if it is bought.

    Args:
        ask: the models.
        shelf: the scenario without newcomers, as customers meet it.
        said: what the models say of it.
        newcomer: the product.
        price: what customers pay for it, 0 where it is not sold.
    """
    total, times = np.zeros(len(shelf)), np.zeros(len(shelf))
    units = np.zeros(len(shelf))
    for product in newcomer.like:
        here = (shelf.product == product) & shelf.available & (price > 0)[:, None]
        rows = np.flatnonzero(here.any(1))
        if not len(rows):
            continue
        lent = PriceChange(product, absolute=newcomer.price).apply(shelf)
        lent = Mailer(product, on=False).apply(Display(product, on=False).apply(lent))
        paid = np.where(here, price[:, None].astype(np.float32), lent.price)
        said_of_it = ask(replace(lent, price=paid, list_price=np.where(here, paid, lent.list_price)))
        at = here.argmax(1)[rows]
        rest = shelf.available[rows] & ~here[rows]
        old = np.where(rest, said.probability[rows], 0).sum(1)
        new = np.where(rest, said_of_it.probability[rows], 0).sum(1)
        scale = np.where(rest.any(1), np.log(np.maximum(new, FLOOR) / np.maximum(old, FLOOR)), 0.0)
        total[rows] += np.log(np.maximum(said_of_it.probability[rows, at], FLOOR)) - scale
        units[rows] += said_of_it.units[rows, at]
        times[rows] += 1
    value = np.where(times > 0, total / np.maximum(times, 1) + newcomer.appeal, -np.inf)
    return value, np.where(times > 0, units / np.maximum(times, 1), 1.0)


def join_newcomer(
    said: Demand, value: Float[ndarray, " occasion"], units: Float[ndarray, " occasion"]
) -> Demand:
    """The answer with one more column; choice probabilities sum to one again."""
    weight = np.exp(value)
    table = np.column_stack([said.probability, weight]) / (said.probability.sum(1) + weight)[:, None]
    return replace(said, probability=table, units=np.column_stack([said.units, units]))
