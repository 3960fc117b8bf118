"""Incidence on weeks 41 to 44: ours against the household-category base rate and a LightGBM binary model.

    python benchmarks/incidence.py [--part 0.3]

Both are fitted on weeks 9 to 36 on the same cells: every purchase and 6 % of the cells without one.
Scored on every cell (trip x category) of a random part of the trips; differences are paired by household.
"""

from __future__ import annotations

import argparse
import json
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import lightgbm
import numpy as np
import torch

from malles.data.loading import load_dataset
from malles.evaluation.calibration_curve import calibration_line
from malles.evaluation.comparison import compare_binary
from malles.head.incidence import IncidenceModel
from malles.head.incidence_cells import collect_cells
from malles.occasions.catalogue import build_catalogue
from malles.occasions.shelves import build_shelves
from malles.occasions.splits import category_groups
from malles.profiles.incidence import History, build_market, build_purchases
from malles.profiles.incidence_shelves import shelves_by_week

KEPT = 0.06


def main() -> None:
    """Fit, score, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    catalogue = build_catalogue(load_dataset("complete_journey"), fit_until_week=40)
    shelves = shelves_by_week(build_shelves(catalogue, (9, 44)))
    purchases = build_purchases(catalogue.lines.before(45), catalogue.products.category)
    group, customers = category_groups(catalogue), len(catalogue.customer_key)
    seconds = {}
    begin = time.process_time()
    cells = collect_cells(
        purchases, shelves, group, customers, 9, 36, rate=KEPT, rng=np.random.default_rng(asked.seed)
    )
    seconds["cells"] = time.process_time() - begin
    begin = time.process_time()
    ours = IncidenceModel().fit(cells, len(group), seed=asked.seed)
    seconds["fit ours"] = time.process_time() - begin
    begin = time.process_time()
    parameters = {
        "objective": "binary", "num_leaves": 63, "learning_rate": 0.08, "min_data_in_leaf": 100,
        "max_bin": 127, "feature_fraction": 0.7, "bagging_fraction": 0.8, "bagging_freq": 1,
        "cat_smooth": 50.0, "num_threads": 1, "seed": asked.seed,
        "deterministic": True, "force_row_wise": True, "verbose": -1,
    }  # fmt: skip
    table = lightgbm.Dataset(
        np.column_stack([cells.features, cells.category]),
        cells.bought.astype(int),
        categorical_feature=[cells.features.shape[1]],
    )
    trees = lightgbm.train(parameters, table, 300)
    seconds["fit LightGBM"] = time.process_time() - begin

    rng = np.random.default_rng(asked.seed)
    history = History.empty(customers, len(catalogue.store_key), group)
    history.follow(purchases.before(41))
    answers: dict[str, list[np.ndarray]] = {"base rate": [], "LightGBM binary": [], "ours": []}
    happened, who = [], []
    for week in range(41, 45):
        now = purchases.take(purchases.week == week)
        offers = np.stack([shelves[w].chain_offer() for w in range(week - 8, week)])
        market = build_market(purchases, week, shelves[week], offers, len(catalogue.store_key))
        features = history.follow(now, market, np.arange(len(now)))
        bought = np.zeros((len(now), len(group)), bool)
        bought[now.trip, now.category] = True
        rows = np.flatnonzero(rng.random(len(now)) < asked.part)
        x = features[rows].reshape(len(rows) * len(group), -1)
        category = np.tile(np.arange(len(group)), len(rows))
        margin = np.asarray(trees.predict(np.column_stack([x, category]), raw_score=True))
        answers["base rate"].append(np.exp(np.minimum(x[:, 0], -1e-3)))
        answers["LightGBM binary"].append(1 / (1 + np.exp(-(margin + np.log(KEPT)))))
        answers["ours"].append(ours.probability(x, category))
        happened.append(bought[rows].ravel())
        who.append(np.repeat(now.customer[rows], len(group)))
    y, customer = np.concatenate(happened), np.concatenate(who)
    predictions = {n: np.concatenate(parts).astype(np.float64) for n, parts in answers.items()}
    found = {}
    for reference in ("base rate", "LightGBM binary"):
        scores = compare_binary(predictions, y, customer, reference, np.random.default_rng(asked.seed))
        found[f"against {reference}"] = scores.to_dict()
    lines = {}
    for name, p in predictions.items():
        line = calibration_line(p, y, customer)
        lines[name] = {"slope": vars(line), "sum of probabilities over purchases": float(p.sum() / y.sum())}
    report = {"cells": len(y), "scores": found, "calibration": lines, "processor_seconds": seconds}
    print(json.dumps(report, indent=1, default=lambda v: vars(v) if hasattr(v, "__dict__") else str(v)))


if __name__ == "__main__":
    main()
