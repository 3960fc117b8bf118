"""Do calibrated probabilities add up better? Share distances of several models, paired by household.

All models meet the same households, the same cells and, for their floors, the same luck, so a difference of
excesses is due to the models. A distance of resampled households is larger than that of the sample (a cell of
few choices is rough); intervals are centred for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float
from numpy import ndarray
from scipy.sparse import csr_array

from malles.errors import DataError, UsageError, did_you_mean
from malles.evaluation.bootstrap import DRAWS, clusters_of, draw_weights, interval_of
from malles.evaluation.metrics import mix_uniform, on_slate
from malles.vocabulary import Occasions

LEVELS = ("category", "category-week", "product")
"""What a cell is: the shares within a category, within a category and week; the wins of a product."""

PRICE_STEP = 0.01
"""Prices over the mean price of their cell are compared on a grid of so much."""

_BLOCK = 25  # draws of the bootstrap at a time: bounds memory


def compare_share_distances(
    predictions: Mapping[str, Float[ndarray, "occasion alternative"]],
    occasions: Occasions,
    reference: str,
    rng: np.random.Generator,
    *,
    level: str = "category",
    weights: Mapping[str, Float[ndarray, " occasion"]] | None = None,
    min_occasions: int = 25,
    simulations: int = 20,
    draws: int = DRAWS,
) -> pl.DataFrame:
    """Excess of share distances over their sampling floor by model, and its difference to the reference.

        excess = distance(actual, predicted) - mean distance(drawn from predicted, predicted)

    At the levels of categories KL, total variation and price Wasserstein-1 are those of `share_distances`,
    averaged over cells by their occasions. At the level of products a cell is one product on the slates it
    stood on:

        KL = sum over j of n[j] KL(won[j] || P won[j]) / choices
        TV = sum over j of |wins[j] - expected wins[j]| / 2 / choices

    Args:
        predictions: choice probabilities by model name.
        occasions: held-out occasions with known choices.
        reference: model that differences are taken to.
        rng: draws of the floors and of the households.
        level: one of `LEVELS`.
        weights: by model, how much each occasion's prediction counts (calibrated customer weights); models
            left out weigh all alike. What was bought is never weighted, nor is the floor.
        min_occasions: smaller cells are left out.
        simulations: draws of all choices for the floor, the same luck for every model.
        draws: draws of households.

    Returns:
        model, level, distance, value, floor, floor_low, floor_high, excess, low, high (of the excess),
        difference, difference_low, difference_high (of the excess, to the reference).

    Raises:
        DataError: no cell is large enough.
        UsageError: the level or the reference does not exist.
    """
    if level not in LEVELS:
        raise UsageError(f"there is no level {level!r}; choose one of {', '.join(LEVELS)}.")
    if reference not in predictions:
        raise UsageError(f"there is no model {reference!r}. {did_you_mean(reference, predictions)}".rstrip())
    cells = _Cells(occasions, level, min_occasions)
    weight = draw_weights(cells.customers, draws, rng)
    luck = rng.random((simulations, cells.count))
    found = {
        name: _distances(cells, p, luck, weight, (weights or {}).get(name)) for name, p in predictions.items()
    }
    rows = []
    base = found[reference]
    for name, own in found.items():
        for i, distance in enumerate(cells.names):
            excess = interval_of(own.value[i] - own.floor[:, i].mean(), own.drawn[:, i], centred=True)
            low, high = np.quantile(own.floor[:, i], [0.025, 0.975])
            gap = own.value[i] - base.value[i] - own.floor[:, i].mean() + base.floor[:, i].mean()
            apart = interval_of(float(gap), own.drawn[:, i] - base.drawn[:, i], centred=True)
            rows.append(
                (
                    name, level, distance, float(own.value[i]), float(own.floor[:, i].mean()), float(low),
                    float(high), float(excess.value), excess.low, excess.high,
                    apart.value, apart.low, apart.high,
                )
            )  # fmt: skip
    names = (
        "model", "level", "distance", "value", "floor", "floor_low", "floor_high", "excess", "low", "high",
        "difference", "difference_low", "difference_high",
    )  # fmt: skip
    return pl.DataFrame(rows, schema=names, orient="row")


@dataclass(frozen=True)
class _Distances:
    value: ndarray  # [distance]
    floor: ndarray  # [simulation, distance]
    drawn: ndarray  # [draw, distance]


def _distances(
    cells: _Cells, probability: ndarray, luck: ndarray, weight: ndarray, counts: ndarray | None
) -> _Distances:
    p = mix_uniform(on_slate(probability[cells.kept], cells.available), cells.available)
    predicted = cells.spread(p)
    shown = predicted if counts is None else cells.spread(p * cells.level_out(counts)[:, None])
    actual = cells.spread(cells.picked(cells.chosen))
    one = np.ones((1, cells.customers))
    value = cells.distances(one, actual, shown)[0]
    run = np.cumsum(p, axis=1)
    floor = []
    for u in luck:
        drawn = (u[:, None] * run[:, -1:] >= run).sum(axis=1)
        floor.append(cells.distances(one, cells.spread(cells.picked(drawn)), predicted)[0])
    blocks = [
        cells.distances(weight[a : a + _BLOCK].astype(np.float64), actual, shown)
        for a in range(0, len(weight), _BLOCK)
    ]
    return _Distances(value, np.stack(floor), np.concatenate(blocks))


class _Cells:
    """The cells of one level: masses per household and cell, and the distances of their sums."""

    def __init__(self, o: Occasions, level: str, min_occasions: int) -> None:
        self.level = level
        known = np.flatnonzero(o.chosen >= 0)
        if level == "product":
            stands = o.product[known][o.available[known] & (o.product[known] >= 0)]
            enough = np.bincount(stands) >= min_occasions
            self.kept = known
        else:
            week = o.week.astype(np.int64) * (level == "category-week")
            label = o.category[known].astype(np.int64) * (int(week.max(initial=0)) + 1) + week[known]
            _, cell = np.unique(label, return_inverse=True)
            large = np.bincount(cell) >= min_occasions
            self.kept = known[large[cell]]
            cell = (np.cumsum(large) - 1)[cell[large[cell]]]
        if not len(self.kept) or (level == "product" and not enough.any()):
            raise DataError(f"no {level} has {min_occasions} occasions; lower min_occasions.")
        self.count = len(self.kept)
        self.available = o.available[self.kept]
        self.chosen = o.chosen[self.kept].astype(np.int64)
        customer = clusters_of(o.customer[self.kept])
        self.customers = int(customer.max()) + 1
        product = o.product[self.kept]
        row, column = np.nonzero(self.available & (product >= 0))
        self.row, self.column, self.by = row, column, customer[row]
        item = product[row, column].astype(np.int64)
        if level == "product":
            code = np.where(enough[item], np.cumsum(enough)[item] - 1, -1)
            self.names: tuple[str, ...] = ("kl_distance", "total_variation_distance")
            self.grids = [(code, np.arange(int(enough.sum())), np.zeros(0))]
            self.cells = int(enough.sum())
            return
        self.names = ("kl_distance", "total_variation_distance", "price_wasserstein_distance")
        self.cells = int(cell.max()) + 1
        self.size = csr_array((np.ones(self.count), (customer, cell)), shape=(self.customers, self.cells))
        where = cell[row]
        money = o.price[self.kept][row, column].astype(np.float64)
        mean = np.bincount(where, money, self.cells) / np.maximum(np.bincount(where, minlength=self.cells), 1)
        relative = np.round(money / np.where(mean > 0, mean, 1.0)[where] / PRICE_STEP).astype(np.int64)
        self.grids = []
        for key in (item, relative):
            unique, code = np.unique(where * (int(key.max()) + 1) + key, return_inverse=True)
            cell_of, level_of = np.divmod(unique, int(key.max()) + 1)
            step = np.append(np.diff(level_of), 0) * PRICE_STEP
            step[np.append(np.diff(cell_of), 1) != 0] = 0.0
            self.grids.append((code, cell_of, step))

    def level_out(self, counts: ndarray) -> ndarray:
        """Weights of the kept occasions, with mean 1."""
        w = counts[self.kept].astype(np.float64)
        return np.asarray(w / w.mean())

    def picked(self, chosen: ndarray) -> ndarray:
        """Mass 1 on the chosen column."""
        table = np.zeros(self.available.shape)
        table[np.arange(self.count), chosen] = 1.0
        return table

    def spread(self, mass: ndarray) -> list[csr_array]:
        """Masses [occasion, alternative] summed per household and code, for every grid."""
        value = mass[self.row, self.column]
        some = value != 0
        out = []
        for code, cell_of, _ in self.grids:
            use = some & (code >= 0)
            table = csr_array((value[use], (self.by[use], code[use])), shape=(self.customers, len(cell_of)))
            out.append(table)
        if self.level == "product":  # appearances
            code = self.grids[0][0]
            use = code >= 0
            out.append(
                csr_array(
                    (np.ones(int(use.sum())), (self.by[use], code[use])), shape=(self.customers, self.cells)
                )
            )
        return out

    def distances(self, weight: ndarray, actual: list[csr_array], predicted: list[csr_array]) -> ndarray:
        """Every distance averaged over cells, for every weighing of the households [draw, distance]."""
        if self.level == "product":
            won, expected, stood = (np.asarray(weight @ m) for m in (actual[0], predicted[0], actual[1]))
            stood = np.maximum(stood, 1e-12)
            kl = won * _log_ratio(won, expected) + (stood - won) * _log_ratio(stood - won, stood - expected)
            total = np.maximum(won.sum(axis=1), 1e-12)
            return np.column_stack([kl.sum(axis=1) / total, np.abs(won - expected).sum(axis=1) / 2 / total])
        size = np.asarray(weight @ self.size)
        share = size / size.sum(axis=1, keepdims=True)
        columns = []
        for g, (_, cell_of, step) in enumerate(self.grids):
            at = np.maximum(size[:, cell_of], 1e-12)
            a, p = np.asarray(weight @ actual[g]) / at, np.asarray(weight @ predicted[g])
            cell_sum = csr_array((np.ones(len(cell_of)), (np.arange(len(cell_of)), cell_of)))
            p = p / np.maximum(np.asarray(p @ cell_sum)[:, cell_of], 1e-12)
            by_mass = share[:, cell_of]
            if g == 0:
                columns.append((by_mass * a * _log_ratio(a, p)).sum(axis=1))
                columns.append((by_mass * np.abs(a - p)).sum(axis=1) / 2)
            else:  # the masses of each cell cancel, so one running sum serves all cells
                columns.append((by_mass * np.abs(np.cumsum(a - p, axis=1)) * step).sum(axis=1))
        return np.column_stack(columns)


def _log_ratio(a: ndarray, p: ndarray) -> ndarray:
    """log(a / p) where a > 0, else 0."""
    safe = np.where(a > 0, a, 1.0)
    return np.where(a > 0, np.log(safe / np.maximum(p, 1e-300)), 0.0)
