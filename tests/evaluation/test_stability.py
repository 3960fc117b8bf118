import numpy as np
import pytest

from malles.errors import DataError
from malles.evaluation.stability import build_share_cells, decision_entropy, share_stability
from malles.population.kernels import choose, uniform

CATEGORY = np.repeat([0, 1], 150)
PRODUCT = np.where(CATEGORY[:, None] == 0, np.array([3, 4, -2]), np.array([7, 8, -2]))
THERE = np.ones(PRODUCT.shape, bool)
CELLS = build_share_cells(CATEGORY, PRODUCT, THERE)


def runs(probability: list[np.ndarray], seeds: int) -> np.ndarray:
    """Drawn shares of every (probability, seed)."""
    n = len(CATEGORY)
    out = []
    for w, p in enumerate(probability):
        for s in range(seeds):
            u = uniform(s, w, np.arange(n), np.zeros(n, int))
            out.append(CELLS.drawn(choose(p, u)))
    return np.stack(out)


def test_other_products_of_two_categories_are_two_cells():
    assert len(CELLS.category) == 6
    assert CELLS.size.tolist() == [150, 150]
    np.testing.assert_allclose(CELLS.expected(np.full(PRODUCT.shape, 1 / 3)), 1 / 3)


def test_seeds_alone_have_no_excess():
    """400 runs from one distribution: the variance over runs is the floor within four standard errors
    (relative sqrt(2 / 400) for one share, less for their mean).
    """
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), len(CATEGORY))
    found = share_stability(runs([p], 400), CELLS, CELLS.sampling_variance(p))
    assert found.spread_error**2 == pytest.approx(found.floor**2, rel=4 * np.sqrt(2 / 400))
    assert found.excess < 0.5 * found.floor


def test_what_a_rewording_adds_is_the_excess():
    """Two wordings move a share by ±0.1: an excess of 0.1 on four of six cells, none on the others."""
    base = np.tile([0.4, 0.4, 0.2], (len(CATEGORY), 1))
    pair = [base + np.array([0.1, -0.1, 0]), base + np.array([-0.1, 0.1, 0])]
    floor = CELLS.sampling_variance(np.mean(pair, 0))
    found = share_stability(runs(pair, 400), CELLS, floor)
    assert found.excess == pytest.approx(np.sqrt(0.8 * 0.01), abs=0.01)
    exact = share_stability(np.stack([CELLS.expected(p) for p in pair] * 50), CELLS)
    assert exact.excess == pytest.approx(np.sqrt(0.8 * 0.01 * 100 / 99))


def test_collapse_is_stable_and_shows_in_the_entropy():
    one = np.tile([1.0, 0.0, 0.0], (len(CATEGORY), 1))
    found = share_stability(runs([one], 20), CELLS, CELLS.sampling_variance(one))
    assert (found.spread_error, found.excess, found.entropy) == (0.0, 0.0, 0.0)
    assert decision_entropy(one) == 0.0


def test_one_run_has_no_spread():
    with pytest.raises(DataError, match="at least 2 runs, got 1"):
        share_stability(np.ones((1, 6)), CELLS)
