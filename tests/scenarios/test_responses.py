"""Response parameters: recovered from generated choices, with the errors that they say they have."""

from dataclasses import replace

import numpy as np
import pytest
from tests.scenarios.logit_markets import shelf_of

from malles.errors import ConfigError
from malles.scenarios.responses import (
    Fit,
    Responses,
    certain,
    compare_groups,
    fit_choice_response,
    fit_incidence_response,
    join_responses,
    response_attributes,
)
from malles.vocabulary import Occasions, Promotion

TRUE = np.array([0.7, -0.8, 0.5, 0.2])
"""s, and θ of log price, display, mailer."""
COPIES = 4
"""A household makes the same choice so often: its rows say one thing, not four."""


def choices(
    households: int, seed: int, theta: np.ndarray = TRUE, copies: int = 1
) -> tuple[np.ndarray, Occasions]:
    """A model's probabilities, and choices of customers that correct it by `theta`."""
    rng = np.random.default_rng(seed)
    o = shelf_of(rng.uniform(1, 3, (households, 5)), promotion=rng.integers(0, 4, (households, 5)))
    V = rng.normal(size=(households, 6))
    p = np.where(o.available, np.exp(V), 0)
    p /= p.sum(1, keepdims=True)
    u = theta[0] * V + response_attributes(o) @ theta[1:4] + rng.gumbel(size=V.shape)
    o = replace(o, chosen=np.where(o.available, u, -np.inf).argmax(1).astype(np.int16))
    rows = np.repeat(np.arange(households), copies)
    return p[rows], o.take(rows)


def test_the_corrections_of_choice_are_recovered():
    p, o = choices(4000, seed=1)
    fit = fit_choice_response(p, o)
    error = np.sqrt(np.diag(fit.covariance))
    assert (np.abs(fit.value - TRUE) < 3 * error).all()
    assert (error < 0.1).all()
    np.testing.assert_allclose(fit.score.sum(0), 0, atol=1e-4)


def test_a_model_that_is_right_is_left_as_it_is():
    fit = fit_choice_response(*choices(4000, seed=2, theta=np.array([1.0, 0, 0, 0])))
    assert (np.abs(fit.value - [1, 0, 0, 0]) < 3 * np.sqrt(np.diag(fit.covariance))).all()


def test_errors_cover_the_truth_where_households_repeat_themselves():
    """Four copies of a choice: plain errors would be half as large and cover 67 %."""
    z, ratio = [], []
    for seed in range(60):
        fit = fit_choice_response(*choices(400, seed=seed, copies=COPIES))
        z.append((fit.value - TRUE) / np.sqrt(np.diag(fit.covariance)))
        ratio.append(np.diag(fit.covariance) / np.diag(np.linalg.inv(fit.information)))
    assert 0.90 < np.mean(np.abs(z) < 1.96) < 0.985
    assert np.mean(ratio) == pytest.approx(COPIES, rel=0.05)


def test_rows_without_a_choice_or_not_asked_for_do_not_count():
    p, o = choices(500, seed=3)
    few = np.arange(500) < 300
    hidden = replace(o, chosen=np.where(few, o.chosen, -1).astype(np.int16))
    a, b = fit_choice_response(p, hidden), fit_choice_response(p, o, rows=few)
    np.testing.assert_array_equal(a.value, b.value)
    assert len(a.score) == 300


def test_an_attribute_that_never_moves_stays_at_zero_and_is_unknown_without_harm():
    p, o = choices(500, seed=4)
    fit = fit_choice_response(p, replace(o, promotion=np.zeros_like(o.promotion)))
    np.testing.assert_allclose(fit.value[2:], 0, atol=1e-9)
    assert np.isfinite(fit.covariance).all()


def incidence(trips: int, seed: int, copies: int = 1) -> tuple[np.ndarray, ...]:
    """Log-odds -1 + N(0, 1) and an offer; customers buy at log-odds + 0.4 + 0.6 x offer."""
    rng = np.random.default_rng(seed)
    score, offered = rng.normal(-1, 1, trips), rng.normal(0, 0.5, trips)
    bought = rng.random(trips) < 1 / (1 + np.exp(-(score + 0.4 + 0.6 * offered)))
    return tuple(np.repeat(x, copies) for x in (score, offered, bought, np.arange(trips)))


def test_the_corrections_of_incidence_are_recovered():
    fit = fit_incidence_response(*incidence(8000, seed=1))
    error = np.sqrt(np.diag(fit.covariance))
    assert (np.abs(fit.value - [0.4, 0.6]) < 3 * error).all()
    assert (error < 0.1).all()


