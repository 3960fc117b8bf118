from __future__ import annotations

import doctest
import importlib
import json
from dataclasses import replace

import numpy as np
import pytest

from malles.choice.model import QuantityModel
from malles.choice.quantity import pmf_mean, poisson_deviance
from malles.errors import ModelError, OccasionError
from malles.head.quantity import FittedQuantity, OtherWorld, QuantitySettings, bin_of
from malles.profiles.quantity import CAP, chosen_only

from .test_launch import drawn_choices

SMALL = QuantitySettings(hidden=16, members=1, epochs=8, batch=128, rate=0.01)


def drawn_units(seed=0, n=2500):
    """Units 1 + Poisson(exp(0.5 a)): their mean is known from the first feature of the chosen alternative."""
    data, _ = drawn_choices(seed, n)
    rng = np.random.default_rng(seed + 100)
    x = (data.features - 5 * data.occasions.category[:, None, None]).astype(np.float32)
    x = np.where(data.occasions.available[:, :, None], x, np.float32(0))
    mean = 1 + np.exp(0.5 * x[np.arange(n), data.occasions.chosen, 0])
    units = (1 + rng.poisson(mean - 1)).astype(np.int32)
    return replace(data, features=x, occasions=replace(data.occasions, units=units)), mean


@pytest.fixture(scope="module")
def fitted():
    return SMALL.fit(drawn_units()[0])


def test_the_known_mean_is_recovered(fitted):
    data, truth = drawn_units(4)
    mean, _ = fitted.predict(data)
    of_chosen = mean[np.arange(len(data)), data.occasions.chosen].astype(float)
    units = data.occasions.units
    best, naive = (
        poisson_deviance(truth.astype(float), units),
        poisson_deviance(np.full(len(units), units.mean()), units),
    )
    found = poisson_deviance(of_chosen, units)
    assert best < found < best + 0.15 * (naive - best)


def test_predictions_follow_the_protocol(fitted):
    data, _ = drawn_units(1, 60)
    mean, median = fitted.predict(data)
    assert isinstance(fitted, QuantityModel)
    there = data.occasions.available
    assert (mean[there] >= 1).all() and (median[there] >= 1).all()
    assert not mean[~there].any() and not median[~there].any()
    np.testing.assert_array_equal(median, np.rint(median))


def test_the_distribution_has_the_predicted_mean(fitted):
    data, _ = drawn_units(2, 60)
    mean, _ = fitted.predict(data)
    pmf = fitted.pmf(data)
    there = data.occasions.available
    assert pmf.shape[2] == CAP
    np.testing.assert_allclose(pmf[there].sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(pmf_mean(pmf[there]), mean[there], atol=5e-3)


def test_the_chosen_column_alone_gets_what_it_gets_among_all(fitted):
    data, _ = drawn_units(3, 60)
    narrow = replace(
        data,
        occasions=chosen_only(data.occasions),
        features=np.stack([data.features[:, 0], data.features[np.arange(60), data.occasions.chosen]], axis=1),
    )
    mean, _ = fitted.predict(data)
    np.testing.assert_allclose(
        fitted.predict(narrow)[0][:, 1], mean[np.arange(60), data.occasions.chosen], rtol=1e-5
    )


def test_the_same_seed_gives_the_same_bits(fitted):
    data, _ = drawn_units()
    assert SMALL.fit(data).predict(data)[0].tobytes() == fitted.predict(data)[0].tobytes()


def test_a_saved_model_predicts_the_same_and_another_version_is_refused(fitted, tmp_path):
    data, _ = drawn_units(5, 40)
    fitted.save(tmp_path / "model")
    loaded = FittedQuantity.load(tmp_path / "model")
    assert loaded.predict(data)[0].tobytes() == fitted.predict(data)[0].tobytes()
    facts = json.loads((tmp_path / "model" / "quantity.json").read_text())
    (tmp_path / "model" / "quantity.json").write_text(json.dumps(facts | {"version": 0}))
    with pytest.raises(ModelError, match="version 0"):
        FittedQuantity.load(tmp_path / "model")
    with pytest.raises(ModelError, match="no readable quantity head"):
        FittedQuantity.load(tmp_path / "nowhere")


def test_other_features_and_no_purchases_are_answered_with_a_sentence(fitted):
    data, _ = drawn_units(6, 20)
    with pytest.raises(ModelError, match="expects the 3 features"):
        fitted.predict(replace(data, feature_names=("a", "b", "z")))
    nothing = replace(data.occasions, units=np.zeros(20, np.int32))
    with pytest.raises(OccasionError, match="needs occasions with a choice"):
        SMALL.fit(replace(data, occasions=nothing))


def test_bins_cut_where_they_say():
    assert bin_of(np.array([1, 2, 8, 9, 10, 11, 14, 15, 20])).tolist() == [0, 1, 7, 8, 8, 9, 9, 10, 10]


def test_the_examples_in_the_docstrings_are_true():
    found = doctest.testmod(importlib.import_module("malles.head.quantity"), extraglobs={"np": np})
    assert found.attempted > 0 and found.failed == 0


def in_another_world(data, step):
    """Feature 0 of every alternative moved; units truly rise with it."""
    features = data.features.copy()
    features[..., 0] += np.float32(step)
    return replace(data, features=features)


def test_the_price_sign_holds_in_worlds_that_were_not_fitted():
    """Units truly rise with the first feature; told that they must not, the head hardly does."""
    data, _ = drawn_units()
    rows, column = np.arange(len(data)), data.occasions.chosen

    def rise(model):
        before, after = (model.predict(d)[0][rows, column] for d in (data, in_another_world(data, 0.6)))
        return float(np.mean(after / before - 1))

    worlds = [OtherWorld(in_another_world(data, step), -1) for step in (0.4, 0.8)]
    free = rise(SMALL.fit(data))
    held = rise(replace(SMALL, price_sign=20.0).fit(data, worlds))
    assert free > 0.1
    assert held < 0.2 * free


def test_worlds_change_nothing_without_a_price_sign(fitted):
    data, _ = drawn_units()
    again = SMALL.fit(data, [OtherWorld(in_another_world(data, 0.4), -1)])
    for a, b in zip(fitted.members, again.members, strict=True):
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


def test_a_price_sign_asks_for_worlds_with_the_same_purchases():
    data, _ = drawn_units(0, 300)
    strict = replace(SMALL, price_sign=1.0)
    with pytest.raises(ModelError, match="got none"):
        strict.fit(data)
    with pytest.raises(ModelError, match="should hold the 300 purchases"):
        strict.fit(data, [OtherWorld(data.take(np.arange(10)), -1)])
