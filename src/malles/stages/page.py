"""Stage 9: what the run found, gathered for the page and for the terminal."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import polars as pl

from malles.errors import RunError
from malles.records.schema import TABLES
from malles.report.content import LANGUAGE_TITLE, Decision, Extra, ImportSummary, ReportContent, WhatIf
from malles.report.page import render_page
from malles.road import Road
from malles.stages.calibrated_scores import calibration_frame
from malles.stages.language import language_frame
from malles.store import Manifest, load_manifest, write_whole

PROFILE_SHOWN = {
    "baskets": "baskets so far",
    "trip_gap": "weeks between trips",
    "lines_per_basket": "lines per basket",
    "spend_per_week": "spend per week",
    "discount_bought": "share bought at a discount",
    "discount_offered": "share others bought of the same at a discount",
    "private_label": "share of private label",
    "repeat_share": "share of repeat purchases",
}
"""The numbers of a profile that the report prints."""


def write_report(road: Road) -> Path:
    """Write `report.html` of a run whose stages are done."""
    road.tell("writing the report")
    road.run.note()
    path = road.run.folder / "report.html"
    with write_whole(path) as temporary:
        temporary.write_text(render_page(load_content(road.run.folder)), encoding="utf-8")
    return path


def load_content(folder: Path) -> ReportContent:
    """What a finished run found, from its artefacts alone.

    Raises:
        RunError: a stage has not been done yet.
    """
    manifest = load_manifest(folder)
    rows, scores, market = (_read(folder, n) for n in ("01-transactions", "05-scores", "06-market"))
    units = _read(folder, "05-unit-scores")
    what_if, decision = _read(folder, "07-what-if"), _read(folder, "08-decision")
    coverage = {part: _read(folder, f"02-coverage-{part}") for part in ("train", "valid")}
    best, settings = scores["best"], manifest.config
    return ReportContent(
        title=settings["report"]["title"],
        subtitle=f"{rows['name']}: what customers choose, learnt from their receipts, and one what-if",
        run=_facts(manifest, rows, coverage),
        headline=_headline(scores, market, what_if),
        durations=pl.DataFrame(
            {
                "step": [s["name"] for s in manifest.stages],
                "seconds": [float(s["seconds"]) for s in manifest.stages],
            }
        ),
        imports=_imports(rows),
        coverage=_coverage(coverage, scores),
        scores=pl.concat([pl.DataFrame(scores["scores"]), pl.DataFrame(units["scores"])]),
        differences=pl.DataFrame(scores["differences"]) if scores["differences"] else None,
        score_note=_score_note(settings, scores),
        calibration={name: pl.DataFrame(points) for name, points in scores["calibration"].items()},
        promotion=_promotion_points(scores, best),
        promotion_model=best,
        promotion_summary=_promotion_summary(scores),
        shares=pl.DataFrame(scores["shares"]) if scores["shares"] else None,
        weekly_units=pl.DataFrame(market["weekly"]),
        market_cells=_simulated(folder, "category_week", market),
        market_total=_simulated(folder, "week_total", market),
        convergence=_simulated(folder, "fixed_point", market),
        market=pl.DataFrame(market["scores"]),
        market_note=_market_note(settings, market),
        price_response=pl.DataFrame(what_if["curve"]).select(
            "price", "share", pl.col("share_low").alias("low"), pl.col("share_high").alias("high")
        ),
        price_today=what_if["price_today"],
        currency=rows["currency"],
        what_if=_what_if(what_if),
        effects=_effects(what_if),
        decision=_decision(decision),
        rules=_read(folder, "10-rules") if (folder / "10-rules.json").is_file() else None,
        extras=(*_language(folder), _totals(market), _mean_field(market), *_calibration(folder)),
    )


def _read(folder: Path, name: str) -> Any:
    path = folder / f"{name}.json"
    if not path.is_file():
        raise RunError(f"Run {folder.name!r} lacks {path.name}; go on with: malles runs resume {folder.name}")
    return json.loads(path.read_text(encoding="utf-8"))


def _score_note(settings: dict[str, Any], scores: dict[str, Any]) -> str:
    first, last = settings["occasions"]["valid"]
    return (
        f"Weeks {first} to {last}, regime {settings['occasions']['regime']}: "
        f"{scores['occasions']:,} occasions of {scores['customers']:,} households, none of "
        f"them fitted on; the weeks are also what boosting "
        f"stops on and temperatures are set on. Intervals: {scores['draws']} draws of households."
    )


def _market_note(settings: dict[str, Any], market: dict[str, Any]) -> str:
    first, last = settings["calibration"]["weeks"]
    return (
        f"Weeks {market['weeks'][0]} to {market['weeks'][1]}, {market['mode'].replace('_', ' ')}, trips from "
        f"{market['trips']}; every unit sold in the choice categories counts, on a slate or not. Incidence "
        f"is fitted to week {settings['calibration']['fit_until']}, rates are calibrated on weeks "
        f"{first} to {last}."
    )


def _facts(manifest: Manifest, rows: dict[str, Any], coverage: dict[str, Any]) -> dict[str, str]:
    sample = manifest.config["occasions"]["sample"]
    if sample and coverage["train"]["occasions"] <= sample:
        sample = None
    return {
        "run": manifest.id,
        "data": f"{rows['name']}: {rows['provenance'].get('origin', '')}",
        "licence": str(rows["provenance"].get("licence", "not stated")),
        "lines": f"{rows['rows']['transactions']:,}",
        "promotion rows": f"{rows['rows']['promotions']:,}",
        "training sample": f"a fixed sample of {sample:,} occasions" if sample else "every occasion",
        "models": ", ".join(manifest.config["models"]["names"]),
        "seeds": ", ".join(f"{name} {seed}" for name, seed in manifest.seeds.items()),
        "data fingerprint": manifest.fingerprint[:16],
        "versions": ", ".join(f"{name} {version}" for name, version in manifest.versions.items()),
        "machine": platform.machine(),
    }


def _headline(scores: dict[str, Any], market: dict[str, Any], what_if: dict[str, Any]) -> dict[str, str]:
    value = {(s["model"], s["metric"]): s["value"] for s in scores["scores"]}
    units = {(s["model"], s["metric"]): s["value"] for s in market["scores"]}
    ours = "simulated, one week ahead, trips simulated"  # on equal terms with a forecast
    effect = what_if["effects"]["units"]
    return {
        f"log-loss of {scores['best']} (nats)": f"{value[scores['best'], 'log_loss']:.3f}",
        f"log-loss of {scores['reference']} (nats)": f"{value[scores['reference'], 'log_loss']:.3f}",
        "weekly units, weighted error, trips simulated": f"{units[ours, 'wape_error']:.1%}",
        "the same, LightGBM Poisson": f"{units['LightGBM Poisson', 'wape_error']:.1%}",
        "what-if: units of the product": f"{effect['base']:,.0f} → {effect['scenario']:,.0f}",
    }


def _imports(rows: dict[str, Any]) -> ImportSummary | None:
    imported = rows["provenance"].get("imports", {}).get("transactions")
    counts = imported or rows["provenance"].get("transactions")
    if not isinstance(counts, dict) or "records" not in counts:
        return None
    rules = counts.get("rules") or rows["provenance"].get("rules") or []
    table = pl.DataFrame(
        [
            {"rule": r["rule"], "rows": r["lines"], "treatment": f"{r['effect']}: {r['meaning']}"}
            for r in rules
        ],
        schema={"rule": pl.String, "rows": pl.Int64, "treatment": pl.String},
    )
    return ImportSummary(counts["records"], counts["accepted"], counts["quarantined"], table)


def _coverage(parts: dict[str, Any], scores: dict[str, Any]) -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    for part, found in parts.items():
        dropped = {
            k: n
            for k, n in found["dropped"].items()
            if k not in {"other weeks", "other customers", "other categories"}
        }
        total = found["occasions"] + sum(dropped.values())
        rows.append({"step": f"{part}: purchases in a choice category", "occasions": total, "share": 1.0})
        rows += [
            {"step": f"{part}: left out, {reason}", "occasions": n, "share": n / max(total, 1)}
            for reason, n in dropped.items()
        ]
        rows.append(
            {
                "step": f"{part}: choice occasions",
                "occasions": found["occasions"],
                "share": found["occasions"] / max(total, 1),
            }
        )
    return pl.DataFrame(rows)


def _promotion_points(scores: dict[str, Any], model: str) -> pl.DataFrame | None:
    found = scores["promotion"].get(model)
    return pl.DataFrame(found["points"]).select("predicted", "realised") if found else None


def _promotion_summary(scores: dict[str, Any]) -> pl.DataFrame | None:
    rows = [
        {
            "model": name,
            "products": p["products"],
            "correlation": p["correlation"]["value"],
            "slope": p["slope"]["value"],
            "slope_low": p["slope"]["low"],
            "slope_high": p["slope"]["high"],
            "error": p["error"]["value"],
            "zero_error": p["zero_response_error"],
        }
        for name, p in scores["promotion"].items()
        if isinstance(p, dict)
    ]
    return pl.DataFrame(rows) if rows else None


QUANTITIES = {
    "units": "units of the product",
    "share": "share of the category",
    "revenue": "revenue of the product",
    "category_units": "units of the category",
    "category_revenue": "revenue of the category",
}
"""What a person calls the quantities of a what-if."""


def _simulated(folder: Path, name: str, market: dict[str, Any]) -> pl.DataFrame:
    """One table of the simulated weeks that the report shows, with `actual` and `simulated` units."""
    path = folder / TABLES[name].file
    if not path.is_file():
        raise RunError(f"Run {folder.name!r} lacks {path.name}; go on with: malles runs resume {folder.name}")
    shown = (pl.col("mode") == market["mode"]) & (pl.col("trip_source") == market["trips"])
    table = pl.read_parquet(path).filter(shown)
    return table.rename({"expected_units": "simulated", "actual_units": "actual"}, strict=False)


def _effects(found: dict[str, Any]) -> pl.DataFrame | None:
    """Changes of the what-if as parts of the base world; quantities that were nothing have none."""
    rows = [
        {"name": QUANTITIES[name], **{end: e["change"][end] / e["base"] for end in ("value", "low", "high")}}
        for name, e in found["effects"].items()
        if e["base"] and None not in e["change"].values()
    ]
    return pl.DataFrame(rows) if rows else None


def _what_if(found: dict[str, Any]) -> WhatIf:
    effects = [
        {
            "quantity": QUANTITIES[name],
            "base": e["base"],
            "scenario": e["scenario"],
            "difference": e["change"]["value"],
            "low": e["change"]["low"],
            "high": e["change"]["high"],
        }
        for name, e in found["effects"].items()
    ]
    sources = {
        "shelf": "other products of the slate",
        "other": "products outside the slate",
        "expansion": "the category growing",
    }
    diversion = [
        {"source": sources[name], "share": d["value"], "low": d["low"], "high": d["high"]}
        for name, d in found["diversion"].items()
    ]
    return WhatIf(
        found["question"],
        pl.DataFrame(effects),
        pl.DataFrame(diversion),
        f"{found['category']}; {found['occasions']:,} trips of {found['households']:,} households, trips "
        f"from {found['trips']}. Intervals: households resampled, both worlds drawn with the same random "
        f"numbers; the models are not refitted per draw. {found['note']}".rstrip(),
    )


def _decision(found: dict[str, Any]) -> Decision:
    profile = found["profile"]
    return Decision(
        found["heading"],
        {title: f"{profile[name]:,.2f}" for name, title in PROFILE_SHOWN.items() if name in profile},
        found["profile_text"],
        pl.DataFrame(found["alternatives"]),
        pl.DataFrame(found["contributions"]),
        found["contributions_of"],
    )


def _mean_field(market: dict[str, Any]) -> Extra:
    """How each week's mean field was solved."""
    return Extra(
        "The mean field: how each week was solved",
        pl.DataFrame(market["mean_field"]),
        f"{market['reaction']['sentence']}, estimated on customers that no model was fitted on. A week "
        "solves the shares that customers see against the shares they make.",
    )