def test_errors_of_incidence_cover_the_truth_where_households_repeat_themselves():
    z = []
    for seed in range(100):
        fit = fit_incidence_response(*incidence(500, seed, COPIES))
        z.append((fit.value - [0.4, 0.6]) / np.sqrt(np.diag(fit.covariance)))
    assert 0.90 < np.mean(np.abs(z) < 1.96) < 0.985


def test_a_weight_is_so_many_trips():
    score, offered, bought, who = incidence(600, seed=2)
    rng = np.random.default_rng(0)
    times = rng.integers(1, 4, len(who))
    a = fit_incidence_response(score, offered, bought, who, times.astype(float))
    b = fit_incidence_response(*(np.repeat(x, times) for x in (score, offered, bought, who)))
    np.testing.assert_allclose(a.value, b.value, atol=1e-7)
    np.testing.assert_allclose(a.covariance, b.covariance, rtol=1e-6)


def grouped(
    between: float, seed: int, groups: int = 40, each: int = 400
) -> tuple[Fit, np.ndarray, np.ndarray]:
    """Level of incidence that differs between groups by N(0, between²)."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), each)
    apart = rng.normal(0, between, groups)
    score, offered = rng.normal(0, 0.5, len(group)), rng.normal(0, 0.5, len(group))
    bought = rng.random(len(group)) < 1 / (1 + np.exp(-(score + apart[group] + 0.6 * offered)))
    return fit_incidence_response(score, offered, bought, np.arange(len(group))), group, apart


def test_the_spread_between_groups_is_found_and_each_group_moves_its_own_way():
    fit, group, apart = grouped(0.5, seed=1)
    found = compare_groups(fit, group, 41)
    assert found.between[0] == pytest.approx(np.std(apart), rel=0.25)
    assert found.between[1] < 0.15
    assert np.corrcoef(found.deviation[:40, 0], apart)[0, 1] > 0.95
    assert found.deviation[40, 0] == 0  # a group without rows: anywhere between the groups
    assert found.variance[40, 0] == pytest.approx(found.between[0] ** 2)
    miss = found.deviation[:40, 0] - (apart - apart.mean())
    assert np.mean(miss**2 / found.variance[:40, 0]) == pytest.approx(1, abs=0.6)


def test_groups_that_are_alike_have_no_spread():
    found = [compare_groups(*grouped(0.0, seed)[:2], 40).between[0] for seed in range(6)]
    assert max(found) < 0.08  # a group's own error is 0.1
    assert min(found) == 0


def test_draws_have_the_mean_and_spread_they_are_drawn_from():
    rng = np.random.default_rng(0)
    root = 0.1 * rng.normal(size=(6, 6))
    known = Responses(np.array([1.0, -0.5, 0.2, 0.1, 0.3, 0.5]), root @ root.T)
    drawn = known.draw(20000, seed=1)
    np.testing.assert_allclose(drawn.mean(0), known.value, atol=0.01)
    np.testing.assert_allclose(np.cov(drawn.T), known.covariance, atol=0.004)
    wild = Responses(known.value, np.eye(6) * 9).draw(200, seed=1)
    assert wild[:, 0].min() == 0.05
    assert wild[:, 5].min() == -1.0


def test_joined_fits_keep_their_places():
    choice, buys = fit_choice_response(*choices(300, seed=5)), fit_incidence_response(*incidence(300, seed=5))
    both, alone = join_responses(choice, buys), join_responses(choice)
    np.testing.assert_array_equal(both.value, [*choice.value, *buys.value])
    np.testing.assert_array_equal(both.covariance[4:, 4:], buys.covariance)
    assert not both.covariance[:4, 4:].any()
    np.testing.assert_array_equal(alone.value[4:], certain().value[4:])
    assert not alone.covariance[4:].any()


def test_what_theta_acts_on_by_hand():
    bits = np.array([[0, Promotion.DISPLAY, Promotion.MAILER_PAGE, Promotion.DISPLAY | Promotion.MAILER]])
    x = response_attributes(shelf_of(np.array([[1.0, np.e, 1.0, 1.0]]), promotion=bits))
    np.testing.assert_allclose(x[0, 1:], [[0, 0, 0], [1, 1, 0], [0, 0, 1], [0, 1, 1]], atol=1e-6)


def test_no_draws_are_refused():
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        certain().draw(0, seed=1)
