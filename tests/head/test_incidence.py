import numpy as np
import pytest

from malles.errors import ModelError
from malles.head.incidence import FittedIncidence, IncidenceData, IncidenceModel

SMALL = IncidenceModel(hidden=(16, 8), embedding=4, members=1, epochs=6, batch=256, learning_rate=1e-2)


def known_world(n: int, seed: int, rate: float) -> tuple[IncidenceData, np.ndarray, np.ndarray, np.ndarray]:
    """V = -2.5 + x0 - 0.5 x1 + 1 in category 1; E[units|buy] = 1 + exp(-0.5 + 0.5 x0). Sampled cells, and
    all cells.
    """
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3)).astype(np.float32)
    category = rng.integers(0, 2, n)
    p = 1 / (1 + np.exp(2.5 - X[:, 0] + 0.5 * X[:, 1] - category))
    bought = rng.random(n) < p
    units = np.where(bought, 1 + rng.poisson(np.exp(-0.5 + 0.5 * X[:, 0])), 0).astype(float)
    keep = bought | (rng.random(n) < rate)
    other = np.where(bought, (rng.random(n) < 0.3).astype(float), np.nan)
    data = IncidenceData(
        X[keep], category[keep], units[keep], np.where(bought, 1.0, 0.0)[keep], other[keep], rate
    )
    return data, X, category, p


@pytest.fixture(scope="module")
def fitted() -> FittedIncidence:
    return SMALL.fit(known_world(40_000, 0, 0.3)[0], 2, seed=3)


def test_true_probabilities_are_recovered_from_a_sample_of_the_cells(fitted):
    _, X, category, p = known_world(20_000, 1, 0.3)
    said = fitted.probability(X, category)
    assert said.mean() == pytest.approx(p.mean(), rel=0.05)
    score, truth = np.log(said / (1 - said)), np.log(p / (1 - p))
    assert np.polyfit(score, truth, 1)[0] == pytest.approx(1.0, abs=0.1)
    assert np.abs(said - p).mean() < 0.02


def test_units_and_the_part_outside_the_slate_are_recovered(fitted):
    _, X, category, _ = known_world(20_000, 2, 0.3)
    said = fitted.predict(X, category)
    truth = 1 + np.exp(-0.5 + 0.5 * X[:, 0])
    assert said.units.mean() == pytest.approx(truth.mean(), rel=0.06)
    assert np.corrcoef(said.units, truth)[0, 1] > 0.9
    assert said.other.mean() == pytest.approx(0.3, abs=0.04)
    assert said.units.min() >= 1
    assert said.products.min() >= 1


def test_probability_alone_equals_the_full_answer(fitted):
    _, X, category, _ = known_world(500, 3, 1.0)
    np.testing.assert_array_equal(fitted.probability(X, category), fitted.predict(X, category).buy)


def test_a_batch_of_one_equals_a_batch_of_many(fitted):
    _, X, category, _ = known_world(50, 4, 1.0)
    many = fitted.probability(X, category)
    one = np.concatenate([fitted.probability(X[i : i + 1], category[i : i + 1]) for i in range(len(X))])
    np.testing.assert_allclose(one, many, rtol=1e-5)


def test_a_saved_model_says_the_same_after_loading(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    again = FittedIncidence.load(tmp_path / "model")
    _, X, category, _ = known_world(200, 5, 1.0)
    np.testing.assert_array_equal(again.predict(X, category).units, fitted.predict(X, category).units)
    assert not list((tmp_path / "model").glob("*.pkl"))


def test_the_same_seed_gives_the_same_model_whatever_was_drawn_before():
    import torch

    data = known_world(3000, 6, 1.0)[0]
    quick = IncidenceModel(hidden=(8, 4), members=1, epochs=1, batch=512)
    one = quick.fit(data, 2, seed=1).weights
    torch.rand(7)
    other = quick.fit(data, 2, seed=1).weights
    assert all(np.array_equal(one[k], other[k]) for k in one)


def test_a_model_of_another_version_is_refused(tmp_path):
    (tmp_path / "incidence.json").write_text('{"format": "malles-incidence-0", "name": "x"}')
    with pytest.raises(ModelError, match="fit the model again"):
        FittedIncidence.load(tmp_path)


def test_a_folder_without_a_model_is_one_sentence(tmp_path):
    with pytest.raises(ModelError, match="no readable incidence model"):
        FittedIncidence.load(tmp_path)


def test_cells_that_never_buy_cannot_be_fitted_on():
    zero = np.zeros(10)
    data = IncidenceData(np.zeros((10, 3), np.float32), zero.astype(int), zero, zero, zero, 1.0)
    with pytest.raises(ModelError, match="with and without a purchase"):
        SMALL.fit(data, 2, seed=0)


def test_features_of_another_width_are_refused(fitted):
    with pytest.raises(ModelError, match="fitted on 3 features, got 5"):
        fitted.probability(np.zeros((2, 5), np.float32), np.zeros(2, int))
