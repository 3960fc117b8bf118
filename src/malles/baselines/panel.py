"""The conditional logit on a brand panel: the same alternatives always, with a constant for each."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Integer
from numpy import ndarray

from malles.baselines.logit_estimate import LogitEstimate, estimate_conditional_logit
from malles.errors import DataError


def fit_panel(
    price: Float[ndarray, "occasion alternative"],
    display: Float[ndarray, "occasion alternative"] | None,
    feature: Float[ndarray, "occasion alternative"] | None,
    chosen: Integer[ndarray, " occasion"],
    household: Integer[ndarray, " occasion"],
) -> LogitEstimate:
    """Conditional logit with alternative constants, price and, where recorded, display and feature.

        V[n, j] = constant[j] + b_price price[n, j] + b_display display[n, j] + b_feature feature[n, j]

    Args:
        price: of every alternative on every occasion, currency.
        display: 1 where the alternative was displayed; None if not recorded.
        feature: 1 where it was featured in an advertisement; None if not recorded.
        chosen: column of the choice.
        household: code of each occasion's household, for clustered standard errors.

    Returns:
        Estimate of price, display, feature and constant_1 .. constant_(J-1); alternative 0 has constant 0.

    Raises:
        DataError: no occasions, a choice outside the columns, or a value that is not finite.

    Source: Guadagni & Little (1983); Jain, Vilcassim & Chintagunta (1994).
    """
    occasions, alternatives = price.shape
    measured = {"price": price, "display": display, "feature": feature}
    columns = {name: np.asarray(x, np.float64) for name, x in measured.items() if x is not None}
    for j in range(1, alternatives):
        columns[f"constant_{j}"] = np.tile((np.arange(alternatives) == j).astype(np.float64), (occasions, 1))
    attribute = np.stack(list(columns.values()), axis=2)
    return estimate_conditional_logit(
        attribute, np.ones(price.shape, bool), chosen, tuple(columns), cluster=household
    )


def read_long_panel(
    household: Integer[ndarray, " row"],
    occasion: Integer[ndarray, " row"],
    alternative: ndarray,
    chosen: Integer[ndarray, " row"],
    columns: dict[str, Float[ndarray, " row"]],
) -> tuple[
    dict[str, Float[ndarray, "occasion alternative"]],
    Integer[ndarray, " occasion"],
    Integer[ndarray, " occasion"],
]:
    """Rows of one alternative each, turned to arrays [occasion, alternative].

    Args:
        household: of each row.
        occasion: number of the occasion within its household.
        alternative: its name; every occasion must have every alternative exactly once.
        chosen: 1 in the row of the choice, else 0.
        columns: measured values to turn.

    Returns:
        (columns, chosen column, household) by (household, occasion); alternatives by name.

    Raises:
        DataError: an occasion lacks an alternative, has one twice, or has not exactly one choice.
    """
    names, code = np.unique(alternative, return_inverse=True)
    order = np.lexsort((code, occasion, household))
    size = len(names)
    if len(order) % size or (code[order].reshape(-1, size) != np.arange(size)).any():
        raise DataError(
            f"{len(order)} rows do not hold each of the {size} alternatives once for every occasion. "
            "Remove occasions with missing or repeated alternatives."
        )
    people, moment = household[order].reshape(-1, size), occasion[order].reshape(-1, size)
    taken = chosen[order].reshape(-1, size)
    if (people != people[:, :1]).any() or (moment != moment[:, :1]).any() or (taken.sum(axis=1) != 1).any():
        raise DataError(
            "an occasion does not have exactly one choice among all alternatives. Remove such occasions."
        )
    wide = {name: values[order].reshape(-1, size) for name, values in columns.items()}
    return wide, taken.argmax(axis=1), people[:, 0]
