"""The customers of one category as a function of the shelf that they meet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.errors import OccasionError
from malles.population.simulation import Deciders, World
from malles.profiles.incidence import Shelf, redescribe_shelves
from malles.scenarios.category_market import CategoryMarket
from malles.scenarios.counterfactual import Decide, Demand
from malles.scenarios.inclusive_value import (
    find_anchors,
    inclusive_change,
    log_odds,
    measure_price_response,
)
from malles.vocabulary import Occasions

Units = Callable[[Occasions], Float[ndarray, "occasion alternative"]]
"""Expected units of each alternative, given that it is bought."""

STEP = 0.2
"""Relative change of price by which the price response of a category is measured."""
BLIND = 1e-3
"""Largest change of log-odds at which an incidence model is said not to see usual prices."""


def build_ask(market: CategoryMarket, world: World, deciders: Deciders, units: Units | None = None) -> Decide:
    """What the models say of each occasion, each on its own.

    Incidence sees a changed shelf through its offer columns; the choice model sees the changed occasions;
    units per purchase come from `units`, else from the incidence model's expected units of the category.

    Args:
        market: the trips.
        world: for the order lines before each week.
        deciders: incidence, choice and calibrated rate.
        units: quantity model; None = the category's expected units.
    """
    rate = 1.0 if deciders.rate is None else float(deciders.rate[market.category])
    lines = {int(week): world.lines.before(int(week)) for week in np.unique(market.occasions.week)}

    def ask(occasions: Occasions) -> Demand:
        if len(occasions) != len(market.occasions):
            raise OccasionError(
                f"the market has {len(market.occasions)} occasions, got {len(occasions)}; change them with "
                "Scenario.apply, which keeps them all"
            )
        row = np.zeros((1, 1), np.int32)  # one shelf per cell; no store looks its row up
        shelf = Shelf(
            row, occasions.product[:, 1:], occasions.price[:, 1:], occasions.list_price[:, 1:],
            occasions.promotion[:, 1:], occasions.rank[:, 1:].astype(np.int32),
        )  # fmt: skip
        X = redescribe_shelves(market.features, market.last_product, market.offer_past, shelf)
        said = deciders.incidence.predict(X, occasions.category)
        probability = np.zeros(occasions.product.shape)
        for week, before in lines.items():
            rows = np.flatnonzero(occasions.week == week)
            probability[rows] = deciders.choose(occasions.take(rows), before)
        each = said.units.astype(float)
        if units is None:
            table = np.repeat(each[:, None], occasions.product.shape[1], 1)
        else:
            table = np.asarray(units(occasions), float)
        buy = np.minimum(said.buy.astype(float) * rate, 0.99)
        return Demand(buy, said.other.astype(float), probability, table, each)

    return ask


def find_price_response(
    market: CategoryMarket, ask: Decide, before: Demand, weight: Float[ndarray, " occasion"]
) -> float:
    """η of the category, - d utility / d log price, from two more questions: prices 20 % down and up.

    Both sides are asked because models that saw few rises answer them less than cuts.
    """
    cheaper, dearer = (
        ask(move_leading(market.occasions, before.probability, step)).probability for step in (-STEP, STEP)
    )
    bought = weight * before.buy * (1 - before.other)
    return measure_price_response(before.probability, cheaper, dearer, bought, STEP)


def find_expansion(
    market: CategoryMarket, ask: Decide, before: Demand, weight: Float[ndarray, " occasion"]
) -> float:
    """λ of the category, the part of a better shelf that brings more purchases; NaN if the models say it.

        λ = sum over n of w[n] clip(moved[n], 0, D[n]) / sum over n of w[n] D[n]

    taken from a cut of 20 % of the likeliest alternative, which incidence sees as a discount. An incidence
    model that knows nothing but promotions does not answer when usual prices move; λ then stands in. NaN
    where it does answer a rise of all prices and list prices.

    Source: McFadden (1978), the coefficient of the inclusive value.
    """
    base = market.occasions
    dearer = ask(
        replace(
            base,
            price=(base.price * np.float32(1 + STEP)).astype(np.float32),
            list_price=(base.list_price * np.float32(1 + STEP)).astype(np.float32),
        )
    )
    if np.abs(log_odds(dearer.buy) - log_odds(before.buy)).max(initial=0.0) > BLIND:
        return float("nan")
    cut = move_leading(base, before.probability, -STEP)
    said = ask(cut)
    d = inclusive_change(find_anchors(base, cut), before.probability, said.probability, 0.0)
    room = np.maximum(np.log(before.other + (1 - before.other) * np.exp(d)), 0.0)
    moved = np.clip(log_odds(said.buy) - log_odds(before.buy), 0.0, room)
    w = weight * before.buy
    return float((w * moved).sum() / (w * room).sum()) if (w * room).sum() > 0 else 0.0


def move_leading(
    occasions: Occasions, probability: Float[ndarray, "occasion alternative"], step: float
) -> Occasions:
    """The occasions with another price of the likeliest alternative of each row."""
    price, full = occasions.price.copy(), occasions.list_price.copy()
    rows, lead = np.arange(len(occasions)), probability.argmax(1)
    price[rows, lead] *= np.float32(1 + step)
    full[rows, lead] = np.maximum(full[rows, lead], price[rows, lead])
    return replace(occasions, price=price, list_price=full)


def require_price_response(response: float, category: int) -> None:
    """Refuse a question about all prices to a model that does not turn away from dearer products.

    Raises:
        OccasionError: η is not above zero.
    """
    if not response > 0:
        raise OccasionError(
            f"the choice model does not turn away from dearer products in category {category} "
            f"(- d utility / d log price = {response:.3f}), so a change of every price cannot be answered; "
            "leave one product as it is, or use a model that is fitted with prices."
        )
