"""Panel weights raked to margins: some customers count for more, so that the panel looks like its market."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float
from numpy import ndarray
from scipy.optimize import linprog

from malles.calibration.reweighting import balance_weights
from malles.data.margins import Margin
from malles.errors import DataError, did_you_mean


@dataclass(frozen=True)
class Raked:
    """Weights of panel customers, and what they cost."""

    weight: Float[ndarray, " customer"]
    """Mean 1 over the panel, so that sums stay on its scale; 0 for customers whose value has a share of 0."""
    effective_sample_size: float
    """(sum of weights)^2 / sum of squared weights: customers that the weighted panel is worth."""
    table: pl.DataFrame
    """column, value, target, panel (unweighted share), achieved."""
    unmet: tuple[str, ...]
    """Margins that no weights meet together, and what they are instead."""
    excluded: int
    """Customers of weight 0."""
    unknown: int
    """Customers with a margin's attribute missing; that margin says nothing of them."""

    @property
    def feasible(self) -> bool:
        """Whether every margin is met."""
        return not self.unmet

    @property
    def sentence(self) -> str:
        """What came out, for a person."""
        said = f"{len(self.table)} margins, "
        if self.feasible:
            said += "all met"
        else:
            said += f"{len(self.unmet)} that no weights can meet together: {'; '.join(self.unmet)}"
        said += f"; effective sample {self.effective_sample_size:.0f} of {len(self.weight)} customers"
        said += f", {self.excluded} of them excluded by a share of 0" if self.excluded else ""
        return said + (f", {self.unknown} with a missing attribute." if self.unknown else ".")


def rake_weights(
    customers: pl.DataFrame,
    margins: Sequence[Margin],
    base: Float[ndarray, " customer"] | None = None,
    *,
    tolerance: float = 1e-4,
) -> Raked:
    """The weights closest to the base weights under which the panel has the given margins.

        minimise  sum of w log(w / base)
        subject to  sum of w [x = v]  =  share[v] * sum of w [x known]   for every margin

    Which is what iterated proportional fitting converges to. A customer whose attribute is missing keeps its
    place: missing is not guessed.

    Args:
        customers: one row per panel customer; values are compared as text.
        margins: shares by column and value; a value that a full column does not list has a share of 0.
        base: starting weights, > 0; equal if absent.
        tolerance: largest accepted miss, in standard deviations of the margin.

    Raises:
        DataError: a column is unknown, or no customer is left.

    Source: Deming and Stephan (1940); Ireland and Kullback (1968); Hainmueller (2012).

    >>> people = pl.DataFrame({"age": ["young", "old", "old", "old"]})
    >>> found = rake_weights(people, [Margin("age", "young", 0.5), Margin("age", "old", 0.5)])
    >>> found.weight.round(3).tolist(), round(found.effective_sample_size, 2)
    ([2.0, 0.667, 0.667, 0.667], 3.0)
    """
    n = len(customers)
    wanted = list(dict.fromkeys(m.column for m in margins))
    for column in wanted:
        if column not in customers.columns:
            hint = did_you_mean(column, customers.columns) or f"There are: {', '.join(customers.columns)}."
            raise DataError(f"Customers have no attribute {column!r} that a margin could be of. {hint}")
    if not n or not margins:
        raise DataError(f"There are {n} customers and {len(margins)} margins; raking needs some of both.")
    text = {c: customers[c].cast(pl.String).to_numpy() for c in wanted}
    known = {c: ~customers[c].is_null().to_numpy() for c in wanted}
    keep = np.ones(n, bool)
    for column in wanted:
        here = [m for m in margins if m.column == column]
        listed = [m.value for m in here if m.share > 0]
        barred = np.isin(text[column].astype(str), [m.value for m in here if m.share == 0])
        if abs(sum(m.share for m in here) - 1) < 1e-9:
            barred = ~np.isin(text[column].astype(str), listed)
        keep &= ~(barred & known[column])
    if not keep.any():
        raise DataError(
            "Every customer has some value whose share is 0; check how the margins spell their values."
        )
    real = [m for m in margins if m.share > 0]
    has = {m: (text[m.column] == m.value) & keep for m in real}
    missing = [m for m in real if not has[m].any()]
    live = [m for m in real if m not in missing]
    start = np.ones(n) if base is None else np.asarray(base, float)
    weight = np.zeros(n)
    unmet = [f"{m} should be {m.share:.1%} and no customer has it" for m in missing]
    if live:
        x = np.stack([has[m] - m.share * known[m.column] for m in live], 1)[keep].astype(float)
        found = balance_weights(
            x, np.zeros(len(live)), [str(m) for m in live], start[keep], tolerance=tolerance
        )
        weight[keep] = found.weight
    else:
        weight[keep] = start[keep] / start[keep].sum()
    weight *= n / weight.sum()

    def share(m: Margin, w: ndarray) -> float:
        total = float(w @ known[m.column])
        return float(w @ (text[m.column] == m.value)) / total if total > 0 else 0.0

    achieved = [share(m, weight) for m in margins]
    if live:
        of = {str(m): i for i, m in enumerate(margins)}
        names = [str(live[i]) for i in _conflict(x)] if found.unmet else []
        unmet += [f"{name} should be {margins[of[name]].share:.1%} and is {achieved[of[name]]:.1%}"
                  for name in (names or found.unmet)]  # fmt: skip
    table = pl.DataFrame(
        {
            "column": [m.column for m in margins],
            "value": [m.value for m in margins],
            "target": [m.share for m in margins],
            "panel": [share(m, start) for m in margins],
            "achieved": achieved,
        }
    )
    size = float(weight.sum() ** 2 / (weight**2).sum())
    lacking = ~np.all([known[c] for c in wanted], axis=0)
    return Raked(weight, size, table, tuple(unmet), int((~keep).sum()), int(lacking.sum()))


def _conflict(x: Float[ndarray, "customer margin"]) -> list[int]:
    """Margins in conflict: those that hold each other off in the weights with the smallest total miss.

    minimise the sum of |x' w| over w >= 0 that sum to one; the margins with a price at the optimum. Empty if
    they can be met in the limit, by weights of 0.
    """
    n, m = x.shape
    one = np.eye(m)
    equal = np.block([[x.T, one, -one], [np.ones((1, n)), np.zeros((1, 2 * m))]])
    cost = np.concatenate([np.zeros(n), np.ones(2 * m)])
    found = linprog(cost, A_eq=equal, b_eq=np.append(np.zeros(m), 1.0), method="highs")
    if not found.success or found.fun < 1e-9:
        return []
    return [int(i) for i in np.flatnonzero(np.abs(found.eqlin.marginals[:m]) > 1e-9)]
