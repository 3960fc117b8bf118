"""Short rules: laws recovered from noisy data, and a rule for units beside LightGBM and the units head.

    python benchmarks/rules.py laws [--seeds 10] [--rows 2000]
    python benchmarks/rules.py units [--occasions 60000] [--seed 1] [--last 40]

`laws`: 5 % noise and an input that does nothing. The law `a*b/p^1.5`, and `max(0, a*b/p^1.5 - 1)` with the
noise in percent or added before the cut. Exact: the right inputs, every exponent within 0.01.

`units`: Complete Journey, units given a purchase, fitted on weeks 9 to 40, scored on weeks 41 to 44 with
household-clustered intervals. What-if: every price times 0.8, 0.9 and 1.1, mean units by category (at least
30 purchases) of the rules against the units head as it is, and against one fitted with `price_sign`; features
of the heads are built anew. The taught rule has its price term from the latter's answers on the fitted
purchases at other prices. `--last 36` fits on weeks 9 to 36 and scores 37 to 40, where things are tried out.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict
from time import process_time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from malles.baselines.quantity import BoostedQuantity, HistoricalMean
from malles.choice.model import QuantityModel
from malles.choice.quantity import point_of_mean
from malles.data.loading import load_dataset
from malles.evaluation.comparison import compare_units
from malles.head.quantity import QuantitySettings
from malles.occasions.build import build_occasions
from malles.occasions.catalogue import build_catalogue
from malles.occasions.splits import build_split
from malles.profiles.quantity import QuantityProfiles, chosen_only
from malles.rules.expression import complexity, evaluate
from malles.rules.front import Rows
from malles.rules.power_law import Loss, PowerLaw
from malles.rules.printing import describe_rule, format_rule
from malles.rules.search import RuleSearch, exact_law
from malles.stages.unit_rules import (
    MEANING,
    Engine,
    compare_what_if,
    other_worlds,
    price_condition,
    teach_price,
    unit_rows,
)  # fmt: skip
from malles.vocabulary import ChoiceData

TRUTH = {"a": 1.0, "b": 1.0, "p": -1.5}
NOISE = 0.05
PRICE_SIGN = 5.0
"""Of 0, 1, 5, 20 the deviance of weeks 37 to 40, fitted on 9 to 36, falls and is flat from 5 on."""


def draw_law(seed: int, rows: int, kind: str) -> Rows:
    """Inputs a, b, p and an idle one, log-normal with spread 0.4, and the target of one kind of noise."""
    rng = np.random.default_rng(seed)
    logs = rng.normal(0, 0.4, (rows, 4))
    clean = np.exp(logs[:, 0] + logs[:, 1] - 1.5 * logs[:, 2])
    noise = NOISE * rng.normal(size=rows)
    target = {
        "product": clean * (1 + noise),
        "threshold, noise in percent": np.maximum(0, clean - 1) * (1 + noise),
        "threshold, noise before the cut": np.maximum(0, clean - 1 + clean.std() * noise),
    }[kind]
    return Rows({n: np.exp(logs[:, i]) for i, n in enumerate(("a", "b", "p", "idle"))}, target)


def is_exact(law: PowerLaw) -> bool:
    """The right inputs, each exponent within 0.01."""
    found = dict(zip(law.names, law.exponent, strict=True))
    return found.keys() == TRUTH.keys() and all(abs(found[n] - e) <= 0.01 for n, e in TRUTH.items())


def recover(seeds: int, rows: int) -> dict[str, Any]:
    """How often each law is found exactly."""
    out: dict[str, Any] = {}
    for kind in ("product", "threshold, noise in percent", "threshold, noise before the cut"):
        began = process_time()
        laws = [exact_law(draw_law(seed, rows, kind)) for seed in range(seeds)]
        out[kind] = {
            "exact": f"{sum(map(is_exact, laws))} of {seeds}",
            "laws": [format_rule(law.expression(), 4) for law in laws],
            "processor_seconds": round(process_time() - began, 2),
        }
    return out


def mean_of(model: QuantityModel) -> Engine:
    """Mean units of the product that was bought."""
    return lambda data: np.asarray(model.predict(data)[0])[:, 1].astype(np.float64)


def explain_units(
    occasions: int, seed: int, draws: int, last: int, price_sign: float, prices: tuple[float, ...]
) -> dict[str, Any]:
    """The rules for units, their scores beside the others' and their what-ifs beside the units heads'."""
    rng = np.random.default_rng(seed)
    catalogue = build_catalogue(load_dataset("complete_journey"), fit_until_week=last)
    cold = build_split(catalogue)
    profiles = QuantityProfiles(catalogue)

    def bought(weeks: tuple[int, int], most: int | None) -> ChoiceData:
        found = build_occasions(catalogue, None, weeks, ~cold.cold_customer, ~cold.cold_category).occasions
        found = found.take(np.flatnonzero((found.chosen > 0) & (found.units > 0)))
        if most is not None and most < len(found):
            found = found.take(np.sort(rng.choice(len(found), most, replace=False)))
        return profiles.build(chosen_only(found))

    train, valid = bought((9, last), occasions), bought((last + 1, last + 4), None)
    held = unit_rows(valid, capped=False)
    condition = price_condition(profiles, bought((last - 3, last), None))
    worlds = other_worlds(profiles, train)
    signed = QuantitySettings(seed=seed, price_sign=price_sign)
    answers, fronts = {}, {}
    models: dict[str, QuantityModel] = {
        "item mean": HistoricalMean("item_mean").fit(train),
        "customer-item mean": HistoricalMean("customer_item_mean").fit(train),
        "LightGBM Poisson": BoostedQuantity(seed=seed).fit(train),
        "units head": QuantitySettings(seed=seed).fit(train),
        "units head, price sign": signed.fit(train, tuple(worlds.values())),
    }
    for name, model in models.items():
        answers[name] = tuple(np.asarray(part)[:, 1] for part in model.predict(valid))
    for name, first in (("rule", ()), ("rule with price", ("price_ratio",))):
        search = RuleSearch(Loss.POISSON, floor=1.0, first=first)
        wanted = (condition,) if first else ()
        fronts[name] = search.find(unit_rows(train, capped=True), held, rng, conditions=wanted)
        mean = np.maximum(evaluate(fronts[name].best.expression, held.inputs), 1.0)
        answers[name] = (mean, point_of_mean(mean))
    search = RuleSearch(Loss.POISSON, floor=1.0, first=("price_ratio",), genetic=False)
    law = search.find(
        unit_rows(train, capped=True), held, np.random.default_rng(seed), conditions=[condition]
    )
    taught = teach_price(law.best.expression, train, worlds, mean_of(models["units head, price sign"]))
    mean = np.maximum(evaluate(taught, held.inputs), 1.0)
    answers["rule, taught price"] = (mean, point_of_mean(mean))
    rules = {name: front.best.expression for name, front in fronts.items()} | {"rule, taught price": taught}
    table = compare_units(
        answers, valid.occasions.units, valid.occasions.customer, "LightGBM Poisson", rng, draws=draws
    ).to_dict()
    return {
        "purchases": {"fitted": len(train.occasions), "scored": len(valid.occasions)},
        "scores": [s for s in table["scores"] if s["metric"] == "units_deviance_loss"],
        "differences": [d for d in table["differences"] if d["metric"] == "units_deviance_loss"],
        "rules": {
            name: {
                "formula": format_rule(rule, 3),
                "sentence": describe_rule(rule, "Units", MEANING),
                "nodes": complexity(rule),
                "what_if": {
                    head: [
                        asdict(match)
                        for match in compare_what_if(rule, profiles, valid, mean_of(models[head]), prices)
                    ]
                    for head in ("units head", "units head, price sign")
                },
            }
            for name, rule in rules.items()
        },
        "fronts": {
            name: {
                "rules": [[r.complexity, round(r.error, 4), str(r)] for r in front.rules],
                "refused": len(front.refused),
            }
            for name, front in fronts.items()
        },
        "processor_seconds": round(process_time(), 1),
    }  # fmt: skip


def main() -> None:
    """Measure one part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=["laws", "units"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--occasions", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--price-sign", type=float, default=PRICE_SIGN)
    parser.add_argument("--prices", type=float, nargs="+", default=[0.8, 0.9, 1.1])
    parser.add_argument("--last", type=int, default=40, help="last fitted week; the four after it are scored")
    asked = parser.parse_args()
    found = (
        recover(asked.seeds, asked.rows)
        if asked.part == "laws"
        else explain_units(
            asked.occasions, asked.seed, asked.draws, asked.last, asked.price_sign, tuple(asked.prices)
        )
    )
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
