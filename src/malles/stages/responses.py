"""How well the market's response to the shelf is known, from weeks that its models were not fitted on."""

from __future__ import annotations

from typing import Any

import numpy as np

from malles.engines import market_model
from malles.head.incidence import FittedIncidence
from malles.head.incidence_cells import collect_cells
from malles.profiles.incidence import without_offers
from malles.road import Road
from malles.scenarios.price_evidence import find_price_evidence
from malles.scenarios.responses import (
    NAMES,
    Fit,
    Responses,
    compare_groups,
    fit_choice_response,
    fit_incidence_response,
    join_responses,
)
from malles.stages.market import CODE, MarketRoom, market_room
from malles.stages.transactions import read_plain, write_plain
from malles.vocabulary import Occasions

TRIPS, EMPTY_CELLS = 0.3, 0.03
"""Part of the trips that is looked at, and of their cells without a purchase."""


def find_responses(road: Road) -> None:
    """Response parameters with their spread (07), for the intervals of what-ifs."""
    inputs = [road.steps[name] for name in ("predictions", "occasions valid", "incidence", "rates")]
    road.steps["responses"] = road.run.step(
        "responses",
        "07-responses.json",
        build=lambda: _find(road),
        save=write_plain,
        load=read_plain,
        settings=[road.config.calibration, road.config.market, road.config.models.names],
        inputs=inputs,
        code=(*CODE, "scenarios/responses", "stages/responses"),
    )


def _find(road: Road) -> dict[str, Any]:
    road.tell("how well the response to the shelf is known")
    name = market_model(road.config.models.names)
    room = market_room(road)
    occasions = road.occasions("valid")
    said = road.steps["predictions"].value.get(name)
    if said is None:  # a language model decides: it answered no more than a sample
        said = room.choose(occasions, room.world.lines)
    drift = road.steps["drift"].value if "drift" in road.steps else None
    if drift is not None:
        there = occasions.available & (occasions.product >= 0)
        said = drift.apply(np.asarray(said, float), there, occasions.product, occasions.week)
    return estimate_responses(
        said, occasions, room, road.steps["incidence"].value, np.array(road.steps["rates"].value["rate"])
    )


def estimate_responses(
    probability: np.ndarray,
    occasions: Occasions,
    room: MarketRoom,
    incidence: FittedIncidence,
    rate: np.ndarray,
) -> dict[str, Any]:
    """Parameters, covariance and spread between categories as plain data.

    Args:
        probability: the choice model's, on occasions it was not fitted on.
        occasions: with known choices.
        room: of the market.
        incidence: fitted before the calibration weeks.
        rate: calibrated factor on the chance of a purchase, by category.
    """
    choice = fit_choice_response(probability, occasions)
    trips, category = _fit_incidence(room, incidence, rate)
    found = join_responses(choice, trips)
    categories = len(room.catalogue.category_name)
    shelf = compare_groups(choice, occasions.category[_used(probability, occasions)], categories)
    offer = compare_groups(trips, category, categories)

    def both(one: np.ndarray, two: np.ndarray) -> list[Any]:
        return list(np.concatenate([one, two], axis=-1).tolist())

    return {
        "parameters": list(NAMES),
        "value": found.value.tolist(),
        "covariance": found.covariance.tolist(),
        "between_categories": both(shelf.between, offer.between),
        "deviation": both(shelf.deviation, offer.deviation),
        "variance": both(shelf.variance, offer.variance),
        "price_evidence": str(find_price_evidence(probability, occasions)),
        "occasions": len(choice.score),
        "cells": len(trips.score),
    }


def read_responses(kept: dict[str, Any], category: int) -> Responses:
    """The responses of a category, from what `find_responses` kept."""
    return Responses(
        np.array(kept["value"]) + np.array(kept["deviation"])[category],
        np.array(kept["covariance"]) + np.diag(np.array(kept["variance"])[category]),
    )


def _used(probability: np.ndarray, o: Occasions) -> np.ndarray:
    chosen = np.maximum(o.chosen, 0)[:, None]
    there = (np.asarray(probability) > 0) & o.available
    return np.asarray((o.chosen >= 0) & np.take_along_axis(there, chosen, 1)[:, 0])


def _fit_incidence(room: MarketRoom, incidence: FittedIncidence, rate: np.ndarray) -> tuple[Fit, np.ndarray]:
    settings, world = room.config, room.world
    cells = collect_cells(
        world.purchases, world.shelves, world.group, world.n_customers, settings.calibration.weeks[0],
        settings.market.weeks[1], rate=EMPTY_CELLS, trips=TRIPS, rng=np.random.default_rng([1, 73]),
    )  # fmt: skip

    def score(features: np.ndarray) -> np.ndarray:
        p = incidence.probability(features, cells.category).astype(float) * rate[cells.category]
        p = np.clip(p, 1e-9, 0.99)
        return np.asarray(np.log(p / (1 - p)))

    whole = score(cells.features)
    offered = whole - score(without_offers(cells.features))
    weight = np.where(cells.bought, 1.0, 1 / EMPTY_CELLS)
    fit = fit_incidence_response(whole, offered, cells.bought, np.arange(len(whole)), weight)
    return fit, cells.category
