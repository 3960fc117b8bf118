"""Temperature against a known distortion."""

import numpy as np
import pytest

from malles.calibration.temperature import apply_temperature, fit_temperature
from malles.errors import OccasionError


def drawn(n=30_000, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(6), size=n)
    available = np.ones((n, 6), bool)
    return p, available, (rng.random((n, 1)) > p.cumsum(axis=1)).sum(axis=1)


@pytest.mark.parametrize("sharpening", [0.5, 1.0, 2.0])
def test_the_temperature_undoes_a_known_sharpening(sharpening):
    p, available, chosen = drawn()
    found = fit_temperature(apply_temperature(p, available, 1 / sharpening), available, chosen)
    assert found.value == pytest.approx(sharpening, rel=0.03)
    assert found.log_loss <= found.log_loss_before + 1e-9
    assert not found.at_edge
    np.testing.assert_allclose(
        found.apply(apply_temperature(p, available, 1 / sharpening), available),
        apply_temperature(p, available, found.value / sharpening),
        atol=1e-10,
    )


def test_temperature_one_changes_nothing_and_unavailable_stays_zero():
    p = np.array([[0.7, 0.3, 0.0]])
    available = np.array([[True, True, False]])
    np.testing.assert_allclose(apply_temperature(p, available, 1.0), p, atol=1e-12)
    assert apply_temperature(p, available, 3.0)[0, 2] == 0.0


def test_choices_that_are_noise_end_at_the_edge_and_say_so():
    p = np.tile([[0.98, 0.01, 0.01]], (300, 1))
    found = fit_temperature(p, np.ones(p.shape, bool), np.arange(300) % 3)
    assert found.at_edge


def test_nothing_to_fit_on_is_an_error():
    with pytest.raises(OccasionError, match="no occasions"):
        fit_temperature(np.zeros((0, 2)), np.zeros((0, 2), bool), np.zeros(0, int))
    with pytest.raises(OccasionError, match="unavailable choice"):
        fit_temperature(np.ones((1, 2)), np.array([[True, False]]), np.array([1]))
    with pytest.raises(OccasionError, match="above 0"):
        apply_temperature(np.ones((1, 2)), np.ones((1, 2), bool), 0.0)
