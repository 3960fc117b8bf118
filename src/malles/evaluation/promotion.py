"""Promotion response: does a product win more often when it is discounted, and does the model know?

This separates models that the hit rate does not: popularity and habit predict no response at all.
Discounts were not drawn at random, so the comparison is of associations, not of causal effects.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Integer
from numpy import ndarray
from scipy.sparse import csr_array

from malles.errors import DataError
from malles.evaluation.bootstrap import DRAWS, Interval, clusters_of, draw_weights, interval_of
from malles.evaluation.metrics import on_slate


@dataclass(frozen=True)
class PromotionResponse:
    """Difference of win rate, discounted minus regular, per product: realised and predicted."""

    product: Integer[ndarray, " product"]
    realised: Float[ndarray, " product"]
    predicted: Float[ndarray, " product"]
    appearances: Integer[ndarray, "product state"]
    """Slates with the product at a regular price, and at a discount."""
    correlation_score: Interval
    slope: Interval
    """Of realised on predicted; 1 = calibrated, above 1 = the model under-reacts."""
    response_error: Interval
    """Root mean squared difference of predicted and realised response."""
    zero_response_error: float
    """The same for a model that predicts no response."""
    left_out: int
    """Products in the slates with too few appearances in one of the two states."""

    def summary(self, model: str) -> dict[str, float | int | str]:
        """One row of a table of models, in the columns of `ReportContent.promotion_summary`."""
        return {
            "model": model,
            "products": len(self.product),
            "correlation": self.correlation_score.value,
            "slope": self.slope.value,
            "slope_low": self.slope.low,
            "slope_high": self.slope.high,
            "error": self.response_error.value,
            "zero_error": self.zero_response_error,
        }

    def to_frame(self) -> pl.DataFrame:
        """product, realised, predicted, regular, discounted (appearances)."""
        return pl.DataFrame(
            {
                "product": self.product,
                "realised": self.realised,
                "predicted": self.predicted,
                "regular": self.appearances[:, 0],
                "discounted": self.appearances[:, 1],
            }
        )


def promotion_response(
    probability: Float[ndarray, "occasion alternative"],
    available: Bool[ndarray, "occasion alternative"],
    chosen: Integer[ndarray, " occasion"],
    product: Integer[ndarray, "occasion alternative"],
    price: Float[ndarray, "occasion alternative"],
    list_price: Float[ndarray, "occasion alternative"],
    customer: Integer[ndarray, " occasion"],
    rng: np.random.Generator,
    *,
    min_discounted: int = 25,
    min_regular: int = 25,
    discounted_from: float = 0.10,
    regular_below: float = 0.02,
    draws: int = DRAWS,
) -> PromotionResponse:
    """Realised against predicted difference of win rate, discounted minus regular slates, by product.

        response = mean(win | discount >= 10 %) - mean(win | discount < 2 %)
        discount = 1 - price / list price

    Slope and correlation are over products, unweighted. Intervals draw customers with replacement; the
    products compared stay those of the full sample. Those of correlation and error are centred: resampling
    adds noise, which lowers the one and raises the other.

    Args:
        probability: choice probabilities.
        available: which columns could be chosen.
        chosen: column of the choice.
        product: product codes; negative ones are no products.
        price: net unit price.
        list_price: regular unit price; alternatives without one are left out.
        customer: who decided; the bootstrap draws customers.
        rng: draws of the bootstrap.
        min_discounted: slates at a discount that a product needs.
        min_regular: slates at a regular price that a product needs.
        discounted_from: smallest discount that counts as one.
        regular_below: discounts below this count as the regular price.
        draws: number of bootstrap draws.

    Raises:
        DataError: fewer than three products have enough appearances.
    """
    p = on_slate(probability, available)
    row, column = np.nonzero(available & (product >= 0) & (list_price > 0))
    discount = 1 - price[row, column].astype(np.float64) / list_price[row, column]
    # prices are stored in 32 bits: a discount of exactly 10 % must not fall out by rounding
    state = np.where(discount >= discounted_from - 1e-6, 1, np.where(discount < regular_below - 1e-6, 0, -1))
    offered, code = np.unique(product[row, column], return_inverse=True)
    code = code.reshape(-1)
    seen = state >= 0
    size = np.bincount(2 * code[seen] + state[seen], minlength=2 * len(offered)).reshape(-1, 2)
    kept = (size[:, 0] >= min_regular) & (size[:, 1] >= min_discounted)
    if np.count_nonzero(kept) < 3:
        raise DataError(
            f"{np.count_nonzero(kept)} of {len(offered)} products have {min_regular} slates at a regular "
            "price and "
            f"{min_discounted} at a discount; promotion response needs at least 3 (lower the counts or "
            "add occasions)."
        )
    position = np.cumsum(kept) - 1
    use = seen & kept[code]
    r, c = row[use], column[use]
    cell = 2 * position[code[use]] + state[use]
    cells = 2 * int(kept.sum())
    cluster = clusters_of(customer)[r]
    customers = int(cluster.max()) + 1

    def per_customer(value: ndarray) -> csr_array:
        return csr_array((value, (cluster, cell)), shape=(customers, cells))

    sums = [per_customer(v.astype(np.float64)) for v in (np.ones(len(r)), chosen[r] == c, p[r, c])]

    def responses(weight: ndarray) -> tuple[ndarray, ndarray]:
        n, won, expected = (np.asarray(weight @ s).reshape(len(weight), -1, 2) for s in sums)
        with np.errstate(invalid="ignore", divide="ignore"):
            win, predicted_win = won / n, expected / n
        return win[..., 1] - win[..., 0], predicted_win[..., 1] - predicted_win[..., 0]

    realised, predicted = responses(np.ones((1, customers)))
    drawn = responses(draw_weights(customers, draws, rng).astype(np.float64))
    point, spread = _summaries(realised, predicted), _summaries(*drawn)
    correlation, slope, error = (
        interval_of(float(v[0]), s, centred=centred)
        for v, s, centred in zip(point, spread, (True, False, True), strict=True)
    )
    return PromotionResponse(
        offered[kept].astype(np.int64),
        realised[0],
        predicted[0],
        size[kept].astype(np.int64),
        correlation,
        slope,
        error,
        float(np.sqrt(np.mean(realised[0] ** 2))),
        int(np.count_nonzero(~kept)),
    )


def _summaries(realised: ndarray, predicted: ndarray) -> tuple[ndarray, ndarray, ndarray]:
    """Correlation, slope and root mean squared error over products, one per draw; NaN without variation."""
    both = np.isfinite(realised) & np.isfinite(predicted)
    count = np.maximum(both.sum(axis=1, keepdims=True), 1)

    def centred(value: ndarray) -> ndarray:
        inside = np.where(both, value, 0.0)
        return np.where(both, inside - inside.sum(axis=1, keepdims=True) / count, 0.0)

    y, x = centred(realised), centred(predicted)
    xx, xy, yy = (x * x).sum(axis=1), (x * y).sum(axis=1), (y * y).sum(axis=1)
    flat = 1e-18 * count[:, 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = np.where(xx > flat, xy / xx, np.nan)
        correlation = np.where((xx > flat) & (yy > flat), xy / np.sqrt(xx * yy), np.nan)
    gap = np.where(both, realised - predicted, 0.0)
    return correlation, slope, np.sqrt((gap * gap).sum(axis=1) / count[:, 0])
