"""Rates against known ones."""

import numpy as np
import pytest

from malles.calibration.rate import fit_rate_map
from malles.errors import DataError


def market(cells=300, weeks=4, spread=0.3, seed=0, size=(5, 400)):
    rng = np.random.default_rng(seed)
    shape = 1 / spread**2
    rate = rng.gamma(shape, 1 / shape, cells)
    simulated = rng.uniform(*size, cells)[:, None] * rng.uniform(0.8, 1.2, (cells, weeks))
    return rate, simulated, rng.poisson(rate[:, None] * simulated).astype(float)


def test_shrunk_rates_are_closer_to_the_truth_than_ratios_and_than_one():
    rate, simulated, actual = market(size=(1, 30))
    found = fit_rate_map(actual, simulated)
    ratio = actual.sum(axis=1) / simulated.sum(axis=1)
    error = np.mean((found.rate - rate) ** 2)
    assert error < np.mean((ratio - rate) ** 2)
    assert error < np.mean((1 - rate) ** 2)


def test_the_strength_of_the_prior_is_recovered():
    """Rates drawn from Gamma(shape 11.1, mean 1): strength 11.1."""
    _, simulated, actual = market(cells=2000)
    found = fit_rate_map(actual, simulated)
    assert found.strength == pytest.approx(1 / 0.3**2, rel=0.2)
    np.testing.assert_allclose(found.dispersion, 1.0, atol=0.2)


def test_the_posterior_mean_by_hand():
    _, simulated, actual = market(cells=50)
    found = fit_rate_map(actual, simulated)
    k, d = found.strength, found.dispersion[7]
    A, S = actual[7].sum(), simulated[7].sum()
    assert found.rate[7] == pytest.approx((k + A / d) / (k + S / d))


def test_cells_that_differ_by_noise_alone_share_the_centre():
    rng = np.random.default_rng(3)
    simulated = np.full((100, 4), 50.0)
    found = fit_rate_map(rng.poisson(simulated).astype(float), simulated)
    assert np.abs(found.rate - 1).max() < 0.05


def test_a_common_error_is_taken_by_the_pooled_centre():
    simulated = np.full((40, 4), 20.0)
    found = fit_rate_map(np.full((40, 4), 30.0), simulated, centre=None)
    np.testing.assert_allclose(found.rate, 1.5)
    assert found.centre == 1.5


def test_weekly_noise_beyond_poisson_is_measured_and_shrinks_more():
    rng = np.random.default_rng(4)
    rate, simulated, _ = market(cells=400, weeks=6)
    noisy = rng.poisson(rate[:, None] * simulated * rng.gamma(10, 0.1, simulated.shape)).astype(float)
    found = fit_rate_map(noisy, simulated)
    # gamma noise of shape 10: variance over Poisson variance = 1 + mean / 10
    mean = (rate[:, None] * simulated).mean(axis=1)
    assert np.median(found.dispersion / (1 + mean / 10)) == pytest.approx(1.0, abs=0.1)


def test_an_empty_cell_has_the_centre():
    simulated, actual = (
        np.array([[0.0, 0.0], [50.0, 50.0], [70.0, 30.0]]),
        np.array([[0.0, 0], [99, 99], [40, 20]]),
    )
    assert fit_rate_map(actual, simulated).rate[0] == 1.0


def test_a_trend_is_found_continued_and_stopped():
    weeks = np.arange(8)
    simulated = np.full((50, 8), 400.0)
    actual = simulated * np.exp(0.03 * weeks)
    found = fit_rate_map(actual, simulated, trend=True, centre=None)
    assert found.trend == pytest.approx(0.03, rel=0.05)
    ahead = found.apply(np.full((50, 20), 400.0))
    np.testing.assert_allclose(ahead[0, :3], 400 * np.exp(0.03 * np.array([8, 9, 10])), rtol=0.01)
    assert ahead[0, 19] == ahead[0, 7]


def test_noise_has_hardly_a_trend():
    _, simulated, actual = market(weeks=6, seed=9)
    assert abs(fit_rate_map(actual, simulated, trend=True).trend) < 0.005
    assert fit_rate_map(actual, simulated).trend == 0.0


def test_calibrated_units_of_the_same_weeks_add_up():
    _, simulated, actual = market(cells=500)
    found = fit_rate_map(actual, simulated)
    assert found.apply(simulated).sum() == pytest.approx(actual.sum(), rel=0.01)


def test_shapes_and_signs_are_checked():
    with pytest.raises(DataError, match=r"both are \[cell, week\]"):
        fit_rate_map(np.ones((0, 3)), np.ones((0, 3)))
    with pytest.raises(DataError, match="at least 0"):
        fit_rate_map(np.full((2, 3), -1.0), np.ones((2, 3)))
    _, simulated, actual = market(cells=5)
    with pytest.raises(DataError, match="fitted on 5"):
        fit_rate_map(actual, simulated).apply(np.ones((4, 2)))


def test_a_prior_of_no_strength_leaves_the_plain_ratios():
    _, simulated, actual = market(cells=20)
    found = fit_rate_map(actual, simulated, strength=0.0)
    np.testing.assert_allclose(found.rate, actual.sum(axis=1) / simulated.sum(axis=1))
