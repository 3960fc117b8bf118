"""Models of how a negotiation ends: truths recovered, baselines by hand, typing errors withstood."""

from __future__ import annotations

import numpy as np
import pytest

from malles.errors import DataError
from malles.wholesale.bargaining.candidates import fit_median_rule
from malles.wholesale.bargaining.models import (
    fit_chance,
    fit_points,
    fit_share,
    log_losses,
)
from malles.wholesale.bargaining.table import Encoder, Table

pytest.importorskip("sklearn")


def rows(count: int, seed: int, words: bool = False) -> tuple[Table, np.ndarray]:
    """A share of 0.4 + 0.5 target + noise, and whether the buyer says 'sorry'."""
    rng = np.random.default_rng(seed)
    target = rng.choice([0.5, 0.7, 0.9], count)
    middle = rng.uniform(0.6, 1.0, count)
    sorry = rng.random(count) < 0.5
    said = tuple("sorry no" if s and words else "hello there" for s in sorry)
    share = 0.2 + 0.3 * target + 0.4 * middle + rng.normal(0, 0.02, count)
    table = Table(np.column_stack([target, middle]), (said,), tuple(f"s{k // 2}" for k in range(count)))
    return table, sorry if words else share


def test_median_rule_by_hand():
    rule = fit_median_rule(np.array([0.5, 0.5, 0.5, 0.9]), np.array([0.6, 0.7, 0.9, 0.95]))
    asked = Table(np.array([[0.5], [0.9], [0.2]]), (), ("a", "b", "c"))
    assert rule(asked).tolist() == [0.7, 0.95, 0.8]  # a ratio never seen: the median of all


def test_a_known_share_is_recovered_though_prices_are_mistyped():
    """Noise of 0.02 has a mean absolute error of 0.016; one in 50 prices is ten times too large."""
    table, share = rows(400, 1)
    wrong = share.copy()
    wrong[::50] *= 10
    model = fit_share(table, wrong, seed=1)
    fresh, truth = rows(400, 2)
    error = np.abs(model.predict(fresh) - truth).mean()
    rule = np.abs(fit_median_rule(table.numbers[:, 0], wrong)(fresh) - truth).mean()
    assert error < 0.03 < rule
    assert model.name != "median rule"
    assert min(model.errors.values()) == model.errors[model.name]


def prices_after_a_known_rule(count: int, seed: int) -> tuple[Table, np.ndarray]:
    """A buyer goes .3 of the way to the seller's last price, a seller half of the way to the buyer's."""
    rng = np.random.default_rng(seed)
    buyer, seller = rng.uniform(0.5, 0.8, count), rng.uniform(0.85, 1.0, count)
    names = np.arange(count) % 2 == 0  # the buyer names the next price
    target = rng.choice([0.5, 0.7, 0.9], count)
    table = Table(
        np.column_stack([target, buyer, seller, names]), (("",) * count,), tuple(map(str, range(count)))
    )
    return table, np.where(names, 0.7 * buyer + 0.3 * seller, 0.5 * buyer + 0.5 * seller)


def test_a_known_rule_of_concession_is_recovered_though_prices_are_mistyped():
    """From .6 and .9 the buyer names .6 + .3 · .3 = .69, the seller .9 − .5 · .3 = .75."""
    table, share = prices_after_a_known_rule(200, 1)
    wrong = share.copy()
    wrong[::20] *= 10  # a tenth of the buyer's prices
    model = fit_share(table, wrong, seed=1, linear=(0, 1, 2), by=3)
    assert model.name == "median regression"
    asked = Table(np.array([[0.7, 0.6, 0.9, 1.0], [0.5, 0.6, 0.9, 0.0]]), (("", ""),), ("x", "y"))
    assert model.predict(asked) == pytest.approx([0.69, 0.75], abs=1e-6)
    fresh, truth = prices_after_a_known_rule(100, 2)
    assert model.predict(fresh) == pytest.approx(truth, abs=1e-6)


def test_a_side_that_never_named_a_price_gets_the_rule_of_all():
    table, share = prices_after_a_known_rule(100, 3)
    buyers = table.select(table.numbers[:, 3] > 0.5)
    model = fit_share(buyers, share[::2], seed=1, linear=(1, 2), by=3)
    asked = Table(np.array([[0.7, 0.6, 0.9, 0.0]]), (("",),), ("x",))
    assert model.predict(asked) == pytest.approx([0.69], abs=1e-6)


def test_trees_find_what_the_median_of_each_target_leaves():
    """Eight targets with medians in no order, and .1 more in a quarter of the rows: the rule leaves .025."""
    rng = np.random.default_rng(8)
    target, left = rng.choice(np.arange(1, 9) / 10, 600), rng.random(600) < 0.25
    level = np.array([0.5, 0.9, 0.6, 0.95, 0.45, 0.8, 0.55, 0.7])
    share = level[np.round(target * 10).astype(int) - 1] + 0.1 * left + rng.normal(0, 0.002, 600)
    table = Table(np.column_stack([target, left]), (("",) * 600,), tuple(map(str, range(600))))
    model = fit_share(table, share, seed=1)
    assert model.name == "boosted on the rest of the median rule"
    assert model.errors["median rule"] == pytest.approx(0.1 * left.mean(), abs=0.003)
    assert np.abs(model.predict(table) - share).mean() < 0.01


def test_words_tell_a_deal_and_noise_does_not():
    table, sorry = rows(200, 3, words=True)
    model = fit_chance(table, sorry, seed=1)
    fresh, truth = rows(200, 4, words=True)
    assert log_losses(truth.astype(float), model.predict(fresh)).mean() < 0.3
    blind, _ = rows(200, 3)
    coin = np.random.default_rng(9).random(200) < 0.6
    chosen = fit_chance(blind, coin, seed=1)
    assert chosen.errors[chosen.name] <= chosen.errors["base rate"]
    assert np.abs(chosen.predict(blind) - 0.6).max() < 0.25


def test_points_fall_back_to_the_mean_when_there_is_nothing_to_learn():
    rng = np.random.default_rng(5)
    table = Table(rng.normal(size=(100, 2)), (("",) * 100,), tuple(map(str, range(100))))
    model = fit_points(table, np.full(100, 18.0), seed=1)
    assert model.predict(table) == pytest.approx(np.full(100, 18.0))


def test_the_same_seed_gives_the_same_model():
    table, share = rows(120, 6)
    one, two = (fit_share(table, share, seed=4) for _ in range(2))
    assert one.errors == two.errors
    np.testing.assert_array_equal(one.predict(table), two.predict(table))


def test_groups_stay_together_in_folds():
    table, _ = rows(60, 7)
    fold = table.folds(5, seed=1)
    assert (fold[::2] == fold[1::2]).all()
    assert sorted(np.bincount(fold)) == [12] * 5


def test_what_cannot_be_fitted_is_refused():
    table, share = rows(10, 8)
    with pytest.raises(DataError, match="at least 20 dialogues"):
        fit_share(table, share, seed=1)
    with pytest.raises(DataError, match="did not"):
        fit_chance(table, np.ones(10, bool), seed=1)
    with pytest.raises(DataError, match="must agree"):
        Table(np.zeros((2, 1)), (("a",),), ("g", "h"))


def test_text_without_frequent_words_is_no_trouble():
    table = Table(np.arange(6.0).reshape(6, 1), (("", "a b", "c", "d", "e", "f"),), tuple("abcdef"))
    assert Encoder(table).encode(table).shape == (6, 1)
