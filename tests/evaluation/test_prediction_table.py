"""Prediction tables from outside."""

import numpy as np
import polars as pl
import pytest

from malles.errors import DataError, SchemaError
from malles.evaluation.prediction_table import align_predictions, score_prediction_tables, score_unit_tables

OCCASION = np.array([70, 80])
ITEM = np.array([[-1, 5, 6, 7], [-1, 6, 8, -3]])


def predictions(**changes):
    columns = {
        "occasion_id": [80, 70, 70, 70, 99],
        "item_id": [8, 7, 5, 6, 1],
        "prob": [3.0, 0.2, 0.5, 0.3, 1.0],
    }
    return pl.DataFrame(columns | changes)


def test_predictions_find_their_candidates_in_any_order():
    found = align_predictions(predictions(), OCCASION, ITEM)
    np.testing.assert_allclose(found.probability, [[0, 0.5, 0.3, 0.2], [0, 0, 3.0, 0]])
    assert (found.missing_candidates, found.missing_occasions, found.unmatched) == (1, (), 1)


def test_an_occasion_without_predictions_is_uniform_and_named():
    found = align_predictions(predictions().filter(pl.col("occasion_id") == 70), OCCASION, ITEM)
    np.testing.assert_allclose(found.probability[1], [0, 1, 1, 0])
    assert found.missing_occasions == (1,)


def test_scores_of_a_table():
    table = score_prediction_tables(
        {"given": predictions()},
        OCCASION,
        ITEM,
        np.array([1, 2]),
        np.array([0, 1]),
        "given",
        np.random.default_rng(0),
    )
    assert table.score("given", "hit_rate_score").value == 1.0


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        (predictions().rename({"prob": "probs"}), SchemaError, "lacks 'prob'.*Did you mean 'probs'"),
        (predictions(prob=[0.1, -0.2, 0.3, 0.4, 0.5]), DataError, "1 of 5 predictions"),
        (predictions(prob=[0.1, None, 0.3, float("nan"), 0.5]), DataError, "2 of 5 predictions"),
        (predictions(item_id=[8, 7, 7, 6, 1]), DataError, "1 predictions repeat"),
    ],
)
def test_a_broken_table_is_refused_in_one_sentence(table, error, message):
    with pytest.raises(error, match=message):
        align_predictions(table, OCCASION, ITEM)


def test_units_of_a_table():
    table = pl.DataFrame({"occasion_id": [80, 70], "quantity_mean": [2.0, 1.0], "quantity_point": [2, 1]})
    found = score_unit_tables(
        {"given": table}, OCCASION, np.array([1, 2]), np.array([0, 1]), "given", np.random.default_rng(0)
    )
    assert found.score("given", "units_absolute_error").value == 0.0
    with pytest.raises(DataError, match="1 of 2 occasions have no units"):
        score_unit_tables(
            {"x": table[:1]}, OCCASION, np.array([1, 2]), np.array([0, 1]), "x", np.random.default_rng(0)
        )
