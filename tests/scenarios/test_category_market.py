from dataclasses import replace

import numpy as np
import pytest

from malles.errors import OccasionError
from malles.head.incidence import FittedIncidence, IncidenceAnswer
from malles.population.simulation import Deciders, TripSource, World
from malles.profiles.incidence import FEATURE_NAMES, Shelf, build_purchases
from malles.scenarios.category_market import CategoryMarket, build_category_market
from malles.scenarios.changes import Delist, Display, PriceChange, Scenario
from malles.scenarios.decide import build_ask
from malles.scenarios.outcomes import find_diversion
from malles.scenarios.rehearsal import Desk, Rehearsal
from malles.scenarios.shelf_changes import Enter
from malles.vocabulary import Lines, Occasions

CATEGORY = np.zeros(3, np.int32)


class Excitable(FittedIncidence):
    """Score -2 + 6 x discount of the shelf + display: far more than the choice model's gain allows."""

    def __init__(self) -> None:
        object.__setattr__(self, "weights", {})
        object.__setattr__(self, "name", "excitable")

    def probability(self, features: np.ndarray, category: np.ndarray) -> np.ndarray:
        discount, display = FEATURE_NAMES.index("discount"), FEATURE_NAMES.index("display")
        return 1 / (1 + np.exp(2 - 6 * features[:, discount] - features[:, display]))

    def predict(self, features: np.ndarray, category: np.ndarray) -> IncidenceAnswer:
        one = np.ones(len(category), np.float32)
        buy = self.probability(features, category).astype(np.float32)
        return IncidenceAnswer(buy, one * 1.5, one, one * np.float32(0.2))


def logit(occasions: Occasions, lines: Lines) -> np.ndarray:
    """V = -price + 0.5 on display."""
    weight = np.where(occasions.available, np.exp(-occasions.price + 0.5 * (occasions.promotion & 1)), 0.0)
    return weight / weight.sum(1, keepdims=True)


def make_world(customers: int = 30, weeks: int = 6) -> World:
    rng = np.random.default_rng(0)
    n = customers * weeks
    customer, week = np.tile(np.arange(customers), weeks), np.repeat(np.arange(1, weeks + 1), customers)
    lines = Lines(
        customer.astype(np.int32), np.zeros(n, np.int32), rng.integers(0, 3, n).astype(np.int32),
        np.arange(n),
        week.astype(np.int16), (week * 604800 + customer * 60).astype(np.int64), np.ones(n, np.int32),
        np.ones(n, np.float32), np.ones(n, np.float32),
    )  # fmt: skip
    shelf = Shelf(
        np.zeros((1, 1), np.int32), np.array([[0, 1, 2]], np.int32), np.array([[1, 1, 2]], np.float32),
        np.array([[1, 1, 2]], np.float32), np.zeros((1, 3), np.uint8), np.array([[0, 1, 2]], np.int32),
    )  # fmt: skip
    shelves = dict.fromkeys(range(2, weeks + 1), shelf)
    return World(build_purchases(lines, CATEGORY), lines, shelves, np.zeros(1, np.int32), CATEGORY, customers)


WORLD = make_world()
DECIDERS = Deciders(Excitable(), logit)


def market(most: int | None = None) -> CategoryMarket:
    return build_category_market(WORLD, DECIDERS, 0, [5, 6], trips=TripSource.DATA, seed=1, most=most)


def test_every_trip_of_the_weeks_is_an_occasion():
    m = market()
    assert len(m.occasions) == 60
    assert m.skipped == 0
    np.testing.assert_array_equal(m.weight, 1.0)


def test_a_sample_stands_for_all_trips():
    m = market(most=20)
    buy = DECIDERS.incidence.probability(m.features, m.occasions.category)
    everything = market()
    total = DECIDERS.incidence.probability(everything.features, everything.occasions.category).sum()
    assert (m.weight * buy).sum() == pytest.approx(total)


CUT = Scenario("cut", (PriceChange(0, relative=-0.4), Display(0)))


GONE = Scenario("gone", (Delist(0),))
DEARER = Scenario("dearer", (PriceChange(0, relative=0.5),))


def rehearse(scenario: Scenario) -> Rehearsal:
    return Desk.open(market(), WORLD, DECIDERS).rehearse(scenario, draws=20, seed=1)


def test_no_unchanged_product_gains_from_another_ones_cut():
    """Incidence answers a cut and a display far too strongly; the inclusive value bounds it."""
    units = rehearse(CUT).central[..., 0].sum(1)
    assert (units[1, 1:] <= units[0, 1:] + 1e-9).all()
    assert units[1, 0] > units[0, 0]


def test_without_the_bounds_an_excitable_incidence_model_would_feed_everybody():
    m = market()
    ask = build_ask(m, WORLD, DECIDERS)
    before, after = ask(m.occasions).expected(), ask(CUT.apply(m.occasions)).expected()
    assert (after[1] > before[1]).all()


@pytest.mark.parametrize("scenario", [CUT, GONE, DEARER])
def test_where_the_units_come_from_are_parts_of_one(scenario: Scenario):
    parts = [e.value for e in find_diversion(rehearse(scenario), 0).values()]
    assert sum(parts) == pytest.approx(1.0)
    assert min(parts) > -1e-6


def test_a_product_that_enters_takes_from_the_others_and_from_nowhere_else():
    """It stands on no shelf of the base world, so its units are the change, and the parts are one."""
    found = rehearse(Scenario("new", (Enter(3, 0.5),)))
    units = found.central[..., 0].sum(1)
    assert units[0, 3] == 0
    assert units[1, 3] > 0
    assert (units[1, :3] <= units[0, :3]).all()
    assert sum(part.value for part in find_diversion(found, 3).values()) == pytest.approx(1.0)


def test_a_scenario_that_empties_the_shelf_is_refused():
    with pytest.raises(OccasionError, match="60 of 60 occasions without any product"):
        rehearse(Scenario("nothing", (Delist(0), Delist(1), Delist(2))))


def test_occasions_of_another_market_are_refused():
    m = market()
    with pytest.raises(OccasionError, match="60 occasions, got 3"):
        build_ask(m, WORLD, DECIDERS)(m.occasions.take(np.arange(3)))


def test_a_category_without_a_slate_is_one_sentence():
    none = np.full((1, 1), -1, np.int32)
    empty = {w: replace(s, row=none) for w, s in WORLD.shelves.items()}
    world = World(WORLD.purchases, WORLD.lines, empty, WORLD.group, CATEGORY, WORLD.n_customers)
    with pytest.raises(OccasionError, match="no trip of weeks"):
        build_category_market(world, DECIDERS, 0, [5], trips=TripSource.DATA, seed=1)
