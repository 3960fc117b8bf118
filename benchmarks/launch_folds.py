"""Zero-shot categories: leave-category-group-out folds of choice benchmark v1, regime `launch`.

    python benchmarks/launch_folds.py [--sample 73000] [--folds 5]

Each fold's groups of categories are left out of fitting, then scored on the frozen valid occasions. The
conditional logit on the same features stands beside the launch head; the difference is paired by household.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from malles.data.loading import load_dataset
from malles.evaluation.comparison import compare_models
from malles.head.launch import LaunchSettings, folds_of_groups
from malles.occasions.benchmark import select_scored
from malles.occasions.build import build_occasions
from malles.occasions.catalogue import build_catalogue
from malles.occasions.splits import build_split, category_groups
from malles.profiles.launch import build_launch_features


def main() -> None:
    """Fit without the fold, score on it, pool."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=73_000)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    catalogue = build_catalogue(load_dataset("complete_journey"), fit_until_week=40)
    cold = build_split(catalogue)
    warm = (~cold.cold_customer, ~cold.cold_category)
    occasions = build_occasions(catalogue, None, (9, 40), *warm).occasions
    rng = np.random.default_rng(asked.seed)
    occasions = occasions.take(np.sort(rng.choice(len(occasions), asked.sample, replace=False)))
    later = build_occasions(catalogue, None, (41, 44), *warm).occasions
    later = later.take(select_scored(later).rows)
    train, valid = build_launch_features(catalogue, occasions), build_launch_features(catalogue, later)
    groups = category_groups(catalogue)
    fold = folds_of_groups(catalogue.group_name, asked.folds)
    group, group_valid = groups[occasions.category], groups[later.category]
    models = {
        "conditional logit": LaunchSettings(
            hidden=0,
            members=2,
            dropout=0.0,
            feature_dropout=0.0,
            rate=5e-3,
            weight_decay=0.0,
            seed=asked.seed,
        ),
        "launch head": LaunchSettings(seed=asked.seed),
    }
    predictions, seconds = {}, {}
    for name, settings in models.items():
        answer = np.zeros(later.shape)
        begin = time.process_time()
        for f in range(asked.folds):
            rows = np.flatnonzero(fold[group] != f)
            held = np.flatnonzero(fold[group_valid] == f)
            answer[held] = settings.fit(train.take(rows), group[rows]).predict(valid.take(held))
            print(f"{name}, fold {f + 1} of {asked.folds}", file=sys.stderr, flush=True)
        predictions[name] = answer
        seconds[name] = round((time.process_time() - begin) / asked.folds, 1)
    table = compare_models(predictions, later, "conditional logit", np.random.default_rng(asked.seed))
    print(json.dumps({"scores": table.to_dict(), "processor_seconds_per_fit": seconds}, indent=1))


if __name__ == "__main__":
    main()
