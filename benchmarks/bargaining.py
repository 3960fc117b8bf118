"""Bargaining with people: outcomes from cut dialogues, self-play beside people, audits.

    python benchmarks/bargaining.py --data FOLDER [--parts price deal next division points play audits]

FOLDER holds craigslist_bargain/, deal_or_no_deal/ and casino/ (see docs/method/bargaining.md). Everything is
fitted on training dialogues; the validation dialogues of CraigslistBargain and the test dialogues of
DealOrNoDeal are only scored. Prints JSON: every figure with a 95 % interval over dialogues.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from malles.data.dialogues import Dialogue, Division, Listing
from malles.data.sources.casino import load_casino
from malles.data.sources.craigslist_bargain import is_plausible, load_craigslist_bargain
from malles.data.sources.deal_or_no_deal import load_deal_or_no_deal
from malles.evaluation.bootstrap import Interval, mean_interval
from malles.wholesale.bargaining.audits import (
    buyer_surplus_share,
    deal_rate,
    division_audit,
    first_price_slope,
    mean_of,
    position_bias,
    price_distance,
    variance_ratio,
)
from malles.wholesale.bargaining.candidates import fit_median_rule
from malles.wholesale.bargaining.division import enumerate_divisions
from malles.wholesale.bargaining.division_features import build_agreement_table, build_points_table
from malles.wholesale.bargaining.division_play import DIVIDING, divide
from malles.wholesale.bargaining.features import LISTED, STANDING, add_path, build_table, prices_said
from malles.wholesale.bargaining.human import fit_concessions
from malles.wholesale.bargaining.limits import draw_sides, fit_limits, has_room
from malles.wholesale.bargaining.models import (
    FOLDS,
    fit_chance,
    fit_points,
    fit_share,
    log_losses,
)
from malles.wholesale.bargaining.play import Bargain, bargain, bargain_all
from malles.wholesale.bargaining.policies import SCRIPTED, Policy, Side
from malles.wholesale.bargaining.probes import Undercut, collusion_premium, manipulation_probe

OPEN = (1.2, 0.3)
"""Limits of the learnt policy: nothing but typing errors is excluded."""
CUTS: dict[str, int | None] = {"scenario alone": 0, "first four messages": 4, "half of the messages": None}
Json = dict[str, Any]


class Bench:
    """The data and the seed, and one method per part."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.seed = seed
        bargains = load_craigslist_bargain(folder)
        self.valid = bargains.split("validation")
        scenarios = {d.subject.scenario for d in self.valid}
        train = bargains.split("train")
        self.train = tuple(d for d in train if d.subject.scenario not in scenarios)
        self.divisions = load_deal_or_no_deal(folder)
        self.camps = load_casino(folder)
        self.about: Json = {
            "seed": seed,
            "training dialogues left out, scenario also in validation": len(train) - len(self.train),
        }
        for source in (bargains, self.divisions, self.camps):
            self.about[source.source] = {
                "records": source.records, "dialogues": len(source), "quarantined": source.causes,
                "notes": dict(source.notes),
            }  # fmt: skip

    def price(self) -> Json:
        """Agreed price as a share of the list price, cut after half, closing price removed."""
        train = [d for d in self.train if d.outcome.agreed]
        valid = [d for d in self.valid if d.outcome.agreed]
        y, truth = shares(train), shares(valid)
        fine = np.array([is_plausible(d) for d in valid])
        found: Json = {"training deals": len(train), "validation deals": len(valid)}
        for name, most in CUTS.items():
            table, held = (add_path(t, ds, c) for ds in (train, valid) for t, c in [build_table(ds, most)])
            cuts = build_table(valid, most)[1]
            model = fit_share(table, y, self.seed, linear=STANDING)
            rule = fit_median_rule(table.numbers[:, 0], y)(held)
            error, other = (np.abs(p - truth) for p in (model.predict(held), rule))
            found[name] = {
                "chosen": model.name,
                "cross-validated error": rounded(model.errors),
                "messages removed per dialogue": round(float(np.mean([c.removed for c in cuts])), 2),
                **{
                    part: {
                        "model": self.mean(error[rows]),
                        "median rule": self.mean(other[rows]),
                        "model - rule": self.mean((error - other)[rows]),
                        "deals": int(rows.sum()),
                    }
                    for part, rows in (("all deals", np.ones(len(fine), bool)), ("no typing errors", fine))
                },
            }
        return found

    def deal(self) -> Json:
        """Deal or not."""
        y, truth = (np.array([d.outcome.agreed for d in ds]) for ds in (self.train, self.valid))
        found: Json = {}
        for name, most in CUTS.items():
            model = fit_chance(build_table(self.train, most)[0], y, self.seed)
            chance = model.predict(build_table(self.valid, most)[0])
            found[name] = self.chance(model, chance, truth, float(y.mean()))
        return found

    def next(self) -> Json:
        """The next price that somebody names after the cut, who names it given."""
        rows = []
        for dialogues in (self.train, self.valid):
            table, cuts = build_table(dialogues)
            table = add_path(table, dialogues, cuts)
            later = [prices_said(c.later, d.subject.list_price) for d, c in zip(dialogues, cuts, strict=True)]
            kept = np.array([bool(s) for s in later])
            buyer = np.array([s[0].role == "buyer" for s in later if s])
            share = np.array([s[0].share for s in later if s])
            rows.append((table.select(kept).with_number(buyer.astype(float)), buyer, share))
        (table, buyer, share), (held, held_buyer, truth) = rows
        by = table.numbers.shape[1] - 1
        model = fit_share(table, share, self.seed, linear=STANDING, by=by)
        rule = np.zeros(len(truth))
        for side in (True, False):
            fitted = fit_median_rule(table.numbers[buyer == side, 0], share[buyer == side])
            rule[held_buyer == side] = fitted(held.select(held_buyer == side))
        error, other = (np.abs(p - truth) for p in (model.predict(held), rule))
        return {
            "chosen": model.name, "cross-validated error": rounded(model.errors),
            "training": len(share), "validation": len(truth),
            "model": self.mean(error), "median by side and target": self.mean(other),
            "model - rule": self.mean(error - other),
        }  # fmt: skip

    def division(self) -> Json:
        """DealOrNoDeal: agreement, fitted on the source's training split, scored on its test split."""
        train, test = (
            [d for d in self.divisions.split(s) if d.status != "disconnect"] for s in ("train", "test")
        )
        y, truth = (np.array([d.outcome.agreed for d in ds]) for ds in (train, test))
        found: Json = {"training": len(train), "test": len(test)}
        for name, most in (("scenario alone", 0), ("first two messages", 2), ("half of the messages", None)):
            model = fit_chance(build_agreement_table(train, most), y, self.seed)
            chance = model.predict(build_agreement_table(test, most))
            found[name] = self.chance(model, chance, truth, float(y.mean()))
        return found

    def points(self) -> Json:
        """CaSiNo: points of each side, cross-validated by dialogue, candidates chosen inside each fold."""
        found: Json = {}
        for name, most in (("priorities alone", 0), ("half of the messages", None)):
            table, y, _ = build_points_table(self.camps.dialogues, most)
            fold = table.folds(FOLDS, self.seed + 1)
            guess, mean, chosen = np.zeros(len(y)), np.zeros(len(y)), []
            for k in range(FOLDS):
                held = fold == k
                model = fit_points(table.select(~held), y[~held], self.seed)
                guess[held] = model.predict(table.select(held))
                mean[held] = y[~held].mean()
                chosen.append(model.name)
            case = np.unique(table.group, return_inverse=True)[1]
            found[name] = {
                "chosen": chosen, "sides": len(y), "dialogues": int(case.max()) + 1,
                **{
                    what: {
                        "model": self.mean(loss(guess - y), case),
                        "mean predictor": self.mean(loss(mean - y), case),
                        "model - mean predictor": self.mean(loss(guess - y) - loss(mean - y), case),
                    }
                    for what, loss in (("squared error", np.square), ("absolute error", np.abs))
                },
            }  # fmt: skip
        return found

    def play(self) -> Json:
        """Self-play on the validation listings and targets beside people."""
        people = shares([d for d in self.valid if is_plausible(d)])
        ratios = np.array([d.subject.buyer_target / d.subject.list_price for d in self.valid])
        sides = draw_sides(ratios, fit_limits(self.train), np.random.default_rng(self.seed))
        played = {name: self.scripted(p, p, sides) for name, p in SCRIPTED.items()}
        played["boulware buyer, conceder seller"] = self.scripted(
            SCRIPTED["boulware"], SCRIPTED["conceder"], sides
        )
        played["conceder buyer, boulware seller"] = self.scripted(
            SCRIPTED["conceder"], SCRIPTED["boulware"], sides
        )
        played["learnt from people"] = self.learnt(ratios)
        found: Json = {
            "people": {
                "deal rate": self.mean(np.array([d.outcome.agreed for d in self.valid], float)),
                "price": summary(people),
            },
            "cases with room between the drawn limits": round(float(has_room(sides).mean()), 3),
        }
        for name, bargains in played.items():
            price = np.array([b.price for b in bargains if b.deal])
            distance, floor = price_distance(price, people, self.rng())
            found[name] = {
                "deal rate": plain(deal_rate(bargains, self.rng())),
                "price": summary(price),
                "wasserstein-1": plain(distance),
                "wasserstein-1 of a sample of people": round(floor, 4),
                "variance beside people": plain(variance_ratio(price, people, self.rng())),
                "turns": round(float(np.mean([b.turns for b in bargains])), 2),
            }
            if name != "learnt from people":
                split = buyer_surplus_share(bargains, sides, self.rng())
                found[name]["buyer's share of the surplus"] = plain(split)
        return found

    def audits(self) -> Json:
        """First prices, positions, divisions, two sellers, words."""
        ratios = np.array([d.subject.buyer_target / d.subject.list_price for d in self.valid])
        sides = draw_sides(ratios, fit_limits(self.train), np.random.default_rng(self.seed))
        return {
            "people": self.people(),
            "who begins (buyer - seller)": {
                name: plain(
                    position_bias(
                        self.scripted(p, p, sides), self.scripted(p, p, sides, first="seller"), self.rng()
                    )
                )
                for name, p in SCRIPTED.items()
            },
            "two sellers of the same cost": self.sellers(sides),
            "words": {
                name: {
                    "bargains": m.bargains, "moved": m.moved, "shift": plain(m.shift),
                    "broken limits": m.broken,
                }
                for name, p in SCRIPTED.items()
                for m in [manipulation_probe({"buyer": p, "seller": p}, sides, self.seed)]
            },
            "DealOrNoDeal, test split": self.dividing(self.divisions.split("test")),
            "CaSiNo": self.dividing(self.camps.dialogues),
        }  # fmt: skip

    def people(self) -> Json:
        """What the audits say of people (all dialogues with plausible prices)."""
        deals = [d for d in (*self.train, *self.valid) if is_plausible(d)]
        price = shares(deals)
        ratio = np.array([d.subject.buyer_target / d.subject.list_price for d in deals])
        said = [prices_said(d.turns, d.subject.list_price) for d in deals]
        given = (1 - price) / np.maximum(1 - ratio, 1e-9)
        found: Json = {
            "deals": len(deals),
            "inside [buyer's target, list price]": self.mean(((given >= 0) & (given <= 1)).astype(float)),
            "buyer's share between the targets, median": round(float(np.median(given)), 3),
        }
        for role in ("buyer", "seller"):
            first = np.array(
                [next((s.share for s in x if s.role == role and s.share < LISTED), np.nan) for x in said]
            )
            known = np.isfinite(first) & (np.abs(first - price) > 1e-6)  # a first price that was not the deal
            slope = first_price_slope(first[known], price[known], ratio[known], self.rng())
            found[f"slope of the price on the first price of the {role}"] = {
                **plain(slope), "deals": int(known.sum()),
            }  # fmt: skip
        opener = [next((s.role for s in x if s.role == "buyer" or s.share < LISTED), "") for x in said]
        known = np.array([bool(o) for o in opener])
        buyer = np.array([o == "buyer" for o in opener], float)[known]
        gap = first_price_slope(buyer, price[known], ratio[known], self.rng())
        found["buyer proposed first - seller did, target held"] = {
            **plain(gap), "buyer": int(buyer.sum()), "seller": int((1 - buyer).sum()),
        }  # fmt: skip
        return found

    def sellers(self, sides: Sequence[tuple[Side, Side]]) -> Json:
        """Price above cost: two sellers of the same policy and cost, a buyer that waits half the time."""
        cases = [((s, s), 2.0) for _, s in sides if s.limit < s.target]
        policies: dict[str, Policy] = {"undercutting": Undercut(), **SCRIPTED}
        return {name: plain(collusion_premium((p, p), cases, self.seed)) for name, p in policies.items()}

    def dividing(self, dialogues: Sequence[Dialogue[Division]]) -> Json:
        """Divisions of people and of policies on the same cases."""
        cases = [enumerate_divisions(d.subject) for d in dialogues]
        rows: dict[str, list[int | None]] = {
            "people": [
                c.at(d.outcome.takes[c.roles[0]]) if d.outcome.takes else None
                for d, c in zip(dialogues, cases, strict=True)
            ]
        }
        for name, p in DIVIDING.items():
            rows[name] = [divide(c, (p, p)).row for c in cases]
        found: Json = {}
        for name, agreed in rows.items():
            found[name] = {k: plain(v) for k, v in division_audit(cases, agreed, self.rng()).items()}
            gap = [
                c.points[r, 0] - c.points[r, 1] for c, r in zip(cases, agreed, strict=True) if r is not None
            ]
            if name != "people":
                found[name]["points of who begins - of the other"] = self.mean(np.array(gap))
        return found

    def scripted(
        self, buyer: Policy, seller: Policy, sides: Sequence[tuple[Side, Side]], first: str = "buyer"
    ) -> list[Bargain]:
        return bargain_all({"buyer": buyer, "seller": seller}, sides, self.seed, first=first)

    def learnt(self, ratios: np.ndarray) -> list[Bargain]:
        learnt = fit_concessions(self.train)
        found = []
        for i, ratio in enumerate(ratios):
            p = learnt.policy(float(ratio))
            sides = Side("buyer", float(ratio), OPEN[0]), Side("seller", 1.0, OPEN[1])
            found.append(bargain({"buyer": p, "seller": p}, *sides, np.random.default_rng([self.seed, i])))
        return found

    def chance(self, model: Any, chance: np.ndarray, truth: np.ndarray, base: float) -> Json:
        y = truth.astype(float)
        loss, other = log_losses(y, chance), log_losses(y, np.full(len(y), base))
        return {
            "chosen": model.name, "cross-validated log-loss": rounded(model.errors), "rows": len(y),
            "model": self.mean(loss), "base rate": self.mean(other),
            "model - base rate": self.mean(loss - other),
        }  # fmt: skip

    def mean(self, value: np.ndarray, cluster: np.ndarray | None = None) -> Json:
        if cluster is None:
            return plain(mean_of(value, self.rng()))
        return plain(mean_interval(np.asarray(value, float), cluster, self.rng()))

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)


