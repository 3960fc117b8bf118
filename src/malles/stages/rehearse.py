"""Scenario files on the market of a finished run: opened once, asked as often as one likes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from malles.calibration.raking import Raked, rake_weights
from malles.config import Config
from malles.config.scenario_file import ScenarioFile
from malles.data.margins import read_margins
from malles.engines import market_model
from malles.errors import RunError
from malles.head.incidence import FittedIncidence
from malles.population.simulation import Deciders, TripSource
from malles.road import Tell
from malles.scenarios.category_market import build_category_market
from malles.scenarios.changes import Scenario
from malles.scenarios.conflicts import require_shelves
from malles.scenarios.inclusive_value import unchanged_cells
from malles.scenarios.naming import Resolved, resolve_scenario
from malles.scenarios.outcomes import find_diversion, find_risks, tabulate
from malles.scenarios.policy import IncomeShift, Pricing, SalesTax, Subsidy, apply_policies
from malles.scenarios.products import largest_category, name_of, observed_prices
from malles.scenarios.rehearsal import Desk, Rehearsal
from malles.scenarios.responses import Responses, certain
from malles.scenarios.sense import require_sense, standing_products
from malles.stages.caveats import find_caveats
from malles.stages.finished import FinishedRun, open_finished
from malles.stages.market import DRIFT, MarketRoom, read_drift
from malles.stages.responses import read_responses
from malles.vocabulary import Catalogue, Occasions

MOST_OCCASIONS = 20_000
"""Trips that a what-if decides; more are sampled by their chance of a purchase."""
RESPONSES = "07-responses.json"


@dataclass
class OpenMarket:
    """A fitted market that answers scenario files."""

    catalogue: Catalogue
    config: Config
    room: MarketRoom
    deciders: Deciders
    responses: dict[str, Any] | None
    """What `malles.stages.responses` kept; None in runs of older versions."""
    raked: Raked | None = None
    """Weights of the customers by given margins; None = each counts once."""
    _desks: dict[tuple[int, tuple[int, ...], float | None], Desk] = field(default_factory=dict)

    @property
    def weeks(self) -> tuple[int, int]:
        """First and last week whose shelves are known."""
        return self.config.occasions.first_week, self.config.market.weeks[1]

    @cached_property
    def _largest(self) -> int:
        return largest_category(self.catalogue)

    def resolve(self, file: ScenarioFile) -> Resolved:
        """The names of a file as codes; contradictions are refused."""
        found = resolve_scenario(file, self.catalogue, self.weeks, self._largest)
        standing = standing_products(self.room.world.shelves, found.category, found.weeks)
        require_sense(found, standing, name_of(self.catalogue, found.newcomers).__getitem__)
        return found

    def desk(self, asked: Resolved, customers: float | None = None) -> Desk:
        """The category and weeks of a scenario, made once."""
        return self.desk_of(asked.category, asked.weeks, customers)

    def desk_of(self, category: int, weeks: tuple[int, ...], customers: float | None = None) -> Desk:
        """A category in some weeks, made once."""
        key = (category, weeks, customers)
        if key not in self._desks:
            market = build_category_market(
                self.room.world, self.deciders, category, weeks,
                trips=TripSource(self.config.market.trips), seed=self.config.market.seed,
                most=MOST_OCCASIONS,
            )  # fmt: skip
            if self.raked is not None:
                weight = market.weight * self.raked.weight[market.occasions.customer]
                market = replace(market, weight=weight)
            self._desks[key] = Desk.open(market, self.room.world, self.deciders, customers=customers)
        return self._desks[key]

    def response_parameters(self, category: int) -> Responses:
        """How well the response of a category is known."""
        return certain() if self.responses is None else read_responses(self.responses, category)

    def rehearse(
        self, asked: Resolved, *, draws: int, seed: int, customers: float | None = None
    ) -> Rehearsal:
        """One scenario."""
        desk = self.desk(asked, customers)
        return desk.rehearse(
            Scenario(asked.name, asked.changes), newcomers=asked.newcomers,
            pricing=lambda shelf: price_shelf(desk, shelf, asked), segments=asked.segments,
            stock=asked.stock, responses=self.response_parameters(asked.category), draws=draws, seed=seed,
        )  # fmt: skip


def price_shelf(desk: Desk, shelf: Occasions, asked: Resolved) -> Pricing:
    """What customers pay under the policies of a scenario."""
    base, before = desk.market.occasions, desk.before
    mean = (before.probability * base.price).sum(1) / np.maximum(before.probability.sum(1), 1e-12)
    response = desk.price_response if any(isinstance(p, IncomeShift) for p in asked.policies) else 0.0
    return apply_policies(shelf, asked.policies, max(response, 0.0) / np.maximum(mean, 1e-9))


def open_market(root: Path, run: str, tell: Tell, *, margins: Path | None = None) -> OpenMarket:
    """The market of a finished run.

    Args:
        root: folder of all runs.
        run: name of the run.
        tell: told what is going on.
        margins: file of margins that the customers are weighted to; None = each counts once.

    Raises:
        RunError: the run stopped before its market was calibrated, or an older malles calibrated it.
    """
    finished = open_finished(root, run, tell)
    rates = finished.folder / "06-rates.json"
    if not rates.is_file():
        raise RunError(f"Run {run!r} has no calibrated market yet; go on with: malles runs resume {run}")
    kept = json.loads(rates.read_text(encoding="utf-8"))
    if not {"rate", "reaction"} <= kept.keys():
        raise RunError(
            f"Run {run!r} was calibrated by an older malles; bring it up to date with: "
            f"malles runs resume {run}"
        )
    room = _room(finished)
    incidence = FittedIncidence.load(finished.folder / "03-models" / "incidence")
    found = finished.folder / RESPONSES
    responses = json.loads(found.read_text(encoding="utf-8")) if found.is_file() else None
    raked = None if margins is None else rake_weights(finished.catalogue.customers, read_margins(margins))
    deciders = room.deciders(incidence, kept)
    return OpenMarket(finished.catalogue, finished.config, room, deciders, responses, raked)


def _room(finished: FinishedRun) -> MarketRoom:
    followed = finished.folder / DRIFT
    return MarketRoom(
        finished.catalogue,
        finished.config,
        lambda: finished.model(market_model(finished.config.models.names)),
        lambda: read_drift(followed) if followed.is_file() else None,
    )


def check_scenario(market: OpenMarket, file: ScenarioFile) -> dict[str, Any]:
    """What a scenario would change, without asking any model."""
    asked = market.resolve(file)
    desk = market.desk(asked)
    shelf = _changed_shelf(desk, asked)
    require_shelves(shelf)
    return {**_about(market, asked, desk), "products": _prices(market, asked, desk, shelf)}


def _changed_shelf(desk: Desk, asked: Resolved) -> Occasions:
    """What customers meet and pay: edits of the shelf, taxes and subsidies."""
    shelf = Scenario(asked.name, asked.changes).apply(desk.market.occasions)
    money = tuple(p for p in asked.policies if isinstance(p, SalesTax | Subsidy))
    return apply_policies(shelf, money, np.zeros(len(shelf))).paid if money else shelf


def answer_scenario(
    market: OpenMarket,
    file: ScenarioFile,
    *,
    draws: int,
    seed: int,
    customers: float | None = None,
    level: float = 0.9,
) -> dict[str, Any]:
    """Every outcome table of a scenario as plain data.

    Args:
        market: of a finished run.
        file: the scenario.
        draws: behind every interval.
        seed: of the draws.
        customers: how many customers the panel stands for; None = itself.
        level: of the intervals.
    """
    asked = market.resolve(file)
    desk = market.desk(asked, customers)
    found = market.rehearse(asked, draws=draws, seed=seed, customers=customers)
    shelf = _changed_shelf(desk, asked)
    called = name_of(market.catalogue, asked.newcomers)
    ways = ["total", "product"]
    ways += ["segment"] * (asked.segments is not None) + ["week"] * (len(asked.weeks) > 1)
    cost = asked.cost
    out: dict[str, Any] = {
        **_about(market, asked, desk),
        "draws": draws, "seed": seed, "level": level, "customers": found.customers,
        "products": _prices(market, asked, desk, shelf),
        "tables": {
            way: [asdict(r) for r in tabulate(found, way, name=lambda c: called[c], cost=cost, level=level)]
            for way in ways
        },
        "risks": [asdict(risk) for risk in find_risks(found, cost)],
    }  # fmt: skip
    out["diversion"] = {
        called[product]: {
            part: asdict(estimate)
            for part, estimate in find_diversion(found, product, _own(market, product), level=level).items()
        }
        for product in asked.products
        if product in found.product
    }
    out["notes"] = find_caveats(
        market.catalogue, asked, desk, found, market.responses, market.raked, out["products"]
    )
    return out


def _about(market: OpenMarket, asked: Resolved, desk: Desk) -> dict[str, Any]:
    o = desk.market.occasions
    return {
        "question": asked.name,
        "category": market.catalogue.category_name[asked.category],
        "weeks": list(asked.weeks),
        "currency": market.catalogue.currency,
        "occasions": len(o),
        "households": len(np.unique(o.customer)),
        "trips": market.config.market.trips,
    }


def _own(market: OpenMarket, product: int) -> np.ndarray | None:
    """Products of the same house; None where it is not known."""
    products = market.catalogue.products
    if product >= len(products) or products.manufacturer[product] < 0:
        return None
    return np.asarray(products.manufacturer == products.manufacturer[product])


def _prices(market: OpenMarket, asked: Resolved, desk: Desk, shelf: Occasions) -> list[dict[str, Any]]:
    """Every product that is named, or every one that changes: prices where it changes, and where they were
    seen.
    """
    base = desk.market.occasions
    changed = ~unchanged_cells(base, shelf)[:, : base.shape[1]]
    products = asked.products or tuple(int(p) for p in np.unique(base.product[changed]) if p >= 0)
    called = name_of(market.catalogue, asked.newcomers)
    rows = []
    for product in products:
        here = base.product == product
        some = here & changed if (here & changed).any() else here
        new = dict(asked.newcomers).get(product)
        enters = (shelf.product == product) & ~np.pad(here, ((0, 0), (0, shelf.shape[1] - base.shape[1])))
        stands = some & (shelf.product[:, : base.shape[1]] == product)
        then = shelf.price[enters] if enters.any() else shelf.price[:, : base.shape[1]][stands]
        low, high = (None, None) if new else observed_prices(market.catalogue, product, asked.weeks[0])
        rows.append({
            "product": called[product],
            "price_today": float(np.median(base.price[some])) if some.any() else None,
            "price_then": new.price if new else float(np.median(then)) if len(then) else None,
            "observed_low": low, "observed_high": high,
            "occasions": int(((here & changed).any(1) | enters.any(1)).sum()),
            "weeks": [int(w) for w in np.unique(base.week[(here & changed).any(1) | enters.any(1)])],
        })  # fmt: skip
    return rows


def outcome_rows(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """All tables of an answer as flat rows, for a file."""
    return [
        {
            "question": answer["question"], "category": answer["category"], "split": way, "part": row["part"],
            "quantity": row["quantity"], "base": row["base"], "scenario": row["scenario"],
            "change": row["change"]["value"], "low": row["change"]["low"], "high": row["change"]["high"],
            "expected_low": row["expected_change"]["low"], "expected_high": row["expected_change"]["high"],
        }
        for way, rows in answer["tables"].items()
        for row in rows
    ]  # fmt: skip
