"""The set model: recovers what is there, forgets order, saves and loads, and repeats itself by seed."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.profiles.markets import occasions_of, random_market

from malles.choice.model import ChoiceModel
from malles.errors import ModelError, OccasionError
from malles.head import network
from malles.head.model import FittedHead, HeadSettings, find_temperature, gap_to_best, offered
from malles.profiles.features import build_features
from malles.vocabulary import ChoiceData, Regime

QUICK = HeadSettings(width=16, epochs=4, batch=64)


@pytest.fixture(scope="module")
def data():
    catalogue, occasions = random_market(1, customers=80, weeks=16, occasions=900)
    everything = build_features(catalogue, occasions)
    late = occasions.week >= 15
    return everything.take(np.flatnonzero(~late)), everything.take(np.flatnonzero(late))


@pytest.fixture(scope="module")
def head(data):
    return QUICK.fit(*data)


def log_loss(probability, data):
    chosen = probability[np.arange(len(data)), data.occasions.chosen]
    return float(-np.log(np.maximum(chosen, 1e-12)).mean())


def test_it_learns_who_is_loyal(head, data):
    """Customers repeat a favourite in 6 of 10 cases; the head must be well below a uniform guess."""
    _, valid = data
    assert log_loss(head.predict(valid), valid) < np.log(9) - 0.4


def test_a_logit_with_a_known_coefficient_is_recovered_by_the_set_model():
    """V = 1.5 x: with 3,000 occasions predicted log-odds between two alternatives rise by 1.5 per unit."""
    rng = np.random.default_rng(0)
    n, J = 3_000, 5
    occasions = occasions_of([(0, 0, k, 1, 0, 0, 1) for k in range(n)], np.arange(J))
    x = rng.standard_normal((n, J + 2)).astype(np.float32)
    V = np.where(occasions.available, 1.5 * x + rng.gumbel(size=x.shape), -np.inf)
    occasions = replace(occasions, chosen=V.argmax(axis=1).astype(np.int16))
    every = ChoiceData(occasions, x[:, :, None], ("x",), np.ones((n, 1), np.float32), ("one",), Regime.FULL)
    half = n // 2
    fitted = HeadSettings(width=8, epochs=8, batch=64, dropout=0.0).fit(
        every.take(np.arange(half)), every.take(np.arange(half, n))
    )
    p = fitted.predict(every)[:, 1 : J + 1]
    odds = np.log(p[:, 0] / p[:, 1])
    slope = np.polyfit(x[:, 1] - x[:, 2], odds, 1)[0]
    assert slope == pytest.approx(1.5, abs=0.2)


def test_probabilities_are_a_distribution_over_what_is_offered(head, data):
    _, valid = data
    p = head.predict(valid)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-6)
    assert (p[~offered(valid)] == 0).all()
    assert (p[:, 0] == 0).all()
    assert isinstance(head, ChoiceModel)


def test_reordering_the_alternatives_reorders_the_probabilities(head, data):
    _, valid = data
    order = np.concatenate([[0], 1 + np.random.default_rng(0).permutation(valid.occasions.shape[1] - 1)])
    o = valid.occasions
    turned = replace(
        valid,
        occasions=replace(o, product=o.product[:, order], available=o.available[:, order]),
        features=valid.features[:, order],
    )
    np.testing.assert_allclose(head.predict(turned), head.predict(valid)[:, order], atol=1e-5)


def test_what_stands_in_an_unavailable_column_is_ignored(head, data):
    _, valid = data
    noise = np.where(offered(valid)[:, :, None], valid.features, 77).astype(np.float32)
    np.testing.assert_allclose(head.predict(replace(valid, features=noise)), head.predict(valid), atol=1e-6)


def test_a_batch_of_one_is_a_batch_of_many(head, data):
    _, valid = data
    everything = head.predict(valid)
    for i in (0, 5, len(valid) - 1):
        np.testing.assert_allclose(head.predict(valid.take(np.array([i])))[0], everything[i], atol=1e-5)


def test_prediction_in_numpy_equals_the_torch_network_that_was_fitted(head, data):
    import torch

    _, valid = data
    mask = offered(valid)
    z, c = head.inputs(valid.features, valid.context, mask)
    category = head.category_rows(valid)
    plain = network.utilities(head.parameters, z, c, category, mask)
    p = {k: torch.from_numpy(v) for k, v in head.parameters.items()}
    tensor = network.torch_utilities(
        p, torch.from_numpy(z), torch.from_numpy(c), torch.from_numpy(category).long(), torch.from_numpy(mask)
    )
    np.testing.assert_allclose(plain[mask], tensor.numpy()[mask], atol=2e-4)


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(head, data):
    again = QUICK.fit(*data)
    assert all(again.parameters[k].tobytes() == v.tobytes() for k, v in head.parameters.items())
    assert again.temperature == head.temperature
    other = replace(QUICK, epochs=1, seed=1).fit(*data)
    assert (
        other.parameters["encode"].tobytes()
        != replace(QUICK, epochs=1).fit(*data).parameters["encode"].tobytes()
    )


def test_a_saved_head_predicts_the_same(head, data, tmp_path):
    _, valid = data
    head.save(tmp_path / "head")
    assert sorted(p.name for p in (tmp_path / "head").iterdir()) == ["head.json", "weights.safetensors"]
    loaded = FittedHead.load(tmp_path / "head")
    np.testing.assert_array_equal(loaded.predict(valid), head.predict(valid))


def test_a_head_of_another_version_is_refused(head, tmp_path):
    head.save(tmp_path / "head")
    path = tmp_path / "head" / "head.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 99}))
    with pytest.raises(ModelError, match="version 99"):
        FittedHead.load(tmp_path / "head")


def test_a_folder_without_a_head_is_refused(tmp_path):
    with pytest.raises(ModelError, match="not a readable head"):
        FittedHead.load(tmp_path)


def test_features_of_another_regime_are_refused(head, data):
    _, valid = data
    fewer = replace(valid, features=valid.features[:, :, :5], feature_names=valid.feature_names[:5])
    with pytest.raises(ModelError, match="Build them with the same regime"):
        head.predict(fewer)


def test_an_occasion_with_nothing_on_offer_is_one_clear_sentence(head, data):
    _, valid = data
    one = valid.take(np.array([0, 1]))
    closed = one.occasions.available.copy()
    closed[0] = False
    with pytest.raises(OccasionError, match="1 of 2 occasions have no available alternative"):
        head.predict(replace(one, occasions=replace(one.occasions, available=closed)))
    closed[0, 0] = True
    p = head.predict(replace(one, occasions=replace(one.occasions, available=closed)))
    assert p[0, 0] == 1


def test_the_temperature_undoes_a_known_scale(head, data):
    _, valid = data
    read = {k: v * 2 if k in ("read", "skip", "skip_context") else v for k, v in head.parameters.items()}
    doubled = find_temperature(head.with_parameters(read), valid)
    assert doubled == pytest.approx(min(2 * head.temperature, 2), rel=0.02)


def test_gaps_to_the_best_other_by_hand():
    x = np.array([[[3.0], [5.0], [5.0], [9.0]]], np.float32)
    mask = np.array([[True, True, True, False]])
    assert gap_to_best(x, mask)[0, :, 0].tolist() == [-2, 0, 0, 0]


def test_a_short_half_life_follows_the_latest_weeks():
    """Tastes turn over in week 20: V = +2 x before, -2 x after; equal weights average out."""
    rng = np.random.default_rng(0)
    n, J = 2_000, 4
    occasions = occasions_of([(0, 0, k, 1 + k * 40 // n, 0, 0, 1) for k in range(n)], np.arange(J))
    x = rng.standard_normal((n, J + 2)).astype(np.float32)
    sign = np.where(occasions.week < 21, 2.0, -2.0)[:, None]
    V = np.where(occasions.available, sign * x + rng.gumbel(size=x.shape), -np.inf)
    occasions = replace(occasions, chosen=V.argmax(axis=1).astype(np.int16))
    every = ChoiceData(occasions, x[:, :, None], ("x",), np.ones((n, 1), np.float32), ("one",), Regime.FULL)

    def slope(half_life):
        settings = HeadSettings(width=8, epochs=5, batch=64, dropout=0.0, half_life=half_life)
        p = settings.fit(every, every.take(np.arange(n - 100, n))).predict(every)[:, 1 : J + 1]
        return np.polyfit(x[:, 1] - x[:, 2], np.log(p[:, 0] / p[:, 1]), 1)[0]

    assert slope(2.0) < -1
    assert abs(slope(0.0)) < 0.5
