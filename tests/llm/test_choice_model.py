"""`hf` the whole way on a small market: skip crossed over households, training, saving, refusals, leakage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from llm.small_markets import log_loss, named_market
from llm.small_models import tiny_reader_settings
from malles.choice.model import ChoiceModel
from malles.errors import ModelError
from malles.vocabulary import Regime

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from malles.baselines.logit import ConditionalLogit, FittedConditionalLogit  # noqa: E402
from malles.llm.choice_model import AlignedSettings, FittedAligned, find_temperature, log_of  # noqa: E402
from malles.llm.training.loop import TrainingSettings  # noqa: E402
from malles.llm.training.losses import LossWeights  # noqa: E402

LOSSES = {True: LossWeights(quantity=0.1), False: LossWeights(choice=0.3, teacher=1.0, response=1.0)}


@pytest.fixture(scope="module")
def market():
    data = named_market(2, occasions=160)
    late = data.occasions.week >= 13
    return data.take(np.flatnonzero(~late)), data.take(np.flatnonzero(late))


@pytest.fixture(scope="module")
def fits():
    """What every fit of the skip has seen: (fold, customers)."""
    return []


@pytest.fixture(scope="module")
def fitted(tiny_model, market, fits):
    """The aligned model with a skip (True) and from the text alone (False)."""

    def fit_skip(train, valid, group, fold):
        assert len(train) == len(group)
        fits.append((fold, frozenset(train.occasions.customer.tolist())))
        return ConditionalLogit().fit(train, valid)

    def fit(*, skip):
        settings = AlignedSettings(
            reader=tiny_reader_settings(tiny_model),
            training=TrainingSettings(
                steps=12, batch=4, alternatives=4, rate=5e-3, pointer_rate=5e-3, look=6, seed=1,
                response=0.3, loss=LOSSES[skip],
            ),
            fit_skip=fit_skip,
            load_skip=FittedConditionalLogit.load,
            skip=skip,
            facts={"data": "test"},
        )  # fmt: skip
        return settings.fit(*market, market[0].occasions.category)

    return {skip: fit(skip=skip) for skip in (True, False)}


def test_the_skip_of_every_household_comes_from_a_model_that_has_not_seen_it(fitted, fits, market):
    """Three fits: all households, and two halves that share none and leave none out."""
    folds = dict(fits[:3])
    everyone = set(market[0].occasions.customer.tolist())
    assert sorted(folds) == [-1, 0, 1]
    assert folds[-1] == everyone
    assert not folds[0] & folds[1]
    assert folds[0] | folds[1] == everyone
    assert min(len(folds[0]), len(folds[1])) >= len(everyone) // 5


@pytest.mark.parametrize("skip", [True, False])
def test_predictions_are_distributions_with_exact_zeros(fitted, market, skip):
    valid = market[1]
    available = valid.occasions.available.copy()
    available[:, 2] = valid.occasions.chosen == 2
    some = replace(valid, occasions=replace(valid.occasions, available=available))
    p = fitted[skip].predict(some)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-9)
    assert (p[~available] == 0).all()
    assert (p[available] > 0).all()
    assert isinstance(fitted[skip], ChoiceModel)


def test_a_model_that_has_learnt_little_stays_near_its_skip(fitted, market):
    """Twelve small steps from zero: the likelihood is that of the skip, or close to it."""
    model, valid = fitted[True], market[1]
    assert abs(log_loss(model.predict(valid), valid) - log_loss(model.skip.predict(valid), valid)) < 0.25
    assert np.abs(model.utility(valid)).max() > 0


def test_the_utility_and_the_skip_are_added(fitted, market):
    model, valid = fitted[True], market[1].take(np.arange(6))
    total = model.utility(valid) + log_of(model.skip.predict(valid))
    odds = np.log(model.predict(valid)[:, 1] / model.predict(valid)[:, 2])
    np.testing.assert_allclose(odds, (total[:, 1] - total[:, 2]) / model.temperature, atol=1e-6)


@pytest.mark.parametrize("skip", [True, False])
def test_saved_and_loaded_it_says_the_same(fitted, market, tmp_path, skip):
    model, valid = fitted[skip], market[1].take(np.arange(12))
    model.save(tmp_path / "model")
    assert (tmp_path / "model" / "skip").is_dir() is skip
    assert FittedAligned.regime_of(tmp_path / "model") is Regime.FULL
    loaded = FittedAligned.load(tmp_path / "model", FittedConditionalLogit.load)
    np.testing.assert_allclose(loaded.predict(valid), model.predict(valid), atol=1e-5)
    np.testing.assert_allclose(loaded.units(valid), model.units(valid), atol=1e-4)
    assert loaded.temperature == model.temperature
    assert loaded.facts["data"] == "test"
    loaded.save(tmp_path / "again")
    again = FittedAligned.load(tmp_path / "again", FittedConditionalLogit.load)
    np.testing.assert_array_equal(again.predict(valid), loaded.predict(valid))
    replace(loaded, wordings=3).save(tmp_path / "averaged")
    assert FittedAligned.load(tmp_path / "averaged", FittedConditionalLogit.load).wordings == 3


def test_what_cannot_be_loaded_is_refused(fitted, tmp_path):
    with pytest.raises(ModelError, match="There is no aligned model in"):
        FittedAligned.load(tmp_path)
    fitted[True].save(tmp_path / "model")
    with pytest.raises(ModelError, match=r"adds to a fitted model; say how that is read \(load_skip\)"):
        FittedAligned.load(tmp_path / "model")
    (tmp_path / "model" / "aligned.json").write_text('{"regime": "odd"}')
    with pytest.raises(ModelError, match="There is no aligned model in"):
        FittedAligned.load(tmp_path / "model", FittedConditionalLogit.load)
    (tmp_path / "model" / "aligned.json").write_text('{"regime": "full"}')
    with pytest.raises(ModelError, match=r"aligned\.json is damaged"):
        FittedAligned.load(tmp_path / "model", FittedConditionalLogit.load)


def test_features_of_another_regime_are_refused(fitted):
    with pytest.raises(ModelError, match="aligned in the regime 'full', but the features are of 'nohist'"):
        fitted[False].predict(named_market(2, occasions=10, regime=Regime.NOHIST))


def test_units_are_one_or_more_where_something_can_be_bought(fitted, market):
    valid = market[1].take(np.arange(8))
    units = fitted[True].units(valid)
    available = valid.occasions.available
    assert (units[available] > 1).all()
    assert (units[~available] == 0).all()


def test_an_average_over_rewordings_is_the_mean_of_their_answers(fitted, market):
    from malles.llm.wording import REWORDINGS

    model, valid = replace(fitted[False], wordings=2), market[1].take(np.arange(5))
    one = replace(model, wordings=1).predict(valid)
    utility = model.utility(valid, REWORDINGS[1]) / model.temperature
    weight = np.exp(utility) * valid.occasions.available
    other = weight / weight.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict(valid), (one + other) / 2, atol=1e-9)


def test_the_temperature_is_one_without_known_choices(fitted, market):
    valid = market[1].take(np.arange(5))
    unknown = replace(valid.occasions, chosen=np.full(5, -1, np.int16))
    assert find_temperature(fitted[False], replace(valid, occasions=unknown)) == 1.0


def test_the_model_card_tells_weeks_seeds_and_losses(fitted, market, tmp_path):
    fitted[False].save(tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text()
    weeks = market[0].occasions.week
    assert f"| weeks | [{weeks.min()}, {weeks.max()}] |" in card
    for words in (
        "| data | test |",
        "| regime | full |",
        "| seed | 1 |",
        '"teacher": 1.0',
        "| skip | False |",
    ):
        assert words in card


def test_too_few_households_to_cross_are_refused(tiny_model, market):
    one = market[0].take(np.flatnonzero(market[0].occasions.customer == market[0].occasions.customer[0]))
    settings = AlignedSettings(
        reader=tiny_reader_settings(tiny_model),
        training=TrainingSettings(steps=1),
        fit_skip=lambda train, valid, group, fold: ConditionalLogit().fit(train, valid),
        load_skip=FittedConditionalLogit.load,
    )
    with pytest.raises(ModelError, match="too few customers or categories to fit the skip on one half"):
        settings.fit(one, market[1], one.occasions.category)


def test_a_checkpoint_folder_is_filled(tiny_model, market, tmp_path):
    settings = AlignedSettings(
        reader=tiny_reader_settings(tiny_model),
        training=TrainingSettings(steps=2, checkpoint=1, look=0, seed=1),
        fit_skip=lambda train, valid, group, fold: ConditionalLogit().fit(train, valid),
        load_skip=FittedConditionalLogit.load,
    )
    told: list[tuple[int, int]] = []
    settings.fit(
        *market, market[0].occasions.category, folder=Path(tmp_path),
        progress=lambda step, steps, loss: told.append((step, steps)),
    )  # fmt: skip
    assert told == [(1, 2), (2, 2)]
    assert (tmp_path / "checkpoint.json").is_file()
