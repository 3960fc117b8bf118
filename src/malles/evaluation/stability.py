"""Stability of a market's shares over seeds and rewordings, above what drawing alone explains.

    shares of run r      s[r, j] = draws of product j / occasions of its category
    floor                variance that draws from the mean probabilities have in any run
    excess               sqrt(max(variance over runs - floor, 0)): what wording, model or feedback add

A model that gives every product the same share is perfectly stable, and so is one that always takes the
best seller; the entropy of the shares and of single decisions stands beside the spread, so that neither is
rewarded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from malles.errors import DataError


@dataclass(frozen=True)
class ShareStability:
    """Spread of product shares over repeated runs, averaged over products by their share."""

    runs: int
    spread_error: float
    """Standard deviation of a share over the runs, [0, 1]."""
    floor: float
    """Standard deviation that drawing alone gives; 0 for expected shares."""
    excess: float
    """sqrt(max(variance - floor variance, 0)): 0 where runs differ by their draws only."""
    entropy: float
    """Entropy of the mean shares within a category, nats, averaged over categories by occasions."""

    def __str__(self) -> str:
        return (
            f"spread {self.spread_error:.4f}, of which drawing {self.floor:.4f}, excess {self.excess:.4f}; "
            f"entropy of shares {self.entropy:.3f} ({self.runs} runs)"
        )


@dataclass(frozen=True)
class ShareCells:
    """Where every alternative's share is counted: one cell per product of a category."""

    cell: Int[ndarray, "occasion alternative"]
    """Cell of each alternative; -1 in unavailable columns."""
    category: Int[ndarray, " cell"]
    """Place of the cell's category."""
    size: Float[ndarray, " category"]
    """Occasions of each category."""

    def expected(self, probability: Float[ndarray, "occasion alternative"]) -> Float[ndarray, " cell"]:
        """Shares within categories when nothing is drawn: mean probabilities."""
        there = self.cell >= 0
        mass = np.bincount(self.cell[there], probability[there], minlength=len(self.category))
        return np.asarray(mass / self.size[self.category])

    def drawn(self, pick: Int[ndarray, " occasion"]) -> Float[ndarray, " cell"]:
        """Shares of drawn choices."""
        cell = self.cell[np.arange(len(pick)), pick]
        return np.asarray(np.bincount(cell, minlength=len(self.category)) / self.size[self.category])

    def sampling_variance(
        self, probability: Float[ndarray, "occasion alternative"]
    ) -> Float[ndarray, " cell"]:
        """Variance of drawn shares: sum over occasions of P (1 - P), over the squared number of occasions."""
        there = self.cell >= 0
        one = np.bincount(
            self.cell[there], (probability * (1 - probability))[there], minlength=len(self.category)
        )
        return np.asarray(one / self.size[self.category] ** 2)


def build_share_cells(
    category: Int[ndarray, " occasion"],
    product: Int[ndarray, "occasion alternative"],
    available: ndarray,
) -> ShareCells:
    """Number the products of each category.

    Args:
        category: of each occasion.
        product: code of each alternative; another product of the category is one product too.
        available: choice sets.
    """
    known, place = np.unique(category, return_inverse=True)
    place = place.reshape(-1)
    low = int(product.min(initial=0))
    width = int(product.max(initial=0)) - low + 1
    key = place[:, None].astype(np.int64) * width + (product - low)
    live, cell = np.unique(key[available], return_inverse=True)
    table = np.full(product.shape, -1, np.int64)
    table[available] = cell.reshape(-1)
    return ShareCells(table, live // width, np.bincount(place, minlength=len(known)).astype(float))


def share_stability(
    share: Float[ndarray, "run cell"],
    cells: ShareCells,
    sampling: Float[ndarray, " cell"] | None = None,
) -> ShareStability:
    """Spread of shares over runs and its part above the sampling floor.

    Args:
        share: shares of each run, drawn or expected.
        cells: what the columns are.
        sampling: variance of drawn shares by sampling alone; None for expected shares.

    Raises:
        DataError: fewer than two runs.

    >>> cells = build_share_cells(np.array([0]), np.array([[5, 6]]), np.ones((1, 2), bool))
    >>> print(share_stability(np.array([[0.4, 0.6], [0.6, 0.4]]), cells))
    spread 0.1414, of which drawing 0.0000, excess 0.1414; entropy of shares 0.693 (2 runs)
    """
    if len(share) < 2:
        raise DataError(f"stability needs at least 2 runs, got {len(share)}.")
    mean = share.mean(0)
    weight = mean * cells.size[cells.category]
    weight = weight / weight.sum()
    variance = float(weight @ share.var(0, ddof=1))
    floor = 0.0 if sampling is None else float(weight @ sampling)
    part = cells.size / cells.size.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(mean > 0, -mean * np.log(mean), 0.0)
    entropy = float(part @ np.bincount(cells.category, each, minlength=len(cells.size)))
    return ShareStability(len(share), variance**0.5, floor**0.5, max(variance - floor, 0.0) ** 0.5, entropy)


def decision_entropy(probability: Float[ndarray, "occasion alternative"]) -> float:
    """Mean entropy of single decisions, nats.

    >>> decision_entropy(np.array([[0.5, 0.5], [1.0, 0.0]])).__round__(3)
    0.347
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(probability > 0, -probability * np.log(probability), 0.0)
    return float(each.sum(1).mean())
