"""Calibration weights w: customers reweighted as little as needed to meet known totals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.optimize import minimize

from malles.errors import DataError


@dataclass(frozen=True)
class Balance:
    """Weights that meet the margins, and what they cost."""

    weight: Float[ndarray, " customer"]
    """Sum to one."""
    effective_sample_size: float
    """1 / sum of squared weights: customers that the weighted sample is worth."""
    achieved: Float[ndarray, " margin"]
    """Weighted mean of every margin."""
    target: Float[ndarray, " margin"]
    unmet: tuple[str, ...]
    """Margins that the weights miss by more than the tolerance, worst first; empty if all are met."""

    @property
    def feasible(self) -> bool:
        """Whether every margin is met."""
        return not self.unmet

    @property
    def sentence(self) -> str:
        """What came out, for a person."""
        size = f"effective sample {self.effective_sample_size:.0f} of {len(self.weight)} customers"
        if self.feasible:
            return f"All {len(self.target)} margins met; {size}."
        return (
            f"{len(self.unmet)} of {len(self.target)} margins cannot be met: {', '.join(self.unmet)}; {size}."
        )


def balance_weights(
    attribute: Float[ndarray, "customer margin"],
    target: Float[ndarray, " margin"],
    names: Sequence[str],
    base: Float[ndarray, " customer"] | None = None,
    *,
    tolerance: float = 1e-4,
) -> Balance:
    """Entropy balancing: the weights closest to the base weights whose means equal the targets.

        minimise  sum of w log(w / base)   subject to   sum of w X = target,  sum of w = 1
        solved through its dual:  w proportional to base * exp(X lambda)

    Args:
        attribute: what is balanced, one column per margin (an indicator for a share, a number for a mean).
        target: the value each column's weighted mean shall have.
        names: a name for every margin, for messages.
        base: starting weights, positive; equal if absent.
        tolerance: largest accepted miss, in standard deviations of the margin.

    Returns:
        Weights and effective sample size. Margins that cannot be met together are reported by name; the
        weights are then a compromise, and are not to be used without a look.

    Source: Hainmueller (2012), Political Analysis 20.

    >>> found = balance_weights(np.array([[1.0], [0.0], [0.0], [0.0]]), np.array([0.5]), ["women"])
    >>> found.weight.round(4)
    array([0.5   , 0.1667, 0.1667, 0.1667])
    """
    customers, margins = attribute.shape
    if customers == 0 or len(target) != margins or len(names) != margins:
        raise DataError(
            f"attribute has {customers} customers and {margins} margins, but there are "
            f"{len(target)} targets and {len(names)} names; give one of each per margin."
        )
    if not (np.all(np.isfinite(attribute)) and np.all(np.isfinite(target))):
        raise DataError(
            "attributes or targets are not finite; fill or drop customers with missing attributes."
        )
    start = np.full(customers, 1 / customers) if base is None else base / base.sum()
    if np.any(start <= 0):
        raise DataError("base weights must be above 0; drop customers of weight 0.")
    centre = start @ attribute
    scale = np.sqrt(start @ (attribute - centre) ** 2)
    varies = scale > 1e-12
    scale = np.where(varies, scale, 1.0)
    x = (attribute - centre) / scale
    goal = (target - centre) / scale
    log_start = np.log(start)

    def dual(multiplier: ndarray) -> tuple[float, ndarray]:
        tilt = log_start + x @ multiplier
        top = tilt.max()
        w = np.exp(tilt - top)
        total = w.sum()
        # a whisper of a ridge keeps the multipliers of unreachable margins finite
        return (
            float(np.log(total) + top - multiplier @ goal + 5e-10 * multiplier @ multiplier),
            (w / total) @ x - goal + 1e-9 * multiplier,
        )

    options = {"maxiter": 2000, "maxfun": 5000, "gtol": 1e-9, "ftol": 1e-15}
    found = minimize(
        dual, np.zeros(margins), jac=True, method="L-BFGS-B", bounds=[(-500, 500)] * margins, options=options
    )
    tilt = log_start + x @ found.x
    weight = np.exp(tilt - tilt.max())
    weight /= weight.sum()
    miss = np.abs(weight @ x - goal)
    order = np.argsort(-miss, kind="stable")
    return Balance(
        weight,
        float(1 / np.sum(weight**2)),
        weight @ attribute,
        np.asarray(target, float),
        tuple(names[m] for m in order if miss[m] > tolerance),
    )
