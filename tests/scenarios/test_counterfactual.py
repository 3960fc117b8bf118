import numpy as np
import pytest

from malles.errors import OccasionError
from malles.scenarios.changes import Delist, PriceChange, Scenario
from malles.scenarios.counterfactual import Demand, compare_worlds, trace_price_response
from malles.vocabulary import OUTSIDE, Occasions


def market(n: int = 4000) -> Occasions:
    """Products 5 and 6 at price 1; forty households."""
    product = np.tile(np.array([OUTSIDE, 5, 6], np.int32), (n, 1))
    price = np.tile(np.array([0, 1, 1], np.float32), (n, 1))
    return Occasions(
        customer=(np.arange(n) % 40).astype(np.int32), store=np.zeros(n, np.int32), basket=np.arange(n),
        week=np.ones(n, np.int16), timestamp=np.arange(n), category=np.zeros(n, np.int32), product=product,
        price=price, list_price=price.copy(), promotion=np.zeros((n, 3), np.uint8), available=product >= 0,
        rank=np.tile(np.array([-1, 0, 1], np.int16), (n, 1)), chosen=np.full(n, -1, np.int16),
        units=np.zeros(n, np.int32),
    )  # fmt: skip


def logit(occasions: Occasions) -> Demand:
    """V = -2 price; the trip buys with probability 0.2 + 0.1 (1 - price of product 5); a quarter buys
    something else.
    """
    n = len(occasions)
    weight = np.where(occasions.available, np.exp(-2.0 * occasions.price), 0.0)
    buy = 0.2 + 0.1 * (1 - occasions.price[:, 1].astype(float))
    one = np.where(occasions.available, 1.0, 0.0)
    return Demand(buy, np.full(n, 0.25), weight / weight.sum(1, keepdims=True), one, np.ones(n))


def test_nothing_changed_changes_nothing_in_any_draw():
    same = compare_worlds(market(), Scenario("same", ()), logit, product=5, seed=1, draws=20)
    for outcome in (same.units, same.share, same.revenue, same.category_units):
        assert outcome.change.value == outcome.change.low == outcome.change.high == 0.0


def test_a_price_cut_by_hand():
    """Price 1 -> 0.5 for product 5: V -2 -> -1, P .5 -> e/(1+e) = .7311; P(buy) .2 -> .25.

    Base: 4000 x .2 x .75 x .5 = 300. After: 4000 x .25 x .75 x .7311 = 548.3.
    """
    cut = compare_worlds(market(), Scenario("cut", (PriceChange(5, absolute=0.5),)), logit, product=5, seed=1)
    p = np.e / (1 + np.e)
    assert cut.units.base == pytest.approx(300)
    assert cut.units.scenario == pytest.approx(750 * p, rel=1e-6)
    assert cut.revenue.scenario == pytest.approx(375 * p, rel=1e-6)
    assert cut.share.base == pytest.approx(300 / 800)
    gain = 750 * p - 300
    assert cut.diversion["expansion"].value == pytest.approx(200 / gain, rel=1e-6)
    assert cut.diversion["shelf"].value == pytest.approx((300 - 750 * (1 - p)) / gain, rel=1e-6)
    assert cut.diversion["other"].value == pytest.approx((200 - 250) / gain, rel=1e-6)
    assert cut.sources[6].value == pytest.approx(750 * (1 - p) - 300, rel=1e-6)


def test_the_sources_of_the_units_add_up_to_the_change():
    cut = compare_worlds(
        market(), Scenario("cut", (PriceChange(5, relative=-0.3),)), logit, product=5, seed=2
    )
    assert sum(e.value for e in cut.diversion.values()) == pytest.approx(1.0)


def test_what_a_delisted_product_loses_is_its_base():
    gone = compare_worlds(market(), Scenario("gone", (Delist(5),)), logit, product=5, seed=3, draws=20)
    assert gone.units.scenario == 0
    assert gone.units.change.value == -gone.units.base


def test_the_interval_with_draws_covers_the_expected_change_and_is_the_wider():
    cut = compare_worlds(
        market(), Scenario("cut", (PriceChange(5, relative=-0.2),)), logit, product=5, seed=4
    )
    wide, narrow = cut.units.change, cut.units.expected_change
    assert wide.low < wide.value < wide.high
    assert wide.high - wide.low > narrow.high - narrow.low


def test_common_random_numbers_make_the_difference_quieter_than_two_markets():
    cut = compare_worlds(
        market(), Scenario("cut", (PriceChange(5, relative=-0.01),)), logit, product=5, seed=5
    )
    spread = (cut.units.change.high - cut.units.change.low) / 3.92
    independent = np.sqrt(2 * cut.units.base)  # two Poisson markets
    assert spread < 0.5 * independent


def test_the_same_seed_gives_the_same_interval():
    cut = Scenario("cut", (PriceChange(5, relative=-0.2),))
    a, b = (compare_worlds(market(), cut, logit, product=5, seed=6, draws=30) for _ in range(2))
    assert a == b


def test_a_product_nobody_offers_is_one_sentence():
    with pytest.raises(OccasionError, match="product 99 is on the shelf of none"):
        compare_worlds(market(), Scenario("x", ()), logit, product=99, seed=0)


def test_the_price_response_of_a_logit_has_its_known_elasticity():
    """Without the incidence term: elasticity -2 x price x (1 - P) = -1 at price 1 and P = 1/2."""

    def fixed(occasions: Occasions) -> Demand:
        d = logit(occasions)
        return Demand(np.full(len(d.buy), 0.2), d.other, d.probability, d.units, d.other_units)

    curve = trace_price_response(market(), 5, [0.98, 1.0, 1.02], fixed, seed=1, draws=20)
    assert curve.elasticity[1] == pytest.approx(-1.0, abs=0.01)
    assert curve.units[1].value == pytest.approx(300)
    values = [e.value for e in curve.units]
    assert values == sorted(values, reverse=True)
