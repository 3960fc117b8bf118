"""Maximum likelihood of the conditional logit on arrays, for occasions and for brand panels alike."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Bool, Float, Integer
from numpy import ndarray
from scipy.stats import norm

from malles.choice.likelihood import Derivatives, likelihood_derivatives, occasion_scores
from malles.errors import DataError

_CONSTANT = 1e-10
"""A column whose spread within choice sets is below this part of its size cannot be estimated."""

_COLLINEAR = 1e-9
"""A column keeps at least this part of its variance beside the columns before it, or is left out."""

_WARM = 20_000
"""Fits on more than twice as many occasions start from a fit on this many."""


class LogitStatus(StrEnum):
    """How the iterations ended."""

    CONVERGED = "the gradient is zero: the maximum was found"
    ITERATION_LIMIT = "the iterations ended before the gradient was zero; allow more, or add a little `l2`"


@dataclass(frozen=True)
class LogitEstimate:
    """A conditional logit at its maximum, with two kinds of standard errors."""

    names: tuple[str, ...]
    """Attributes with a coefficient."""
    coefficient: Float[ndarray, " attribute"]
    """Utility per unit of the attribute."""
    covariance: Float[ndarray, "attribute attribute"]
    """Inverse of the negative Hessian."""
    clustered_covariance: Float[ndarray, "attribute attribute"]
    """Sandwich by customer, right when a customer's occasions are alike; by occasion without customers."""
    log_likelihood: float
    null_log_likelihood: float
    """All available alternatives equally likely."""
    shares_log_likelihood: float
    """NaN; or, with alternative constants on a panel without missing alternatives, constants alone."""
    hit_rate_score: float
    """Part of the choices with the highest fitted probability."""
    occasions: int
    clusters: int
    l2: float
    iterations: int
    status: LogitStatus
    dropped: tuple[tuple[str, str], ...]
    """Attributes without a coefficient, and why."""

    @property
    def standard_error(self) -> Float[ndarray, " attribute"]:
        """Square roots of the diagonal of `covariance`."""
        error: ndarray = np.sqrt(np.diag(self.covariance))
        return error

    @property
    def clustered_standard_error(self) -> Float[ndarray, " attribute"]:
        """Square roots of the diagonal of `clustered_covariance`."""
        error: ndarray = np.sqrt(np.diag(self.clustered_covariance))
        return error

    @property
    def pseudo_r2_score(self) -> float:
        """McFadden's 1 - LL / LL(null)."""
        return 1.0 - self.log_likelihood / self.null_log_likelihood if self.null_log_likelihood else 0.0

    def of(self, name: str) -> tuple[float, float]:
        """(coefficient, standard error) of one attribute."""
        k = self.names.index(name)
        return float(self.coefficient[k]), float(self.standard_error[k])

    def summary(self) -> str:
        """A table of coefficients, standard errors, z and p values, as text."""
        width = max([len(name) for name in self.names] + [9])
        lines = [
            f"conditional logit: {self.occasions} occasions, {self.clusters} customers, {self.status.value}",
            f"log-likelihood {self.log_likelihood:.1f} (null {self.null_log_likelihood:.1f}), "
            f"McFadden R2 {self.pseudo_r2_score:.4f}, hit rate {self.hit_rate_score:.3f}",
            f"{'attribute':<{width}} {'coefficient':>12} {'s.e.':>9} {'clustered':>9} {'z':>8} {'p':>7}",
        ]
        rows = zip(
            self.names, self.coefficient, self.standard_error, self.clustered_standard_error, strict=True
        )
        for name, b, error, clustered in rows:
            z = b / clustered if clustered > 0 else np.nan
            p = 2 * norm.sf(abs(z))
            lines.append(f"{name:<{width}} {b:>12.5f} {error:>9.5f} {clustered:>9.5f} {z:>8.2f} {p:>7.4f}")
        lines += [f"{name}: left out, {why}" for name, why in self.dropped]
        return "\n".join(lines)


def estimate_conditional_logit(
    attribute: Float[ndarray, "occasion alternative attribute"],
    available: Bool[ndarray, "occasion alternative"],
    chosen: Integer[ndarray, " occasion"],
    names: tuple[str, ...],
    cluster: Integer[ndarray, " occasion"] | None = None,
    l2: float = 0.0,
    weight: Float[ndarray, " occasion"] | None = None,
    iterations: int = 50,
) -> LogitEstimate:
    """Coefficients with the highest likelihood, by Newton's method with the analytic Hessian.

        maximise  sum over n of w[n] log P[n, chosen[n]]  -  l2 / 2 x sum over k of (b[k] spread[k])^2

    Columns without variation within choice sets and columns that repeat earlier ones are left out and named.

    Args:
        attribute: measured properties; ignored where unavailable.
        available: which columns the customer could choose.
        chosen: column of the choice, available.
        names: of the attributes.
        cluster: customer of each occasion, for clustered standard errors; each its own cluster if left out.
        l2: penalty on coefficients per within-choice-set standard deviation; 0 is plain maximum likelihood.
        weight: weight of each occasion; 1 if left out.
        iterations: most Newton steps.

    Raises:
        DataError: no occasions, a choice that is not available, or an attribute that is not finite.

    Source: McFadden (1974); White (1982) for the sandwich.
    """
    _check(attribute, available, chosen, names)
    flat = likelihood_derivatives(np.zeros(len(names)), attribute, available, chosen, weight)
    kept, dropped, spread = _identified(flat, attribute, available, names)
    penalty = l2 * spread**2
    b = np.zeros(len(names))
    stride = len(chosen) // _WARM
    if stride >= 2:
        rows = slice(None, None, stride)
        part = None if weight is None else weight[rows]
        b, *_ = _climb(
            b, kept, attribute[rows], available[rows], chosen[rows], part, penalty / stride, iterations
        )
    b, at, count, status = _climb(b, kept, attribute, available, chosen, weight, penalty, iterations)
    information = np.diag(penalty[kept]) - at.hessian[np.ix_(kept, kept)]
    inverse = np.linalg.inv(information) if kept else np.zeros((0, 0))
    score = occasion_scores(b, attribute, available, chosen)[:, kept]
    if weight is not None:
        score *= weight[:, None]
    clusters = len(chosen)
    if cluster is not None:
        _, code = np.unique(cluster, return_inverse=True)
        clusters = int(code.max()) + 1
        score = np.stack(
            [np.bincount(code, weights=column, minlength=clusters) for column in score.T], axis=1
        )
    correction = clusters / max(clusters - 1, 1)
    return LogitEstimate(
        names=tuple(names[k] for k in kept),
        coefficient=b[kept],
        covariance=inverse,
        clustered_covariance=inverse @ (score.T @ score * correction) @ inverse,
        log_likelihood=at.log_likelihood,
        null_log_likelihood=flat.log_likelihood,
        shares_log_likelihood=_shares_log_likelihood(available, chosen),
        hit_rate_score=_hit_rate(b, attribute, available, chosen),
        occasions=len(chosen),
        clusters=clusters,
        l2=l2,
        iterations=count,
        status=status,
        dropped=dropped,
    )


