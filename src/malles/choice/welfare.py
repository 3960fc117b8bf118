"""Utility in money: the logsum, consumer surplus and willingness to pay."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from malles.choice.probability import require_alternatives
from malles.errors import UsageError


def expected_maximum_utility(
    utility: Float[ndarray, "occasion alternative"],
    available: Bool[ndarray, "occasion alternative"],
) -> Float[ndarray, " occasion"]:
    """Expected utility of the best alternative of a logit, up to a constant (the logsum, or inclusive value).

        I[n] = log of the sum of exp(V[n, j]) over available j

    Args:
        utility: systematic utility V, dimensionless; ignored where unavailable.
        available: which columns the customer could choose.

    Raises:
        OccasionError: an occasion has no available alternative.

    Source: Small & Rosen (1981).

    >>> expected_maximum_utility(np.array([[0.0, 0.0]]), np.ones((1, 2), bool)).round(4)  # log 2
    array([0.6931])
    """
    require_alternatives(available)
    masked = np.where(available, utility, -np.inf)
    top = masked.max(axis=1)
    logsum: ndarray = top + np.log(np.exp(masked - top[:, None]).sum(axis=1))
    return logsum


def consumer_surplus(
    utility: Float[ndarray, "occasion alternative"],
    available: Bool[ndarray, "occasion alternative"],
    price_coefficient: float,
) -> Float[ndarray, " occasion"]:
    """Expected consumer surplus of each occasion in money, up to a constant that differences remove.

        CS[n] = I[n] / -b

    Args:
        utility: systematic utility V, dimensionless; ignored where unavailable.
        available: which columns the customer could choose.
        price_coefficient: b, utility per currency unit; must be negative.

    Returns:
        Currency per occasion. Only differences between two worlds have a meaning.

    Raises:
        UsageError: the price coefficient is not negative.

    Source: Small & Rosen (1981); Train (2009), section 3.5.

    >>> V, both = np.array([[0.0, 0.0]]), np.ones((1, 2), bool)
    >>> one = np.array([[True, False]])
    >>> (consumer_surplus(V, both, -2.0) - consumer_surplus(V, one, -2.0)).round(4)  # log 2 / 2
    array([0.3466])
    """
    return expected_maximum_utility(utility, available) / _price_disutility(price_coefficient)


def willingness_to_pay(
    coefficient: Float[ndarray, " attribute"], price_coefficient: float
) -> Float[ndarray, " attribute"]:
    """Money that a customer gives for one more unit of each attribute.

        WTP[k] = b[k] / -b_price

    Args:
        coefficient: taste coefficients, utility per unit of the attribute.
        price_coefficient: utility per currency unit; must be negative.

    Raises:
        UsageError: the price coefficient is not negative.

    Source: Train (2009), section 3.3.1.

    >>> willingness_to_pay(np.array([0.9, -0.3]), -1.5)
    array([ 0.6, -0.2])
    """
    worth: ndarray = coefficient / _price_disutility(price_coefficient)
    return worth


def willingness_to_pay_error(
    coefficient: float, price_coefficient: float, covariance: Float[ndarray, "2 2"]
) -> float:
    """Standard error of a willingness to pay by the delta method, in money per unit.

        variance = g' C g,   g = (-1 / b_price, b / b_price^2)

    Args:
        coefficient: taste coefficient b of the attribute.
        price_coefficient: utility per currency unit; must be negative.
        covariance: C of (coefficient, price coefficient).

    Raises:
        UsageError: the price coefficient is not negative.

    Source: Daly, Hess & de Jong (2012).

    >>> willingness_to_pay_error(1.0, -2.0, np.diag([0.04, 0.0]))  # 0.2 / 2
    0.1
    """
    slope = _price_disutility(price_coefficient)
    gradient = np.array([1.0 / slope, coefficient / slope**2])
    return float(np.sqrt(gradient @ covariance @ gradient))


def _price_disutility(price_coefficient: float) -> float:
    if not price_coefficient < 0:
        raise UsageError(
            f"the price coefficient is {price_coefficient:g}; money has a worth only where it is negative. "
            "Check the sign and the unit of the price column."
        )
    return -price_coefficient
