"""Boosted trees: the gradient against numerical differences, early stopping, and a known market."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from malles.baselines.boosting import BoostedTrees, flat_rows
from malles.baselines.boosting_binary import BoostedBinary, FittedBoostedBinary
from malles.baselines.boosting_kernels import softmax_derivatives, softmax_loss
from malles.choice.likelihood import occasion_log_losses
from malles.errors import DataError, ModelError


def test_the_gradient_is_that_of_the_softmax_loss():
    """Slates of 3, 2 and 4 rows; loss is a mean, the gradient belongs to the sum."""
    rng = np.random.default_rng(0)
    start = np.array([0, 3, 5, 9])
    target = np.zeros(9, np.float32)
    target[[1, 3, 8]] = 1.0
    score = rng.normal(size=9)
    gradient, hessian = np.empty(9), np.empty(9)
    softmax_derivatives(score, start, target, gradient, hessian)
    numerical = approx_fprime(score, lambda s: 3 * softmax_loss(s, start, target), 1e-7)
    np.testing.assert_allclose(gradient, numerical, atol=1e-5)
    probability = gradient + target
    np.testing.assert_allclose(hessian, probability * (1 - probability))


def test_a_uniform_slate_of_four_costs_log_four():
    assert softmax_loss(np.zeros(4), np.array([0, 4]), np.array([1.0, 0, 0, 0])) == pytest.approx(np.log(4))


def test_flat_rows_hold_the_features_of_available_alternatives_in_order(build_market):
    data, _ = build_market(50, seed=1)
    rows = flat_rows(data, ("popularity", "display"), ("trips",))
    available = data.occasions.available
    np.testing.assert_array_equal(rows[:, 0], data.feature("popularity")[available])
    np.testing.assert_array_equal(rows[:, 1], data.feature("display")[available])
    np.testing.assert_array_equal(rows[:, 2], np.repeat(data.context[:, 1], available.sum(axis=1)))


def test_trees_learn_a_known_market(build_market):
    """Popularity and display explain choices; the rest is price, which these features do not show."""
    data, truth = build_market(6000, seed=7)
    train, held_out = data.take(np.arange(5000)), data.take(np.arange(5000, 6000))
    model = BoostedTrees(trees=60, leaves=7, smallest_leaf=50).fit(train, held_out)
    o = held_out.occasions
    loss = occasion_log_losses(model.predict(held_out), o.available, o.chosen).mean()
    uniform = np.log(o.available.sum(axis=1)).mean()
    best = occasion_log_losses(truth[5000:], o.available, o.chosen).mean()
    assert best < loss < uniform - 0.5 * (uniform - best)
    assert next(iter(model.gains())) in ("popularity", "store_share", "chain_share")


def test_early_stopping_keeps_fewer_trees_and_the_scale_softens_noise(build_market):
    data, _ = build_market(600, seed=7)
    train, held_out = data.take(np.arange(300)), data.take(np.arange(300, 600))
    settings = BoostedTrees(trees=150, leaves=31, smallest_leaf=5, learning_rate=0.3, patience=5)
    model = settings.fit(train, held_out)
    assert model.trees.count("Tree=") < 150
    whole = settings.fit(train)
    assert whole.trees.count("Tree=") == 150
    assert whole.scale == 1.0


def test_few_features_may_be_kept(build_market):
    data, _ = build_market(600, seed=7)
    model = BoostedTrees(trees=5, leaves=7, smallest_leaf=20, features_kept=3).fit(data)
    assert len(model.slate_features) + len(model.context_features) == 3


def test_incidence_trees_come_near_the_true_probability_and_are_calibrated(tmp_path):
    rng = np.random.default_rng(3)
    features = rng.normal(size=(12_000, 3)).astype(np.float32)
    truth = 1 / (1 + np.exp(-(1.5 * features[:, 0] - 1.0)))
    happened = rng.random(12_000) < truth
    fit, held = slice(0, 8000), slice(8000, None)
    model = BoostedBinary(trees=80, leaves=7).fit(
        features[fit], happened[fit], ("a", "b", "c"), (features[held], happened[held])
    )
    probability = model.predict(features[held])
    assert np.abs(probability - truth[held]).mean() < 0.04
    assert probability.mean() == pytest.approx(truth[held].mean(), abs=0.02)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(
        FittedBoostedBinary.load(tmp_path / "model").predict(features[held]), probability
    )
    with pytest.raises(ModelError, match="reads 3 features, got 2"):
        model.predict(features[:, :2])


def test_incidence_trees_need_both_outcomes():
    with pytest.raises(DataError, match="rows of both outcomes"):
        BoostedBinary().fit(np.zeros((5, 1), np.float32), np.zeros(5, bool), ("a",))
