"""A new product from its analogues, against a logit that knows the answer."""

import numpy as np
import pytest

from malles.errors import ConfigError, OccasionError
from malles.scenarios.changes import PriceChange, Scenario
from malles.scenarios.counterfactual import Demand
from malles.scenarios.newcomer import Newcomer
from malles.scenarios.outcomes import find_diversion
from malles.scenarios.policy import pay_the_seller
from malles.scenarios.rehearsal import Desk
from malles.vocabulary import Occasions
from scenarios.test_category_market import logit, market

NEW = 50


def ask(occasions: Occasions) -> Demand:
    """V = -price; a third of the trips buy, all of it on the shelf."""
    n = len(occasions)
    one = np.ones(n)
    return Demand(one / 3, 0 * one, logit(occasions, None), np.ones(occasions.shape), one)  # type: ignore[arg-type]


DESK = Desk.of(market(), ask)


AS_IT_IS = Scenario("as it is", ())


def shares(newcomer: Newcomer, scenario: Scenario = AS_IT_IS) -> np.ndarray:
    found = DESK.rehearse(scenario, newcomers=[(NEW, newcomer)], draws=20, seed=1, households=False)
    units = found.central[1, :, :, 0].sum(0)
    assert found.product[-2] == NEW
    return units[:-1] / units.sum()


def test_a_new_product_gets_the_share_of_a_logit_at_its_price():
    """Shelf prices 1, 1, 2 and the newcomer's 1.5: P = exp(-price) / sum."""
    weight = np.exp(-np.array([1, 1, 2, 1.5]))
    np.testing.assert_allclose(shares(Newcomer("new", 1.5, (0, 2))), weight / weight.sum(), rtol=1e-5)


def test_appeal_is_utility_and_other_changes_hold_at_the_same_time():
    weight = np.exp(-np.array([0.5, 1, 2, 1.5 - 0.4]))
    cut = Scenario("cut", (PriceChange(0, absolute=0.5),))
    np.testing.assert_allclose(shares(Newcomer("new", 1.5, (1,), 0.4), cut), weight / weight.sum(), rtol=1e-5)


def test_its_units_come_from_the_shelf_when_trips_do_not_answer():
    found = DESK.rehearse(AS_IT_IS, newcomers=[(NEW, Newcomer("new", 1.0, (0,)))], draws=20, seed=1)
    parts = find_diversion(found, NEW)
    assert parts["shelf"].value == pytest.approx(1)
    assert parts["expansion"].value == pytest.approx(0, abs=1e-6)


def test_what_customers_pay_for_it_may_differ_from_its_price():
    """A tax of half: the newcomer is chosen at 1.5 and its seller keeps 1."""

    def taxed(shelf: Occasions) -> object:
        plain = pay_the_seller(shelf)
        new = shelf.product == NEW
        paid = np.where(new, shelf.price * 1.5, shelf.price).astype(np.float32)
        return plain.__class__(
            shelf.__class__(**{**vars(shelf), "price": paid}), plain.net, np.where(new, 0.5, 0), plain.shift
        )

    found = DESK.rehearse(
        Scenario("as it is", ()),
        newcomers=[(NEW, Newcomer("new", 1.0, (0,)))],
        pricing=taxed,
        draws=20,
        seed=1,
    )  # type: ignore[arg-type]
    weight = np.exp(-np.array([1, 1, 2, 1.5]))
    sold = found.central[1, :, -2].sum(0)
    total = found.central[1, :, :, 0].sum()
    assert sold[0] / total == pytest.approx(weight[3] / weight.sum(), rel=1e-5)
    assert sold[1] == pytest.approx(sold[0])
    assert sold[2] == pytest.approx(0.5 * sold[0])


def test_refusals():
    with pytest.raises(OccasionError, match="none of the products that 'new' is like"):
        shares(Newcomer("new", 1.0, (40,)))
    with pytest.raises(ConfigError, match="price above 0, got -1"):
        Newcomer("new", -1.0, (0,))
    with pytest.raises(ConfigError, match="at least one product"):
        Newcomer("new", 1.0, ())
