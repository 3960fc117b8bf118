import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from malles.errors import DataError
from malles.population.archetype_kernels import (
    draw_by_archetype,
    draw_by_archetype_twin,
    draw_by_taste,
    draw_by_taste_twin,
)
from malles.population.archetypes import build_archetypes, kept_variance, tilt_probabilities
from malles.population.tastes import draw_crowd, fit_tastes, taste_spread


def test_customers_of_three_kinds_are_found_again():
    """Three kinds far apart, each scattered a little: the archetypes are the kinds, and keep 99 %."""
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 3, 600)
    x = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])[truth] + rng.normal(0, 0.02, (600, 3))
    found = build_archetypes(x, 3)
    assert {tuple(np.unique(truth[found.code == a])) for a in range(3)} == {(0,), (1,), (2,)}
    assert found.size.tolist() == sorted(np.bincount(truth), reverse=True)
    assert kept_variance(x, found.centre[found.code]) > 0.99


def test_archetypes_do_not_depend_on_the_order_of_customers():
    rng = np.random.default_rng(2)
    x, cell = rng.random((300, 4)), rng.integers(0, 3, 300)
    order = rng.permutation(300)
    one, other = build_archetypes(x, 20, cell), build_archetypes(x[order], 20, cell[order])
    together = one.code[:, None] == one.code
    np.testing.assert_array_equal(together[order][:, order], other.code[:, None] == other.code)


def test_only_occupied_cells_become_archetypes_and_none_spans_two():
    cell = np.array([7, 7, 7, 2, 2, 90])
    found = build_archetypes(np.array([[0.0], [0.5], [1.0], [0.0], [0.0], [0.0]]), 4, cell)
    assert found.cell.tolist() == [2, 7, 7, 90]
    np.testing.assert_array_equal(found.cell[found.code], cell)


def test_the_representative_is_the_member_nearest_to_the_mean():
    found = build_archetypes(np.array([[0.0], [0.4], [1.0]]), 1)
    assert found.representative.tolist() == [1]


def test_as_many_archetypes_as_customers_keep_everything():
    x = np.random.default_rng(1).random((12, 3))
    found = build_archetypes(x, 12)
    assert len(found) == 12
    assert kept_variance(x, found.centre[found.code]) == pytest.approx(1.0)


def test_alike_customers_are_never_told_apart():
    assert len(build_archetypes(np.ones((50, 2)), 5)) == 1


@pytest.mark.parametrize(
    ("response", "count", "cell", "said"),
    [
        (np.array([[np.nan]]), 1, None, "missing or infinite"),
        (np.zeros((0, 2)), 1, None, "0 customers"),
        (np.zeros((3, 1)), 2, np.array([0, 1, 2]), "3 occupied cells"),
    ],
)
def test_what_cannot_be_clustered_is_said(response, count, cell, said):
    with pytest.raises(DataError, match=said):
        build_archetypes(response, count, cell)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(1, 12), st.integers(0, 700), st.integers(0, 2**40))
def test_the_archetype_round_equals_its_numpy_twin(archetypes, alternatives, customers, seed):
    rng = np.random.default_rng(seed)
    p = rng.random((archetypes, alternatives)) * (rng.random((archetypes, alternatives)) < 0.7)
    p[:, rng.integers(0, alternatives)] += 0.1
    code = rng.integers(0, archetypes, customers).astype(np.int16)
    key = {"seed": seed, "period": 3, "first": seed % 1000, "draw": 5}
    for one, two in zip(
        draw_by_archetype(p, code, **key), draw_by_archetype_twin(p, code, **key), strict=True
    ):
        np.testing.assert_array_equal(one, two)
    x = rng.normal(size=(alternatives, 3))
    taste = rng.normal(size=(customers, 3)).astype(np.float32)
    fast, plain = draw_by_taste(p, x, code, taste, **key), draw_by_taste_twin(p, x, code, taste, **key)
    np.testing.assert_array_equal(fast[0], plain[0])
    np.testing.assert_array_equal(fast[1], plain[1])
    assert (p[code, fast[0]] > 0).all()


