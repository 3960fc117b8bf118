"""The conditional logit on choice occasions: coefficients with standard errors, elasticities, a table."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Self, final

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.baselines.columns import (
    is_product,
    require_choices,
    require_features,
    select_features,
    special_columns,
)
from malles.baselines.logit_estimate import LogitEstimate, LogitStatus, estimate_conditional_logit
from malles.baselines.saved import SavedModel, read_model, required, write_model
from malles.choice.probability import choice_probabilities
from malles.errors import ConfigError, ModelError
from malles.vocabulary import ChoiceData

_VERSION = 1

_BLOCK = 8192
"""Occasions predicted at once."""

MOST_CONSTANTS = 300
"""More product constants than this would need a sparse solver, and help little beside popularity features."""

UNIT_SLOPES = (
    "log_price",
    "price_gap",
    "unit_price_gap",
    "price_to_last_paid",
    "price_to_mean_paid",
    "price_tier",
)
"""Features that move one for one with the logarithm of the own price (slate means cancel in a logit)."""

DISCOUNT_SLOPES = ("discount", "discount_gap")
"""Features that fall by price / list price when the logarithm of the own price rises by one."""

STEP_FEATURES = ("price_rank",)
"""Left out unless named: steps at tied prices give a small price change any response, of any sign."""

OWN_ONLY = ("price_to_last_paid", "price_to_mean_paid")
"""Features that move only for products the customer bought before (`own_ever`)."""


@final
@dataclass(frozen=True)
class ConditionalLogit:
    """Settings of the conditional logit: V[n, j] = constant of the product + features[n, j] @ b."""

    features: tuple[str, ...] | None = None
    """Names of the attributes; None takes all slate features of the occasions but `STEP_FEATURES`."""
    price_attribute: bool = False
    """Adds the net unit price (`price`, currency) as an attribute, for coefficients with a money unit."""
    constants: bool = False
    """Alternative-specific constants: one per product, except the most bought one of each category."""
    l2: float = 0.0
    """Penalty on coefficients per standard deviation; 0 is plain maximum likelihood."""

    def fit(self, train: ChoiceData, valid: ChoiceData | None = None) -> FittedConditionalLogit:
        """Fit by Newton's method; standard errors are clustered by customer.

        Raises:
            DataError: an occasion has no known choice.
            ModelError: a named feature is missing.
            ConfigError: too many products for constants.
        """
        require_choices(train)
        names = self.features
        if names is None:
            names = tuple(name for name in train.feature_names if name not in STEP_FEATURES)
        require_features(train, names, "the conditional logit")
        names += tuple(name for name in special_columns(train) if name not in names)
        products = _constant_products(train) if self.constants else np.zeros(0, np.int32)
        attribute, all_names = _attributes(train, names, price=self.price_attribute, products=products)
        occasions = train.occasions
        estimate = estimate_conditional_logit(
            attribute, occasions.available, occasions.chosen, all_names, occasions.customer, self.l2
        )
        return FittedConditionalLogit(estimate, names, self.price_attribute, products)


@final
@dataclass(frozen=True)
class FittedConditionalLogit:
    """A conditional logit with its estimate."""

    estimate: LogitEstimate
    features: tuple[str, ...]
    """Features read, whether or not they kept a coefficient."""
    price_attribute: bool
    products: ndarray
    """Codes of the products with a constant."""

    name: ClassVar[str] = "conditional_logit"

    def utility(self, data: ChoiceData) -> Float[ndarray, "occasion alternative"]:
        """Systematic utility V; 0 where unavailable.

        Raises:
            ModelError: a feature is missing.
        """
        require_features(data, self.features, "the conditional logit")
        coefficient = dict(zip(self.estimate.names, self.estimate.coefficient, strict=True))
        utility = np.zeros(data.occasions.shape)
        for begin in range(0, len(data), _BLOCK):
            block = data.take(np.arange(begin, min(begin + _BLOCK, len(data))))
            x, names = _attributes(
                block, self.features, price=self.price_attribute, products=np.zeros(0, np.int32)
            )
            b = np.array([coefficient.get(name, 0.0) for name in names])
            utility[begin : begin + len(block)] = x @ b
        if len(self.products):
            constant = np.array([coefficient.get(f"product_{code}", 0.0) for code in self.products])
            order = np.argsort(self.products)
            place = np.searchsorted(self.products[order], data.occasions.product)
            place = order[np.minimum(place, len(order) - 1)]
            utility += np.where(self.products[place] == data.occasions.product, constant[place], 0.0)
        return np.where(data.occasions.available, utility, 0.0)

    def predict(self, data: ChoiceData) -> Float[ndarray, "occasion alternative"]:
        """Choice probabilities: rows sum to one, unavailable columns are exactly 0."""
        return choice_probabilities(self.utility(data), data.occasions.available)

    def price_slope(self, data: ChoiceData) -> Float[ndarray, "occasion alternative"]:
        """Change of an alternative's utility per unit of the logarithm of its own price.

            slope[n, j] = b_price p + b_log_price + ... - (b_discount + b_discount_gap) p / list price

        Counts `price`, `UNIT_SLOPES` and `DISCOUNT_SLOPES`; steps such as a price rank are left out.
        """
        occasions, estimate = data.occasions, self.estimate
        coefficient = dict(zip(estimate.names, estimate.coefficient, strict=True))
        list_price = np.where(occasions.list_price > 0, occasions.list_price, np.inf)
        slope = coefficient.get("price", 0.0) * occasions.price.astype(np.float64)
        for name in UNIT_SLOPES:
            if name in coefficient:
                moves = (
                    data.feature("own_ever") > 0
                    if name in OWN_ONLY and "own_ever" in data.feature_names
                    else 1.0
                )
                slope = slope + coefficient[name] * moves
        for name in DISCOUNT_SLOPES:
            slope = slope - coefficient.get(name, 0.0) * occasions.price / list_price
        if "price_tier_distance" in coefficient and "price_tier" in data.feature_names:
            slope = slope + coefficient["price_tier_distance"] * np.sign(data.feature("price_tier"))
        return np.where(is_product(occasions), slope, 0.0)

    def own_price_elasticities(self, data: ChoiceData) -> Float[ndarray, "occasion alternative"]:
        """Point elasticity of each choice probability to the alternative's own price.

            e[n, j] = slope[n, j] (1 - P[n, j])        0 where there is no product

        Source: Train (2009), section 3.6.
        """
        elasticity: ndarray = self.price_slope(data) * (1.0 - self.predict(data))
        return elasticity

    def product_elasticities(self, data: ChoiceData) -> tuple[ndarray, Float[ndarray, " product"]]:
        """(product codes, own-price elasticity of each product's expected choices), summed over occasions."""
        probability, own = self.predict(data), self.own_price_elasticities(data)
        mask = is_product(data.occasions)
        code, place = np.unique(data.occasions.product[mask], return_inverse=True)
        total = np.bincount(place, weights=probability[mask])
        change = np.bincount(place, weights=(probability * own)[mask])
        return code, change / np.where(total > 0, total, np.inf)

    def save(self, folder: Path) -> None:
        """Write coefficients and covariances to a new folder."""
        e = self.estimate
        numbers = {name: getattr(e, name) for name in _NUMBERS}
        settings: dict[str, Any] = {
            "names": list(e.names),
            "dropped": [list(pair) for pair in e.dropped],
            "status": e.status.name,
            "numbers": {name: (x if np.isfinite(x) else None) for name, x in numbers.items()},
            "features": list(self.features),
            "price_attribute": self.price_attribute,
        }
        arrays = {name: np.ascontiguousarray(getattr(e, name)) for name in _ARRAYS}
        arrays["products"] = np.ascontiguousarray(self.products)
        write_model(folder, SavedModel(self.name, _VERSION, settings, arrays))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a model written by `save`; another version raises ModelError."""
        saved = read_model(folder, cls.name, _VERSION)
        s = saved.settings
        arrays = {name: required(saved, name) for name in (*_ARRAYS, "products")}
        try:
            read: dict[str, Any] = {
                **{
                    name: float("nan") if s["numbers"][name] is None else s["numbers"][name]
                    for name in _NUMBERS
                },
                **{name: arrays[name] for name in _ARRAYS},
                "names": tuple(s["names"]),
                "dropped": tuple((str(a), str(b)) for a, b in s["dropped"]),
                "status": LogitStatus[s["status"]],
            }
            estimate = LogitEstimate(**read)
            model = cls(estimate, tuple(s["features"]), bool(s["price_attribute"]), arrays["products"])
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{folder} is damaged ({error!r}). Fit and save the model again.") from None
        if len(estimate.coefficient) != len(estimate.names):
            raise ModelError(
                f"{folder} holds {len(estimate.coefficient)} coefficients for {len(estimate.names)} names. "
                "Fit and save the model again."
            )
        return model


_ARRAYS = ("coefficient", "covariance", "clustered_covariance")
_NUMBERS = tuple(
    f.name for f in fields(LogitEstimate) if f.name not in (*_ARRAYS, "names", "dropped", "status")
)


def _attributes(
    data: ChoiceData, names: tuple[str, ...], *, price: bool, products: ndarray
) -> tuple[ndarray, tuple[str, ...]]:
    base = select_features(data, names)
    if not price and len(products) == 0:
        return base, names
    blocks = [base]
    if price:
        blocks.append(data.occasions.price[:, :, None])
        names += ("price",)
    blocks += [(data.occasions.product == code).astype(np.float32)[:, :, None] for code in products]
    return np.concatenate(blocks, axis=2), names + tuple(f"product_{code}" for code in products)


def _constant_products(train: ChoiceData) -> ndarray:
    """Products that are chosen at least once, without the most chosen one of each category."""
    occasions = train.occasions
    taken = occasions.product[np.arange(len(occasions)), occasions.chosen]
    bought = taken >= 0
    code, first, count = np.unique(taken[bought], return_index=True, return_counts=True)
    category = occasions.category[bought][first]
    order = np.lexsort((code, -count, category))
    head = np.ones(len(order), bool)
    head[1:] = category[order][1:] != category[order][:-1]
    products = np.sort(code[order][~head])
    if len(products) > MOST_CONSTANTS:
        raise ConfigError(
            f"constants were asked for {len(products)} products; at most {MOST_CONSTANTS} are possible. "
            "Use popularity features instead, or fit one category at a time."
        )
    return products
