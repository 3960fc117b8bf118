"""Score a prediction table: one row per occasion and alternative, from any model, in any order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float, Integer
from numpy import ndarray

from malles.errors import DataError, SchemaError, did_you_mean
from malles.evaluation.comparison import ScoreTable, compare_choices, compare_units

PREDICTION_COLUMNS = ("occasion_id", "item_id", "prob")
UNIT_COLUMNS = ("occasion_id", "quantity_mean", "quantity_point")


@dataclass(frozen=True)
class AlignedPredictions:
    """Predictions in the order of the candidates they are scored on."""

    probability: Float[ndarray, "occasion alternative"]
    """0 for candidates without a prediction."""
    missing_candidates: int
    """Candidates the table says nothing about; they count as probability 0 (before the uniform mass)."""
    missing_occasions: tuple[int, ...]
    """Rows of `occasion_id` without any positive prediction; they are scored as uniform."""
    unmatched: int
    """Rows of the table that belong to no candidate; ignored."""


def align_predictions(
    table: pl.DataFrame,
    occasion_id: Integer[ndarray, " occasion"],
    item_id: Integer[ndarray, "occasion alternative"],
) -> AlignedPredictions:
    """Put a long prediction table beside the candidates of each occasion.

    Args:
        table: columns occasion_id, item_id, prob (any scale; normalised on the slate when scored).
        occasion_id: key of every scored occasion.
        item_id: candidates of every occasion; negative where a column holds none.

    Raises:
        SchemaError: a column is missing.
        DataError: a pair of occasion and item occurs twice, or a probability is negative or not finite.
    """
    _require(table, PREDICTION_COLUMNS)
    row, column = np.nonzero(item_id >= 0)
    prob = table["prob"].cast(pl.Float64)
    bad = prob.is_null() | prob.is_nan() | prob.is_infinite() | (prob < 0)
    if bad.any():
        raise DataError(
            f"{bad.sum()} of {len(table)} predictions are missing, negative or infinite; give numbers >= 0."
        )
    keys = ["occasion_id", "item_id"]
    given = table.select(*(pl.col(k).cast(pl.Int64) for k in keys), prob.alias("prob"))
    twice = len(given) - given.select(keys).n_unique()
    if twice:
        raise DataError(f"{twice} predictions repeat an occasion and item; give each candidate once.")
    wanted = pl.DataFrame(
        {
            "occasion_id": occasion_id[row].astype(np.int64),
            "item_id": item_id[row, column].astype(np.int64),
            "row": row,
            "column": column,
        }
    )
    found = wanted.join(given, on=keys, how="inner")
    probability = np.zeros(item_id.shape)
    probability[found["row"].to_numpy(), found["column"].to_numpy()] = found["prob"].to_numpy()
    silent = np.flatnonzero(probability.sum(axis=1) <= 0)
    probability[silent] = item_id[silent] >= 0
    return AlignedPredictions(
        probability,
        len(wanted) - len(found),
        tuple(silent.tolist()),
        len(given) - found.select(keys).n_unique(),
    )


def score_prediction_tables(
    tables: dict[str, pl.DataFrame],
    occasion_id: Integer[ndarray, " occasion"],
    item_id: Integer[ndarray, "occasion alternative"],
    chosen: Integer[ndarray, " occasion"],
    customer: Integer[ndarray, " occasion"],
    reference: str,
    rng: np.random.Generator,
) -> ScoreTable:
    """Choice scores of prediction tables by model name; see `compare_choices`."""
    aligned = {name: align_predictions(t, occasion_id, item_id).probability for name, t in tables.items()}
    return compare_choices(aligned, item_id >= 0, chosen, customer, reference, rng)


def score_unit_tables(
    tables: dict[str, pl.DataFrame],
    occasion_id: Integer[ndarray, " occasion"],
    units: Integer[ndarray, " occasion"],
    customer: Integer[ndarray, " occasion"],
    reference: str,
    rng: np.random.Generator,
) -> ScoreTable:
    """Unit scores of tables with occasion_id, quantity_mean, quantity_point; every occasion must be there
    once.
    """
    given = {}
    for name, table in tables.items():
        _require(table, UNIT_COLUMNS)
        wanted = pl.DataFrame({"occasion_id": occasion_id.astype(np.int64)})
        unique = table.with_columns(pl.col("occasion_id").cast(pl.Int64)).unique("occasion_id")
        found = wanted.join(unique, on="occasion_id", how="left", maintain_order="left")
        lacking = found["quantity_mean"].null_count()
        if lacking or len(unique) != len(table):
            raise DataError(
                f"{name}: {lacking} of {len(wanted)} occasions have no units and "
                f"{len(table) - len(unique)} rows "
                "repeat an occasion; give every occasion once."
            )
        given[name] = (
            found["quantity_mean"].cast(pl.Float64).to_numpy(),
            found["quantity_point"].cast(pl.Float64).to_numpy(),
        )
    return compare_units(given, units, customer, reference, rng)


def _require(table: pl.DataFrame, columns: tuple[str, ...]) -> None:
    lacking = [c for c in columns if c not in table.columns]
    if lacking:
        hint = did_you_mean(lacking[0], table.columns)
        raise SchemaError(
            f"the prediction table lacks {', '.join(map(repr, lacking))}; it has "
            f"{', '.join(map(repr, table.columns))}. {hint}".rstrip()
        )