def test_a_round_in_shards_is_the_round():
    rng = np.random.default_rng(0)
    p, code = rng.random((4, 6)), rng.integers(0, 4, 1000).astype(np.int16)
    whole, count = draw_by_archetype(p, code, seed=1, period=2)
    parts = [draw_by_archetype(p, code[a : a + 300], seed=1, period=2, first=a) for a in range(0, 1000, 300)]
    np.testing.assert_array_equal(whole, np.concatenate([pick for pick, _ in parts]))
    np.testing.assert_array_equal(count, sum(n for _, n in parts))


def test_draws_follow_the_distribution_of_the_archetype():
    """Chi-square over 5 alternatives, 200,000 customers, at one in ten thousand."""
    p = np.array([[0.5, 0.2, 0.15, 0.1, 0.05]])
    _, count = draw_by_archetype(p, np.zeros(200_000, np.int16), seed=11, period=1)
    expected = p[0] * 200_000
    assert ((count[0] - expected) ** 2 / expected).sum() < chi2.ppf(0.9999, 4)


def test_tilted_draws_follow_the_tilted_distribution():
    p, x, beta = np.array([[0.5, 0.3, 0.2]]), np.array([[1.0], [2.0], [3.0]]), -0.7
    taste = np.full((200_000, 1), beta, np.float32)
    _, count = draw_by_taste(p, x, np.zeros(200_000, np.int16), taste, seed=3, period=1)
    expected = tilt_probabilities(p, beta * x.T, np.ones((1, 3), bool))[0] * 200_000
    assert ((count[0] - expected) ** 2 / expected).sum() < chi2.ppf(0.9999, 2)


def test_codes_without_a_distribution_are_refused():
    with pytest.raises(DataError, match="from 0 to 2, but there are 2 distributions"):
        draw_by_archetype(np.ones((2, 2)), np.array([0, 2], np.int16), seed=1, period=1)
    with pytest.raises(DataError, match="no positive probability"):
        draw_by_archetype(np.zeros((1, 2)), np.array([0], np.int16), seed=1, period=1)


def test_tastes_are_recovered_from_probes():
    """Answers made by tilting an archetype's give the tastes back, and nothing is left over."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(4, 5, 2))
    available = rng.random((4, 5)) < 0.8
    available[:, :2] = True
    base = rng.random((4, 5))
    truth = rng.normal(size=(30, 2))
    score = np.einsum("tjk,nk->ntj", x, truth)
    own = np.stack([tilt_probabilities(base, s, available) for s in score])
    with np.errstate(divide="ignore"):
        logs = np.where(available, np.log(own), 0.0)
    centre = np.broadcast_to(np.where(available, np.log(base), 0.0), logs.shape)
    found = fit_tastes(logs, centre, x, available, ridge=0.0)
    np.testing.assert_allclose(found.taste, truth, atol=1e-5)
    assert found.explained == pytest.approx(1.0)


def test_a_crowd_has_the_shares_means_and_spreads_asked_for():
    share, mean = np.array([0.7, 0.3]), np.array([[0.0, -2.0], [1.0, 2.0]])
    spread = np.array([[0.5, 0.0], [1.0, 0.2]])
    crowd = draw_crowd(share, mean, spread, first=0, count=100_000, seed=9)
    assert abs((crowd.code == 0).mean() - 0.7) < 4 * np.sqrt(0.21 / 100_000)
    found_mean, found_spread = taste_spread(crowd.taste.astype(float), crowd.code, 2)
    np.testing.assert_allclose(found_mean, mean, atol=0.03)
    np.testing.assert_allclose(found_spread, spread, atol=0.02)


def test_raked_weights_move_the_shares_of_archetypes():
    found = build_archetypes(np.array([[0.0], [0.0], [0.0], [1.0]]), 2)
    assert found.share().tolist() == [0.75, 0.25]
    assert found.share(np.array([0.5, 0.5, 0.5, 1.5])).tolist() == [0.5, 0.5]


def test_a_crowd_drawn_in_shards_is_the_crowd():
    mean = np.arange(6.0).reshape(3, 2)
    make = {"share": np.ones(3), "mean": mean, "spread": np.ones((3, 2)), "seed": 4}
    whole = draw_crowd(**make, first=0, count=1000)
    for first, count in ((0, 400), (400, 600)):
        part = draw_crowd(**make, first=first, count=count)
        np.testing.assert_array_equal(part.code, whole.code[first : first + count])
        np.testing.assert_array_equal(part.taste, whole.taste[first : first + count])
