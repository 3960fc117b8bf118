"""The cube of a rehearsal against a plain twin, the laws of its draws, limited stock, and surplus by hand."""

from collections.abc import Callable
from dataclasses import replace

import numba
import numpy as np
import pytest
from tests.scenarios.logit_markets import (
    PRODUCTS,
    Logit,
    market_of,
    random_market,
    shelf_of,
    tax_and_hint,
    twin_of_the_cube,
)

from malles.errors import OccasionError
from malles.scenarios.changes import Delist, Display, PriceChange, Scenario
from malles.scenarios.counterfactual import Demand
from malles.scenarios.policy import Pricing, Reach, SalesTax, apply_policies, pay_the_seller
from malles.scenarios.rehearsal import Desk, Rehearsal, Segments
from malles.scenarios.responses import Responses
from malles.scenarios.shelf_changes import Enter
from malles.vocabulary import Occasions

CUT = Scenario("cut", (PriceChange(1, relative=-0.3), Display(1)))
SWAP = Scenario("swap", (Delist(0), Enter(7, 1.4, weeks=(9,)), PriceChange(3, relative=0.2)))
ALL_DEARER = Scenario("dearer", tuple(PriceChange(p, relative=0.1) for p in range(PRODUCTS)))
UNSURE = Responses(np.array([0.9, -0.3, 0.2, -0.1, 0.2, 0.3]), np.diag([0.1, 0.2, 0.2, 0.1, 0.1, 0.3]) ** 2)


def desk_of(ask: Callable[[Occasions], Demand] | None = None, **shape: int) -> Desk:
    return Desk.of(random_market(**shape), ask or Logit())


def cubes(found: Rehearsal) -> list[np.ndarray]:
    return [found.central, found.expected, found.drawn, found.surplus]


@pytest.mark.parametrize("scenario", [CUT, SWAP, ALL_DEARER])
@pytest.mark.parametrize("pricing", [pay_the_seller, tax_and_hint])
def test_the_expected_cube_equals_its_plain_twin(scenario: Scenario, pricing: Callable):
    desk = desk_of()
    base = desk.market.occasions
    of = np.arange(base.customer.max() + 1) % 2
    found = desk.rehearse(
        scenario, pricing=pricing, segments=Segments("half", ("even", "odd"), of), responses=UNSURE, draws=3,
        seed=4, households=False, luck=False,
    )  # fmt: skip
    priced = pricing(scenario.apply(base))
    cell = of[base.customer] * 2 + (base.week - 8)
    for draw in range(3):
        twin = twin_of_the_cube(
            base, priced, desk.before, desk.ask(priced.paid), found.parameter[draw], desk.weight, cell,
            found.product, 4,
        )  # fmt: skip
        np.testing.assert_allclose(found.expected[draw], twin, rtol=1e-4, atol=1e-6)
    assert found.expected[:, 0].any((0, 2, 3)).all()  # every cell has trips
    assert (found.expected[0, 1, ..., 2] > 0).any() == (pricing is tax_and_hint)


@pytest.mark.parametrize("scenario", [CUT, SWAP])
def test_the_mean_of_many_draws_is_what_is_expected(scenario: Scenario):
    draws = 4000
    found = desk_of().rehearse(scenario, pricing=tax_and_hint, draws=draws, seed=1, households=False)
    error = found.drawn.std(0) / np.sqrt(draws)
    off = np.abs(found.drawn.mean(0) - found.central)
    assert (off <= 4 * error + 1e-9).all()
    assert error.max() / found.central.max() < 0.01  # the test is sharp
    np.testing.assert_array_equal(found.expected, np.broadcast_to(found.central, found.expected.shape))


def test_resampled_households_spread_like_their_totals():
    """The variance of a resampled total is the sum over households of (total - mean total)²."""
    desk = desk_of(n=40)
    found = desk.rehearse(CUT, draws=4000, seed=1, luck=False)
    shelf, other = desk.before.expected()
    _, who = np.unique(desk.market.occasions.customer, return_inverse=True)
    total = np.bincount(who, desk.weight * (shelf.sum(1) + other))
    spread = found.expected[:, 0, ..., 0].sum((1, 2)).std()
    assert spread == pytest.approx(np.sqrt(((total - total.mean()) ** 2).sum()), rel=0.05)


def test_nothing_changed_is_no_difference_in_any_draw():
    for scenario in (Scenario("nothing", ()), Scenario("same", (PriceChange(1, relative=0.0),))):
        found = desk_of().rehearse(scenario, responses=UNSURE, draws=50, seed=2)
        np.testing.assert_array_equal(found.drawn[:, 0], found.drawn[:, 1])
        np.testing.assert_array_equal(found.expected[:, 0], found.expected[:, 1])
        assert not found.surplus.any()
        assert found.drawn[:, 0].std(0).any()


