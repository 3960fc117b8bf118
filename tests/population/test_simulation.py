import numpy as np
import pytest

from malles.errors import DataError
from malles.head.incidence import FittedIncidence, IncidenceAnswer
from malles.population.simulation import (
    Deciders,
    Mode,
    Simulation,
    TripSource,
    World,
    simulate,
    simulate_trips,
    slate_occasions,
)
from malles.population.simulation import Trips as SimulatedTrips
from malles.profiles.incidence import Shelf, build_purchases
from malles.vocabulary import Lines, Occasions

CATEGORY = np.array([0, 0, 0, 1, 1], np.int32)
GROUP = np.array([0, 1], np.int32)


class Coin(FittedIncidence):
    """Buys category 0 with chance 0.3 and category 1 with 0.1; 1.5 units, one product, a fifth outside the
    slate.
    """

    def __init__(self) -> None:
        object.__setattr__(self, "weights", {})
        object.__setattr__(self, "name", "coin")

    def predict(self, features: np.ndarray, category: np.ndarray) -> IncidenceAnswer:
        n = np.ones(len(category), np.float32)
        return IncidenceAnswer(
            np.where(category == 0, 0.3, 0.1).astype(np.float32), n * 1.5, n, n * np.float32(0.2)
        )


def even(occasions: Occasions, lines: Lines) -> np.ndarray:
    return occasions.available / occasions.available.sum(1, keepdims=True)


def make_world(seed: int = 0, customers: int = 60, weeks: int = 12) -> World:
    rng = np.random.default_rng(seed)
    rows = []
    for w in range(1, weeks + 1):
        for c in range(customers):
            for k in range(rng.integers(0, 3)):
                stamp = ((w - 1) * 7 + rng.integers(0, 7)) * 86400 + 3600 * int(rng.integers(8, 20))
                basket = (w * 100 + c) * 10 + k
                rows += [
                    (stamp, basket, int(p), c, w) for p in rng.choice(5, rng.integers(1, 4), replace=False)
                ]
    rows.sort()
    t, b, p, c, w = (np.array(x) for x in zip(*rows, strict=True))
    n = len(rows)
    lines = Lines(
        c.astype(np.int32), (c % 2).astype(np.int32), p.astype(np.int32), b.astype(np.int64),
        w.astype(np.int16),
        t.astype(np.int64), rng.integers(1, 3, n).astype(np.int32), np.ones(n, np.float32),
        np.ones(n, np.float32),
    )  # fmt: skip
    row = np.array([[0, 1], [0, -1]], np.int32)  # store 1 has no slate of category 1
    product = np.array([[0, 1, -3], [3, 4, -3]], np.int32)
    one = np.where(product >= 0, 1, 0).astype(np.float32)
    rank = np.array([[0, 1, -1]] * 2, np.int32)
    shelf = Shelf(row, product, one, one, np.zeros(product.shape, np.uint8), rank)
    shelves = dict.fromkeys(range(2, weeks + 1), shelf)
    return World(build_purchases(lines, CATEGORY), lines, shelves, GROUP, CATEGORY, customers)


WORLD = make_world()


def run(mode: Mode, trips: TripSource, seed: int = 1, world: World = WORLD) -> Simulation:
    return simulate(world, Deciders(Coin(), even), [10, 11, 12], mode=mode, trips=trips, seed=seed)


def test_expected_units_are_trips_times_chance_times_units():
    s = run(Mode.ONE_WEEK_AHEAD, TripSource.DATA)
    for week in s.weeks:
        assert week.trips == (WORLD.purchases.week == week.week).sum()
        np.testing.assert_allclose(week.expected_units, week.trips * np.array([0.45, 0.15]), rtol=1e-5)


def test_products_and_others_add_up_to_the_category():
    for week in run(Mode.ONE_WEEK_AHEAD, TripSource.DATA).weeks:
        by_category = np.bincount(CATEGORY, week.shelf_units, minlength=2)
        np.testing.assert_allclose(by_category + week.other_units, week.expected_units, rtol=1e-6)
        assert week.shelf_units[2] == 0  # not on any shelf
        assert week.product_units[2] > 0  # but bought outside the slates
        np.testing.assert_allclose(
            np.bincount(CATEGORY, week.product_units, minlength=2), week.expected_units, rtol=1e-6
        )


def test_drawn_units_scatter_around_the_expected():
    """About 1600 expected units of category 1 in three weeks: a standard deviation of 3 %."""
    s = run(Mode.ONE_WEEK_AHEAD, TripSource.DATA, world=make_world(customers=3000))
    np.testing.assert_allclose(s.drawn.sum(1), s.units.sum(1), rtol=0.09)


