"""Stage 6: every household for some weeks, against everything sold in the choice categories."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from malles.arrays import read_arrays, write_arrays
from malles.baselines.weekly import WeeklyBoosting, predict_last_week, predict_mean, predict_smoothing
from malles.calibration.drift import ShareDrift
from malles.calibration.mapping import UnitsMap, fit_units_map
from malles.calibration.rate import fit_rate_map
from malles.choice.model import ChoiceModel
from malles.config import Config
from malles.engines import market_model
from malles.errors import ConfigError
from malles.evaluation.weekly_units import compare_weekly_units
from malles.head.incidence import FittedIncidence, IncidenceModel
from malles.head.incidence_cells import collect_cells
from malles.occasions.build import build_occasions
from malles.occasions.shelves import build_shelves
from malles.occasions.splits import build_split, category_groups
from malles.population.mean_field import NO_REACTION, Reaction, fit_reaction, share_deviation
from malles.population.simulation import Deciders, Mode, Simulation, TripSource, World, simulate
from malles.population.week import product_shares
from malles.profiles.features import FeatureStore, build_features
from malles.profiles.incidence import build_purchases
from malles.profiles.incidence_shelves import shelves_by_week
from malles.road import Road
from malles.stages.calibrated_scores import score_calibration
from malles.stages.choice_drift import calibrated, follow_choices
from malles.stages.occasions import occasion_rules
from malles.stages.transactions import read_plain, write_plain
from malles.vocabulary import Catalogue, Lines, Occasions, Regime

CODE = (
    "data", "occasions", "vocabulary", "profiles", "choice", "baselines", "head", "engines",
    "population", "calibration", "evaluation", "stages/market", "stages/choice_drift",
)  # fmt: skip

DRIFT = "06-choice-drift.safetensors"
"""Where a run keeps the product shares that it followed."""

CELLS = 0.03
"""Part of the cells (trips x categories) without a purchase that incidence is fitted on."""

PAST_WEEKS = 8
"""Weeks of shelves that weekly boosting looks back on: its fit begins so long after the first shelves."""


STORES = 4
"""Indexed tables of order lines that are kept: those of the weeks of one what-if."""


class MarketRoom:
    """What the market and the what-if share; made when it is first asked for."""

    def __init__(
        self,
        catalogue: Catalogue,
        config: Config,
        chooser: Callable[[], ChoiceModel],
        drift: Callable[[], ShareDrift | None] = lambda: None,
    ) -> None:
        self.catalogue = catalogue
        self.config = config
        self._chooser = chooser
        self._drift = drift
        self._stores: list[FeatureStore] = []

    @cached_property
    def world(self) -> World:
        """True history and shelves up to the last simulated week."""
        lines, settings = self.catalogue.lines, self.config
        last = max(settings.market.weeks[1], settings.calibration.weeks[1])
        first = settings.occasions.first_week
        rules = occasion_rules(self.catalogue, settings.occasions)
        return World(
            purchases=build_purchases(lines, self.catalogue.products.category).before(last + 1),
            lines=lines.before(last + 1),
            shelves=shelves_by_week(build_shelves(self.catalogue, (first, last), rules)),
            group=category_groups(self.catalogue),
            category_of_product=self.catalogue.products.category,
            n_customers=len(self.catalogue.customer_key),
        )

    def choose(self, occasions: Occasions, lines: Lines) -> np.ndarray:
        """Choice probabilities of the configured model, given only the order lines handed over."""
        if not len(occasions):
            return np.zeros(occasions.shape, np.float32)
        catalogue = replace(self.catalogue, lines=lines)
        store = self._index(catalogue) if self.config.occasions.regime is not Regime.LAUNCH else None
        data = build_features(catalogue, occasions, self.config.occasions.regime, store=store)
        return self._chooser().predict(data)

    def _index(self, catalogue: Catalogue) -> FeatureStore:
        """The index of a table of order lines; the last few are kept, for what-ifs ask again and again."""
        for store in self._stores:
            if store.catalogue.lines is catalogue.lines:
                return store
        self._stores = [*self._stores[1 - STORES :], FeatureStore(catalogue)]
        return self._stores[-1]

    def fit_incidence(self, seed: int) -> FittedIncidence:
        """Fitted on weeks that end before the calibration begins."""
        settings, world = self.config, self.world
        cells = collect_cells(
            world.purchases, world.shelves, world.group, world.n_customers,
            settings.occasions.first_week, settings.calibration.fit_until,
            rate=CELLS, rng=np.random.default_rng([seed, 6]),
        )  # fmt: skip
        return IncidenceModel().fit(cells, len(world.group), seed=seed, threads=settings.run.workers)

    def actual(self, weeks: tuple[int, int]) -> np.ndarray:
        """Units really sold in every category and week: all products, on a slate or not."""
        return self.world.purchases.units_by_week(np.arange(weeks[0], weeks[1] + 1), len(self.world.group))

    def deciders(
        self, incidence: FittedIncidence, rates: dict[str, Any] | None = None, *, before: int | None = None
    ) -> Deciders:
        """The models that decide for the customers, calibrated if `rates` are given.

        Args:
            incidence: the fitted incidence model.
            rates: what the stage of that name kept.
            before: use no product shares of this week and later ones (a free-running market).
        """
        if rates is None:
            return Deciders(incidence, self.choose)
        units = rates.get("units")
        return Deciders(
            incidence,
            calibrated(self.choose, self._drift(), before),
            Reaction(**rates["reaction"]),
            np.array(rates["rate"]),
            self.config.market.window,
            UnitsMap(np.array(units["simulated"]), np.array(units["actual"])).apply if units else None,
        )

    def fit_reaction(self, weeks: tuple[int, int]) -> Reaction:
        """How customers react to the shares of the two weeks before, beyond what the choice model knows.

        Estimated on customers that no model was fitted on, so that the model's own fit does not hide it.
        """
        world, settings = self.world, self.config.occasions
        cold = build_split(self.catalogue).cold_customer
        rules = occasion_rules(self.catalogue, settings)
        found = build_occasions(self.catalogue, rules, weeks, cold).occasions
        if not len(found) or not self.config.market.window:
            return NO_REACTION
        data = build_features(self.catalogue, found, settings.regime)
        deviation = np.zeros(found.shape)
        for week in np.unique(found.week):
            rows = found.week == week
            short, long = (
                product_shares(
                    world.purchases.before(end), end, window, world.category_of_product, len(world.group)
                )
                for end, window in ((int(week), 2), (int(week) - 2, max(self.config.market.window, 1)))
            )
            x = share_deviation(short, long)[np.maximum(found.product[rows], 0)]
            deviation[rows] = np.where(found.product[rows] >= 0, x, 0.0)
        return fit_reaction(self._chooser().predict(data), deviation, found.chosen, found.customer)


def market_room(road: Road) -> MarketRoom:
    """The market room of a run; the last model of the configuration chooses."""
    name = market_model(road.config.models.names)
    return road.shared("market", lambda: MarketRoom(
        road.catalogue, road.config, lambda: road.steps[f"model {name}"].value,
        lambda: road.steps["drift"].value if "drift" in road.steps else None,
    ))  # fmt: skip


def simulate_market(road: Road) -> None:
    """Incidence (fitted), rates (calibrated), then the simulated weeks beside the weekly baselines."""
    settings = road.config
    if settings.calibration.weeks[1] >= settings.market.weeks[0]:
        raise ConfigError(
            f"[calibration] weeks {list(settings.calibration.weeks)} must end before "
            f"[market] weeks {list(settings.market.weeks)} begin."
        )
    common: dict[str, Any] = {
        "settings": [settings.occasions, settings.market, settings.calibration, settings.models.seed],
        "code": CODE,
    }
    transactions, chooser = (
        road.steps["transactions"],
        road.steps[f"model {market_model(settings.models.names)}"],
    )
    road.steps["incidence"] = road.run.step(
        "incidence", "03-models/incidence",
        build=lambda: _fit(road), save=_save, load=FittedIncidence.load, inputs=[transactions], **common,
    )  # fmt: skip
    road.steps["rates"] = road.run.step(
        "rates", "06-rates.json",
        build=lambda: _calibrate(road), save=write_plain, load=read_plain,
        inputs=[transactions, road.steps["incidence"], chooser], **common,
    )  # fmt: skip
    if settings.calibration.choice:
        road.steps["drift"] = road.run.step(
            "drift", DRIFT,
            build=lambda: _follow(road), save=write_arrays, load=read_drift,
            inputs=[transactions, chooser], **common,
        )  # fmt: skip
    road.steps["market"] = road.run.step(
        "market", "06-market.json",
        build=lambda: _simulate(road), save=write_plain, load=read_plain,
        inputs=[
            transactions, road.steps["incidence"], road.steps["rates"], chooser,
            *([road.steps["drift"]] if settings.calibration.choice else []),
        ], **common,
    )  # fmt: skip
    score_calibration(road)


def _fit(road: Road) -> FittedIncidence:
    road.tell("fitting incidence")
    return market_room(road).fit_incidence(road.config.models.seed)


def _save(model: FittedIncidence, folder: Path) -> None:
    model.save(folder)


def _walk(
    road: Road, weeks: tuple[int, int], rates: dict[str, Any] | None, mode: Mode, trips: TripSource
) -> Simulation:
    room = market_room(road)
    first, last = weeks
    title = f"market, weeks {first} to {last}, {mode.value.replace('_', ' ')}, trips {trips.value}"
    road.tell(title, 0, last - first + 1)
    return simulate(
        room.world,
        room.deciders(
            road.steps["incidence"].value, rates, before=first if mode is Mode.FREE_RUNNING else None
        ),
        range(first, last + 1),
        mode=mode,
        trips=trips,
        seed=road.config.market.seed,
        progress=lambda week: road.tell(title, week - first + 1, last - first + 1),
    )


def _calibrate(road: Road) -> dict[str, Any]:
    """Ratio of actual to simulated units by category in the calibration weeks, shrunk; the reaction."""
    weeks = road.config.calibration.weeks
    walked = _walk(road, weeks, None, Mode.ONE_WEEK_AHEAD, TripSource(road.config.market.trips))
    room = market_room(road)
    found = fit_rate_map(room.actual(weeks), walked.units, centre=None)
    road.tell("reaction to the mean field")
    return {
        "reaction": asdict(room.fit_reaction(weeks)),
        "units": _units_map(road, walked, weeks) if road.config.calibration.units else None,
        "rate": found.rate.tolist(),
        "strength": found.strength if np.isfinite(found.strength) else None,
        "dispersion": found.dispersion.tolist(),
    }


def _units_map(road: Road, walked: Simulation, weeks: tuple[int, int]) -> dict[str, list[float]] | None:
    """Quantile map from drawn units per purchase to those really bought; None without purchases."""
    true = market_room(road).world.purchases
    when = true.week[true.trip]
    actual = true.units[(when >= weeks[0]) & (when <= weeks[1])]
    drawn = np.concatenate([week.purchases.units for week in walked.weeks])
    if not len(actual) or not len(drawn):
        return None
    found = fit_units_map(drawn, actual)
    return {"simulated": found.simulated.tolist(), "actual": found.actual.tolist()}


def _follow(road: Road) -> ShareDrift:
    """Product shares from the first week the choice model was not fitted on to the last simulated one."""
    title, settings = "following product shares", road.config
    return follow_choices(
        road.catalogue, settings, market_room(road).choose,
        (settings.calibration.weeks[0], settings.market.weeks[1]),
        lambda done, total: road.tell(title, done, total),
    )  # fmt: skip


def read_drift(path: Path) -> ShareDrift:
    """The followed product shares of a run."""
    return read_arrays(ShareDrift, path)


def simulations(road: Road) -> tuple[Simulation, Simulation, Simulation]:
    """The simulated weeks: one week ahead, the same with simulated trips, and free-running."""

    def build() -> tuple[Simulation, Simulation, Simulation]:
        weeks, rates = road.config.market.weeks, road.steps["rates"].value
        return (
            _walk(road, weeks, rates, Mode.ONE_WEEK_AHEAD, TripSource(road.config.market.trips)),
            _walk(road, weeks, rates, Mode.ONE_WEEK_AHEAD, TripSource.SIMULATED),
            _walk(road, weeks, rates, Mode.FREE_RUNNING, TripSource.SIMULATED),
        )

    return road.shared("simulations", build)


def _simulate(road: Road) -> dict[str, Any]:
    """Every mode on the same cells, beside what a forecaster would use."""
    settings, room = road.config, market_room(road)
    weeks = settings.market.weeks
    rates = road.steps["rates"].value
    actual = room.actual(weeks)
    ahead, drawn, free = simulations(road)
    # a rate multiplies the chance of a purchase, and so very nearly the units
    raw = ahead.units / np.array(rates["rate"])[:, None]
    predicted = {
        f"simulated, one week ahead, trips from {ahead.trips.value}": ahead.units,
        "the same without calibration": raw,
        "simulated, one week ahead, trips simulated": drawn.units,
        "simulated, free-running, trips simulated": free.units,
        **weekly_baselines(room, weeks, settings.market.seed),
    }
    cells = np.repeat(np.arange(len(actual)), actual.shape[1])
    table = compare_weekly_units(
        actual.ravel(),
        {name: np.maximum(units, 0).ravel() for name, units in predicted.items()},
        cells,
        "LightGBM Poisson",
        np.random.default_rng([settings.market.seed, 7]),
        draws=settings.evaluation.bootstrap,
    )
    largest = np.argsort(-actual.sum(1))[:6]
    numbers = range(weeks[0], weeks[1] + 1)
    return {
        "weeks": list(weeks),
        "mode": ahead.mode.value,
        "trips": ahead.trips.value,
        "scores": table.to_dicts(),
        "weekly": [
            {
                "category": room.catalogue.category_name[c],
                "week": week,
                "actual": float(actual[c, i]),
                "simulated": float(ahead.units[c, i]),
            }
            for c in largest
            for i, week in enumerate(numbers)
        ],
        "total": {"actual": actual.sum(0).tolist(), **{n: u.sum(0).tolist() for n, u in predicted.items()}},
        "reaction": {**rates["reaction"], "sentence": str(Reaction(**rates["reaction"]))},
        "mean_field": [
            {
                "week": w.week,
                "status": w.fixed_point.status.value,
                "evaluations": len(w.fixed_point.gaps),
                "gap": float(w.fixed_point.gaps[-1]) if len(w.fixed_point.gaps) else 0.0,
                "contraction": w.fixed_point.contraction,
            }
            for w in ahead.weeks
        ],
        "asked": int(sum(w.asked for w in ahead.weeks)),
        "trips_per_week": [w.trips for w in ahead.weeks],
    }


def weekly_baselines(room: MarketRoom, weeks: tuple[int, int], seed: int) -> dict[str, np.ndarray]:
    """What a forecaster would use on the same cells, each week from the weeks before it."""
    first, last = weeks
    start = room.config.occasions.first_week
    units = room.actual((1, last))
    offer = np.zeros((len(units), last, 3))
    for week, shelf in room.world.shelves.items():
        if week <= last:
            offer[:, week - 1] = shelf.chain_offer()[:, :3]
    targets = range(first - 1, last)
    boosting = WeeklyBoosting()

    def each(forecast: Callable[[int], np.ndarray]) -> np.ndarray:
        return np.stack([forecast(t) for t in targets], 1)

    return {
        "last week": each(lambda t: predict_last_week(units[:, :t])),
        "mean of 8 weeks": each(lambda t: predict_mean(units[:, :t], 8)),
        "exponential smoothing 0.2": each(lambda t: predict_smoothing(units[:, :t])),
        "LightGBM Poisson": each(
            lambda t: boosting.predict(
                units, offer, start - 1 + PAST_WEEKS, t, seed=seed, threads=room.config.run.workers
            )
        ),
    }
