from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from malles.baselines.quantity import (
    QUANTITY_BASELINES,
    BoostedQuantity,
    FittedBoostedQuantity,
    HistoricalMean,
)
from malles.choice.model import QuantityModel
from malles.choice.quantity import poisson_deviance
from malles.errors import ModelError
from malles.vocabulary import OUTSIDE, ChoiceData, Occasions, Regime


def purchases(seed=0, n=1500):
    """One alternative each; `own_item_mean` is the log of the true mean, `item_mean` of the overall one."""
    rng = np.random.default_rng(seed)
    mean = rng.choice([1.1, 3.0], n)
    units = (1 + rng.poisson(mean - 1)).astype(np.int32)
    product = np.stack([np.full(n, OUTSIDE), np.zeros(n)], axis=1).astype(np.int32)
    table = np.zeros((n, 2), np.float32)
    occasions = Occasions(
        customer=np.zeros(n, np.int32),
        store=np.zeros(n, np.int32),
        basket=np.arange(n),
        week=np.ones(n, np.int16),
        timestamp=np.zeros(n, np.int64),
        category=np.zeros(n, np.int32),
        product=product,
        price=table,
        list_price=table,
        promotion=table.astype(np.uint8),
        available=product >= 0,
        rank=np.zeros((n, 2), np.int16),
        chosen=np.ones(n, np.int16),
        units=units,
    )
    x = np.zeros((n, 2, 2), np.float32)
    x[:, 1, 0], x[:, 1, 1] = np.log(2.05), np.log(mean)
    names = ("item_mean", "own_item_mean")
    return ChoiceData(occasions, x, names, np.zeros((n, 0), np.float32), (), Regime.FULL), mean


def test_every_baseline_follows_the_protocol_and_survives_the_disk(tmp_path):
    data, _ = purchases()
    for name, settings in QUANTITY_BASELINES.items():
        small = replace(settings, trees=20) if isinstance(settings, BoostedQuantity) else settings
        model = small.fit(data)
        assert isinstance(model, QuantityModel) and model.name == name
        mean, point = model.predict(data)
        assert (mean[:, 1] >= 1).all() and (point[:, 1] >= 1).all() and not mean[:, 0].any()
        model.save(tmp_path / name)
        again = type(model).load(tmp_path / name)
        assert again.predict(data)[0].tobytes() == mean.tobytes()
        facts = json.loads((tmp_path / name / "quantity.json").read_text())
        (tmp_path / name / "quantity.json").write_text(json.dumps(facts | {"version": 7}))
        with pytest.raises(ModelError, match="version 7"):
            type(model).load(tmp_path / name)
    assert len(QUANTITY_BASELINES) == 4


def test_the_historical_mean_is_the_feature_it_names():
    data, truth = purchases(1, 30)
    mean, point = HistoricalMean("customer_item_mean").fit(data).predict(data)
    np.testing.assert_allclose(mean[:, 1], truth, rtol=1e-5)
    np.testing.assert_array_equal(point[:, 1], np.where(truth > 2, 3, 1))  # floor(3.35) and floor(1.45)


@pytest.mark.parametrize("kind", ["poisson", "multiclass"])
def test_boosting_finds_the_two_kinds_of_buyers(kind):
    data, truth = purchases(2, 3000)
    model = BoostedQuantity(kind, trees=80).fit(data)
    mean, _ = model.predict(data)
    units = data.occasions.units
    assert mean[truth > 2, 1].mean() == pytest.approx(units[truth > 2].mean(), rel=0.08)
    assert poisson_deviance(mean[:, 1].astype(float), units) < poisson_deviance(truth, units) + 0.05


def test_other_features_and_a_missing_folder_are_answered_with_a_sentence(tmp_path):
    data, _ = purchases(3, 200)
    model = BoostedQuantity(trees=3).fit(data)
    with pytest.raises(ModelError, match="expects 2 features, got 1"):
        model.predict(replace(data, features=data.features[:, :, :1], feature_names=("item_mean",)))
    with pytest.raises(ModelError, match="no readable quantity model"):
        FittedBoostedQuantity.load(tmp_path)
