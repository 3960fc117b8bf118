"""Stage 7: one change of the shelf, answered as a difference to the base world."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from malles.config import ScenarioSettings
from malles.errors import ConfigError, did_you_mean
from malles.population.simulation import Deciders, TripSource, World
from malles.road import Road
from malles.scenarios.category_market import CategoryMarket, build_category_market
from malles.scenarios.changes import Change, Display, PriceChange, Scenario
from malles.scenarios.counterfactual import Comparison, Curve, Estimate, compare_worlds, trace_price_response
from malles.scenarios.decide import build_decide
from malles.stages.market import CODE, market_room
from malles.stages.transactions import read_plain, write_plain
from malles.vocabulary import Catalogue

MULTIPLIERS = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
"""Prices over today's on the price-response curve."""

MOST_OCCASIONS = 20_000
"""Trips that a what-if decides; more are sampled by their chance of a purchase."""


def ask_what_if(road: Road) -> None:
    """The configured price cut (with a display) on one product, on the last simulated week."""
    road.steps["what-if"] = road.run.step(
        "what-if",
        "07-what-if.json",
        build=lambda: _ask(road),
        save=write_plain,
        load=read_plain,
        settings=[road.config.scenario, road.config.market, road.config.occasions],
        inputs=[road.steps["market"], road.steps["rates"]],
        code=(*CODE, "scenarios", "stages/what_if"),
    )


def _ask(road: Road) -> dict[str, Any]:
    room = market_room(road)
    road.tell("what-if")
    deciders = room.deciders(road.steps["incidence"].value, road.steps["rates"].value)
    week = road.config.market.weeks[1]
    return answer(
        road.catalogue, room.world, deciders, road.config.scenario, [week],
        trips=TripSource(road.config.market.trips), seed=road.config.market.seed,
        draws=road.config.market.draws,
    )  # fmt: skip


def answer(
    catalogue: Catalogue,
    world: World,
    deciders: Deciders,
    settings: ScenarioSettings,
    weeks: list[int],
    *,
    trips: TripSource,
    seed: int,
    draws: int = 200,
) -> dict[str, Any]:
    """The difference a scenario makes, with intervals, and the price-response curve of its product."""
    category = find_category(catalogue, settings)
    product = find_product(catalogue, world, settings, category, weeks)
    market = build_category_market(
        world, deciders, category, weeks, trips=trips, seed=seed, most=MOST_OCCASIONS
    )
    decide = build_decide(market, world, deciders)
    changes: list[Change] = [PriceChange(product, relative=settings.price_multiplier - 1.0)]
    known = len(catalogue.promotions.week) > 0  # a display that was never recorded has no learnt effect
    if settings.display and known:
        changes.append(Display(product))
    name = product_name(catalogue, product)
    found = compare_worlds(
        market.occasions, Scenario(name, tuple(changes)), decide, product=product, seed=seed,
        weight=market.weight, draws=draws,
    )  # fmt: skip
    curve = trace_price_response(
        market.occasions, product, MULTIPLIERS, decide, seed=seed, weight=market.weight, draws=draws
    )
    change = (
        f"{abs(1 - settings.price_multiplier):.0%} {'off' if settings.price_multiplier < 1 else 'dearer'}"
    )
    notes = (
        [] if known or not settings.display else ["No promotions are recorded, so no display is simulated."]
    )
    asked = _price_today(market, product) * settings.price_multiplier
    low, high = observed_prices(catalogue, product, weeks[0])
    if not low <= asked <= high:
        notes.append(
            f"A price of {asked:.2f} is outside what was observed for this product ({low:.2f} to "
            f"{high:.2f}): the answer extrapolates."
        )
    return {
        "question": f"{name} at {change}{' and on display' if settings.display and known else ''}, "
        f"{'week' if len(weeks) == 1 else 'weeks'} {', '.join(map(str, weeks))}",
        "category": catalogue.category_name[category],
        "product": str(catalogue.products.key[product]),
        "name": name,
        "price_today": _price_today(market, product),
        "trips": trips.value,
        "note": " ".join(notes),
        "observed_prices": [low, high],
        **_plain(found, catalogue),
        "curve": _curve(curve, market, product),
    }


