"""Answers for any table of choice occasions: a distribution over its alternatives, and units given each."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from malles.engines import market_model
from malles.errors import OccasionError
from malles.occasions.table import OccasionKeys, open_table, read_occasions
from malles.profiles.quantity import build_quantity_features
from malles.road import Tell
from malles.stages.finished import FinishedRun, open_finished
from malles.stages.units import load_units
from malles.store import write_whole
from malles.vocabulary import ChoiceData, Decisions, Occasions

BLOCK = 20_000
"""Occasions decided at a time; bounds the memory of their features."""


def predict_table(root: Path, model: str, path: Path, tell: Tell) -> tuple[pl.DataFrame, float]:
    """Score an occasions file; returns the answers and the seconds that features and models took.

    Args:
        root: folder of all runs.
        model: 'RUN' (its last model decides) or 'RUN/NAME'.
        path: Parquet or CSV in the documented long form.
        tell: told what is going on.

    Returns:
        occasion, alternative, probability, units_mean, units_median; in the order of the file's occasions.
    """
    run, _, name = model.partition("/")
    finished = open_finished(root, run, tell)
    name = name or market_model(finished.config.models.names)
    finished.model(name)  # a wrong name is refused before anything is read
    source = open_table(path)
    occasions, keys = read_occasions(source, finished.catalogue)
    began = time.perf_counter()
    answers = decide(finished, name, occasions, given_columns(source, occasions, keys))
    seconds = time.perf_counter() - began
    table = keys.to_table(
        occasions,
        probability=answers.probability,
        units_mean=answers.units_mean,
        units_median=answers.units_median,
    )
    return table, seconds


def given_columns(source: pl.DataFrame, occasions: Occasions, keys: OccasionKeys) -> dict[str, np.ndarray]:
    """Numeric columns of the table outside its schema, as [occasion, alternative]; NaN = not given.

    A column that is called like a feature or a context number replaces it: a customer's history, for example,
    can be given instead of being looked up.
    """
    names = [name for name in keys.ignored if source.schema[name].is_numeric()]
    if not names:
        return {}
    row, column = np.nonzero(occasions.available)
    places = keys.to_table(occasions).with_columns(pl.col("alternative").cast(pl.String))
    values = source.select(
        pl.col("occasion").cast(places.schema["occasion"]), pl.col("alternative").cast(pl.String), *names
    )
    found = places.join(values, on=["occasion", "alternative"], how="left", maintain_order="left")
    if found.height != len(row):
        raise OccasionError(
            "The occasions table lists an alternative twice; every alternative needs one row."
        )
    tables = {}
    for name in names:
        table = np.full(occasions.shape, np.nan, np.float32)
        table[row, column] = found[name].cast(pl.Float32).fill_null(float("nan")).to_numpy()
        tables[name] = table
    return tables


def replace_given(data: ChoiceData, given: dict[str, np.ndarray], rows: np.ndarray) -> ChoiceData:
    """The features of some rows with the given columns in place of the computed ones."""
    features, context = data.features.copy(), data.context.copy()
    for name, table in given.items():
        part = table[rows]
        if name in data.feature_names:
            k = data.feature_names.index(name)
            features[:, :, k] = np.where(np.isnan(part), features[:, :, k], part)
        elif name in data.context_names:
            k = data.context_names.index(name)
            stated = ~np.isnan(part).all(axis=1)
            context[stated, k] = np.nanmax(part[stated], axis=1)
    return replace(data, features=features, context=context)


def decide(
    finished: FinishedRun, name: str, occasions: Occasions, given: dict[str, np.ndarray] | None = None
) -> Decisions:
    """Choice probabilities and units of every alternative."""
    chooser, units = finished.model(name), load_units(finished.folder / "03-models" / "units")
    parts = []
    for begin in range(0, len(occasions), BLOCK):
        finished.tell("deciding", begin, len(occasions))
        rows = np.arange(begin, min(begin + BLOCK, len(occasions)))
        block = occasions.take(rows)
        data = finished.features(block)
        probability = chooser.predict(replace_given(data, given, rows) if given else data)
        mean, median = units.predict(build_quantity_features(finished.catalogue, block))
        parts.append((probability, mean, median))
    joined = (np.concatenate(column).astype(np.float32) for column in zip(*parts, strict=True))
    return Decisions(*joined)


def write_answers(answers: pl.DataFrame, path: Path) -> None:
    """Write the answers in one piece, as Parquet or CSV."""
    with write_whole(path) as temporary:
        if path.suffix == ".csv":
            answers.write_csv(temporary)
        else:
            answers.write_parquet(temporary)
