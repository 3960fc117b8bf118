import numpy as np
import pytest

from malles.errors import DataError, UsageError
from malles.evaluation.aggregate import share_distances
from malles.evaluation.share_comparison import compare_share_distances
from malles.vocabulary import Occasions


def market(n: int = 3000, seed: int = 0, tilt: float = 0.0) -> tuple[Occasions, np.ndarray, np.ndarray]:
    """Choices from known probabilities; `told` has the first product's odds multiplied by exp(tilt)."""
    rng = np.random.default_rng(seed)
    J = 5
    category = rng.integers(0, 4, n).astype(np.int32)
    v = np.random.default_rng(99).normal(0, 1, (4, J))[category] + rng.normal(0, 1, (n, J))
    true = np.exp(v) / np.exp(v).sum(1, keepdims=True)
    chosen = 1 + np.minimum((true.cumsum(1) < rng.random((n, 1))).sum(1), J - 1)
    told = np.column_stack([np.zeros(n), true])
    wrong = told.copy()
    wrong[:, 1] *= np.exp(tilt)
    wrong /= wrong.sum(1, keepdims=True)
    product = np.column_stack([np.full(n, -1), category[:, None] * J + np.arange(J)]).astype(np.int32)
    price = np.column_stack([np.zeros(n), np.tile(np.arange(1, J + 1), (n, 1))]).astype(np.float32)
    available = product >= 0
    zero = np.zeros(n, np.int32)
    occasions = Occasions(
        rng.integers(0, 200, n).astype(np.int32), zero, np.arange(n), rng.integers(1, 3, n).astype(np.int16),
        np.arange(n), category, product, price, price, np.zeros((n, J + 1), np.uint8), available,
        np.zeros((n, J + 1), np.int16), chosen.astype(np.int16), zero + 1,
    )  # fmt: skip
    return occasions, told, wrong


def row(table, model: str, distance: str):
    return table.filter((table["model"] == model) & (table["distance"] == distance)).to_dicts()[0]


@pytest.mark.parametrize(("level", "by_week"), [("category", False), ("category-week", True)])
def test_values_are_those_of_share_distances(level, by_week):
    """Two implementations of the same distances; prices here lie on the comparison's grid."""
    occasions, told, _ = market()
    rng = np.random.default_rng(1)
    found = compare_share_distances({"m": told}, occasions, "m", rng, level=level, simulations=3, draws=20)
    twin = share_distances(told, occasions, np.random.default_rng(1), by_week=by_week, simulations=3)
    for s in twin.summary:
        tolerance = 2e-3 if s.distance == "price_wasserstein_distance" else 1e-9
        assert row(found, "m", s.distance)["value"] == pytest.approx(s.value, abs=tolerance)


@pytest.mark.parametrize("level", ["category", "category-week", "product"])
def test_the_true_probabilities_have_no_excess_and_a_tilt_has_one(level):
    occasions, told, wrong = market(tilt=0.8)
    found = compare_share_distances(
        {"true": told, "tilted": wrong}, occasions, "tilted", np.random.default_rng(2), level=level, draws=200
    )
    true, tilted = (row(found, name, "kl_distance") for name in ("true", "tilted"))
    assert true["low"] < 0 < true["high"]
    assert tilted["low"] > 0
    assert true["difference_high"] < 0
    assert tilted["difference"] == 0.0


def test_weights_move_the_predicted_shares_and_not_the_actual_ones():
    """Predictions of those who like product 1 count a fifth: its share is told too small."""
    occasions, told, _ = market()
    likes = told[:, 1] > np.median(told[:, 1])
    weight = np.where(likes, 0.2, 1.0)
    found = compare_share_distances(
        {"plain": told, "weighted": told}, occasions, "plain", np.random.default_rng(3),
        weights={"weighted": weight}, draws=100,
    )  # fmt: skip
    assert row(found, "weighted", "kl_distance")["difference_low"] > 0


def test_a_wrong_name_is_one_sentence():
    occasions, told, _ = market(200)
    with pytest.raises(UsageError, match="category-week"):
        compare_share_distances({"m": told}, occasions, "m", np.random.default_rng(0), level="week")
    with pytest.raises(UsageError, match="no model 'n'"):
        compare_share_distances({"m": told}, occasions, "n", np.random.default_rng(0))
    with pytest.raises(DataError, match="min_occasions"):
        compare_share_distances({"m": told}, occasions, "m", np.random.default_rng(0), min_occasions=1000)
