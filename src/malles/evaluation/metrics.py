"""Metrics of held-out choices and units; `*_score` is better up, `*_error` and `*_loss` down.

Every metric is a function of sums over occasions. `choice_terms` and `unit_terms` give what is summed, one
row per occasion, so that a bootstrap only has to reweight sums per customer (`bootstrap.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Integer
from numpy import ndarray

from malles.errors import DataError, OccasionError

FLOOR = 1e-4
"""Uniform mass mixed into every distribution before its logarithm is taken (`docs/method/scores.md`)."""

TOP_BINS = 15
CANDIDATE_BINS = 20


@dataclass(frozen=True)
class Metric:
    """A number computed from sums over occasions."""

    name: str
    label: str
    """What a reader sees."""
    higher_is_better: bool
    columns: tuple[str, ...]
    """Which sums it needs."""
    combine: Callable[[ndarray], ndarray]
    """From sums [..., column] to the value [...]."""
    centred: bool = False
    """Whether resampling noise makes it larger, so that its interval is moved back (absolute gaps)."""

    def value(self, terms: Terms) -> float:
        """The metric over all occasions."""
        return float(self.combine(terms.select(self.columns).sum(axis=0)))


@dataclass(frozen=True)
class Terms:
    """What each occasion adds to each sum."""

    names: tuple[str, ...]
    values: Float[ndarray, "occasion column"]

    def select(self, columns: tuple[str, ...]) -> Float[ndarray, "occasion selected"]:
        """Some columns, by name."""
        return self.values[:, [self.names.index(c) for c in columns]]


def on_slate(
    probability: Float[ndarray, "occasion alternative"], available: Bool[ndarray, "occasion alternative"]
) -> Float[ndarray, "occasion alternative"]:
    """Probabilities as they are scored: mass outside the choice set removed, rows summing to one (64 bit).

    Raises:
        OccasionError: a probability is negative or not finite, or a row has no mass on its choice set.
    """
    p = np.where(available, probability, 0.0).astype(np.float64)
    total = p.sum(axis=1, keepdims=True)
    bad = ~np.isfinite(total[:, 0]) | (p < 0).any(axis=1) | (total[:, 0] <= 0)
    if bad.any():
        raise OccasionError(
            f"{bad.sum()} of {len(p)} occasions have negative, infinite or no probability on their choice "
            "set "
            f"(first: row {int(np.argmax(bad))}); every row needs a positive sum over its available "
            "alternatives."
        )
    return np.asarray(p / total)


def mix_uniform(
    probability: Float[ndarray, "occasion alternative"],
    available: Bool[ndarray, "occasion alternative"],
    floor: float = FLOOR,
) -> Float[ndarray, "occasion alternative"]:
    """(1 - floor) P + floor / J over the J available alternatives, so that no logarithm is infinite.

    >>> mix_uniform(np.array([[1.0, 0.0]]), np.ones((1, 2), bool), 0.1)
    array([[0.95, 0.05]])
    """
    uniform = available / available.sum(axis=1, keepdims=True)
    return np.asarray((1 - floor) * probability + floor * uniform)


def expected_hits(
    probability: Float[ndarray, "occasion alternative"],
    available: Bool[ndarray, "occasion alternative"],
    chosen: Integer[ndarray, " occasion"],
    top: int,
) -> Float[ndarray, " occasion"]:
    """Chance that the choice is among the `top` largest probabilities when ties are broken at random.

    >>> expected_hits(np.array([[0.4, 0.4, 0.2]]), np.ones((1, 3), bool), np.array([0]), 1)
    array([0.5])
    """
    above, tied = _places(probability, available, chosen)
    return np.asarray(np.clip((top - above) / tied, 0.0, 1.0))


def expected_reciprocal_rank(
    probability: Float[ndarray, "occasion alternative"],
    available: Bool[ndarray, "occasion alternative"],
    chosen: Integer[ndarray, " occasion"],
) -> Float[ndarray, " occasion"]:
    """Mean of 1 / rank over the ranks that the choice shares with those it ties with.

    >>> expected_reciprocal_rank(np.array([[0.4, 0.4, 0.2]]), np.ones((1, 3), bool), np.array([0]))
    array([0.75])
    """
    above, tied = _places(probability, available, chosen)
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, probability.shape[1] + 1))])
    return np.asarray((harmonic[above + tied] - harmonic[above]) / tied)


def _places(probability: ndarray, available: ndarray, chosen: ndarray) -> tuple[ndarray, ndarray]:
    """How many alternatives lie above the choice, and how many tie with it (itself included)."""
    own = probability[np.arange(len(chosen)), chosen][:, None]
    return ((probability > own) & available).sum(axis=1), ((probability == own) & available).sum(axis=1)


def equal_mass_bins(value: Float[ndarray, " row"], bins: int) -> Integer[ndarray, " row"]:
    """Bin of every row, 0 to bins - 1, of about equal count; equal values always share a bin.

    >>> equal_mass_bins(np.array([0.1, 0.4, 0.2, 0.2]), 2)
    array([0, 1, 0, 0])
    """
    rounded = np.round(value, 12)  # the last bits depend on the order of a sum
    if not len(rounded):
        return np.zeros(0, np.int64)
    inner = np.unique(np.quantile(rounded, np.arange(1, bins) / bins, method="lower"))
    return np.searchsorted(inner, rounded, side="left")


def choice_terms(
    probability: Float[ndarray, "occasion alternative"],
    available: Bool[ndarray, "occasion alternative"],
    chosen: Integer[ndarray, " occasion"],
) -> Terms:
    """What each occasion adds to the choice metrics.

    Args:
        probability: any non-negative scores of the alternatives; normalised on the choice set here.
        available: which columns could be chosen.
        chosen: column of the choice, available in every row.
    """
    if len(chosen) == 0:
        raise OccasionError("there are no occasions to score; check the split and the filters before it.")
    row = np.arange(len(chosen))
    if np.any(chosen < 0) or not np.all(available[row, np.maximum(chosen, 0)]):
        raise OccasionError(
            "some occasions have no known choice within their choice set; leave them out of scoring."
        )
    p = on_slate(probability, available)
    size = available.sum(axis=1)
    taken = mix_uniform(p, available)[row, chosen]
    hit = expected_hits(p, available, chosen, 1)
    observed = np.zeros(p.shape)
    observed[row, chosen] = 1.0
    columns: dict[str, ndarray] = {
        "occasions": np.ones(len(chosen)),
        "hit": hit,
        "hit_3": expected_hits(p, available, chosen, 3),
        "reciprocal_rank": expected_reciprocal_rank(p, available, chosen),
        "loss": -np.log(taken),
        "uniform_loss": np.log(size),
        "brier": np.sum((p - observed) ** 2, axis=1),
        "candidates": size.astype(float),
    }
    confidence = p.max(axis=1)
    place = equal_mass_bins(confidence, TOP_BINS)
    for b in range(TOP_BINS):
        columns[f"top_gap_{b}"] = np.where(place == b, confidence - hit, 0.0)
    candidate = np.full(p.shape, -1)
    candidate[available] = equal_mass_bins(p[available], CANDIDATE_BINS)
    for b in range(CANDIDATE_BINS):
        columns[f"gap_{b}"] = np.sum(np.where(candidate == b, p - observed, 0.0), axis=1)
    return Terms(tuple(columns), np.column_stack(list(columns.values())))


def _mean(sums: ndarray) -> ndarray:
    return np.asarray(sums[..., 0] / sums[..., -1])


def _gap(sums: ndarray) -> ndarray:
    return np.asarray(np.abs(sums[..., :-1]).sum(axis=-1) / sums[..., -1])


_TOP = tuple(f"top_gap_{b}" for b in range(TOP_BINS))
_ALL = tuple(f"gap_{b}" for b in range(CANDIDATE_BINS))

CHOICE_METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric("log_loss", "Log-loss (nats)", False, ("loss", "occasions"), _mean),
        Metric("hit_rate_score", "Hit rate", True, ("hit", "occasions"), _mean),
        Metric("hit_rate_3_score", "Hit rate, first three", True, ("hit_3", "occasions"), _mean),
        Metric(
            "reciprocal_rank_score", "Mean reciprocal rank", True, ("reciprocal_rank", "occasions"), _mean
        ),
        Metric(
            "pseudo_r2_score", "McFadden pseudo-R²", True, ("loss", "uniform_loss"), lambda s: 1 - _mean(s)
        ),
        Metric("brier_loss", "Brier score", False, ("brier", "occasions"), _mean),
        Metric(
            "top_calibration_error", "Calibration error, top choice", False, (*_TOP, "occasions"), _gap, True
        ),
        Metric(
            "calibration_error", "Calibration error, all candidates", False, (*_ALL, "candidates"), _gap, True
        ),
    )
}
"""Metrics of choices; log-loss is the headline, the hit rate the readable one."""


def unit_terms(
    mean: Float[ndarray, " occasion"],
    point: Float[ndarray, " occasion"],
    units: Integer[ndarray, " occasion"],
) -> Terms:
    """What each purchase adds to the unit metrics.

    Args:
        mean: expected units of the product that was bought; above 0.
        point: one number of units, usually the median.
        units: units bought, at least 1.
    """
    if len(units) == 0 or np.any(units < 1):
        raise DataError(
            f"unit metrics need purchases of at least 1 unit; got {len(units)} rows, leave the others out."
        )
    if not np.all(np.isfinite(mean)) or np.any(mean <= 0) or not np.all(np.isfinite(point)):
        raise DataError("expected units must be finite and above 0, points finite.")
    y, m, q = units.astype(np.float64), mean.astype(np.float64), point.astype(np.float64)
    columns = {
        "purchases": np.ones(len(y)),
        "units": y,
        "absolute": np.abs(q - y),
        "exact": (np.abs(q - y) < 0.5).astype(float),
        "squared": (m - y) ** 2,
        "deviance": poisson_deviance(y, m),
        "excess": m - y,
    }
    return Terms(tuple(columns), np.column_stack(list(columns.values())))


def poisson_deviance(units: Float[ndarray, " row"], mean: Float[ndarray, " row"]) -> Float[ndarray, " row"]:
    """2 (y log(y / m) - y + m), with 0 log 0 = 0; infinite only for y > 0 at m = 0.

    >>> poisson_deviance(np.array([2.0, 0.0]), np.array([1.0, 0.5])).round(4)
    array([0.7726, 1.    ])
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        log_part = np.where(units > 0, units * np.log(units / mean), 0.0)
    return np.asarray(2 * (log_part - units + mean))


