"""How choices answer a price: elasticities of the logit, and price responses of any choice model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer
from numpy import ndarray

from malles.choice.model import ChoiceModel
from malles.errors import UsageError
from malles.vocabulary import ChoiceData


def own_price_elasticity(
    coefficient: float | ndarray, price: float | ndarray, probability: float | ndarray
) -> float | ndarray:
    """Own-price elasticity of a logit choice probability: % change of P per % change of the own price.

        e = b p (1 - P)

    Args:
        coefficient: price coefficient b, utility per currency unit, usually negative.
        price: net unit price p in the catalogue's currency.
        probability: choice probability P.

    Source: Train (2009), section 3.6.

    >>> own_price_elasticity(-0.8, 2.50, 0.75)
    -0.5
    """
    return coefficient * price * (1.0 - probability)


def cross_price_elasticity(
    coefficient: float | ndarray, price: float | ndarray, probability: float | ndarray
) -> float | ndarray:
    """Cross-price elasticity of every other alternative to this one's price, in a logit.

        e = -b p P      (the same for all others: independence of irrelevant alternatives)

    Args:
        coefficient: price coefficient b, utility per currency unit.
        price: price p of the alternative that changes its price.
        probability: its choice probability P.

    >>> cross_price_elasticity(-0.8, 2.50, 0.75)
    1.5
    """
    return -coefficient * price * probability


def price_elasticities(
    coefficient: float,
    price: Float[ndarray, "occasion alternative"],
    probability: Float[ndarray, "occasion alternative"],
) -> Float[ndarray, "occasion alternative other"]:
    """All price elasticities of a logit: of the probability of [alternative] to the price of [other].

        E[n, j, k] = b p[n, k] (1{j = k} - P[n, k])

    >>> price_elasticities(-1.0, np.array([[1.0, 2.0]]), np.array([[0.5, 0.5]]))
    array([[[-0.5,  1. ],
            [ 0.5, -1. ]]])
    """
    alternatives = price.shape[1]
    elasticity: ndarray = coefficient * price[:, None, :] * (np.eye(alternatives) - probability[:, None, :])
    return elasticity


def share_elasticities(
    coefficient: float,
    price: Float[ndarray, "occasion alternative"],
    probability: Float[ndarray, "occasion alternative"],
) -> Float[ndarray, " alternative"]:
    """Own-price elasticity of each alternative's share: the probability-weighted mean over occasions.

        e[j] = sum over n of P[n, j] b p[n, j] (1 - P[n, j]) / sum over n of P[n, j]

    An alternative that is never available has NaN.

    Source: Train (2009), section 2.6.1 (sample enumeration).

    >>> probability = np.array([[0.2], [0.8]])
    >>> share_elasticities(-1.0, np.array([[2.0], [2.0]]), probability).round(3)  # (.2*-1.6 + .8*-.4) / 1
    array([-0.64])
    """
    own = coefficient * price * (1.0 - probability) * probability
    total = probability.sum(axis=0)
    share: ndarray = np.where(total > 0, own.sum(axis=0) / np.where(total > 0, total, 1.0), np.nan)
    return share


def logit_diversion_ratios(
    probability: Float[ndarray, "occasion alternative"],
) -> Float[ndarray, "occasion alternative other"]:
    """Part of the demand lost by [alternative] that goes to [other] when a logit alternative worsens.

        D[n, j, k] = P[n, k] / (1 - P[n, j]) for k != j, and 0 for k = j

    Where P[n, j] = 1 nothing can be lost to another and the row is 0.

    >>> logit_diversion_ratios(np.array([[0.5, 0.3, 0.2]])).round(2)
    array([[[0.  , 0.6 , 0.4 ],
            [0.71, 0.  , 0.29],
            [0.62, 0.37, 0.  ]]])
    """
    rest = 1.0 - probability
    ratio = probability[:, None, :] / np.where(rest > 0, rest, np.inf)[:, :, None]
    diversion: ndarray = ratio * (1.0 - np.eye(probability.shape[1]))
    return diversion


def arc_elasticity(
    quantity_before: float, quantity_after: float, price_before: float, price_after: float
) -> float:
    """Arc (midpoint) elasticity of a quantity between two prices; NaN where it is not defined.

        e = (q1 - q0) / (q1 + q0)  /  ((p1 - p0) / (p1 + p0))

    Args:
        quantity_before: quantity or share at the first price, >= 0.
        quantity_after: the same at the second price.
        price_before: first price, > 0.
        price_after: second price, > 0, different from the first.

    Source: Allen (1934).

    >>> round(arc_elasticity(100.0, 120.0, 2.00, 1.80), 3)
    -1.727
    """
    if (
        price_before + price_after <= 0
        or price_before == price_after
        or quantity_before + quantity_after <= 0
    ):
        return float("nan")
    quantity_change = (quantity_after - quantity_before) / (quantity_after + quantity_before)
    return quantity_change / ((price_after - price_before) / (price_after + price_before))


@dataclass(frozen=True)
class PriceResponse:
    """What a price change of one product does to the expected choices of a set of occasions."""

    product: int
    price_before: float
    """Mean price over the occasions that offer the product, currency."""
    price_after: float
    share_before: float
    """Expected choices of the product, a sum of probabilities over occasions."""
    share_after: float
    own_elasticity: float
    """Arc elasticity; NaN if the price did not change."""
    other: Integer[ndarray, " other"]
    """Codes of the other products and of OUTSIDE and OTHER, ascending."""
    diversion_ratio: Float[ndarray, " other"]
    """Part of the product's gain that came from each of `other`, or of its loss that went there; sum 1."""
    cross_elasticity: Float[ndarray, " other"]
    """Arc elasticity of each of `other` to the product's price."""


