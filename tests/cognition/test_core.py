"""Productions compete as computed by hand, learn by differences, and recover how a known market decides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from malles.baselines.columns import is_product
from malles.cognition.core import CognitiveCore, FittedCognitiveCore, activation_of
from malles.cognition.productions import PRODUCTIONS, Minds, fire, learn_utilities, propose
from malles.errors import ModelError
from malles.profiles.features import build_features
from malles.vocabulary import ChoiceData, Regime
from profiles.markets import random_market


@pytest.fixture(scope="module")
def data() -> ChoiceData:
    catalogue, asked = random_market(5, customers=30, categories=2, width=6, occasions=400)
    return build_features(catalogue, asked, Regime.FULL)


def test_two_productions_compete_by_hand():
    """Utilities 1 and 0, slope ln 4: weights 4 and 1; the second matches by half: 4 to 1/2."""
    share = fire(np.array([[1.0, 0.5]]), np.array([[1.0, 0.0]]), np.zeros(2), float(np.log(4.0)))
    np.testing.assert_allclose(share, [[8 / 9, 1 / 9]])
    assert fire(np.zeros((1, 2)), np.zeros((1, 2)), np.zeros(2), 1.0).sum() == 0


def test_utilities_move_towards_rewards_by_hand():
    """From 0, rate 1/2, rewards 1, 1, 0: before each 0, 1/2, 3/4, and 3/8 at the end."""
    before, table = learn_utilities(
        np.array([0, 0, 0, -1]), np.array([[1.0], [1.0], [0.0], [1.0]]), np.zeros(1), 0.5, 1
    )
    np.testing.assert_allclose(before[:, 0], [0.0, 0.5, 0.75, 0.0])
    np.testing.assert_allclose(table, [[0.375]])


def test_proposals_are_distributions_over_products(data):
    match, proposal = propose(data, activation_of(data, 0.5), Minds())
    assert proposal.shape == (len(data), len(PRODUCTIONS), data.occasions.shape[1])
    np.testing.assert_allclose(proposal.sum(axis=2)[match > 0], 1.0)
    assert np.all(proposal.sum(axis=1)[~is_product(data.occasions)] == 0)
    cheapest = np.where(is_product(data.occasions), data.occasions.price, np.inf).min(axis=1)
    taken = proposal[:, PRODUCTIONS.index("trade_down")] > 0
    assert np.all(data.occasions.price[taken] <= np.repeat(cheapest, taken.sum(axis=1)) * 1.001)


def test_probabilities_sum_to_one_and_a_saved_core_answers_alike(data, tmp_path):
    core = CognitiveCore(decays=(0.5,)).fit(data)
    p = core.predict(data)
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    assert np.all(p[~data.occasions.available] == 0)
    core.save(tmp_path / "core")
    np.testing.assert_array_equal(FittedCognitiveCore.load(tmp_path / "core").predict(data), p)


def test_a_market_that_buys_what_is_cheapest_teaches_that_rule(data):
    """Choices replaced by the cheapest product: `trade_down` fires most and its choice is foreseen."""
    product = is_product(data.occasions)
    cheapest = np.where(product, data.occasions.price, np.inf).argmin(axis=1).astype(np.int16)
    core = CognitiveCore(decays=(0.5,)).fit(replace(data, occasions=replace(data.occasions, chosen=cheapest)))
    assert PRODUCTIONS[int(core.constant.argmax())] == "trade_down"
    hit = (core.predict(data).argmax(axis=1) == cheapest).mean()
    assert hit > 0.95
    assert core.explain(data, 0)[0][0] == "take the cheapest"
    assert core.explain(data, 0)[0][2] == cheapest[0]


def test_new_customers_have_no_memory():
    catalogue, asked = random_market(6, customers=20, categories=1, width=5, occasions=80)
    new = build_features(catalogue, asked, Regime.NOHIST)
    assert np.all(activation_of(new, 0.5) == -np.inf)
    np.testing.assert_allclose(CognitiveCore(decays=(0.5,)).fit(new).predict(new).sum(axis=1), 1.0)


def test_occasions_without_order_lines_are_refused(data):
    with pytest.raises(ModelError, match="no order lines to remember"):
        activation_of(replace(data, catalogue=None), 0.5)
