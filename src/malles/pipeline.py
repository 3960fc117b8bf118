"""START HERE: the whole road on one page.

    rows → checked transactions → choice occasions → features → choice models
         → scores → market → what-if → report

`walk_road` reads top to bottom. Every stage is a step of the run's journal: what is finished and
unchanged is read from the disk, so a killed run resumes and a second one is quick. Nothing heavy is
computed before somebody needs it.
"""

from __future__ import annotations

from pathlib import Path

from malles.config import Config, build_config
from malles.journal import open_run
from malles.road import Road, Tell, be_silent
from malles.stages.check import check_config
from malles.stages.explain import explain_one_decision
from malles.stages.market import simulate_market
from malles.stages.models import fit_models
from malles.stages.occasions import build_occasion_tables
from malles.stages.page import write_report
from malles.stages.records import record_found_tables, record_given_tables, record_simulated_tables
from malles.stages.responses import find_responses
from malles.stages.scores import score_models
from malles.stages.transactions import read_transactions
from malles.stages.what_if import ask_what_if
from malles.store import Manifest, create_run_folder, load_manifest


def walk_road(road: Road) -> Path:
    """From transactions to the report; returns the path of the report."""
    walk_to_models(road)
    score_models(road)  # evaluation/   on weeks that no model saw
    simulate_market(road)  # population/ calibration/    all households, against what was sold
    record_simulated_tables(road)  # records/      every decision and aggregate, to be asked by `malles query`
    find_responses(road)  # scenarios/    how well the response to prices and promotions is known
    ask_what_if(road)  # scenarios/    one change of the shelf, and where the units came from
    explain_one_decision(road)  # profiles/     one customer, one choice, and why
    record_found_tables(road)  # records/      scores and outcomes, likewise
    return write_report(road)  # report/       one page that opens offline


def walk_to_models(road: Road) -> None:
    """The first part of the road: what `malles fit` does."""
    read_transactions(road)  # data/         rows in, each accepted or quarantined
    record_given_tables(road)  # records/      what is computed with, to be asked by `malles query`
    build_occasion_tables(road)  # occasions/    who chose among what, at which prices
    fit_models(road)  # profiles/ baselines/ head/    the past of every customer; models that choose


def start(config: Config, *, command: str = "run", tell: Tell = be_silent) -> Path:
    """Begin a new run of a configuration; returns its folder, which is not made if a setting is wrong."""
    check_config(config)
    folder = create_run_folder(config.run.root, config.run.name)
    manifest = Manifest(
        id=folder.name,
        command=command,
        config=config.model_dump(mode="json"),
        seeds={"run": config.run.seed, "models": config.models.seed, "market": config.market.seed},
    )
    return _walk(folder, manifest, config, tell)


def resume(folder: Path, tell: Tell = be_silent) -> Path:
    """Go on with a run that was stopped; finished stages are not computed again."""
    manifest = load_manifest(folder)
    return _walk(folder, manifest, build_config(manifest.config, origin=f"{folder}/run.json"), tell)


def _walk(folder: Path, manifest: Manifest, config: Config, tell: Tell) -> Path:
    with open_run(folder, manifest) as run:
        run.on_stage = lambda name, event: tell(f"{name} ({event})" if event == "reused" else name)
        road = Road(config, run, tell)
        walk_to_models(road) if manifest.command == "fit" else walk_road(road)
    return folder
