"""Models beside each other."""

import dataclasses
import json

import numpy as np
import pytest

from malles.errors import DataError, OccasionError, UsageError
from malles.evaluation.comparison import compare_binary, compare_models, compare_units
from malles.evaluation.metrics import score_choices


@pytest.fixture(scope="module")
def table(market):
    occasions, truth, _ = market
    predictions = {"uniform": occasions.available / 1.0, "truth": truth, "copy": truth}
    return compare_models(predictions, occasions, "uniform", np.random.default_rng(0), draws=200)


def test_scores_are_those_of_the_metrics(table, market):
    occasions, truth, _ = market
    alone = score_choices(truth, occasions.available, occasions.chosen)
    assert len(alone) == 8
    for metric, value in alone.items():
        score = table.score("truth", metric)
        assert score.value == pytest.approx(value)
    assert table.score("truth", "log_loss").low < alone["log_loss"] < table.score("truth", "log_loss").high


def test_the_truth_beats_the_uniform_slate_and_equals_its_copy(table):
    assert table.difference("truth", "log_loss").verdict == "better"
    assert table.difference("truth", "hit_rate_score").verdict == "better"
    assert dataclasses.replace(table.difference("copy", "log_loss"), model="truth") == table.difference(
        "truth", "log_loss"
    )


def test_the_reference_has_no_difference_to_itself(table):
    assert {d.model for d in table.differences} == {"truth", "copy"}
    assert len(table.differences) == 16
    with pytest.raises(UsageError, match="none to itself"):
        table.difference("uniform", "log_loss")


def test_occasions_without_a_known_choice_are_left_out_and_counted(market):
    occasions, truth, _ = market
    hidden = dataclasses.replace(
        occasions, chosen=np.where(np.arange(6000) < 10, -1, occasions.chosen).astype("i2")
    )
    table = compare_models({"truth": truth}, hidden, "truth", np.random.default_rng(0), draws=20)
    assert (table.occasions, table.excluded) == (5990, 10)
    with pytest.raises(OccasionError, match="none of the 6000"):
        compare_models(
            {"truth": truth},
            dataclasses.replace(occasions, chosen=np.full(6000, -1, np.int16)),
            "truth",
            np.random.default_rng(0),
        )


def test_the_table_is_a_frame_and_json(table):
    assert table.scores_frame().shape == (24, 5)
    assert table.differences_frame().columns == [
        "model",
        "reference",
        "metric",
        "value",
        "low",
        "high",
        "verdict",
    ]
    plain = json.loads(json.dumps(table.to_dict(), allow_nan=False))
    assert plain["occasions"] == 6000
    assert len(plain["scores"]) == 24


def test_an_unknown_reference_is_a_usage_error_with_a_suggestion(market):
    occasions, truth, _ = market
    with pytest.raises(UsageError, match="Did you mean 'truth'"):
        compare_models({"truth": truth}, occasions, "trut", np.random.default_rng(0))


def test_a_prediction_of_another_shape_is_refused(market):
    occasions, truth, _ = market
    with pytest.raises(OccasionError, match="small: probability is"):
        compare_models({"small": truth[:, :3]}, occasions, "small", np.random.default_rng(0))


def test_units_are_compared_on_purchases_only():
    units = np.array([1, 2, 0, 1])
    good = (np.array([1.0, 2.0, 1.0, 1.0]), np.array([1.0, 2.0, 1.0, 1.0]))
    ones = (np.ones(4), np.ones(4))
    table = compare_units({"good": good, "ones": ones}, units, np.arange(4), "ones", np.random.default_rng(0))
    assert (table.occasions, table.excluded) == (3, 1)
    assert table.score("good", "units_absolute_error").value == 0.0
    assert table.score("ones", "units_absolute_error").value == pytest.approx(1 / 3)


def test_tables_can_be_joined(table):
    assert len(table.joined(table).scores) == 48


def test_yes_or_no_predictions_by_hand():
    """Chances .8 (yes) and .5 (no): -(log .8 + log .5) / 2 and (.04 + .25) / 2."""
    chances = {"model": np.array([0.8, 0.5]), "coin": np.array([0.5, 0.5])}
    table = compare_binary(chances, np.array([True, False]), np.arange(2), "coin", np.random.default_rng(0))
    assert table.score("model", "binary_log_loss").value == pytest.approx(-(np.log(0.8) + np.log(0.5)) / 2)
    assert table.score("model", "binary_brier_loss").value == pytest.approx(0.145)
    assert table.score("model", "binary_calibration_error").value == pytest.approx((0.2 + 0.5) / 2)
    assert table.score("coin", "binary_calibration_error").value == pytest.approx(0.0)
    assert len(table.differences) == 3
    with pytest.raises(DataError, match="some outside"):
        compare_binary({"m": np.array([1.2])}, np.array([True]), np.arange(1), "m", np.random.default_rng(0))
