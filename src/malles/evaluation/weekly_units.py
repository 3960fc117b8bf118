"""Units per category (or product) and week: expected against actual."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from jaxtyping import Float, Integer
from numpy import ndarray

from malles.errors import UsageError, did_you_mean
from malles.evaluation.bootstrap import DRAWS, bootstrap_interval, cluster_sums, clusters_of, draw_weights
from malles.evaluation.metrics import poisson_deviance
from malles.vocabulary import Occasions


def expected_units(
    probability: Float[ndarray, "occasion alternative"],
    units_mean: Float[ndarray, "occasion alternative"],
    occasions: Occasions,
    *,
    by_product: bool = False,
) -> pl.DataFrame:
    """Actual and expected units per category and week, or per product and week.

        expected units = sum over occasions of P[n, j] * E[units | n, j]

    Returns:
        category (or product), week, actual, expected, occasions (or slates), sorted.
    """
    row, column = np.nonzero(occasions.available & (occasions.product >= 0))
    bought = (occasions.chosen[row] == column) * occasions.units[row]
    item = occasions.product[row, column] if by_product else occasions.category[row]
    name = "product" if by_product else "category"
    frame = pl.DataFrame(
        {
            name: item,
            "week": occasions.week[row],
            "actual": bought.astype(np.float64),
            "expected": probability[row, column].astype(np.float64) * units_mean[row, column],
            "row": row,
        }
    )
    return (
        frame.group_by(name, "week")
        .agg(pl.col("actual").sum(), pl.col("expected").sum(), pl.col("row").n_unique().alias("occasions"))
        .sort(name, "week")
    )


def compare_weekly_units(
    actual: Float[ndarray, " cell"],
    predicted: Mapping[str, Float[ndarray, " cell"]],
    category: Integer[ndarray, " cell"],
    reference: str,
    rng: np.random.Generator,
    *,
    draws: int = DRAWS,
) -> pl.DataFrame:
    """WAPE, root mean squared error, Poisson deviance and bias of units per cell, with intervals over
    categories.

    Args:
        actual: units sold in each cell (a category and week, or a product and week).
        predicted: units predicted for the same cells, by model name.
        category: what is drawn with replacement: cells of one category resemble each other.
        reference: model that the paired difference of WAPE is taken to.
        rng: draws of the bootstrap.
        draws: number of bootstrap draws.

    Returns:
        model, metric, value, low, high; the metric `wape_difference` is paired with the reference.
    """
    if reference not in predicted:
        raise UsageError(
            f"the reference {reference!r} is not among {', '.join(map(repr, predicted))}. "
            f"{did_you_mean(reference, predicted)}".rstrip()
        )
    cluster = clusters_of(category)
    weight = draw_weights(int(cluster.max()) + 1, draws, rng)
    y = actual.astype(np.float64)

    def sums(name: str) -> ndarray:
        m = predicted[name].astype(np.float64)
        deviance = poisson_deviance(y, np.maximum(m, 0.5))  # a cell forecast as empty counts as half a unit
        return cluster_sums(
            np.column_stack([np.abs(m - y), y, (m - y) ** 2, deviance, m - y, np.ones(len(y))]), cluster
        )

    rows: list[tuple[str, str, float, float, float]] = []
    base = sums(reference)
    for name in predicted:
        own = sums(name)
        for metric, combine in {
            "wape_error": lambda s: s[..., 0] / s[..., 1],
            "rmse_error": lambda s: np.sqrt(s[..., 2] / s[..., 5]),
            "poisson_deviance_loss": lambda s: s[..., 3] / s[..., 5],
            "bias": lambda s: s[..., 4] / s[..., 1],
        }.items():
            found = bootstrap_interval(own, weight, combine)
            rows.append((name, metric, found.value, found.low, found.high))
        if name != reference:
            gap = bootstrap_interval(
                np.hstack([own, base]), weight, lambda s: s[..., 0] / s[..., 1] - s[..., 6] / s[..., 7]
            )
            rows.append((name, "wape_difference", gap.value, gap.low, gap.high))
    return pl.DataFrame(rows, schema=["model", "metric", "value", "low", "high"], orient="row")
