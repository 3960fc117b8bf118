"""Archetypes: customers who answer probe occasions alike are asked about once, and still choose alone.

    responses to probes → archetypes (within occupied cells) → one answer per archetype and shelf
    → each customer's own distribution (the answer, tilted) → each customer's own draw

Customers are not clustered by who they are but by what they would do: their choice probabilities on the
same few shelves (`malles.population.probes`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Int16, Int32, Int64
from numpy import ndarray

from malles.errors import DataError

ITERATIONS = 50
MOST = 32_767
"""Archetypes that an `int16` code can tell apart."""


@dataclass(frozen=True)
class Archetypes:
    """Which customers are asked about together."""

    code: Int16[ndarray, " customer"]
    """Archetype of each customer; every archetype has members, and all of one cell."""
    centre: Float[ndarray, "archetype response"]
    """Mean response of the members."""
    size: Int64[ndarray, " archetype"]
    """Members."""
    cell: Int32[ndarray, " archetype"]
    """Cell that the members share."""
    representative: Int32[ndarray, " archetype"]
    """The member whose response is nearest to the mean: the customer that a model is asked about."""

    def __len__(self) -> int:
        return len(self.size)

    def share(self, weight: Float[ndarray, " customer"] | None = None) -> Float[ndarray, " archetype"]:
        """Part of the market in each archetype.

        Args:
            weight: of each customer, for example raked to a census; default: all count alike.
        """
        found = np.bincount(self.code, weight, minlength=len(self.size))
        return np.asarray(found / found.sum())


def build_archetypes(
    response: Float[ndarray, "customer response"],
    count: int,
    cell: Int[ndarray, " customer"] | None = None,
) -> Archetypes:
    """At most `count` groups of customers who respond alike, never across cells.

    Every occupied cell is one group; the group with the largest sum of squares is split at its mean along
    its first principal direction until there are `count`; then means and members take turns (k-means,
    within cells). No random numbers: the same responses give the same archetypes.

    Args:
        response: probabilities (or log-odds) on the probes, one row per customer.
        count: groups; as many as there are distinct responses at most, and at least one per occupied cell.
        cell: customers of different cells are never put together, for example income groups; default: one.

    Returns:
        Archetypes in order of (cell, falling size).

    Raises:
        DataError: no customers, a response that is no number, or fewer groups than occupied cells.

    Source: Su and Dy (2007), divisive start along principal directions; Lloyd (1982).

    >>> found = build_archetypes(np.array([[0.0], [0.1], [0.9], [1.0], [1.0]]), 2)
    >>> found.code, found.size, found.representative
    (array([1, 1, 0, 0, 0], dtype=int16), array([3, 2]), array([3, 0], dtype=int32))
    """
    x = np.asarray(response, np.float64)
    n = len(x)
    cells = np.zeros(n, np.int64) if cell is None else np.asarray(cell, np.int64)
    if not n or not np.isfinite(x).all():
        raise DataError(f"responses of {n} customers hold missing or infinite numbers; give finite ones.")
    occupied, group = np.unique(cells, return_inverse=True)
    if not len(occupied) <= count <= MOST:
        raise DataError(
            f"{count} archetypes for {len(occupied)} occupied cells; ask for {len(occupied)} to {MOST}."
        )
    group = _improve(x, cells, _split(x, group.reshape(-1), count))
    size = np.bincount(group)
    of = np.zeros(len(size), np.int64)
    of[group] = cells
    first = np.full(len(size), n)
    np.minimum.at(first, group, np.arange(n))
    order = np.lexsort((first, -size, of))
    place = np.empty(len(size), np.int64)
    place[order] = np.arange(len(size))
    group, size = place[group], size[order]
    centre = _means(x, group, len(size))
    far = ((x - centre[group]) ** 2).sum(1)
    nearest = np.lexsort((np.arange(n), far.round(12), group))
    representative = nearest[np.concatenate([[0], np.cumsum(size)[:-1]])]
    return Archetypes(
        group.astype(np.int16), centre, size.astype(np.int64), of[order].astype(np.int32),
        representative.astype(np.int32),
    )  # fmt: skip


def _means(x: ndarray, group: ndarray, count: int) -> ndarray:
    order = np.argsort(group, kind="stable")
    size = np.bincount(group, minlength=count)
    sums = np.add.reduceat(x[order], np.concatenate([[0], np.cumsum(size)[:-1]]), axis=0)
    return np.asarray(sums / size[:, None])


def _split(x: ndarray, group: ndarray, count: int) -> ndarray:
    """Split the widest group at its mean along its first principal direction until there are `count`."""
    group = group.copy()

    def spread(rows: ndarray) -> float:
        part = x[rows]
        return float(((part - part.mean(0)) ** 2).sum())

    groups = int(group.max()) + 1
    width = [spread(group == g) for g in range(groups)]
    while groups < count:
        widest = int(np.argmax(width))
        if width[widest] <= 1e-12:
            break
        rows = np.flatnonzero(group == widest)
        part = x[rows] - x[rows].mean(0)
        along = part @ np.linalg.eigh(part.T @ part)[1][:, -1]
        along = along * np.sign(along[np.argmax(np.abs(along))])  # a direction has no sign of its own
        right = along > 0
        if right.all() or not right.any():
            width[widest] = 0.0
            continue
        group[rows[right]] = groups
        width[widest] = spread(rows[~right])
        width.append(spread(rows[right]))
        groups += 1
    return group


def _improve(x: ndarray, cells: ndarray, group: ndarray) -> ndarray:
    """k-means within cells from the given groups; a group that runs empty is dropped."""
    squares = (x**2).sum(1)
    for _ in range(ITERATIONS):
        kept, group = np.unique(group, return_inverse=True)
        group = group.reshape(-1)
        centre = _means(x, group, len(kept))
        of = np.zeros(len(kept), np.int64)
        of[group] = cells
        distance = squares[:, None] - 2 * x @ centre.T + (centre**2).sum(1)
        distance[cells[:, None] != of] = np.inf
        own = distance[np.arange(len(x)), group]
        nearest = distance.argmin(1)
        better = distance[np.arange(len(x)), nearest] < own - 1e-12
        if not better.any():
            break
        group = np.where(better, nearest, group)
    return np.unique(group, return_inverse=True)[1].reshape(-1)


def tilt_probabilities(
    probability: Float[ndarray, "occasion alternative"],
    score: Float[ndarray, "occasion alternative"],
    available: Bool[ndarray, "occasion alternative"],
) -> Float[ndarray, "occasion alternative"]:
    """A customer's own distribution: its archetype's, tilted by what is its own.

        P[n, j] is proportional to Q[n, j] exp(score[n, j])

    Args:
        probability: Q, of the customer's archetype.
        score: log-odds of the customer against its archetype's, for example tastes times attributes, or the
            log-probability of a cheap model for the customer less the one for the representative.
        available: the choice set.

    >>> tilt_probabilities(np.array([[0.5, 0.5]]), np.log([[3.0, 1.0]]), np.ones((1, 2), bool))
    array([[0.75, 0.25]])
    """
    with np.errstate(divide="ignore"):
        utility = np.where(available, np.log(probability) + score, -np.inf)
    weight = np.exp(utility - utility.max(1, keepdims=True))
    return np.asarray(weight / weight.sum(1, keepdims=True))


def kept_variance(
    probability: Float[ndarray, "customer response"], approximation: Float[ndarray, "customer response"]
) -> float:
    """Part of the variance between customers that an approximation keeps; 1 = all, below 0 = worse than none.

        1 - sum of (P - Q)^2 / sum of (P - mean over customers of P)^2

    Args:
        probability: P, every customer's own answer to the same shelves.
        approximation: Q, what stands for it.

    >>> own, pairs = np.array([[0.2], [0.4], [0.6], [0.8]]), np.array([[0.3], [0.3], [0.7], [0.7]])
    >>> round(kept_variance(own, pairs), 3)
    0.8
    """
    p = np.asarray(probability, np.float64)
    total = float(((p - p.mean(0)) ** 2).sum())
    if total <= 0:
        return 1.0
    return 1.0 - float(((p - approximation) ** 2).sum()) / total
