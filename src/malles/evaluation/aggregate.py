"""Do the probabilities add up to the market? Shares by category and week, beside their floors.

A cell of 30 occasions has a distance above zero even from the true probabilities. The *floor* is the
distance that choices drawn from the submitted probabilities themselves have; what is above it, the *excess*,
is the model's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float
from numpy import ndarray

from malles.errors import DataError
from malles.evaluation.metrics import mix_uniform, on_slate
from malles.vocabulary import Occasions

DISTANCES = ("kl_distance", "total_variation_distance", "price_wasserstein_distance")


@dataclass(frozen=True)
class ShareDistance:
    """One distance between realised and predicted shares, averaged over cells by their number of
    occasions.
    """

    level: str
    """'category' or 'category-week'."""
    distance: str
    value: float
    floor: float
    """Mean over simulations from the submitted probabilities."""
    floor_low: float
    floor_high: float
    """Range of 95 % of the simulations."""

    @property
    def excess(self) -> float:
        """What is above the sampling floor; around 0 for the true probabilities."""
        return self.value - self.floor


@dataclass(frozen=True)
class ShareDistances:
    """All distances at one level, and each cell's own."""

    summary: tuple[ShareDistance, ...]
    cells: pl.DataFrame
    """One row per cell: category, week (0 if pooled), occasions, and every distance with its floor."""
    left_out: int
    """Occasions in cells with too few of them."""

    def summary_frame(self) -> pl.DataFrame:
        """level, distance, value, floor, floor_low, floor_high, excess."""
        names = (*ShareDistance.__dataclass_fields__, "excess")
        return pl.DataFrame({n: [getattr(s, n) for s in self.summary] for n in names})


def share_distances(
    probability: Float[ndarray, "occasion alternative"],
    occasions: Occasions,
    rng: np.random.Generator,
    *,
    by_week: bool = False,
    min_occasions: int = 25,
    simulations: int = 20,
) -> ShareDistances:
    """KL, total variation and price Wasserstein-1 between realised and predicted choices, per cell and
    averaged.

        predicted share of product j in a cell = mean over its occasions of P[n, j]
        KL(actual || predicted), in nats;  TV = half the sum of |differences|
        W1 of the price of the chosen product, divided by the mean price offered in the cell

    Args:
        probability: choice probabilities; 1e-4 uniform mass is mixed in, as for the log-loss.
        occasions: held-out occasions with known choices.
        rng: draws of the simulated choices.
        by_week: cells are category x week instead of category.
        min_occasions: smaller cells are left out and counted.
        simulations: draws of all choices for the floor.

    Raises:
        DataError: no cell is large enough.
    """
    level = "category-week" if by_week else "category"
    week = occasions.week.astype(np.int64) if by_week else np.zeros(len(occasions), np.int64)
    label, cell = np.unique(
        np.column_stack([occasions.category.astype(np.int64), week]), axis=0, return_inverse=True
    )
    cell = cell.reshape(-1)
    enough = np.bincount(cell, minlength=len(label)) >= min_occasions
    kept = enough[cell] & (occasions.chosen >= 0)
    if not kept.any():
        raise DataError(
            f"no {level} has {min_occasions} occasions; lower min_occasions or score more of them."
        )
    cell = (np.cumsum(enough) - 1)[cell[kept]]
    size = np.bincount(cell).astype(float)
    available = occasions.available[kept]
    p = mix_uniform(on_slate(probability[kept], available), available)
    chosen = occasions.chosen[kept].astype(np.int64)
    shelf = _Shelf(cell, size, occasions.product[kept], occasions.price[kept], available, p)
    value = shelf.distances(chosen)
    cumulative = np.cumsum(p, axis=1)
    drawn = []
    for _ in range(simulations):
        uniform = rng.random((len(chosen), 1)) * cumulative[:, -1:]
        drawn.append(shelf.distances((uniform >= cumulative).sum(axis=1)))
    floors = np.stack(drawn) if drawn else np.full((1, *value.shape), np.nan)
    share = size / size.sum()
    mean_value, mean_floor = value @ share, floors @ share
    low, high = np.quantile(mean_floor, [0.025, 0.975], axis=0)
    summary = tuple(
        ShareDistance(
            level, d, float(mean_value[i]), float(mean_floor[:, i].mean()), float(low[i]), float(high[i])
        )
        for i, d in enumerate(DISTANCES)
    )
    columns = {"category": label[enough, 0], "week": label[enough, 1], "occasions": size.astype(np.int64)}
    for i, d in enumerate(DISTANCES):
        columns[d], columns[f"{d}_floor"] = value[i], floors[:, i].mean(axis=0)
    return ShareDistances(summary, pl.DataFrame(columns), int(np.count_nonzero(~kept)))


class _Shelf:
    """The predicted side of every cell, prepared once; `distances` compares any vector of choices with it."""

    def __init__(
        self, cell: ndarray, size: ndarray, product: ndarray, price: ndarray, available: ndarray, p: ndarray
    ) -> None:
        self.cell, self.size = cell, size
        rows, columns = np.nonzero(available)
        where = cell[rows]
        mass = p[rows, columns] / size[where]
        key = where * (int(product.max(initial=0)) + 4) + product[rows, columns] + 3
        unique, code = np.unique(key, return_inverse=True)
        code = code.reshape(-1)
        self.code = np.full(available.shape, -1, np.int64)
        self.code[rows, columns] = code
        self.cell_of_code = np.zeros(len(unique), np.int64)
        self.cell_of_code[code] = where
        self.predicted = np.bincount(code, mass)
        # one price grid per cell: entries sorted by (cell, price), products without a price (0) included
        money = price[rows, columns].astype(np.float64)
        mean = np.bincount(where, money, len(size)) / np.bincount(where, minlength=len(size))
        relative = money / np.where(mean > 0, mean, 1.0)[where]
        order = np.lexsort((relative, where))
        self.order_place = np.full(available.shape, -1, np.int64)
        self.order_place[rows[order], columns[order]] = np.arange(len(order))
        self.cell_sorted, self.mass_sorted = where[order], mass[order]
        step = np.diff(relative[order], append=0.0)
        self.step = np.where(np.append(np.diff(self.cell_sorted), 1) == 0, step, 0.0)

    def distances(self, chosen: ndarray) -> Float[ndarray, "distance cell"]:
        """Every distance in every cell."""
        row = np.arange(len(chosen))
        one = 1 / self.size[self.cell]
        cells = len(self.size)
        actual = np.bincount(self.code[row, chosen], one, len(self.predicted))
        bought = actual > 0
        ratio = actual[bought] * np.log(actual[bought] / self.predicted[bought])
        kl = np.bincount(self.cell_of_code[bought], ratio, cells)
        tv = np.bincount(self.cell_of_code, np.abs(actual - self.predicted), cells) / 2
        mass = np.bincount(self.order_place[row, chosen], one, len(self.mass_sorted)) - self.mass_sorted
        # the masses of each cell cancel, so one running sum serves all cells
        w1 = np.bincount(self.cell_sorted, np.abs(np.cumsum(mass)) * self.step, cells)
        return np.stack([kl, tv, w1])