def _climb(
    b: ndarray,
    kept: list[int],
    x: ndarray,
    available: ndarray,
    chosen: ndarray,
    weight: ndarray | None,
    penalty: ndarray,
    iterations: int,
) -> tuple[ndarray, Derivatives, int, LogitStatus]:
    """Newton steps on the kept coefficients, halved until the penalised likelihood rises."""
    at = likelihood_derivatives(b, x, available, chosen, weight)
    for count in range(iterations):
        gradient = (at.gradient - penalty * b)[kept]
        information = np.diag(penalty[kept]) - at.hessian[np.ix_(kept, kept)]
        step = np.zeros(len(b))
        step[kept] = np.linalg.lstsq(information, gradient, rcond=1e-12)[0] if kept else gradient
        gain = float(gradient @ step[kept])  # twice what is still to be gained
        if gain < 1e-13 * (1.0 + abs(at.log_likelihood)):
            return b, at, count, LogitStatus.CONVERGED
        value = at.log_likelihood - 0.5 * float(penalty @ b**2)
        for _ in range(30):
            trial = likelihood_derivatives(b + step, x, available, chosen, weight)
            if trial.log_likelihood - 0.5 * float(penalty @ (b + step) ** 2) >= value:
                break
            step = step / 2
        else:
            return b, at, count, LogitStatus.CONVERGED
        b, at = b + step, trial
    return b, at, iterations, LogitStatus.ITERATION_LIMIT


def _check(attribute: ndarray, available: ndarray, chosen: ndarray, names: tuple[str, ...]) -> None:
    if len(chosen) == 0 or len(names) != attribute.shape[2]:
        raise DataError(
            f"got {len(chosen)} occasions and {len(names)} names for {attribute.shape[2]} attributes; "
            "at least one occasion and one name for each attribute are needed."
        )
    inside = (chosen >= 0) & (chosen < available.shape[1])
    good = inside & available[np.arange(len(chosen)), np.where(inside, chosen, 0)]
    if not good.all():
        raise DataError(
            f"{int((~good).sum())} of {len(chosen)} choices are not available. Leave these occasions out."
        )
    for k, name in enumerate(names):
        if not np.isfinite(attribute[:, :, k][available]).all():
            raise DataError(
                f"attribute {name!r} is not finite for an available alternative. Fill or remove such rows."
            )


def _identified(
    flat: Derivatives, attribute: ndarray, available: ndarray, names: tuple[str, ...]
) -> tuple[list[int], tuple[tuple[str, str], ...], ndarray]:
    """Columns that can be estimated, the others with the cause, and each column's spread."""
    information = -flat.hessian
    variance = np.diag(information).copy()
    size = np.array(
        [float(np.square(attribute[:, :, k][available], dtype=np.float64).mean()) for k in range(len(names))]
    )
    spread = np.sqrt(variance / max(len(attribute), 1))
    moving = variance > _CONSTANT * len(attribute) * np.maximum(size, 1e-300)
    scale = np.where(moving, np.sqrt(np.where(moving, variance, 1.0)), 1.0)
    left = information / np.outer(scale, scale)
    kept: list[int] = []
    dropped: list[tuple[str, str]] = []
    for k, name in enumerate(names):
        if not moving[k]:
            dropped.append((name, "it does not vary within any choice set"))
        elif left[k, k] < _COLLINEAR:
            dropped.append((name, "the attributes before it determine it"))
        else:
            kept.append(k)
            left -= np.outer(left[:, k], left[k]) / left[k, k]
    return kept, tuple(dropped), spread


def _hit_rate(b: ndarray, x: ndarray, available: ndarray, chosen: ndarray) -> float:
    hits = 0.0
    for begin in range(0, len(chosen), 8192):
        rows = slice(begin, begin + 8192)
        utility = np.where(available[rows], np.where(available[rows, :, None], x[rows], 0.0) @ b, -np.inf)
        best = utility == utility.max(axis=1, keepdims=True)
        hits += float((best[np.arange(len(best)), chosen[rows]] / best.sum(axis=1)).sum())
    return hits / len(chosen)


def _shares_log_likelihood(available: ndarray, chosen: ndarray) -> float:
    if not available.all():
        return float("nan")
    count = np.bincount(chosen, minlength=available.shape[1])
    count = count[count > 0]
    return float((count * np.log(count / len(chosen))).sum())
