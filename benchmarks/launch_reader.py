"""Categories never seen: a language model on top of the launch head, groups of categories left out.

    python benchmarks/launch_reader.py [--folds 5] [--minutes 2.5] [--sample 73000]

In each fold the groups of the fold are left out of everything: the conditional logits, the launch head,
and the post-training, whose skip is crossed over groups inside the remaining ones. Scored on the `lite`
occasions of weeks 41 to 44, regime `launch`. Two logits stand beside: on what stands on the shelf label
alone, and on all launch features.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import replace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from malles.config import LanguageSettings, LossSettings
from malles.data.loading import load_dataset
from malles.engines import LAUNCH_HEAD, load_engine
from malles.evaluation.comparison import compare_models
from malles.head.launch import LaunchSettings, folds_of_groups
from malles.llm.aligning import align
from malles.occasions.benchmark import select_scored
from malles.occasions.build import build_occasions
from malles.occasions.catalogue import build_catalogue
from malles.occasions.splits import build_split, category_groups
from malles.profiles.launch import build_launch_features
from malles.vocabulary import ChoiceData, Regime

LABEL = (
    "log_price", "log_list_price", "log_unit_price", "log_amount", "amount_known", "discount", "discounted",
    "price_position", "unit_price_position", "gap_to_cheapest", "is_cheapest", "display", "mailer",
    "mailer_page", "coupon", "private_label",
)  # fmt: skip
"""What a shelf label and the mailer say: the ordinary practitioner's launch logit."""

LOGIT = {"hidden": 0, "members": 2, "dropout": 0.0, "feature_dropout": 0.0, "rate": 5e-3, "weight_decay": 0.0}


def main() -> None:
    """Fit without the fold, score on it, pool."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sample", type=int, default=73_000)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=2.5)
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
    scored = select_scored(later)
    later = later.take(scored.rows[scored.lite])
    train, valid = build_launch_features(catalogue, occasions), build_launch_features(catalogue, later)
    groups = category_groups(catalogue)
    fold = folds_of_groups(catalogue.group_name, asked.folds)
    group, group_valid = groups[occasions.category], groups[later.category]
    names = ("logit, shelf label", "logit, launch features", "launch head", "hf + launch head")
    answers = {name: np.zeros(later.shape) for name in names}
    seconds = dict.fromkeys(names, 0.0)
    options = LanguageSettings(
        minutes=asked.minutes, batch=8, alternatives=12, occasions=0, rate=6e-4, pointer_rate=1e-3,
        losses=LossSettings(choice=1.0, quantity=0.0, consistency=0.3),
    )  # fmt: skip
    for f in range(asked.folds):
        rows, held = np.flatnonzero(fold[group] != f), np.flatnonzero(fold[group_valid] == f)
        part, of = train.take(rows), group[rows]

        def keep(name: str, answer: np.ndarray, began: float, held: np.ndarray = held) -> None:
            answers[name][held] = answer
            seconds[name] += (time.process_time() - began) / asked.folds

        logit = LaunchSettings(**LOGIT, seed=asked.seed)  # type: ignore[arg-type]
        for name, columns in (("logit, shelf label", LABEL), ("logit, launch features", train.feature_names)):
            began = time.process_time()
            keep(name, logit.fit(only(part, columns), of).predict(only(valid.take(held), columns)), began)
        began = time.process_time()
        model = align(
            options, part, valid.take(held[:0]), of,
            fit_skip=lambda a, b, g, fold: LAUNCH_HEAD.fit(a, b, g, seed=asked.seed + 1 + fold),
            load_skip=lambda folder: load_engine(folder, "head", Regime.LAUNCH), seed=asked.seed,
        )  # fmt: skip
        keep("hf + launch head", model.predict(valid.take(held)), began)
        assert model.skip is not None
        keep("launch head", model.skip.predict(valid.take(held)), time.process_time())
        print(
            f"fold {f + 1} of {asked.folds}",
            {k: round(v, 1) for k, v in seconds.items()},
            file=sys.stderr,
            flush=True,
        )
    out: dict[str, object] = {"processor_seconds_per_fold": {k: round(v, 1) for k, v in seconds.items()}}
    for reference in ("logit, shelf label", "logit, launch features", "launch head"):
        table = compare_models(answers, later, reference, np.random.default_rng(asked.seed)).to_dict()
        out["scores"] = [s for s in table["scores"] if s["metric"] in ("log_loss", "hit_rate_score")]
        out[f"differences to {reference}"] = [d for d in table["differences"] if d["metric"] == "log_loss"]
    print(json.dumps(out, indent=1))


def only(data: ChoiceData, names: tuple[str, ...]) -> ChoiceData:
    """The same occasions with some of the features."""
    at = [data.feature_names.index(n) for n in names]
    return replace(data, features=np.ascontiguousarray(data.features[:, :, at]), feature_names=names)


if __name__ == "__main__":
    main()
