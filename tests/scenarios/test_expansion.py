"""How far purchases follow when usual prices move, where incidence knows nothing but promotions."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from tests.scenarios.logit_markets import Logit, random_market

from malles.scenarios.changes import PriceChange, Scenario
from malles.scenarios.counterfactual import Demand
from malles.scenarios.policy import Pricing
from malles.scenarios.rehearsal import Desk
from malles.vocabulary import Occasions

PULL = 0.4


@dataclass(frozen=True)
class Promoted(Logit):
    """Incidence follows PULL x (log sum at net prices - log sum at list prices)."""

    other: float = 0.0

    def __call__(self, o: Occasions) -> Demand:
        said = super().__call__(o)
        sums = [np.log(np.exp(self.utility(at)).sum(1)) for at in (o, replace(o, price=o.list_price))]
        return replace(said, buy=1 / (1 + np.exp(1.0 - PULL * (sums[0] - sums[1]))))


def dearer(shelf: Occasions) -> Pricing:
    """Everything a tenth dearer, list prices too."""
    paid = replace(shelf, price=shelf.price * np.float32(1.1), list_price=shelf.list_price * np.float32(1.1))
    nothing = np.zeros(shelf.shape)
    return Pricing(paid, paid.price.astype(float), nothing, nothing)


def odds(units: np.ndarray, trips: float, each: float) -> float:
    p = units.sum() / trips / each
    return float(np.log(p / (1 - p)))


def test_a_cut_says_how_far_purchases_follow():
    assert Desk.of(random_market(), Promoted()).expansion == pytest.approx(PULL, rel=1e-3)


def test_usual_prices_move_purchases_as_far_as_a_cut_does():
    """All prices x 1.1 with slope 2: d = -2 log 1.1, and log-odds follow PULL d. One kind of trip each."""
    market = random_market()
    one = market.occasions.take(np.zeros(40, int))
    one = replace(one, customer=np.arange(40, dtype=np.int32), list_price=one.price)
    market = replace(market, occasions=one, weight=np.ones(40), features=np.zeros((40, 1), np.float32),
                     last_product=np.zeros(40, np.int32), offer_past=np.zeros((40, 3)))  # fmt: skip
    ask = Promoted()
    found = Desk.of(market, ask).rehearse(
        Scenario("tax", ()), pricing=dearer, draws=20, seed=1, households=False, luck=False
    )
    units = found.central[..., 0].sum((1, 2))
    moved = odds(units[1], 40, ask.units) - odds(units[0], 40, ask.units)
    assert moved == pytest.approx(PULL * -2 * np.log(1.1), rel=1e-2)  # product 0 is bought by the unit


def test_a_model_that_sees_usual_prices_is_left_alone():
    assert np.isnan(Desk.of(random_market(), Logit()).expansion)


def test_a_discount_is_not_a_move_of_usual_prices():
    """Net price down, list price as it was: the incidence model itself answers."""
    desk = Desk.of(random_market(), Promoted())
    desk.rehearse(Scenario("cut", (PriceChange(0, relative=-0.2),)), draws=20, seed=1)
    assert not desk._expansion  # nobody asked
