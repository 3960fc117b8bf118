"""Are probabilities what they say? Reliability curves, and the calibration line of binary predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Integer
from numpy import ndarray

from malles.errors import DataError
from malles.evaluation.bootstrap import DRAWS, Interval, cluster_sums, clusters_of, draw_weights
from malles.evaluation.metrics import equal_mass_bins, expected_hits, on_slate


@dataclass(frozen=True)
class CalibrationCurve:
    """Mean prediction and observed frequency per bin of equal count; on the diagonal when calibrated."""

    predicted: Float[ndarray, " bin"]
    observed: Float[ndarray, " bin"]
    low: Float[ndarray, " bin"]
    """Lower bound of the observed frequency, customers drawn with replacement."""
    high: Float[ndarray, " bin"]
    count: Integer[ndarray, " bin"]

    def to_frame(self) -> pl.DataFrame:
        """predicted, observed, low, high, count; one row per bin."""
        return pl.DataFrame({name: getattr(self, name) for name in self.__dataclass_fields__})

    @property
    def calibration_error(self) -> float:
        """Mean absolute gap, weighted by count."""
        return float(np.sum(self.count * np.abs(self.predicted - self.observed)) / np.sum(self.count))


def calibration_curve(
    predicted: Float[ndarray, " row"],
    observed: Float[ndarray, " row"],
    customer: Integer[ndarray, " row"],
    rng: np.random.Generator,
    *,
    bins: int = 15,
    draws: int = DRAWS,
) -> CalibrationCurve:
    """Reliability of any probabilities.

    Args:
        predicted: probability of an event.
        observed: whether it happened (0, 1, or a fraction for ties broken at random).
        customer: who decided; the bootstrap draws customers.
        rng: draws of the bootstrap.
        bins: bins of about equal count; equal predictions share a bin.
        draws: number of bootstrap draws.
    """
    if len(predicted) == 0:
        raise DataError("there are no predictions to draw a calibration curve of.")
    p, y = predicted.astype(np.float64), observed.astype(np.float64)
    place = equal_mass_bins(p, bins)
    occupied, place = np.unique(place, return_inverse=True)
    size = len(occupied)
    cluster = clusters_of(customer)
    key = cluster * size + place.reshape(-1)
    cells = (int(cluster.max()) + 1) * size
    hits = np.bincount(key, y, cells).reshape(-1, size)
    counts = np.bincount(key, minlength=cells).reshape(-1, size).astype(float)
    weight = draw_weights(len(hits), draws, rng).astype(np.float64)
    with np.errstate(invalid="ignore"):
        drawn = (weight @ hits) / (weight @ counts)
    low, high = np.nanquantile(drawn, [0.025, 0.975], axis=0)
    total = counts.sum(axis=0)
    mean = np.bincount(place.reshape(-1), p, size) / total
    return CalibrationCurve(mean, hits.sum(axis=0) / total, low, high, total.astype(np.int64))


def top_choice_curve(
    probability: Float[ndarray, "occasion alternative"],
    available: Bool[ndarray, "occasion alternative"],
    chosen: Integer[ndarray, " occasion"],
    customer: Integer[ndarray, " occasion"],
    rng: np.random.Generator,
    *,
    bins: int = 15,
    draws: int = DRAWS,
) -> CalibrationCurve:
    """Reliability of the largest probability of every occasion (ties in expectation)."""
    p = on_slate(probability, available)
    return calibration_curve(
        p.max(axis=1), expected_hits(p, available, chosen, 1), customer, rng, bins=bins, draws=draws
    )


@dataclass(frozen=True)
class CalibrationLine:
    """logit(observed) = intercept + slope * logit(predicted): (0, 1) when calibrated."""

    slope: Interval
    """Below 1: predictions too extreme; above 1: too timid."""
    intercept: Interval


def calibration_line(
    predicted: Float[ndarray, " row"],
    observed: Bool[ndarray, " row"],
    customer: Integer[ndarray, " row"],
) -> CalibrationLine:
    """Logistic regression of the outcome on the logit of its predicted probability.

    Intervals: 1.96 standard errors, robust to clusters of one customer.

    Raises:
        DataError: the outcome never or always happens, or all predictions are equal.

    Source: Cox (1958), Biometrika 45; Liang and Zeger (1986) for the errors.
    """
    p = np.clip(predicted.astype(np.float64), 1e-9, 1 - 1e-9)
    y = observed.astype(np.float64)
    if len(y) == 0 or y.min() == y.max() or p.min() == p.max():
        raise DataError("a calibration line needs both outcomes and predictions that differ.")
    x = np.column_stack([np.ones(len(p)), np.log(p / (1 - p))])
    beta = np.array([0.0, 1.0])
    for _ in range(50):
        q = 1 / (1 + np.exp(-(x @ beta)))
        information = (x * (q * (1 - q))[:, None]).T @ x
        step = np.linalg.solve(information, x.T @ (y - q))
        beta = beta + step
        if np.abs(step).max() < 1e-10:
            break
    q = 1 / (1 + np.exp(-(x @ beta)))
    score = cluster_sums(x * (y - q)[:, None], clusters_of(customer))
    inverse = np.linalg.inv((x * (q * (1 - q))[:, None]).T @ x)
    error = np.sqrt(np.diag(inverse @ (score.T @ score) @ inverse))
    intercept, slope = (
        Interval(b, b - 1.96 * e, b + 1.96 * e) for b, e in zip(beta.tolist(), error.tolist(), strict=True)
    )
    return CalibrationLine(slope, intercept)
