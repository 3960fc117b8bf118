"""Calibration maps against known distortions."""

import numpy as np
import pytest

from malles.calibration.mapping import fit_share_map, fit_units_map, select_penalty
from malles.calibration.temperature import apply_temperature
from malles.errors import DataError, OccasionError

GROUPS = 5


@pytest.fixture(scope="module")
def distorted():
    """A model whose utilities miss a known bias per group, and are twice too sharp."""
    rng = np.random.default_rng(0)
    n, size = 8000, 6
    group = rng.integers(-1, GROUPS, (n, size))
    group[:, 0] = -1
    bias = np.array([0.8, -0.5, 0.0, 0.3, -1.0])
    base = rng.normal(0, 0.7, (n, size))
    available = rng.random((n, size)) < 0.9
    available[:, 0] = True
    weight = np.where(available, np.exp(base + np.append(bias, 0.0)[group]), 0.0)
    truth = weight / weight.sum(axis=1, keepdims=True)
    chosen = (rng.random((n, 1)) > truth.cumsum(axis=1)).sum(axis=1)
    model = np.where(available, np.exp(2 * base), 0.0)
    model /= model.sum(axis=1, keepdims=True)
    return model, available, chosen, group, bias, truth


def test_the_map_recovers_temperature_and_biases(distorted):
    model, available, chosen, group, bias, truth = distorted
    found = fit_share_map(model, available, chosen, group, groups=GROUPS, penalty=1.0)
    assert found.converged
    assert found.temperature == pytest.approx(2.0, rel=0.08)
    np.testing.assert_allclose(found.bias, bias, atol=0.12)
    assert found.log_loss < found.log_loss_before - 0.05
    assert np.abs(found.apply(model, available, group) - truth).mean() < 0.01


def test_at_the_minimum_bought_minus_predicted_is_penalty_times_bias(distorted):
    model, available, chosen, group, _, _ = distorted
    found = fit_share_map(model, available, chosen, group, groups=GROUPS, penalty=50.0)
    q = found.apply(model, available, group)
    row = np.arange(len(chosen))
    for g in range(GROUPS):
        bought = np.count_nonzero(group[row, chosen] == g)
        predicted = q[(group == g) & available].sum()
        assert bought - predicted == pytest.approx(50.0 * found.bias[g], abs=0.2)


def test_a_heavy_penalty_moves_nothing_but_the_temperature(distorted):
    model, available, chosen, group, _, _ = distorted
    found = fit_share_map(model, available, chosen, group, groups=GROUPS, penalty=1e9)
    assert np.abs(found.bias).max() < 1e-4
    np.testing.assert_allclose(
        found.apply(model, available, group),
        apply_temperature(model, available, found.temperature),
        atol=1e-4,
    )


def test_a_group_unknown_to_the_map_keeps_its_utility(distorted):
    model, available, chosen, group, _, _ = distorted
    found = fit_share_map(model, available, chosen, group, groups=GROUPS, penalty=1.0)
    np.testing.assert_allclose(
        found.apply(model, available, np.full(group.shape, 77)),
        apply_temperature(model, available, found.temperature),
        atol=1e-12,
    )


def test_the_penalty_is_heavy_for_noise_and_light_for_signal(distorted):
    model, available, chosen, group, _, truth = distorted
    fold = np.arange(len(chosen)) % 4
    options = (1.0, 1000.0)
    signal = select_penalty(model, available, chosen, group, fold, groups=GROUPS, candidates=options)
    assert signal.penalty == 1.0
    assert signal.log_loss.min() < signal.log_loss_before
    rng = np.random.default_rng(2)
    noise = rng.integers(0, 400, group.shape)
    none = select_penalty(
        truth[:800], available[:800], chosen[:800], noise[:800], fold[:800], groups=400, candidates=options
    )
    assert none.penalty == 1000.0


def test_bad_settings_are_explained(distorted):
    model, available, chosen, group, _, _ = distorted
    with pytest.raises(DataError, match="above 0"):
        fit_share_map(model, available, chosen, group, groups=GROUPS, penalty=0.0)
    with pytest.raises(DataError, match="two weeks"):
        select_penalty(model, available, chosen, group, np.zeros(len(chosen), int), groups=GROUPS)
    with pytest.raises(OccasionError, match="no occasions"):
        fit_share_map(model[:0], available[:0], chosen[:0], group[:0], groups=GROUPS, penalty=1.0)


def test_units_are_mapped_to_the_actual_distribution():
    rng = np.random.default_rng(0)
    simulated = rng.poisson(0.5, 50_000) + 1
    actual = rng.poisson(1.2, 40_000) + 1
    found = fit_units_map(simulated, actual)
    mapped = found.apply(simulated, rng.random(50_000))
    size = max(mapped.max(), actual.max()) + 1
    shares = [np.bincount(x, minlength=size) / len(x) for x in (mapped, actual)]
    assert np.abs(shares[0] - shares[1]).max() < 0.01
    assert (mapped >= 1).all()


def test_the_units_map_keeps_order_and_leaves_the_unseen_alone():
    found = fit_units_map(np.array([1, 1, 2, 2]), np.array([1, 1, 3, 3]))
    np.testing.assert_array_equal(found.apply(np.array([1, 2, 9]), np.array([0.5, 0.5, 0.5])), [1, 3, 9])
    same = fit_units_map(np.array([1, 2, 2]), np.array([2, 1, 2]))
    np.testing.assert_array_equal(same.apply(np.array([1, 2]), np.array([0.99, 0.0])), [1, 2])


def test_a_units_map_needs_both_sides():
    with pytest.raises(DataError, match="0 actual"):
        fit_units_map(np.array([1]), np.array([], int))
