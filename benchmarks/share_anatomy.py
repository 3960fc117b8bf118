"""What the excess of predicted product shares consists of: which choices err together, and for how long.

    python benchmarks/share_anatomy.py [--fit-until 36] [--weeks 41 44]

The set model of `benchmarks/calibration.py` on weeks it was not fitted on. Prints, in nats, the second-order
terms of the category KL excess by pairs of choices (same or other household, store, week), and the relative
covariance of product biases by the weeks between them, on unseen weeks and on the last ones it was fitted on.
"""

from __future__ import annotations

import argparse
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from calibration import predict
from malles.data.loading import load_dataset
from malles.evaluation.metrics import mix_uniform
from malles.occasions.build import build_occasions
from malles.occasions.catalogue import build_catalogue
from malles.occasions.splits import build_split
from malles.profiles.features import FeatureStore
from malles.vocabulary import Occasions

LEAST = 25
"""Occasions that a category needs, as for the share distances."""


def main() -> None:
    """Predict, take apart, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fit-until", type=int, default=36, choices=[36, 40])
    parser.add_argument("--weeks", type=int, nargs=2, default=[41, 44])
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    catalogue = build_catalogue(load_dataset("complete_journey"), fit_until_week=40)
    cold = build_split(catalogue)
    span = (asked.fit_until - 7, asked.weeks[1])
    o = build_occasions(catalogue, None, span, ~cold.cold_customer, ~cold.cold_category).occasions
    p = mix_uniform(
        predict(catalogue, FeatureStore(catalogue), "head", asked.fit_until, o, asked.seed), o.available
    )
    judged = np.flatnonzero((o.week >= asked.weeks[0]) & (o.week <= asked.weeks[1]))
    unseen, seen = (np.flatnonzero(part) for part in (o.week > asked.fit_until, o.week <= asked.fit_until))
    print(json.dumps({
        "pairs that err together": pairs(p[judged], o.take(judged)),
        "covariance by weeks between, unseen weeks": lags(p[unseen], o.take(unseen)),
        "covariance by weeks between, weeks fitted on": lags(p[seen], o.take(seen)),
    }, indent=1))  # fmt: skip


def errors(p: np.ndarray, o: Occasions) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Row, product, probability, and chosen - probability of every alternative."""
    row, column = np.nonzero(o.available & (o.product >= 0))
    mass = p[row, column]
    return row, o.product[row, column].astype(np.int64), mass, (o.chosen[row] == column) - mass


def pairs(p: np.ndarray, o: Occasions) -> dict[str, float]:
    """Category KL excess to second order: sum over pairs of choices of e[n] e[m] / (2 N expected[j])."""
    row, product, mass, error = errors(p, o)
    size = np.bincount(o.category)
    enough = size[o.category[row]] >= LEAST
    row, product, mass, error = row[enough], product[enough], mass[enough], error[enough]
    weight = 1 / (2 * size[size >= LEAST].sum() * np.maximum(np.bincount(product, mass), 1e-9))

    def together(*labels: np.ndarray) -> float:
        key = product.copy()
        for label in labels:
            code = np.unique(label, return_inverse=True)[1]
            key = key * (int(code.max()) + 1) + code[row]
        unique, at = np.unique(key, return_inverse=True)
        of = np.zeros(len(unique), np.int64)
        of[at] = product
        return float(np.sum(weight[of] * np.bincount(at, error) ** 2))

    alone = float(np.sum(weight[product] * error**2))
    everybody, house, week = together(), together(o.customer), together(o.week)
    house_week, week_store = together(o.customer, o.week), together(o.week, o.store)
    house_week_store = together(o.customer, o.week, o.store)
    return {
        "all": everybody - alone,
        "same household, same week": house_week - alone,
        "same household, other week": house - house_week,
        "other household, same store, same week": week_store - house_week_store,
        "other household, other store, same week": week - house_week - week_store + house_week_store,
        "other household, other week": everybody - house - week + house_week,
    }


def lags(p: np.ndarray, o: Occasions) -> list[float]:
    """Relative covariance of a product bias by the weeks between; at 0 without the sampling variance."""
    row, product, mass, error = errors(p, o)
    week = o.week[row].astype(np.int64) - int(o.week.min())
    shape = (int(product.max()) + 1, int(week.max()) + 1)
    e, x, v = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for table, value in ((e, error), (x, mass), (v, mass * (1 - mass))):
        np.add.at(table, (product, week), value)
    weight = 1 / (1 + x.mean(axis=1))[:, None]
    found = [float((weight * (e**2 - v)).sum() / (weight * x**2).sum())]
    for lag in range(1, shape[1]):
        found.append(
            float((weight * e[:, lag:] * e[:, :-lag]).sum() / (weight * x[:, lag:] * x[:, :-lag]).sum())
        )
    return [round(f, 4) for f in found]


if __name__ == "__main__":
    main()
