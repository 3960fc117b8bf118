"""Stage 7: the configured what-if, a price cut of one product, answered as a difference to the base world."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from malles.config import ScenarioSettings
from malles.errors import ConfigError, did_you_mean
from malles.population.simulation import World
from malles.road import Road
from malles.scenarios.changes import Change, Display, PriceChange, Scenario
from malles.scenarios.cube_kernels import REVENUE, UNITS
from malles.scenarios.outcomes import estimate, find_diversion, find_place, tabulate
from malles.scenarios.products import largest_category, observed_prices, product_name
from malles.scenarios.rehearsal import Desk, Rehearsal
from malles.scenarios.responses import Responses
from malles.stages.market import CODE, market_room
from malles.stages.rehearse import OpenMarket
from malles.stages.transactions import read_plain, write_plain
from malles.vocabulary import Catalogue

MULTIPLIERS = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
"""Prices over today's on the price-response curve."""
LEVEL = 0.95
"""Of the intervals."""
SHOWN = 10
"""Products listed by name among the sources of additional units."""


def ask_what_if(road: Road) -> None:
    """The configured price cut (with a display) on one product, on the last simulated week."""
    road.steps["what-if"] = road.run.step(
        "what-if",
        "07-what-if.json",
        build=lambda: _ask(road),
        save=write_plain,
        load=read_plain,
        settings=[road.config.scenario, road.config.market, road.config.occasions],
        inputs=[road.steps["market"], road.steps["rates"], road.steps["responses"]],
        code=(*CODE, "scenarios", "stages/what_if", "stages/rehearse"),
    )


def _ask(road: Road) -> dict[str, Any]:
    room = market_room(road)
    road.tell("what-if")
    deciders = room.deciders(road.steps["incidence"].value, road.steps["rates"].value)
    market = OpenMarket(road.catalogue, road.config, room, deciders, road.steps["responses"].value)
    return answer_cut(market, road.config.scenario)


def answer_cut(market: OpenMarket, settings: ScenarioSettings) -> dict[str, Any]:
    """The difference a price cut makes, with intervals, and the price-response curve of its product."""
    catalogue, week = market.catalogue, market.weeks[1]
    draws, seed = market.config.market.draws, market.config.market.seed
    category = find_category(catalogue, settings)
    product = find_product(catalogue, market.room.world, settings, category, [week])
    desk, responses = market.desk_of(category, (week,)), market.response_parameters(category)
    changes: list[Change] = [PriceChange(product, relative=settings.price_multiplier - 1.0)]
    known = len(catalogue.promotions.week) > 0  # a display that was never recorded has no learnt effect
    if settings.display and known:
        changes.append(Display(product))
    name = product_name(catalogue, product)
    found = desk.rehearse(Scenario(name, tuple(changes)), responses=responses, draws=draws, seed=seed)
    change = (
        f"{abs(1 - settings.price_multiplier):.0%} {'off' if settings.price_multiplier < 1 else 'dearer'}"
    )
    notes = (
        [] if known or not settings.display else ["No promotions are recorded, so no display is simulated."]
    )
    today = _price_today(desk, product)
    low, high = observed_prices(catalogue, product, week)
    asked = today * settings.price_multiplier
    if not low <= asked <= high:
        notes.append(
            f"A price of {asked:.2f} is outside what was observed for this product ({low:.2f} to "
            f"{high:.2f}): the answer extrapolates."
        )
    return {
        "question": f"{name} at {change}{' and on display' if settings.display and known else ''}, "
        f"week {week}",
        "category": catalogue.category_name[category],
        "product": str(catalogue.products.key[product]),
        "name": name,
        "price_today": today,
        "trips": market.config.market.trips,
        "note": " ".join(notes),
        "observed_prices": [low, high],
        "effects": _effects(found, product),
        "diversion": {k: asdict(e) for k, e in find_diversion(found, product, level=LEVEL).items()},
        "sources": _sources(found, product, catalogue),
        "occasions": found.occasions,
        "households": found.households,
        "curve": _curve(desk, responses, product, draws, seed),
    }


def find_category(catalogue: Catalogue, settings: ScenarioSettings) -> int:
    """The category asked for, or the one with the most lines."""
    if settings.category is None:
        return largest_category(catalogue)
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


def _price_today(desk: Desk, product: int) -> float:
    o = desk.market.occasions
    return float(np.median(o.price[o.product == product]))


def _effects(found: Rehearsal, product: int) -> dict[str, Any]:
    """The product's units, share and revenue, and the category's units and revenue."""
    mine = {r.quantity: r for r in tabulate(found, "product", level=LEVEL) if r.part == str(product)}
    whole = {r.quantity: r for r in tabulate(found, level=LEVEL)}
    rows = {name: mine[name] for name in ("units", "share", "revenue")}
    rows |= {f"category_{name}": whole[name] for name in ("units", "revenue")}
    return {
        name: {key: value for key, value in asdict(row).items() if key not in {"part", "quantity"}}
        for name, row in rows.items()
    }


def _sources(found: Rehearsal, product: int, catalogue: Catalogue) -> list[dict[str, Any]]:
    """Change of units of every other product of the slates, the largest first."""
    central = found.central[..., UNITS].sum(1)
    change = (central[1] - central[0])[:-1]
    draws = found.expected[..., UNITS].sum(2)
    spread = draws[:, 1] - draws[:, 0]
    order = [i for i in np.argsort(-np.abs(change)) if found.product[i] != product][:SHOWN]
    return [
        {
            "product": product_name(catalogue, int(found.product[i])),
            **asdict(estimate(float(change[i]), spread[:, i], LEVEL)),
        }
        for i in order
    ]


def _curve(desk: Desk, responses: Responses, product: int, draws: int, seed: int) -> list[dict[str, float]]:
    """Expected units, share and revenue over a grid of prices, the same households at every point."""
    today, rows = _price_today(desk, product), []
    for multiplier in MULTIPLIERS:
        cut = Scenario("point", (PriceChange(product, relative=multiplier - 1.0),))
        found = desk.rehearse(cut, responses=responses, draws=draws, seed=seed, luck=False)
        at = find_place(found, product)
        row = {"multiplier": multiplier, "price": today * multiplier}
        both = [
            _measures(table, at) for table in (found.central[None, 1].sum(1), found.expected[:, 1].sum(1))
        ]
        for name, value in both[0].items():
            e = estimate(float(value[0]), both[1][name], LEVEL)
            row |= {name: e.value, f"{name}_low": e.low, f"{name}_high": e.high}
        rows.append(row)
    units = np.log(np.maximum([row["units"] for row in rows], 1e-12))
    slope = np.gradient(units, np.log(MULTIPLIERS))
    return [{**row, "elasticity": float(e)} for row, e in zip(rows, slope, strict=True)]


def _measures(table: np.ndarray, at: int) -> dict[str, np.ndarray]:
    """Units, share and revenue of a product, by draw."""
    units = table[:, at, UNITS]
    share = units / np.maximum(table[..., UNITS].sum(1), 1e-12)
    return {"units": units, "share": share, "revenue": table[:, at, REVENUE]}
