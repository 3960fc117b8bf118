"""The control function recovers a known price coefficient where the plain one is biased."""

import numpy as np
import pytest

from malles.scenarios.price_evidence import find_price_evidence, price_residuals
from malles.vocabulary import Occasions

J, STORES, WEEKS, EACH = 5, 12, 8, 60
TRUE = -2.0


def generate(seed: int, endogenous: float) -> tuple[np.ndarray, Occasions]:
    """Prices follow a common cost and, by `endogenous`, the local demand shock that also moves choices."""
    rng = np.random.default_rng(seed)
    store, week = (a.ravel() for a in np.meshgrid(np.arange(STORES), np.arange(WEEKS), indexing="ij"))
    cost = rng.normal(0, 0.25, (WEEKS, J))
    shock = rng.normal(0, 0.25, (STORES, WEEKS, J))
    log_price = 1 + cost[week] + 0.1 * rng.normal(size=(len(store), J)) + endogenous * shock[store, week]
    row = np.repeat(np.arange(len(store)), EACH)
    V = TRUE * log_price[row] + shock[store, week][row]
    pick = (V + rng.gumbel(size=V.shape)).argmax(1)
    n = len(row)
    product = np.column_stack([np.full(n, -1), np.tile(np.arange(J), (n, 1))]).astype(np.int32)
    price = np.column_stack([np.zeros(n), np.exp(log_price[row])]).astype(np.float32)
    zero = np.zeros(n, np.int32)
    occasions = Occasions(
        np.arange(n, dtype=np.int32), store[row].astype(np.int32), np.arange(n), week[row].astype(np.int16),
        week[row].astype(np.int64), zero, product, price, price, np.zeros((n, J + 1), np.uint8), product >= 0,
        product.astype(np.int16), (pick + 1).astype(np.int16), np.ones(n, np.int32),
    )  # fmt: skip
    flat = np.where(product >= 0, 1 / J, 0.0)
    return flat, occasions


@pytest.mark.parametrize("seed", [1, 2])
def test_prices_that_answer_demand_bias_the_plain_estimate_only(seed: int):
    found = find_price_evidence(*generate(seed, endogenous=1.0))
    assert found.plain > TRUE + 5 * found.plain_error  # the shock raises prices and sales together
    assert abs(found.controlled - TRUE) < 0.35  # store shocks that stay in the noise flatten a logit a little
    assert found.residual > 3 * found.residual_error
    assert found.first_stage_f > 100
    assert "differs from zero" in str(found)


def test_prices_that_do_not_answer_leave_both_alike():
    found = find_price_evidence(*generate(3, endogenous=0.0))
    assert abs(found.plain - found.controlled) < 0.2
    assert abs(found.residual) < 3 * found.residual_error


def test_one_store_has_no_instrument():
    flat, occasions = generate(1, 1.0)
    rows = np.flatnonzero(occasions.store == 0)
    found = find_price_evidence(flat[rows], occasions.take(rows))
    assert np.isnan(found.controlled)
    assert "no control function" in str(found)
    assert not price_residuals(occasions.take(rows))[0].any()
