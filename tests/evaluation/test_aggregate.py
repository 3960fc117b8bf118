"""Shares and weekly units."""

import dataclasses

import numpy as np
import pytest

from malles.calibration.distances import kl_distance, total_variation_distance, wasserstein_distance
from malles.errors import DataError, UsageError
from malles.evaluation.aggregate import share_distances
from malles.evaluation.metrics import mix_uniform
from malles.evaluation.weekly_units import compare_weekly_units, expected_units


@pytest.mark.parametrize("by_week", [False, True])
def test_the_fast_distances_equal_the_plain_ones(market, by_week):
    occasions, truth, _ = market
    found = share_distances(truth, occasions, np.random.default_rng(0), by_week=by_week, simulations=1)
    assert len(found.cells) == (12 if by_week else 3)
    p = mix_uniform(truth, occasions.available)
    for cell in found.cells.iter_rows(named=True):
        inside = (occasions.category == cell["category"]) & (~by_week | (occasions.week == cell["week"]))
        rows = np.flatnonzero(inside)
        predicted = p[rows, 1:].mean(axis=0)
        actual = np.bincount(occasions.chosen[rows] - 1, minlength=6) / len(rows)
        assert cell["occasions"] == len(rows)
        assert cell["kl_distance"] == pytest.approx(kl_distance(actual, predicted))
        assert cell["total_variation_distance"] == pytest.approx(total_variation_distance(actual, predicted))
        price = occasions.price[rows, 1:].astype(float)
        bought = price[np.arange(len(rows)), occasions.chosen[rows] - 1]
        expected = wasserstein_distance(bought, price.ravel(), None, p[rows, 1:].ravel()) / price.mean()
        assert cell["price_wasserstein_distance"] == pytest.approx(expected, rel=1e-6)


def test_true_probabilities_lie_at_their_floor_and_wrong_ones_above_it(market):
    occasions, truth, _ = market
    names = ["kl_distance", "total_variation_distance", "price_wasserstein_distance"]
    good = share_distances(truth, occasions, np.random.default_rng(1), by_week=True, simulations=100)
    bad = share_distances(truth**2, occasions, np.random.default_rng(1), by_week=True, simulations=20)
    assert [s.distance for s in good.summary] == names
    for g, b in zip(good.summary, bad.summary, strict=True):
        assert g.floor_low * 0.9 < g.value < g.floor_high * 1.1
        assert b.value > 2 * b.floor_high
        assert b.excess > 5 * abs(g.excess)


def test_small_cells_are_left_out_and_counted(market):
    occasions, truth, _ = market
    few = dataclasses.replace(
        occasions, category=np.where(np.arange(6000) < 10, 99, occasions.category).astype("i4")
    )
    found = share_distances(truth, few, np.random.default_rng(0), simulations=1)
    assert found.left_out == 10
    assert 99 not in found.cells["category"]
    assert found.summary_frame().columns[-1] == "excess"
    with pytest.raises(DataError, match="no category has 9999 occasions"):
        share_distances(truth, occasions, np.random.default_rng(0), min_occasions=9999)


def test_expected_units_add_up(market):
    occasions, truth, _ = market
    two = np.full(truth.shape, 2.0)
    frame = expected_units(truth, two, occasions)
    assert frame["actual"].sum() == occasions.units.sum()
    assert frame["expected"].sum() == pytest.approx(2 * len(occasions))
    by_product = expected_units(truth, two, occasions, by_product=True)
    assert by_product["expected"].sum() == pytest.approx(2 * len(occasions))
    first = by_product.row(0, named=True)
    here = occasions.week == first["week"]
    assert first["actual"] == (occasions.product[here, occasions.chosen[here]] == first["product"]).sum()


def test_weekly_units_by_hand():
    actual = np.array([10.0, 10.0, 20.0])
    predicted = {"model": np.array([12.0, 9.0, 20.0]), "zero": np.zeros(3)}
    frame = compare_weekly_units(actual, predicted, np.array([0, 0, 1]), "zero", np.random.default_rng(0))
    value = {(r["model"], r["metric"]): r["value"] for r in frame.iter_rows(named=True)}
    assert value["model", "wape_error"] == pytest.approx(3 / 40)
    assert value["model", "bias"] == pytest.approx(1 / 40)
    assert value["model", "rmse_error"] == pytest.approx(np.sqrt(5 / 3))
    assert value["model", "wape_difference"] == pytest.approx(3 / 40 - 1)
    assert np.isfinite(value["zero", "poisson_deviance_loss"])
    with pytest.raises(UsageError, match="is not among"):
        compare_weekly_units(actual, predicted, np.arange(3), "modle", np.random.default_rng(0))