def test_the_same_luck_in_both_worlds_narrows_their_difference():
    found = desk_of().rehearse(CUT, draws=400, seed=2)
    units = found.drawn[..., 0].sum((2, 3))
    assert (units[:, 1] - units[:, 0]).var() < 0.5 * (units[:, 0].var() + units[:, 1].var())


@pytest.mark.parametrize("few", [1, 7])
def test_a_draw_does_not_depend_on_how_many_there_are(few: int):
    some, many = (desk_of().rehearse(SWAP, responses=UNSURE, draws=n, seed=3) for n in (few, 40))
    np.testing.assert_array_equal(some.parameter, many.parameter[:few])
    for a, b in zip(cubes(some)[1:], cubes(many)[1:], strict=True):
        np.testing.assert_array_equal(a, b[:few])


def test_one_thread_or_two_give_the_same_bits():
    desk, found = desk_of(), []
    threads = numba.get_num_threads()
    assert numba.config.NUMBA_NUM_THREADS >= 2
    try:
        for n in (1, 2):
            numba.set_num_threads(n)
            found.append(cubes(desk.rehearse(SWAP, responses=UNSURE, draws=31, seed=3)))
    finally:
        numba.set_num_threads(threads)
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_no_week_sells_more_than_its_stock_and_the_rest_sells_what_is_sold_out():
    desk = desk_of(n=200)
    free = desk.rehearse(CUT, draws=40, seed=5)
    held = desk.rehearse(CUT, draws=40, seed=5, stock={1: 6})
    column = int(np.searchsorted(held.product[:-1], 1))
    units = held.drawn[:, 1, :, :, 0]  # draw, week, product
    assert units[:, :, column].max() == 6
    assert free.drawn[:, 1, :, column, 0].min() > 6
    rest = [c for c in range(PRODUCTS) if c != column]
    more = units[:, :, rest].sum((1, 2)) - free.drawn[:, 1, :, rest, 0].sum((0, 2))
    assert more.mean() > 0
    np.testing.assert_array_equal(units[..., -1], free.drawn[:, 1, :, -1, 0])  # other products
    np.testing.assert_array_equal(held.drawn[:, 0], free.drawn[:, 0])  # the base world
    np.testing.assert_array_equal(held.expected, held.drawn)


def test_purchases_stay_when_the_favourite_is_sold_out():
    """One unit a purchase and nothing outside the slate: what one product loses the others gain."""
    desk = desk_of(Logit(units=1.0, other=0.0), n=200)
    free, held = (desk.rehearse(CUT, draws=20, seed=5, stock=s) for s in ({}, {4: 3}))
    np.testing.assert_array_equal(free.drawn[..., 0].sum((2, 3)), held.drawn[..., 0].sum((2, 3)))
    assert (held.drawn[:, 1, :, 4, 0] <= 3).all()


def test_ample_stock_changes_nothing():
    free, ample = (desk_of().rehearse(SWAP, draws=10, seed=5, stock=s) for s in ({}, {3: 10**6, 7: 10**6}))
    np.testing.assert_array_equal(free.drawn, ample.drawn)


def test_stock_of_what_is_not_there_is_refused():
    with pytest.raises(OccasionError, match="product 99 stands on no shelf"):
        desk_of().rehearse(CUT, draws=2, seed=1, stock={99: 3})


TWO = shelf_of(np.tile([2.0, 2.0], (10, 1)))


@pytest.mark.parametrize(("relative", "sign"), [(0.01, -1), (-0.01, 1)])
@pytest.mark.parametrize("units", [1.0, 3.0])
def test_surplus_is_the_exact_log_sum_in_money(relative: float, sign: int, units: float):
    """One of two products at 2.00: units x 2 / η x (log(1 + e^(v + d)) - log(1 + e^v)) per trip."""
    ask = Logit(pull=1.0, other=0.0, units=units)
    change = Scenario("small", (PriceChange(1, relative=relative),))
    one = replace(TWO, product=np.where(TWO.product == 0, 2, TWO.product))  # product 0 sells single units
    found = Desk.of(market_of(one), ask).rehearse(change, draws=1, seed=1, households=False)
    worlds = (np.exp(ask.utility(o)).sum(1) * np.exp(ask.level) for o in (one, change.apply(one)))
    old, new = (np.log1p(w).sum() for w in worlds)
    exact = units * 2.0 / ask.slope * (new - old)
    assert found.central_surplus.sum() == pytest.approx(exact, rel=0.01)
    assert np.sign(exact) == sign


def test_surplus_of_a_rise_of_every_price_is_what_is_paid_more():
    """Without leaving, 10 trips that buy half the time 3 units at 2.00 pay 1 % more: - 10 x .5 x 3 x .02."""
    one = replace(TWO, product=np.where(TWO.product == 0, 2, TWO.product))
    ask = Logit(pull=0.0, level=0.0, other=0.0, units=3.0)
    rise = Scenario("rise", (PriceChange(1, relative=0.01), PriceChange(2, relative=0.01)))
    found = Desk.of(market_of(one), ask).rehearse(rise, draws=1, seed=1, households=False)
    assert found.central_surplus.sum() == pytest.approx(-10 * 0.5 * 3 * 0.02, rel=0.01)


