"""Calibration of choice: do product shares come closer to the market, and what gets worse?

    python benchmarks/calibration.py [--lightgbm]           fit to 36, calibrate on 37-40, judge on 41-44
    python benchmarks/calibration.py --fit-until 40         fit to 40, follow from 41 on, judge on 41-44
    python benchmarks/calibration.py --test                 fit to 40, calibrate on 41-44, judge on 45-53

Every map is fitted on weeks before those it is judged on; "followed week by week" also sees the judged weeks
before the one that it predicts. Prints log-loss (paired), promotion response, and the excess of share
distances over the sampling floor by category, category-week and product, with paired household intervals.
Models are kept in runs/benchmark-models; fitting one takes about two processor-minutes. `--test` is to be run
once per closing note.

`--placebo` draws every choice from the head itself, so that nothing drifts and there is nothing to gain: what
"followed week by week" still takes off the excess of pooled weeks is mechanical (it corrects in one judged
week what was missed in the one before), and is to be taken off its gain on the real choices.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from market_room import fitted_choice

from malles.calibration.drift import DriftPrior, follow_shares, select_prior
from malles.calibration.mapping import fit_share_map, select_penalty
from malles.calibration.reweighting import balance_weights
from malles.calibration.temperature import fit_temperature
from malles.data.loading import load_dataset
from malles.evaluation.comparison import compare_models
from malles.evaluation.promotion import promotion_response
from malles.evaluation.share_comparison import LEVELS, compare_share_distances
from malles.occasions.build import build_occasions
from malles.occasions.catalogue import build_catalogue
from malles.occasions.families import product_families
from malles.occasions.splits import build_split
from malles.profiles.features import FeatureStore
from malles.vocabulary import Catalogue, Occasions, Regime

BLOCK = 20_000


def main() -> None:
    """Fit, calibrate, judge, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fit-until", type=int, default=36, choices=[36, 40])
    parser.add_argument("--test", action="store_true")
    parser.add_argument("--lightgbm", action="store_true")
    parser.add_argument("--placebo", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--draws", type=int, default=300)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    fit_until = 40 if asked.test else asked.fit_until
    first, judged = fit_until + 1, (45, 53) if asked.test else (41, 44)
    catalogue = build_catalogue(load_dataset("complete_journey"), fit_until_week=40)
    cold = build_split(catalogue)
    o = build_occasions(
        catalogue, None, (first, judged[1]), ~cold.cold_customer, ~cold.cold_category
    ).occasions
    store = FeatureStore(catalogue)
    names = ["head", *(["lightgbm"] if asked.lightgbm else [])]
    raw = {name: predict(catalogue, store, name, fit_until, o, asked.seed) for name in names}
    if asked.placebo:
        o = draw_choices(raw["head"], o, np.random.default_rng([asked.seed, 9]))
    late = np.flatnonzero(o.week >= judged[0])
    products = catalogue.products
    family = product_families(products.category, products.size)
    answers, weights, notes = calibrate(
        raw["head"], o, late, judged[0], family, catalogue, placebo=asked.placebo
    )
    answers |= {name: p[late] for name, p in raw.items() if name != "head"}
    print(json.dumps({
        "fitted until": fit_until, "judged": judged, "occasions": len(late), **notes,
        **judge(answers, weights, o.take(late), asked.seed, asked.draws),
    }, indent=1))  # fmt: skip


def predict(
    catalogue: Catalogue, store: FeatureStore, name: str, until: int, o: Occasions, seed: int
) -> np.ndarray:
    """Probabilities of a model fitted on weeks 9 to `until`."""
    model = fitted_choice(catalogue, name, until, seed)
    parts = [
        model.predict(store.build(o.take(np.arange(a, min(a + BLOCK, len(o)))), Regime.FULL))
        for a in range(0, len(o), BLOCK)
    ]
    return np.concatenate(parts)


def draw_choices(p: np.ndarray, o: Occasions, rng: np.random.Generator) -> Occasions:
    """The same occasions with choices drawn from the probabilities."""
    run = np.cumsum(np.where(o.available, p, 0), axis=1)
    chosen = (rng.random((len(o), 1)) * run[:, -1:] >= run).sum(axis=1)
    return replace(o, chosen=chosen.astype(np.int16))


def calibrate(
    p: np.ndarray, o: Occasions, late: np.ndarray, judged_from: int, family: np.ndarray, catalogue: Catalogue,
    *, placebo: bool,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, object]]:  # fmt: skip
    """Every map applied to the judged occasions, the weights of those reweighted, and what the fits said."""
    shown = o.take(late)
    q, there, product = p[late], shown.available, shown.product
    answers, notes = {"head": q}, {}
    early = np.flatnonzero(o.week < judged_from)
    weights: dict[str, np.ndarray] = {}
    prior = None
    if len(early):
        e = o.take(early)
        given = (p[early], e.available, e.chosen.astype(np.int64))
        temperature = fit_temperature(*given)
        penalty = select_penalty(*given, e.product, e.week, groups=len(family)).penalty
        fixed = fit_share_map(*given, e.product, groups=len(family), penalty=penalty)
        choice = select_prior(*given, e.product, e.week, family=family)
        prior = DriftPrior() if placebo else choice.prior
        balance, households = household_weights(p[early], e, catalogue)
        counts = np.ones(len(catalogue.customer_key))
        counts[households] = balance.weight * len(households)
        answers["temperature"] = temperature.apply(q, there)
        answers["product biases, fixed"] = fixed.apply(q, there, product)
        answers["household weights"] = q
        weights["household weights"] = counts[shown.customer]
        losses = {"before": choice.log_loss_before, "after": float(choice.log_loss.min())}
        notes = {
            "temperature": temperature.value,
            "penalty": penalty,
            "prior": vars(prior),
            "log-loss one week ahead on the calibration weeks": losses,
            "household weights": balance.sentence,
        }
    else:  # followed from the first judged week on, by the prior selected on weeks 37 to 40 for the fit to 36
        prior = DriftPrior()
    drift = follow_shares(p, o.available, o.chosen, o.product, o.week, family=family, prior=prior)
    if len(early):
        answers["followed to the last calibration week"] = drift.apply(
            q, there, product, shown.week, before=judged_from
        )
    answers["followed week by week"] = drift.apply(q, there, product, shown.week)
    return answers, weights, notes