def find_category(catalogue: Catalogue, settings: ScenarioSettings) -> int:
    """The category asked for, or the one with the most lines."""
    if settings.category is None:
        code = catalogue.products.category[catalogue.lines.product]
        return int(np.bincount(code[code >= 0], minlength=len(catalogue.category_name)).argmax())
    if settings.category not in catalogue.category_name:
        hint = did_you_mean(settings.category, catalogue.category_name)
        raise ConfigError(
            f"[scenario] category {settings.category!r} is not a choice category of "
            f"{catalogue.name!r}. {hint}".rstrip()
        )
    return catalogue.category_name.index(settings.category)


def find_product(
    catalogue: Catalogue, world: World, settings: ScenarioSettings, category: int, weeks: list[int]
) -> int:
    """The product asked for, or the one that stands on most shelves of the category."""
    shelf = world.shelves[weeks[0]]
    rows = np.unique(shelf.row[:, category])
    standing = shelf.product[rows[rows >= 0]].ravel()
    if settings.product is None:
        lines = catalogue.lines.product[catalogue.lines.week < weeks[0]]
        sold = np.bincount(lines, minlength=len(catalogue.products))
        carried = np.bincount(standing[standing >= 0], minlength=len(catalogue.products))
        return int(np.where(carried > 0, sold, -1).argmax())
    keys = [str(key) for key in catalogue.products.key]
    if settings.product not in keys:
        hint = did_you_mean(settings.product, keys) or "Leave it out to take the best seller."
        raise ConfigError(f"[scenario] product {settings.product!r} is unknown in {catalogue.name!r}. {hint}")
    product = keys.index(settings.product)
    if product not in standing:
        raise ConfigError(
            f"[scenario] product {settings.product!r} stands on no shelf of "
            f"{catalogue.category_name[category]!r} in week {weeks[0]}; "
            "name its own category or another product."
        )
    return product


def product_name(catalogue: Catalogue, product: int) -> str:
    """What a person would call a product."""
    return f"{catalogue.products.text[product]} (product {catalogue.products.key[product]})"


def observed_prices(catalogue: Catalogue, product: int, before: int) -> tuple[float, float]:
    """Where the product's prices lay in earlier weeks: 1st and 99th percentile; (0, 0) if never sold."""
    lines = catalogue.lines
    paid = lines.price[(lines.product == product) & (lines.week < before)]
    if not len(paid):
        return 0.0, 0.0
    low, high = np.quantile(paid, [0.01, 0.99])
    return float(low), float(high)


def _price_today(market: CategoryMarket, product: int) -> float:
    here = market.occasions.product == product
    return float(np.median(market.occasions.price[here]))


def _plain(found: Comparison, catalogue: Catalogue) -> dict[str, Any]:
    names = ("units", "share", "revenue", "category_units", "category_revenue")
    return {
        "effects": {name: asdict(getattr(found, name)) for name in names},
        "diversion": {name: asdict(part) for name, part in found.diversion.items()},
        "sources": [
            {"product": product_name(catalogue, code), **asdict(change)}
            for code, change in found.sources.items()
        ],
        "occasions": found.occasions,
        "households": found.households,
    }


def _curve(curve: Curve, market: CategoryMarket, product: int) -> list[dict[str, float]]:
    today = _price_today(market, product)

    def part(name: str, e: Estimate) -> dict[str, float]:
        return {name: e.value, f"{name}_low": e.low, f"{name}_high": e.high}

    return [
        {
            "multiplier": float(m),
            "price": today * float(m),
            **part("units", curve.units[i]),
            **part("share", curve.share[i]),
            **part("revenue", curve.revenue[i]),
            "elasticity": float(curve.elasticity[i]),
        }
        for i, m in enumerate(curve.multiplier)
    ]