UNIT_METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric("units_deviance_loss", "Poisson deviance of units", False, ("deviance", "purchases"), _mean),
        Metric("units_absolute_error", "Units, mean absolute error", False, ("absolute", "purchases"), _mean),
        Metric("units_wape_error", "Units, weighted absolute % error", False, ("absolute", "units"), _mean),
        Metric("units_exact_score", "Units exactly right", True, ("exact", "purchases"), _mean),
        Metric(
            "units_rmse_error",
            "Units, root mean squared error",
            False,
            ("squared", "purchases"),
            lambda s: np.sqrt(_mean(s)),
        ),
        Metric("units_bias", "Units, relative bias", False, ("excess", "units"), _mean),
    )
}
"""Metrics of units given the product bought. `units_bias` is best at 0."""


def binary_terms(probability: Float[ndarray, " row"], happened: Bool[ndarray, " row"]) -> Terms:
    """What each yes-or-no prediction (incidence: does this trip buy in the category?) adds to its metrics.

    Args:
        probability: predicted chance, in [0, 1]; kept 1e-6 away from 0 and 1 before its logarithm.
        happened: whether it did.
    """
    if len(happened) == 0 or not np.all((probability >= 0) & (probability <= 1)):
        raise DataError(
            f"binary scores need probabilities in [0, 1]; got {len(happened)} rows, some outside."
        )
    p, y = probability.astype(np.float64), happened.astype(np.float64)
    safe = np.clip(p, 1e-6, 1 - 1e-6)
    columns: dict[str, ndarray] = {
        "rows": np.ones(len(p)),
        "binary_loss": -np.log(np.where(happened, safe, 1 - safe)),
        "binary_brier": (p - y) ** 2,
    }
    place = equal_mass_bins(p, CANDIDATE_BINS)
    for b in range(CANDIDATE_BINS):
        columns[f"binary_gap_{b}"] = np.where(place == b, p - y, 0.0)
    return Terms(tuple(columns), np.column_stack(list(columns.values())))