def shares(dialogues: Sequence[Dialogue[Listing]]) -> np.ndarray:
    """Agreed prices as shares of the list price."""
    return np.array([(d.outcome.price or np.nan) / d.subject.list_price for d in dialogues])


def summary(price: np.ndarray) -> Json:
    """Mean, deviation and quantiles of a price."""
    low, middle, high = np.quantile(price, [0.1, 0.5, 0.9])
    names = ("mean", "deviation", "q10", "median", "q90")
    values = (price.mean(), price.std(), low, middle, high)
    return {"deals": len(price), **{n: round(float(v), 4) for n, v in zip(names, values, strict=True)}}


def plain(interval: Interval) -> Json:
    """A value with its bounds."""
    return {k: round(float(getattr(interval, k)), 4) for k in ("value", "low", "high")}


def rounded(values: Any) -> Json:
    return {k: round(float(v), 4) for k, v in values.items()}


PARTS = ("price", "deal", "next", "division", "points", "play", "audits")


def main() -> None:
    """Run the parts asked for and print JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("MALLES_DATA"), help="folder of the sources"
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    if asked.data is None:
        parser.error("name the folder of the dialogues: --data FOLDER or MALLES_DATA=FOLDER")
    bench = Bench(Path(asked.data), asked.seed)
    found: Json = {"about": bench.about}
    for part in asked.parts:
        begun = time.process_time()
        run: Callable[[], Json] = getattr(bench, part)
        found[part] = run()
        found[part]["processor-seconds"] = round(time.process_time() - begun, 1)
        print(f"{part}: {found[part]['processor-seconds']} s", file=sys.stderr)
    print(json.dumps(found, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
