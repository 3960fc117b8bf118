"""Models beside each other on the same occasions: scores with intervals, and paired differences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Integer
from numpy import ndarray

from malles.errors import OccasionError, UsageError, did_you_mean
from malles.evaluation.bootstrap import (
    DRAWS,
    Interval,
    bootstrap_interval,
    cluster_sums,
    clusters_of,
    draw_weights,
    paired_difference,
)
from malles.evaluation.metrics import (
    BINARY_METRICS,
    CHOICE_METRICS,
    METRICS,
    UNIT_METRICS,
    Metric,
    Terms,
    binary_terms,
    choice_terms,
    unit_terms,
)
from malles.vocabulary import Occasions


@dataclass(frozen=True)
class Score:
    """One metric of one model."""

    model: str
    metric: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """One metric of one model minus that of the reference, paired by customer."""

    model: str
    reference: str
    metric: str
    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """'better', 'worse'; 'different' for a bias; 'no difference shown' if the interval holds zero."""
        if self.low <= 0 <= self.high:
            return "no difference shown"
        if self.metric == "units_bias":
            return "different"
        return "better" if (self.value > 0) == METRICS[self.metric].higher_is_better else "worse"


@dataclass(frozen=True)
class ScoreTable:
    """Scores of several models on the same occasions."""

    scores: tuple[Score, ...]
    differences: tuple[Difference, ...]
    occasions: int
    """Occasions scored."""
    customers: int
    """Customers drawn by the bootstrap."""
    excluded: int
    """Occasions left out because their choice is unknown."""
    draws: int

    def score(self, model: str, metric: str) -> Score:
        """One score by name."""
        for s in self.scores:
            if s.model == model and s.metric == metric:
                return s
        known = {s.model for s in self.scores} | {s.metric for s in self.scores}
        hint = did_you_mean(model, known) or did_you_mean(metric, known)
        raise UsageError(f"there is no score {metric!r} of model {model!r}. {hint}".rstrip())

    def difference(self, model: str, metric: str) -> Difference:
        """One paired difference by name."""
        for d in self.differences:
            if d.model == model and d.metric == metric:
                return d
        raise UsageError(
            f"there is no difference of {metric!r} for model {model!r}; the reference has none to itself."
        )

    def scores_frame(self) -> pl.DataFrame:
        """model, metric, value, low, high; one row per score."""
        return _frame(self.scores, Score)

    def differences_frame(self) -> pl.DataFrame:
        """model, reference, metric, value, low, high, verdict; one row per paired difference."""
        frame = _frame(self.differences, Difference)
        return frame.with_columns(pl.Series("verdict", [d.verdict for d in self.differences], pl.String))

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and text, for JSON."""
        return {
            "occasions": self.occasions,
            "customers": self.customers,
            "excluded": self.excluded,
            "draws": self.draws,
            "scores": self.scores_frame().to_dicts(),
            "differences": self.differences_frame().to_dicts(),
        }

    def joined(self, other: ScoreTable) -> ScoreTable:
        """Both tables' rows under each other (for example choices and units); counts of this one."""
        return ScoreTable(
            self.scores + other.scores,
            self.differences + other.differences,
            self.occasions,
            self.customers,
            self.excluded,
            self.draws,
        )


def compare_models(
    predictions: Mapping[str, Float[ndarray, "occasion alternative"]],
    occasions: Occasions,
    reference: str,
    rng: np.random.Generator,
    *,
    draws: int = DRAWS,
) -> ScoreTable:
    """All choice metrics of several models, with household-clustered intervals and paired differences.

    Args:
        predictions: choice probabilities by model name, all on these occasions.
        occasions: held-out occasions; those whose choice is unknown are left out and counted.
        reference: the model that differences are taken to.
        rng: draws of the bootstrap.
        draws: number of bootstrap draws.

    Raises:
        UsageError: the reference is not among the models.
        OccasionError: no occasion has a known choice, or a prediction does not fit the occasions.
    """
    known = occasions.chosen >= 0
    if not known.any():
        raise OccasionError(
            f"none of the {len(occasions)} occasions has a known choice; scores need held-out choices."
        )
    return compare_choices(
        {name: _fitting(name, p, occasions.shape)[known] for name, p in predictions.items()},
        occasions.available[known],
        occasions.chosen[known],
        occasions.customer[known],
        reference,
        rng,
        draws=draws,
        excluded=int(np.count_nonzero(~known)),
    )


