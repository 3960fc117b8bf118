"""Copies of engines and rules for reordering, on engines and orders made by known rules."""

from __future__ import annotations

import numpy as np
import pytest

from malles.errors import DataError
from malles.rules.copying import copy_utility
from malles.rules.expression import evaluate
from malles.rules.front import Rows
from malles.rules.power_law import Loss
from malles.rules.reorder import find_reorder_rule
from malles.rules.search import RuleSearch


def test_a_logit_is_copied_exactly():
    """V = 2 x - 0.5 p and an idle feature: two terms explain everything, with the logit's own weights."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 4, 3))
    utility = 2 * features[:, :, 0] - 0.5 * features[:, :, 1]
    there = np.ones((200, 4), bool)
    there[::5, 3] = False
    weight = np.where(there, np.exp(utility), 0)
    probability = weight / weight.sum(axis=1, keepdims=True)
    copies = copy_utility(features, probability, there, np.arange(200) % 2 == 0, ("x", "p", "idle"))
    two = copies[1]
    assert two.variance_share == pytest.approx(1, abs=1e-9)
    assert two.agreement == 1
    assert two.complexity == 7
    at = {"x": np.array([1.0, 0.0]), "p": np.array([0.0, 1.0])}
    np.testing.assert_allclose(evaluate(two.expression, at), [2, -0.5], atol=1e-9)
    assert copies[0].variance_share < 1
    assert [c.complexity for c in copies] == sorted(c.complexity for c in copies)


def orders(rows: int, seed: int) -> Rows:
    """A shop that orders up to demand x (lead time + 1)."""
    rng = np.random.default_rng(seed)
    demand, lead = rng.gamma(4, 5, rows) + 1, rng.integers(1, 5, rows).astype(float)
    stock, price = rng.gamma(2, 20, rows), np.exp(rng.normal(1, 0.3, rows))
    wanted = np.maximum(0, demand * (lead + 1) - stock)
    return Rows({"demand": demand, "lead_time": lead, "stock": stock, "price": price}, wanted)


def test_an_order_up_to_shop_is_recognised():
    found = find_reorder_rule(
        orders(600, 1), orders(200, 2), np.random.default_rng(1), RuleSearch(Loss.SQUARED, genetic=False)
    )
    assert found.best.source == "proposal"
    assert found.best.error < 1e-3
    at = {"demand": np.array([10.0]), "lead_time": np.array([2.0]), "stock": np.array([5.0])}
    assert evaluate(found.best.expression, at)[0] == pytest.approx(25, abs=0.01)


def test_a_reorder_rule_needs_demand_and_stock():
    rows = Rows({"price": np.ones(50)}, np.ones(50))
    with pytest.raises(DataError, match="needs the inputs 'demand' and 'stock', got price"):
        find_reorder_rule(rows, rows, np.random.default_rng(1))
