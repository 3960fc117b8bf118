"""Policies by hand: what customers pay, what sellers keep, what the state gets, and shifts of utility."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from malles.errors import ConfigError
from malles.scenarios.policy import (
    IncomeShift,
    Policy,
    PreferenceShift,
    Pricing,
    Reach,
    SalesTax,
    Subsidy,
    apply_policies,
    pay_the_seller,
)
from malles.scenarios.shelf_changes import PriceCap
from malles.vocabulary import OTHER, OUTSIDE, Occasions

ALL = Reach()
MONEY = np.array([0.5, 1.0, 2.0])


def shop() -> Occasions:
    """Customers 0, 1, 2 in weeks 1, 2, 3 and stores 0, 1, 0; products 5 (2.00, list 2.50) and 6 (3.00)."""
    n = 3
    product = np.tile(np.array([OUTSIDE, 5, 6, OTHER], np.int32), (n, 1))
    return Occasions(
        customer=np.arange(n, dtype=np.int32), store=np.array([0, 1, 0], np.int32),
        basket=np.arange(n, dtype=np.int64), week=np.arange(1, n + 1, dtype=np.int16),
        timestamp=np.arange(n, dtype=np.int64), category=np.zeros(n, np.int32), product=product,
        price=np.tile(np.array([0, 2, 3, 0], np.float32), (n, 1)),
        list_price=np.tile(np.array([0, 2.5, 3, 0], np.float32), (n, 1)),
        promotion=np.zeros((n, 4), np.uint8), available=product != OUTSIDE,
        rank=np.tile(np.array([-1, 0, 1, -1], np.int16), (n, 1)), chosen=np.full(n, -1, np.int16),
        units=np.zeros(n, np.int32),
    )  # fmt: skip


def under(*policies: Policy, shelf: Occasions | None = None) -> Pricing:
    return apply_policies(shelf or shop(), policies, MONEY)


def test_without_policies_customers_pay_the_seller():
    for pricing in (under(), pay_the_seller(shop())):
        np.testing.assert_allclose(pricing.paid.price, shop().price)
        np.testing.assert_allclose(pricing.net, shop().price)
        assert not pricing.levy.any()
        assert not pricing.shift.any()


def test_a_tax_that_customers_pay():
    """10 % on 2.00: they pay 2.20, of which the seller keeps 2.00 and the state 0.20."""
    found = under(SalesTax(0.1, 1.0, ALL))
    np.testing.assert_allclose(found.paid.price[0], [0, 2.2, 3.3, 0], rtol=1e-6)
    np.testing.assert_allclose(found.net[0], [0, 2.0, 3.0, 0])
    np.testing.assert_allclose(found.levy[0], [0, 0.2, 0.3, 0])


def test_a_tax_that_the_seller_pays():
    """25 % on 2.00 with no pass-through: they still pay 2.00 = 1.60 (1 + 0.25), of which 0.40 is tax."""
    found = under(SalesTax(0.25, 0.0, ALL))
    np.testing.assert_allclose(found.paid.price, shop().price)
    np.testing.assert_allclose(found.net[0, 1:3], [1.6, 2.4])
    np.testing.assert_allclose(found.levy[0, 1:3], [0.4, 0.6])


def test_a_tax_of_which_half_is_passed_through():
    """20 % on 3.00, half of it: they pay 3.30 = 2.75 x 1.2; the state gets 0.55."""
    found = under(SalesTax(0.2, 0.5, Reach(products=(6,))))
    np.testing.assert_allclose(found.paid.price[0], [0, 2.0, 3.3, 0], rtol=1e-6)
    np.testing.assert_allclose(found.net[0], [0, 2.0, 2.75, 0])
    np.testing.assert_allclose(found.levy[0], [0, 0, 0.55, 0])


def test_a_subsidy_by_rate_lowers_what_its_segment_pays_and_the_seller_keeps_the_price():
    """30 % of 2.00 is 0.60, for customer 1 only."""
    found = under(Subsidy(0.3, None, Reach(customers=np.array([False, True, False]))))
    np.testing.assert_allclose(found.paid.price[:, 1], [2.0, 1.4, 2.0], rtol=1e-6)
    np.testing.assert_allclose(found.net[:, 1], 2.0)
    np.testing.assert_allclose(found.levy[:, 1], [0, -0.6, 0])


def test_a_subsidy_by_amount_leaves_a_hundredth_to_pay_at_least():
    """2.50 off 3.00 leaves 0.50; off 2.00 it would leave less than nothing, so 1 % is paid."""
    found = under(Subsidy(None, 2.5, ALL))
    np.testing.assert_allclose(found.paid.price[0], [0, 0.02, 0.5, 0], rtol=1e-5)
    np.testing.assert_allclose(found.levy[0], [0, -1.98, -2.5, 0])


def test_a_subsidy_after_a_tax_is_paid_of_the_price_with_tax():
    """2.00 with 10 % tax is 2.20; half of it is paid by the state, which got 0.20: it pays 0.90."""
    found = under(SalesTax(0.1, 1.0, ALL), Subsidy(0.5, None, ALL))
    np.testing.assert_allclose(found.paid.price[0, 1], 1.1, rtol=1e-6)
    np.testing.assert_allclose(found.net[0, 1], 2.0)
    np.testing.assert_allclose(found.levy[0, 1], -0.9)


def test_a_tax_comes_on_a_capped_price():
    """3.00 is capped at 2.50, and 10 % make it 2.75."""
    found = under(SalesTax(0.1, 1.0, ALL), shelf=PriceCap((5, 6), 2.5).apply(shop()))
    np.testing.assert_allclose(found.paid.price[0, 1:3], [2.2, 2.75], rtol=1e-6)


def test_list_prices_move_with_what_is_paid():
    """2.00 of 2.50 is 20 % off, with and without a tax of 10 %."""
    found = under(SalesTax(0.1, 1.0, ALL))
    np.testing.assert_allclose(found.paid.list_price[0], [0, 2.75, 3.3, 0], rtol=1e-6)


def test_weeks_stores_and_products_limit_a_policy():
    found = under(SalesTax(0.1, 1.0, Reach(products=(5,), weeks=(2, 3), stores=(0,))))
    assert (found.levy > 0).tolist() == [[False] * 4, [False] * 4, [False, True, False, False]]


def test_a_preference_is_added_to_utility_of_its_product_and_segment():
    found = under(PreferenceShift(0.7, Reach(np.array([True, False, True]), (6,))))
    np.testing.assert_allclose(found.shift[:, 2], [0.7, 0, 0.7])
    assert not found.shift[:, [0, 1, 3]].any()
    np.testing.assert_allclose(found.paid.price, shop().price)


def test_a_quarter_more_income_makes_a_fifth_of_the_price_felt_less():
    """λ (1 - 1/1.25) p = 0.2 λ p: with λ = 0.5 and p = 2.00 it is 0.2, with λ = 2 and p = 3.00 it is 1.2."""
    found = under(IncomeShift(0.25, ALL))
    np.testing.assert_allclose(found.shift[0, 1], 0.2, rtol=1e-6)
    np.testing.assert_allclose(found.shift[2, 2], 1.2, rtol=1e-6)
    assert not found.shift[:, [0, 3]].any()


def test_half_the_income_doubles_what_prices_weigh():
    """λ (1 - 1/0.5) p = - λ p, for customer 1 with λ = 1."""
    found = under(IncomeShift(-0.5, Reach(customers=np.array([False, True, False]))))
    np.testing.assert_allclose(found.shift, [[0] * 4, [0, -2, -3, 0], [0] * 4], rtol=1e-6)


def test_more_income_acts_on_what_is_paid_with_tax():
    """3.00 with 10 % tax is 3.30, and with λ = 2 a quarter more income is worth 0.2 x 2 x 3.30 = 1.32."""
    for policies in (
        (SalesTax(0.1, 1.0, ALL), IncomeShift(0.25, ALL)),
        (IncomeShift(0.25, ALL), SalesTax(0.1, 1.0, ALL)),
    ):
        np.testing.assert_allclose(under(*policies).shift[2, 2], 1.32, rtol=1e-6)


def test_two_changes_of_income_multiply():
    """1.25 x 0.8 = 1: nothing changes."""
    assert np.abs(under(IncomeShift(0.25, ALL), IncomeShift(-0.2, ALL)).shift).max() < 1e-12


def test_two_taxes_are_shared_out_too():
    """2.00 with 10 % and then 20 % on top is 2.64: the state gets 0.20 + 0.44, the seller keeps 2.00."""
    found = under(SalesTax(0.1, 1.0, ALL), SalesTax(0.2, 1.0, ALL))
    np.testing.assert_allclose(found.paid.price[0, 1], 2.64, rtol=1e-6)
    np.testing.assert_allclose([found.net[0, 1], found.levy[0, 1]], [2.0, 0.64])


def test_a_customer_that_the_data_do_not_know_is_in_no_segment():
    shelf = replace(shop(), customer=np.array([-1, 1, 2], np.int32))
    found = under(Subsidy(0.3, None, Reach(customers=np.array([False, False, True]))), shelf=shelf)
    assert (found.levy[:, 1] < 0).tolist() == [False, False, True]


def test_the_given_shelf_stays_as_it_is():
    shelf = shop()
    under(SalesTax(0.1, 1.0, ALL), Subsidy(0.5, None, ALL), shelf=shelf)
    np.testing.assert_array_equal(shelf.price, shop().price)


taxes = st.builds(SalesTax, st.floats(0.01, 3), st.floats(0, 2), st.just(ALL))
rates = st.builds(Subsidy, st.floats(0.01, 0.95), st.none(), st.just(ALL))
amounts = st.builds(Subsidy, st.none(), st.floats(0.01, 9), st.just(ALL))


@given(taxes, rates | amounts, st.booleans(), st.floats(0.05, 50))
def test_what_is_paid_is_shared_by_the_seller_and_the_state(tax, subsidy, tax_first, price):
    """paid = net + levy; nothing is lost, whatever the order."""
    shelf = replace(shop(), price=(shop().price * np.float32(price)).astype(np.float32))
    found = under(*((tax, subsidy) if tax_first else (subsidy, tax)), shelf=shelf)
    np.testing.assert_allclose(found.net + found.levy, found.paid.price, rtol=1e-5, atol=1e-6)
    assert (found.paid.price[:, 1:3] > 0).all()
    assert (found.net[:, 1:3] > 0).all()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: SalesTax(0.0, 1.0, ALL), "`rate` must be above 0, got 0.0"),
        (lambda: SalesTax(np.nan, 1.0, ALL), "`rate` must be above 0, got nan"),
        (lambda: SalesTax(0.1, -0.1, ALL), "`pass_through` must be 0 or more, got -0.1"),
        (lambda: Subsidy(1.0, None, ALL), "`rate` must be between 0 and 1, got 1.0"),
        (lambda: Subsidy(None, -1.0, ALL), "`amount` must be above 0, got -1.0"),
        (lambda: Subsidy(None, None, ALL), "needs either `rate` or `amount`"),
        (lambda: Subsidy(0.1, 0.1, ALL), "needs either `rate` or `amount`"),
        (lambda: IncomeShift(-1.0, ALL), "`relative` must be above -1, got -1.0"),
        (lambda: PreferenceShift(np.inf, ALL), "`shift` must be between -10 and 10, got inf"),
    ],
)
def test_impossible_policies_are_refused(make, sentence):
    with pytest.raises(ConfigError) as caught:
        make()
    assert sentence in str(caught.value)
