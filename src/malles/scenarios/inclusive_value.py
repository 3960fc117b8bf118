"""What a changed shelf is worth to a trip: the change of the inclusive value, and what incidence may do with
it.

With P the choice probabilities of the base world and P' those of the scenario, and δ[j] the change of the
utility of alternative j where it is known,

    d = log( sum over A of P[j] exp(δ[j]) / sum over A of P'[j] )        change of log sum exp(V)

over any set A of alternatives whose δ is known: those left as they were (δ = 0), else, on a shelf of which
every price moves, those of which nothing but the price moved (δ = -η Δ log price, η measured).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from malles.errors import OccasionError
from malles.vocabulary import PADDING, Occasions

FLOOR = 1e-6
"""Least probability of the alternatives that are compared."""


@dataclass(frozen=True)
class Anchors:
    """Alternatives by which two worlds are compared, in the columns of the scenario."""

    known: Bool[ndarray, "occasion alternative"]
    """Whether the alternative belongs to A."""
    utility: Float[ndarray, "occasion alternative"]
    """Its δ without the price response: 0, or Δ log price where `by_price`."""
    by_price: Bool[ndarray, " occasion"]
    """Rows whose anchors are alternatives of which the price moved."""
    touched: Bool[ndarray, " occasion"]
    """Rows on which anything changed."""


def unchanged_cells(base: Occasions, after: Occasions) -> Bool[ndarray, "occasion alternative"]:
    """Cells of the scenario that hold what they held in the base world; added columns only if empty."""
    return _same_cells(base, after, ("product", "price", "list_price", "promotion"))


def _same_cells(base: Occasions, after: Occasions, names: tuple[str, ...]) -> ndarray:
    width = base.shape[1]
    same = after.product == PADDING
    same[:, :width] = True
    for name in names:
        same[:, :width] &= getattr(after, name)[:, :width] == getattr(base, name)
    return np.asarray(same)


def find_anchors(base: Occasions, after: Occasions) -> Anchors:
    """The alternatives by which each row of two worlds is compared.

    Raises:
        OccasionError: a shelf of which everything changed, and not prices alone.
    """
    same = unchanged_cells(base, after)
    touched = np.asarray(~same.all(1))
    width = base.shape[1]
    there = (after.product >= 0) & after.available
    known = same & there
    move = np.zeros(after.shape)
    bare = np.asarray(touched & ~known.any(1))
    if bare.any():
        priced = _same_cells(base, after, ("product", "promotion")) & there
        new, old = after.price[bare][:, :width], base.price[bare]
        priced[:, width:] = False
        known[bare] = priced[bare] & (after.price[bare] > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.log(new.astype(float) / old)
        move[np.flatnonzero(bare)[:, None], np.arange(width)] = np.where(known[bare][:, :width], step, 0.0)
        empty = bare & ~known.any(1)
        if empty.any():
            row = int(np.flatnonzero(empty)[0])
            raise OccasionError(
                f"on {int(empty.sum())} of {len(base)} occasions (first: week {base.week[row]}, store "
                f"{base.store[row]}) the scenario changes every product and not by price alone, so nothing "
                "is left to compare the two worlds by; leave one product as it is."
            )
    return Anchors(known, move, bare, touched)


def inclusive_change(
    anchors: Anchors,
    before: Float[ndarray, "occasion alternative"],
    after: Float[ndarray, "occasion alternative"],
    price_response: float,
) -> Float[ndarray, " occasion"]:
    """The change d of every row; 0 where nothing changed.

    Args:
        anchors: of `find_anchors`.
        before: P, in the columns of the scenario.
        after: P'.
        price_response: η >= 0, - d utility / d log price; used where every price moved.
    """
    lift = np.exp(-price_response * anchors.utility)
    old = np.where(anchors.known, before * lift, 0).sum(1)
    new = np.where(anchors.known, after, 0).sum(1)
    return np.where(anchors.touched, np.log(np.maximum(old, FLOOR) / np.maximum(new, FLOOR)), 0.0)


def measure_price_response(
    before: Float[ndarray, "occasion alternative"],
    cheaper: Float[ndarray, "occasion alternative"],
    dearer: Float[ndarray, "occasion alternative"],
    weight: Float[ndarray, " occasion"],
    step: float,
) -> float:
    """η of a category from two worlds in which the likeliest alternative k of every row costs 1 -+ `step`.

        η = sum over n of w[n] (log odds of k when cheaper - log odds of k when dearer)
            / (W log((1 + step) / (1 - step)))

    Args:
        before: P.
        cheaper: P' at price x (1 - step).
        dearer: P' at price x (1 + step).
        weight: of the rows.
        step: relative change of the price, in (0, 1).

    >>> import numpy as np
    >>> def world(p):
    ...     return np.array([[0.0, p**-2 / (1 + p**-2), 1 / (1 + p**-2)]])
    >>> round(measure_price_response(world(1), world(0.8), world(1.2), np.ones(1), 0.2), 6)
    2.0
    """
    lead = before.argmax(1)
    rows = np.arange(len(before))
    usable = weight * (before[rows, lead] < 1 - FLOOR)
    if not usable.sum():
        return 0.0
    p, q = (np.clip(table[rows, lead], FLOOR, 1 - FLOOR) for table in (cheaper, dearer))
    odds = np.log(p / (1 - p)) - np.log(q / (1 - q))
    return float((usable * odds).sum() / (usable.sum() * np.log((1 + step) / (1 - step))))


def log_odds(probability: Float[ndarray, " occasion"]) -> Float[ndarray, " occasion"]:
    """log(p / (1 - p)), finite for what never or always happens."""
    p = np.clip(np.asarray(probability, float), 1e-12, 1 - 1e-12)
    return np.asarray(np.log(p / (1 - p)))