MARGINS = ("choices", "private label", "10 % off or more", "on display", "in the mailer", "relative price")


def household_weights(p: np.ndarray, o: Occasions, catalogue: Catalogue):  # type: ignore[no-untyped-def]
    """Households reweighted so that what the model expects them to buy has the margins of what was bought."""
    price = np.where(o.available, o.price, np.nan)
    relative = o.price / np.nanmean(price, axis=1, keepdims=True)
    label = np.where(o.product >= 0, catalogue.products.private_label[np.maximum(o.product, 0)], False)
    off = o.price <= 0.9 * o.list_price
    tables = [np.ones(o.shape), label, off, (o.promotion & 1) > 0, (o.promotion & 6) > 0, relative]
    households, at = np.unique(o.customer, return_inverse=True)
    row = np.arange(len(o))
    expected = [np.bincount(at, (p * np.where(o.available, t, 0)).sum(1)) for t in tables]
    bought = np.array([t[row, o.chosen].sum() for t in tables]) / len(households)
    return balance_weights(np.column_stack(expected), bought, MARGINS), households


def judge(
    answers: dict[str, np.ndarray], weights: dict[str, np.ndarray], o: Occasions, seed: int, draws: int
) -> dict[str, object]:
    """Likelihood, promotion response, share distances."""
    single = {n: a for n, a in answers.items() if n not in weights}
    table = compare_models(single, o, "head", np.random.default_rng(seed), draws=draws).to_dict()
    promotion = {}
    for name, a in single.items():
        found = promotion_response(
            a, o.available, o.chosen, o.product, o.price, o.list_price, o.customer,
            np.random.default_rng(seed), draws=draws,
        )  # fmt: skip
        promotion[name] = {
            "products": len(found.product),
            "correlation": rounded(vars(found.correlation_score)),
            "slope": rounded(vars(found.slope)),
        }
    shares = [
        rounded(row)
        for level in LEVELS
        for row in compare_share_distances(
            answers, o, "head", np.random.default_rng(seed), level=level, weights=weights, draws=draws
        ).to_dicts()
    ]
    shown = ("log_loss", "hit_rate_score")
    return {
        **{k: [rounded(r) for r in table[k] if r["metric"] in shown] for k in ("scores", "differences")},
        "promotion": promotion,
        "shares": shares,
    }


def rounded(row: dict[str, object]) -> dict[str, object]:
    """Numbers to five places."""
    return {k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()}


if __name__ == "__main__":
    main()
