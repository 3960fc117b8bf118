"""Answers for any table of choice occasions: a distribution over its alternatives, and units given each."""

from __future__ import annotations

import time
from pathlib import Path

import polars as pl

from malles.occasions.table import OccasionKeys, read_occasions
from malles.road import Tell
from malles.stages.finished import FinishedRun, open_finished
from malles.store import write_whole
from malles.vocabulary import Decisions


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
    chooser = finished.model(name)
    occasions, keys = read_occasions(path, finished.catalogue)
    began = time.perf_counter()
    answers = decide(finished, name, chooser, occasions)
    return to_table(answers, occasions, keys), time.perf_counter() - began


def write_answers(answers: pl.DataFrame, path: Path) -> None:
    """Write the answers in one piece, as Parquet or CSV."""
    with write_whole(path) as temporary:
        if path.suffix == ".csv":
            answers.write_csv(temporary)
        else:
            answers.write_parquet(temporary)