_BINARY = tuple(f"binary_gap_{b}" for b in range(CANDIDATE_BINS))

BINARY_METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric("binary_log_loss", "Log-loss, bought or not (nats)", False, ("binary_loss", "rows"), _mean),
        Metric("binary_brier_loss", "Brier score, bought or not", False, ("binary_brier", "rows"), _mean),
        Metric(
            "binary_calibration_error",
            "Calibration error, bought or not",
            False,
            (*_BINARY, "rows"),
            _gap,
            True,
        ),
    )
}
"""Metrics of yes-or-no predictions, such as incidence."""

METRICS: dict[str, Metric] = CHOICE_METRICS | UNIT_METRICS | BINARY_METRICS


def score_choices(
    probability: Float[ndarray, "occasion alternative"],
    available: Bool[ndarray, "occasion alternative"],
    chosen: Integer[ndarray, " occasion"],
) -> dict[str, float]:
    """Every choice metric by name, without intervals.

    >>> scores = score_choices(np.array([[0.75, 0.25]]), np.ones((1, 2), bool), np.array([0]))
    >>> scores["hit_rate_score"], round(scores["brier_loss"], 4)
    (1.0, 0.125)
    """
    terms = choice_terms(probability, available, chosen)
    return {name: metric.value(terms) for name, metric in CHOICE_METRICS.items()}


def score_units(
    mean: Float[ndarray, " occasion"],
    point: Float[ndarray, " occasion"],
    units: Integer[ndarray, " occasion"],
) -> dict[str, float]:
    """Every unit metric by name, without intervals."""
    terms = unit_terms(mean, point, units)
    return {name: metric.value(terms) for name, metric in UNIT_METRICS.items()}


def wape_error(actual: Float[ndarray, " cell"], predicted: Float[ndarray, " cell"]) -> float:
    """Sum of absolute errors over the sum of actual units.

    >>> wape_error(np.array([10.0, 30.0]), np.array([14.0, 28.0]))
    0.15
    """
    total = float(np.sum(actual))
    if total <= 0:
        raise DataError(f"the actual units sum to {total}; a relative error needs a positive sum.")
    return float(np.sum(np.abs(np.asarray(predicted, float) - actual)) / total)
