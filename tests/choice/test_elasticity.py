"""Elasticities against hand arithmetic, numerical differences and the adding-up laws."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from malles.choice.elasticity import (
    arc_elasticity,
    cross_price_elasticity,
    logit_diversion_ratios,
    own_price_elasticity,
    price_elasticities,
    share_elasticities,
    simulate_price_response,
)
from malles.choice.probability import choice_probabilities
from malles.errors import UsageError
from malles.vocabulary import ChoiceData, Occasions, Regime


def test_own_price_elasticity_by_hand():
    """Coefficient -0.8, price 2.50, probability 0.75: -0.8 * 2.50 * (1 - 0.75) = -0.5."""
    assert own_price_elasticity(-0.8, 2.50, 0.75) == pytest.approx(-0.5)


def test_cross_price_elasticity_by_hand():
    """0.8 * 2.50 * 0.75 = 1.5."""
    assert cross_price_elasticity(-0.8, 2.50, 0.75) == pytest.approx(1.5)


def test_elasticities_are_the_numerical_derivatives_of_log_probability():
    price, b, step = np.array([[1.0, 2.0, 1.5]]), -1.3, 1e-6
    everything = np.ones((1, 3), bool)
    probability = choice_probabilities(b * price, everything)
    for k in range(3):
        dearer = price * np.where(np.arange(3) == k, 1 + step, 1.0)
        numerical = (np.log(choice_probabilities(b * dearer, everything)) - np.log(probability)) / step
        np.testing.assert_allclose(
            price_elasticities(b, price, probability)[0, :, k], numerical[0], rtol=1e-4
        )


@given(arrays(float, (3, 4), elements=st.floats(0.1, 10)))
def test_probability_weighted_elasticities_to_one_price_sum_to_zero(price):
    """What one alternative loses the others gain: sum over j of P[j] E[j, k] = 0."""
    probability = choice_probabilities(-price, np.ones(price.shape, bool))
    elasticity = price_elasticities(-1.0, price, probability)
    np.testing.assert_allclose(np.einsum("nj,njk->nk", probability, elasticity), 0.0, atol=1e-9)


def test_share_elasticity_weighs_occasions_by_probability():
    """(0.2 * -1.6 + 0.8 * -0.4) / 1.0 = -0.64; an alternative never available has none."""
    probability = np.array([[0.2, 0.8, 0.0], [0.8, 0.2, 0.0]])
    found = share_elasticities(-1.0, np.full((2, 3), 2.0), probability)
    np.testing.assert_allclose(found, [-0.64, -0.64, np.nan])


@given(arrays(float, (3, 5), elements=st.floats(-5, 5)))
def test_diversion_ratios_sum_to_one(utility):
    diversion = logit_diversion_ratios(choice_probabilities(utility, np.ones(utility.shape, bool)))
    np.testing.assert_allclose(diversion.sum(axis=2), 1.0)
    assert (np.einsum("njj->nj", diversion) == 0).all()


def test_arc_elasticity_by_hand():
    """(20 / 220) / (-0.2 / 3.8) = -1.7273; equal prices have none."""
    assert arc_elasticity(100, 120, 2.0, 1.8) == pytest.approx(-1.72727, abs=1e-5)
    assert np.isnan(arc_elasticity(100, 120, 2.0, 2.0))


@dataclass(frozen=True)
class PriceLogit:
    """A logit in price alone, coefficient -2."""

    name: str = "price_logit"

    def predict(self, data):
        return choice_probabilities(-2.0 * data.occasions.price.astype(float), data.occasions.available)

    def save(self, folder: Path): ...

    @classmethod
    def load(cls, folder: Path): ...


def two_products(price):
    count = len(price)
    codes = np.zeros(count, np.int32)
    occasions = Occasions(
        customer=codes, store=codes, basket=codes.astype(np.int64), week=codes.astype(np.int16),
        timestamp=codes.astype(np.int64), category=codes,
        product=np.tile(np.array([-1, 5, 7], np.int32), (count, 1)),
        price=np.column_stack([np.zeros(count), price]).astype(np.float32),
        list_price=np.column_stack([np.zeros(count), price]).astype(np.float32),
        promotion=np.zeros((count, 3), np.uint8), available=np.tile([False, True, True], (count, 1)),
        rank=np.tile(np.array([-1, 0, 1], np.int16), (count, 1)),
        chosen=np.ones(count, np.int16), units=np.ones(count, np.int32),
    )  # fmt: skip
    nothing = np.zeros((count, 3, 0), np.float32)
    return ChoiceData(occasions, nothing, (), np.zeros((count, 0), np.float32), (), Regime.FULL)


def test_simulated_response_to_a_small_price_change_is_the_analytic_elasticity():
    """Equal prices of 1: P = 1/2, so e = -2 * 1 * (1 - 1/2) = -1; all the loss goes to the other one."""
    base = two_products(np.ones((4, 2)))
    price = base.occasions.price.copy()
    price[:, 1] = 1.001
    changed = replace(base, occasions=replace(base.occasions, price=price))
    found = simulate_price_response(PriceLogit(), base, changed, 5)
    assert found.own_elasticity == pytest.approx(-1.0, abs=0.01)
    assert found.other.tolist() == [7]
    np.testing.assert_allclose(found.diversion_ratio, [1.0], atol=1e-9)
    np.testing.assert_allclose(found.cross_elasticity, [1.0], atol=0.01)


def test_worlds_with_different_products_are_not_compared():
    base = two_products(np.ones((4, 2)))
    with pytest.raises(UsageError, match="Build both from the same occasions"):
        simulate_price_response(PriceLogit(), base, two_products(np.ones((3, 2))), 5)


def test_a_product_that_nobody_is_offered_is_an_error():
    base = two_products(np.ones((4, 2)))
    with pytest.raises(UsageError, match="is product 99"):
        simulate_price_response(PriceLogit(), base, base, 99)
