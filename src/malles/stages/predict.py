"""Answers for any table of choice occasions: a distribution over its alternatives, and units given each."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import polars as pl

from malles.occasions.table import read_occasions
from malles.profiles.quantity import build_quantity_features
from malles.road import Tell
from malles.stages.finished import FinishedRun, open_finished
from malles.stages.units import load_units
from malles.store import write_whole
from malles.vocabulary import Decisions, Occasions

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
    name = name or finished.config.models.names[-1]
    finished.model(name)  # a wrong name is refused before anything is read
    occasions, keys = read_occasions(path, finished.catalogue)
    began = time.perf_counter()
    answers = decide(finished, name, occasions)
    seconds = time.perf_counter() - began
    table = keys.to_table(
        occasions,
        probability=answers.probability,
        units_mean=answers.units_mean,
        units_median=answers.units_median,
    )
    return table, seconds


def decide(finished: FinishedRun, name: str, occasions: Occasions) -> Decisions:
    """Choice probabilities and units of every alternative."""
    chooser, units = finished.model(name), load_units(finished.folder / "03-models" / "units")
    parts = []
    for begin in range(0, len(occasions), BLOCK):
        finished.tell("deciding", begin, len(occasions))
        block = occasions.take(np.arange(begin, min(begin + BLOCK, len(occasions))))
        probability = chooser.predict(finished.features(block))
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