def compare_choices(
    predictions: Mapping[str, Float[ndarray, "occasion alternative"]],
    available: Bool[ndarray, "occasion alternative"],
    chosen: Integer[ndarray, " occasion"],
    customer: Integer[ndarray, " occasion"],
    reference: str,
    rng: np.random.Generator,
    *,
    draws: int = DRAWS,
    excluded: int = 0,
) -> ScoreTable:
    """`compare_models` on plain arrays."""
    terms = {name: choice_terms(p, available, chosen) for name, p in predictions.items()}
    return _compare(terms, CHOICE_METRICS, customer, reference, rng, draws, excluded)


def compare_units(
    predictions: Mapping[str, tuple[Float[ndarray, " occasion"], Float[ndarray, " occasion"]]],
    units: Integer[ndarray, " occasion"],
    customer: Integer[ndarray, " occasion"],
    reference: str,
    rng: np.random.Generator,
    *,
    draws: int = DRAWS,
) -> ScoreTable:
    """All unit metrics of several models, given the product that was bought.

    Args:
        predictions: (mean, point) units of the bought product, by model name.
        units: units bought; rows below 1 (unknown, or nothing bought) are left out and counted.
        customer: who bought; the bootstrap draws customers.
        reference: the model that differences are taken to.
        rng: draws of the bootstrap.
        draws: number of bootstrap draws.
    """
    known = units >= 1
    if not known.any():
        raise OccasionError(
            f"none of the {len(units)} occasions has known units; scores need held-out purchases."
        )
    terms = {
        name: unit_terms(mean[known], point[known], units[known])
        for name, (mean, point) in predictions.items()
    }
    excluded = int(np.count_nonzero(~known))
    return _compare(terms, UNIT_METRICS, customer[known], reference, rng, draws, excluded)


def compare_binary(
    predictions: Mapping[str, Float[ndarray, " row"]],
    happened: Bool[ndarray, " row"],
    customer: Integer[ndarray, " row"],
    reference: str,
    rng: np.random.Generator,
    *,
    draws: int = DRAWS,
) -> ScoreTable:
    """Metrics of several models' yes-or-no predictions, for example incidence against the base rate.

    Args:
        predictions: predicted chance by model name.
        happened: whether it did.
        customer: who decided; the bootstrap draws customers.
        reference: the model that differences are taken to.
        rng: draws of the bootstrap.
        draws: number of bootstrap draws.
    """
    terms = {name: binary_terms(p, happened) for name, p in predictions.items()}
    return _compare(terms, BINARY_METRICS, customer, reference, rng, draws, 0)


def _compare(
    terms: dict[str, Terms],
    metrics: dict[str, Metric],
    customer: ndarray,
    reference: str,
    rng: np.random.Generator,
    draws: int,
    excluded: int,
) -> ScoreTable:
    if reference not in terms:
        raise UsageError(
            f"the reference {reference!r} is not among the models {', '.join(map(repr, terms))}. "
            f"{did_you_mean(reference, terms)}".rstrip()
        )
    cluster = clusters_of(customer)
    weight = draw_weights(int(cluster.max()) + 1, draws, rng)
    scores: list[Score] = []
    differences: list[Difference] = []
    for metric in metrics.values():
        sums = {name: cluster_sums(t.select(metric.columns), cluster) for name, t in terms.items()}
        for name in terms:
            found = bootstrap_interval(sums[name], weight, metric.combine, centred=metric.centred)
            scores.append(Score(name, metric.name, *_plain(found)))
            if name != reference:
                gap = paired_difference(
                    sums[name], sums[reference], weight, metric.combine, centred=metric.centred
                )
                differences.append(Difference(name, reference, metric.name, *_plain(gap)))
    return ScoreTable(tuple(scores), tuple(differences), len(customer), weight.shape[1], excluded, draws)


def _plain(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high


def _fitting(name: str, probability: ndarray, shape: tuple[int, int]) -> ndarray:
    if probability.shape != shape:
        raise OccasionError(f"{name}: probability is {probability.shape} but the occasions are {shape}.")
    return probability


def _frame(rows: tuple[Any, ...], kind: type) -> pl.DataFrame:
    fields = list(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    schema = {f: pl.Float64 if f in ("value", "low", "high") else pl.String for f in fields}
    return pl.DataFrame([[getattr(r, f) for f in fields] for r in rows], schema=schema, orient="row")