def simulate_price_response(
    model: ChoiceModel, base: ChoiceData, changed: ChoiceData, product: int
) -> PriceResponse:
    """Arc elasticities and diversion ratios of any choice model: the same occasions decided at two prices.

    Both sets of occasions are decided, expected choices are summed by product, and the sums are compared.

    Args:
        model: any choice model.
        base: the occasions as they were.
        changed: the same occasions with another price of `product` and the features built from it.
        product: code of the product whose price changed.

    Raises:
        UsageError: the two do not describe the same occasions, or no occasion offers the product.

    Source: Train (2009), section 2.6 (sample enumeration); Conlon & Mortimer (2021) for diversion.
    """
    before, after = base.occasions, changed.occasions
    if before.product.shape != after.product.shape or not np.array_equal(before.product, after.product):
        raise UsageError(
            f"base is {before.shape} and changed {after.shape} [occasion, alternative], or other products "
            "stand in them; both must hold the same alternatives. Build both from the same occasions."
        )
    offers = (before.product == product) & before.available
    if not offers.any():
        raise UsageError(
            f"no available alternative of these {len(before)} occasions is product {product}. "
            "Choose occasions that offer it."
        )
    first, second = model.predict(base), model.predict(changed)
    code, position = np.unique(before.product, return_inverse=True)
    position = position.reshape(-1)
    total_before = np.bincount(position, weights=np.asarray(first, np.float64).ravel())
    total_after = np.bincount(position, weights=np.asarray(second, np.float64).ravel())
    price_before, price_after = float(before.price[offers].mean()), float(after.price[offers].mean())
    own = int(np.searchsorted(code, product))
    others = np.flatnonzero((code != product) & ((total_before > 0) | (total_after > 0)))
    change = total_after - total_before
    with np.errstate(invalid="ignore", divide="ignore"):
        diversion = -change[others] / change[own]
    return PriceResponse(
        product=product,
        price_before=price_before,
        price_after=price_after,
        share_before=float(total_before[own]),
        share_after=float(total_after[own]),
        own_elasticity=arc_elasticity(total_before[own], total_after[own], price_before, price_after),
        other=code[others],
        diversion_ratio=diversion,
        cross_elasticity=np.array(
            [arc_elasticity(total_before[o], total_after[o], price_before, price_after) for o in others],
            np.float64,
        ),
    )