def test_the_purchases_of_a_simulated_week_are_not_looked_at():
    """Another future, same trips: one week ahead, the first simulated week is byte-equal."""
    other = make_world()
    future = other.purchases.week >= 10
    shuffled = other.purchases.category.copy()
    rows = future[other.purchases.trip]
    shuffled[rows] = shuffled[rows][::-1]
    changed = type(other.purchases)(
        **{f: getattr(other.purchases, f) for f in other.purchases.__dataclass_fields__ if f != "category"},
        category=shuffled,
    )
    changed = World(changed, other.lines, other.shelves, GROUP, CATEGORY, other.n_customers)
    for mode in Mode:
        a, b = run(mode, TripSource.DATA), run(mode, TripSource.DATA, world=changed)
        np.testing.assert_array_equal(a.weeks[0].expected_units, b.weeks[0].expected_units)
        np.testing.assert_array_equal(a.weeks[0].purchases.item, b.weeks[0].purchases.item)
    np.testing.assert_array_equal(a.units, b.units)  # free-running: later weeks too


def test_the_same_seed_gives_the_same_market():
    a, b = (run(Mode.FREE_RUNNING, TripSource.SIMULATED) for _ in range(2))
    np.testing.assert_array_equal(a.units, b.units)
    np.testing.assert_array_equal(a.drawn, b.drawn)
    assert not np.array_equal(a.drawn, run(Mode.FREE_RUNNING, TripSource.SIMULATED, seed=2).drawn)


def test_a_calibrated_rate_scales_its_category():
    rate = np.array([0.5, 2.0])
    s = simulate(
        WORLD,
        Deciders(Coin(), even, rate=rate),
        [10],
        mode=Mode.ONE_WEEK_AHEAD,
        trips=TripSource.DATA,
        seed=1,
    )
    plain = run(Mode.ONE_WEEK_AHEAD, TripSource.DATA).units[:, :1]
    np.testing.assert_allclose(s.units, plain * rate[:, None], rtol=1e-6)


def test_what_was_drawn_keeps_its_books():
    for week in run(Mode.FREE_RUNNING, TripSource.DATA).weeks:
        p = week.purchases
        assert len(p) == week.trips
        assert (p.item_units >= 1).all()
        np.testing.assert_array_equal(np.bincount(p.category, p.units, minlength=2), week.drawn_units)
        known = p.item >= 0
        np.testing.assert_array_equal(CATEGORY[p.item[known]], p.category[p.purchase_of_item[known]])
        off_shelf = (p.store[p.trip] == 1) & (p.category == 1)
        assert (p.item[np.isin(p.purchase_of_item, np.flatnonzero(off_shelf))] < 0).all()


def test_every_household_repeats_a_week_of_its_own():
    trips = simulate_trips(WORLD.purchases, 11, seed=5)
    past = WORLD.purchases
    for c in range(10):
        mine = np.sort(trips.timestamp[trips.customer == c])
        weeks = [
            np.sort(past.timestamp[(past.customer == c) & (past.week == w)] + (11 - w) * 604800)
            for w in range(3, 11)
        ]
        assert any(np.array_equal(mine, w) for w in weeks)


def test_simulated_trips_are_as_many_as_the_weeks_before_on_average():
    made = np.mean([len(simulate_trips(WORLD.purchases, 11, seed=s)) for s in range(40)])
    usual = ((WORLD.purchases.week >= 3) & (WORLD.purchases.week < 11)).sum() / 8
    assert made == pytest.approx(usual, rel=0.06)


def test_an_occasion_without_a_slate_is_refused():
    trips = SimulatedTrips(np.array([1], np.int32), np.array([1], np.int32), np.array([5], np.int64))
    with pytest.raises(DataError, match="1 occasions have no slate"):
        slate_occasions(WORLD.shelves[10], trips, np.array([0]), np.array([1]), 10)


@pytest.mark.parametrize(
    ("weeks", "text"), [([], "consecutive"), ([10, 12], "consecutive"), ([12, 13], "13")]
)
def test_weeks_that_cannot_be_simulated_are_one_sentence(weeks, text):
    with pytest.raises(DataError, match=text):
        simulate(
            WORLD, Deciders(Coin(), even), weeks, mode=Mode.ONE_WEEK_AHEAD, trips=TripSource.DATA, seed=1
        )


def test_the_mean_field_of_a_week_is_a_market():
    for week in run(Mode.ONE_WEEK_AHEAD, TripSource.DATA).weeks:
        field = week.mean_field
        assert field.category_share.sum() == pytest.approx(1.0)
        total = np.bincount(CATEGORY, field.alternative_share, minlength=2)
        np.testing.assert_allclose(total, field.category_share > 0)  # 1 where anything was bought
        np.testing.assert_array_equal(field.availability, [1.0, 0.5])
        np.testing.assert_allclose(field.price_index, 1.0)


def test_a_market_that_is_watched_stops_with_a_sentence():
    found = simulate(
        WORLD, Deciders(Coin(), even), [10, 11, 12], mode=Mode.FREE_RUNNING, trips=TripSource.DATA, seed=1,
        watch=lambda week: "Too much." if week.week == 11 else "",
    )  # fmt: skip
    assert [week.week for week in found.weeks] == [10, 11]
    assert found.stopped == "Too much."
    assert run(Mode.FREE_RUNNING, TripSource.DATA).stopped == ""
