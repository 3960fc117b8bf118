"""Short rules for a finished run: units given a purchase, and a copy of the market's choice model.

Writes `10-rules.json` and `10-rules.csv` into the run, and its report anew with a section on the rules.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from malles.arrays import read_arrays
from malles.choice.quantity import poisson_deviance
from malles.engines import find_engine, market_model
from malles.errors import RunError, UsageError
from malles.profiles.quantity import QuantityProfiles
from malles.report.page import render_page
from malles.road import Tell
from malles.rules.copying import copy_utility
from malles.rules.expression import variables
from malles.rules.front import RuleFront
from malles.rules.power_law import Loss
from malles.rules.printing import describe_rule, format_rule, safe_cell, spreadsheet_formula
from malles.rules.reading import read_rule
from malles.rules.search import RuleSearch
from malles.stages.finished import FinishedRun, open_finished
from malles.stages.page import load_content
from malles.stages.unit_rules import MEANING, compare_what_if, price_condition, unit_rows
from malles.stages.units import bought, load_units
from malles.store import write_whole
from malles.vocabulary import ChoiceData, Occasions

COPIED = 4_000
"""Occasions that the copy of the choice model is fitted and checked on."""
LAST_WEEKS = 4
"""The economic condition is checked on the last so many training weeks."""


def fit_rules(root: Path, run: str, search: RuleSearch, seed: int, tell: Tell) -> dict[str, Any]:
    """Rules of a run, with held-out errors, complexity and fidelity.

    Args:
        root: folder of all runs.
        run: name of the run.
        search: how rules are looked for; its loss is Poisson.
        seed: of the draws.
        tell: told what is going on.

    Raises:
        RunError: the run has no occasions or models yet.
    """
    finished = open_finished(root, run, tell)
    rng = np.random.default_rng(seed)
    found: dict[str, Any] = {
        "run": run,
        "seed": seed,
        "units": _units(finished, replace(search, loss=Loss.POISSON, floor=1.0), rng, tell),
        "utility": _utility(finished, rng, tell),
    }
    with write_whole(finished.folder / "10-rules.json") as path:
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    with write_whole(finished.folder / "10-rules.csv") as path:
        path.write_text(front_table(found["units"]), encoding="utf-8")
    if (finished.folder / "report.html").is_file():
        with write_whole(finished.folder / "report.html") as path:
            path.write_text(render_page(load_content(finished.folder)), encoding="utf-8")
    return found


def export_rule(found: dict[str, Any], path: Path) -> None:
    """The chosen rule for units for a spreadsheet: `.csv`, inputs beside the formula, or `.txt`, the formula.

    Raises:
        UsageError: another ending.
    """
    check_export(path)
    units = found["units"]
    if path.suffix == ".txt":
        text = units["formula_by_name"] + "\n"
    else:
        text = _written([*zip(units["inputs"], units["example"], strict=True)], units["formula_by_cell"])
    with write_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_export(path: Path) -> None:
    """Refuse a file that no rule can be written to, before the search begins."""
    if path.suffix not in {".csv", ".txt"}:
        raise UsageError(f"--export {path} should end in .csv (a sheet) or .txt (the formula alone).")


def front_table(units: dict[str, Any]) -> str:
    """The front as CSV; no cell can be taken for a formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["nodes", "error", "low", "high", "chosen", "source", "rule"])
    for r in units["front"]:
        text = [safe_cell(r["source"]), safe_cell(r["rule"])]
        writer.writerow([r["nodes"], r["error"], r["low"], r["high"], r["chosen"], *text])
    return out.getvalue()