def test_all_prices_a_tenth_up_is_the_known_logit():
    """Log-price coefficient -2: d = -2 log 1.1, so the log-odds of a purchase fall by .19062; shares stay."""
    assert -2 * np.log(1.1) == pytest.approx(-0.190620, abs=1e-6)
    desk = Desk.of(market_of(TWO), Logit(pull=1.0, other=0.0, units=1.0))
    both = Scenario("all", (PriceChange(0, relative=0.1), PriceChange(1, relative=0.1)))
    units = desk.rehearse(both, draws=1, seed=1, households=False).central[:, 0, :2, 0]
    before, after = units.sum(1) / 10
    odds = np.log(after / (1 - after)) - np.log(before / (1 - before))
    assert odds == pytest.approx(-0.190620, abs=1e-5)
    np.testing.assert_allclose(units[1] / units[1].sum(), units[0] / units[0].sum(), rtol=1e-6)


def test_incidence_may_not_move_further_than_the_inclusive_value():
    """A model that leaves three times as fast is held at d = -2 log 1.1."""
    desk = Desk.of(market_of(TWO), Logit(pull=3.0, other=0.0))
    both = Scenario("all", (PriceChange(0, relative=0.1), PriceChange(1, relative=0.1)))
    found = desk.rehearse(both, draws=1, seed=1, households=False).central
    buy0 = desk.before.buy[0]
    odds = np.log(buy0 / (1 - buy0)) - 2 * np.log(1.1)
    ratio = found[1, 0, 0, 0] / found[0, 0, 0, 0]
    assert ratio == pytest.approx(1 / (1 + np.exp(-odds)) / buy0, rel=1e-5)


def test_a_model_that_likes_dearer_products_cannot_answer_a_rise_of_every_price():
    with pytest.raises(OccasionError, match="does not turn away from dearer products"):
        desk_of(Logit(slope=-1.0)).rehearse(ALL_DEARER, draws=1, seed=1)
    found = desk_of(Logit(slope=-1.0)).rehearse(CUT, draws=1, seed=1)
    assert np.isfinite(found.surplus).all()  # what is paid less is known all the same


def test_a_rise_costs_at_least_what_those_who_stay_pay_more():
    """Rule of a half: rise x units after <= loss <= rise x units before."""
    desk = desk_of()
    found = desk.rehearse(Scenario("rise", (PriceChange(1, relative=0.3),)), draws=20, seed=1)
    o = desk.market.occasions
    rise = 0.3 * o.price[o.product == 1].astype(float)
    before, after = found.central[:, :, 1, 0].sum(1)
    loss = -found.central_surplus.sum()
    assert rise.min() * after <= loss <= rise.max() * before


def test_the_surplus_of_products_that_leave_is_not_told():
    found = desk_of().rehearse(Scenario("gone", (Delist(1),)), draws=20, seed=1)
    assert np.isnan(found.central_surplus).all()


def test_a_tax_on_everything_is_not_escaped_by_products_outside_the_slate():
    """All trips alike, a tenth dearer everywhere: other products keep their part of what is bought."""

    def taxed(shelf: Occasions) -> Pricing:
        return apply_policies(shelf, [SalesTax(0.1, 1.0, Reach())], np.ones(len(shelf)))

    one = replace(TWO, product=np.where(TWO.product == 0, 2, TWO.product))
    desk = Desk.of(market_of(one), Logit(pull=1.0, other=0.3, units=1.0, other_units=1.0))
    found = desk.rehearse(Scenario("tax", ()), pricing=taxed, draws=20, seed=1, households=False)
    units = found.central[..., 0].sum(1)
    assert units[1].sum() < units[0].sum()
    assert units[1, -1] / units[1].sum() == pytest.approx(0.3)


def test_customers_who_never_or_always_buy_stay_numbers():
    class Sure(Logit):
        def __call__(self, o: Occasions) -> Demand:
            return replace(super().__call__(o), buy=(np.arange(len(o)) % 2).astype(float))

    found = desk_of(Sure()).rehearse(CUT, draws=5, seed=1, households=False)
    assert all(np.isfinite(table).all() for table in cubes(found))
    always = desk_of(Sure()).weight[1::2].sum()
    assert found.central[0, ..., 0].sum() <= 1.5 * always + 1e-6


def test_customers_stand_for_more_customers():
    small = desk_of().rehearse(CUT, draws=2, seed=1, households=False).central
    market = random_market()
    people = len(np.unique(market.occasions.customer))
    large = Desk.of(market, Logit(), customers=10.0 * people).rehearse(
        CUT, draws=2, seed=1, households=False
    ).central  # fmt: skip
    np.testing.assert_allclose(large, 10 * small, rtol=1e-9)
