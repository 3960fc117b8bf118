"""What every classical choice model keeps to: distributions, saving, versions, missing features."""

import json
from dataclasses import replace

import numpy as np
import pytest

from malles.baselines import BASELINES, FITTED, load_baseline
from malles.baselines.boosting import BoostedTrees
from malles.baselines.latent_class import LatentClassLogit
from malles.choice.likelihood import occasion_log_losses
from malles.choice.model import ChoiceModel
from malles.errors import DataError, ModelError
from malles.vocabulary import OTHER

QUICK = {
    "latent_class": LatentClassLogit(classes=2, iterations=3),
    "boosting": BoostedTrees(trees=8, leaves=7, smallest_leaf=20),
}


def settings(name):
    return QUICK.get(name, BASELINES[name]())


@pytest.fixture(scope="module")
def market(build_market):
    data, probability = build_market(1500, seed=1)
    return data.take(np.arange(1000)), data.take(np.arange(1000, 1500)), probability[1000:]


@pytest.fixture(scope="module")
def fitted(market):
    train, valid, _ = market
    return {name: settings(name).fit(train, valid) for name in BASELINES}


def test_nine_models_are_listed_and_each_has_its_fitted_form(fitted):
    assert list(BASELINES) == list(FITTED)
    assert len(BASELINES) == 9
    for name, model in fitted.items():
        assert isinstance(model, FITTED[name])
        assert isinstance(model, ChoiceModel)
        assert model.name == name


@pytest.mark.parametrize("name", BASELINES)
def test_rows_sum_to_one_and_unavailable_columns_are_exactly_zero(name, fitted, market):
    probability = fitted[name].predict(market[1])
    np.testing.assert_allclose(probability.sum(axis=1), 1.0, atol=1e-9)
    assert (probability[~market[1].occasions.available] == 0).all()
    assert (probability >= 0).all()


@pytest.mark.parametrize("name", BASELINES)
def test_a_saved_model_decides_as_before(name, fitted, market, tmp_path):
    fitted[name].save(tmp_path / "model")
    assert {p.suffix for p in (tmp_path / "model").iterdir()} <= {".json", ".safetensors", ".txt"}
    loaded = load_baseline(tmp_path / "model")
    assert type(loaded) is type(fitted[name])
    np.testing.assert_allclose(loaded.predict(market[1]), fitted[name].predict(market[1]), atol=1e-12)


@pytest.mark.parametrize("name", BASELINES)
def test_a_model_of_another_version_is_refused(name, fitted, tmp_path):
    fitted[name].save(tmp_path / "model")
    path = tmp_path / "model" / "model.json"
    head = json.loads(path.read_text())
    path.write_text(json.dumps(head | {"version": 99}))
    with pytest.raises(ModelError, match=rf"written as version 99 of '{name}'; this malles reads 1"):
        load_baseline(tmp_path / "model")


@pytest.mark.parametrize("name", BASELINES)
def test_the_same_seed_gives_the_same_model(name, fitted, market):
    again = settings(name).fit(market[0], market[1])
    np.testing.assert_array_equal(again.predict(market[1]), fitted[name].predict(market[1]))


@pytest.mark.parametrize("name", BASELINES)
def test_occasions_may_come_one_at_a_time_or_many(name, fitted, market):
    whole = fitted[name].predict(market[1])[:5]
    single = np.concatenate([fitted[name].predict(market[1].take(np.array([i]))) for i in range(5)])
    np.testing.assert_allclose(single, whole, atol=1e-6)


@pytest.mark.parametrize("name", BASELINES)
def test_the_outside_option_and_other_products_are_learnt_from_their_shares(name, build_market):
    """Half of the occasions of this market end without a purchase or with another product."""
    data, _ = build_market(1200, seed=5, outside=True)
    product, available = data.occasions.product.copy(), data.occasions.available.copy()
    product[:, -1], available[:, -1] = OTHER, True
    features = data.features.copy()
    features[:, -1] = 0.0
    chosen = np.where(np.arange(1200) % 4 == 0, product.shape[1] - 1, data.occasions.chosen).astype(np.int16)
    occasions = replace(data.occasions, product=product, available=available, chosen=chosen)
    data = replace(data, occasions=occasions, features=features)
    probability = settings(name).fit(data, data).predict(data)
    np.testing.assert_allclose(probability.sum(axis=1), 1.0, atol=1e-9)
    tolerance = 0.06 if name in ("boosting", "latent_class") else 0.02
    assert probability[:, 0].mean() == pytest.approx((chosen == 0).mean(), abs=tolerance)
    assert probability[:, -1].mean() == pytest.approx((chosen == product.shape[1] - 1).mean(), abs=tolerance)


READING = ["popularity_chain", "popularity_store", "last_purchased", "personal_frequency"]


@pytest.mark.parametrize("name", [*READING, "conditional_logit", "latent_class", "boosting"])
def test_a_missing_feature_is_named(name, fitted, market):
    bare = replace(market[1], features=market[1].features[:, :, :0], feature_names=())
    with pytest.raises(ModelError, match="that these occasions"):
        fitted[name].predict(bare)


def test_occasions_without_a_known_choice_cannot_be_fitted(market):
    train = market[0]
    chosen = train.occasions.chosen.copy()
    chosen[3] = -1
    unknown = replace(train, occasions=replace(train.occasions, chosen=chosen))
    for name in BASELINES:
        with pytest.raises(DataError, match=r"1 of 1000 occasions have no known choice .* row 3"):
            settings(name).fit(unknown)


def test_a_model_is_never_written_over_another(fitted, tmp_path):
    fitted["random"].save(tmp_path / "model")
    before = sorted((p.name, p.read_bytes()) for p in (tmp_path / "model").iterdir())
    with pytest.raises(ModelError, match="already holds something"):
        fitted["cheapest"].save(tmp_path / "model")
    assert sorted((p.name, p.read_bytes()) for p in (tmp_path / "model").iterdir()) == before


def test_damaged_folders_are_one_clear_sentence(fitted, tmp_path):
    with pytest.raises(ModelError, match="does not exist"):
        load_baseline(tmp_path / "nothing")
    for name in ("conditional_logit", "boosting", "latent_class", "random"):
        fitted[name].save(tmp_path / name)
    (tmp_path / "conditional_logit" / "arrays.safetensors").write_bytes(b"junk")
    (tmp_path / "boosting" / "trees.txt").write_text("junk")
    (tmp_path / "latent_class" / "arrays.safetensors").unlink()
    (tmp_path / "random" / "model.json").write_text("{")
    for name in ("conditional_logit", "boosting", "latent_class", "random"):
        with pytest.raises(ModelError, match="Fit and save the model again"):
            load_baseline(tmp_path / name)


def test_an_unknown_model_name_is_named(fitted, tmp_path):
    fitted["random"].save(tmp_path / "model")
    path = tmp_path / "model" / "model.json"
    path.write_text(path.read_text().replace('"random"', '"randon"'))
    with pytest.raises(ModelError, match=r"unknown model 'randon'\. Did you mean 'random'\?"):
        load_baseline(tmp_path / "model")


def test_models_that_know_the_true_causes_come_near_the_true_loss(fitted, market):
    _, valid, truth = market
    o = valid.occasions
    best = occasion_log_losses(truth, o.available, o.chosen).mean()
    loss = {
        name: occasion_log_losses(m.predict(valid), o.available, o.chosen).mean()
        for name, m in fitted.items()
    }
    assert loss["random"] > loss["cheapest"] > best
    assert loss["boosting"] < loss["random"] - 0.1
    assert loss["random"] > loss["popularity_chain"]