def _units(finished: FinishedRun, search: RuleSearch, rng: np.random.Generator, tell: Tell) -> dict[str, Any]:
    tell("features of purchases")
    train_occasions, valid_occasions = (_occasions(finished, part) for part in ("train", "valid"))
    train, valid = bought(finished.catalogue, train_occasions), bought(finished.catalogue, valid_occasions)
    profiles = QuantityProfiles(finished.catalogue)
    late = train.occasions.take(
        np.flatnonzero(train.occasions.week > train.occasions.week.max() - LAST_WEEKS)
    )
    conditions = [price_condition(profiles, profiles.build(late))] if len(late) else []
    tell("searching rules for units")
    held = unit_rows(valid, capped=False)
    front = search.find(unit_rows(train, capped=True), held, rng, conditions=conditions)
    head = load_units(finished.folder / "03-models" / "units")

    def engine(data: ChoiceData) -> np.ndarray:
        return np.asarray(head.predict(data)[0])[:, 1].astype(np.float64)

    tell("comparing what-ifs")
    rule = front.best.expression
    inputs = sorted(variables(rule))
    answer = compare_what_if(rule, profiles, valid, engine)
    return {
        **front_facts(front),
        "sentence": describe_rule(rule, "Units", MEANING),
        "floor": 1.0,
        "head_error": poisson_deviance(np.maximum(engine(valid), 1.0), held.target),
        "what_if": [asdict(match) for match in answer if match.cells],
        "inputs": inputs,
        "example": [round(float(np.median(held.inputs[n])), 4) for n in inputs],
        "formula_by_name": _at_least_one(spreadsheet_formula(rule, {n: n for n in inputs})),
        "formula_by_cell": _at_least_one(
            spreadsheet_formula(rule, {n: f"B{i + 1}" for i, n in enumerate(inputs)})
        ),
    }


def front_facts(front: RuleFront) -> dict[str, Any]:
    """A front as plain values."""
    return {
        "rule": format_rule(front.best.expression),
        "nodes": front.best.complexity,
        "front": [
            {
                "nodes": r.complexity, "error": r.error, "low": r.low, "high": r.high,
                "chosen": i == front.chosen, "source": r.source, "rule": str(r),
            }
            for i, r in enumerate(front.rules)
        ],
        "refused": [{"rule": rule, "reason": reason} for rule, reason in front.refused],
        "notes": list(front.notes),
    }  # fmt: skip


def _utility(finished: FinishedRun, rng: np.random.Generator, tell: Tell) -> list[dict[str, Any]]:
    """Copies of the choice model behind the market, on held-out occasions: half fitted, half checked."""
    name = market_model(finished.config.models.names)
    if find_engine(name).slow:
        return []
    tell(f"copying {name}")
    occasions = _occasions(finished, "valid")
    some = occasions.take(np.sort(rng.choice(len(occasions), min(COPIED, len(occasions)), replace=False)))
    data = finished.features(some)
    probability = np.asarray(finished.model(name).predict(data), np.float64)
    there = some.available & (some.product >= 0) & (probability > 0)
    there &= (there.sum(axis=1) > 1)[:, None]
    held = rng.random(len(some)) < 0.5
    copies = copy_utility(data.features, probability, there, held, data.feature_names)
    return [
        {
            "model": name, "nodes": c.complexity, "rule": format_rule(c.expression, 3),
            "variance_share": c.variance_share, "agreement": c.agreement,
        }
        for c in copies
    ]  # fmt: skip


def _occasions(finished: FinishedRun, part: str) -> Occasions:
    path = finished.folder / f"02-occasions-{part}.safetensors"
    if not path.is_file():
        name = finished.folder.name
        raise RunError(f"Run {name!r} has no {part} occasions yet; go on with: malles runs resume {name}")
    return read_arrays(Occasions, path)


def _at_least_one(formula: str) -> str:
    return f"=MAX(1,{formula[1:]})"


def _written(rows: list[tuple[str, float]], formula: str) -> str:
    """Input names and example values in columns A and B, the formula below them."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([(safe_cell(name), value) for name, value in rows])
    writer.writerow(["units", formula])
    return out.getvalue()


def read_saved_rule(folder: Path) -> str:
    """The rule for units that a run keeps, checked by our own grammar.

    Raises:
        RunError: the run has no rules.
        UsageError: the file holds something that is no rule.
    """
    path = folder / "10-rules.json"
    if not path.is_file():
        raise RunError(f"Run {folder.name!r} has no rules yet; find them with: malles rules {folder.name}")
    text = str(json.loads(path.read_text(encoding="utf-8"))["units"]["rule"])
    return format_rule(read_rule(text))