def _calibration(folder: Path) -> list[Extra]:
    """What following product shares made better and worse, if the run did."""
    if not (folder / "06-calibrated-scores.json").is_file():
        return []
    rows = _read(folder, "06-calibrated-scores")
    note = (
        "The market's choice model before and after its product shares were followed week by week, each week "
        "from the weeks before it; differences are paired by household, those of promotion response are not. "
        "Part of the gains in pooled weeks (category, product) is mechanical, as a week corrects another; "
        "log-loss and category-weeks are not flattered."
    )
    return (
        [Extra("Calibration: what got better, what got worse", calibration_frame(rows), note)] if rows else []
    )


def _language(folder: Path) -> list[Extra]:
    """The language model beside the others, if the run has one."""
    if not (folder / "05-language-scores.json").is_file():
        return []
    found = _read(folder, "05-language-scores")
    return [
        Extra(LANGUAGE_TITLE, language_frame(found), found["note"]),
    ]


def _totals(market: dict[str, Any]) -> Extra:
    """All categories together, week by week, every forecast beside what was sold."""
    weeks = range(market["weeks"][0], market["weeks"][1] + 1)
    frame = pl.DataFrame(
        [
            {"forecast": n, **{f"week {w}": v for w, v in zip(weeks, t, strict=True)}}
            for n, t in market["total"].items()
        ]
    )
    return Extra("Units of all choice categories by week", frame)
