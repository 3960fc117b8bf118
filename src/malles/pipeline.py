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
from malles.journal import Run, open_run
from malles.road import Road, Tell, be_silent
from malles.store import Manifest, create_run_folder, load_manifest


def walk_road(road: Road) -> Path:
    """From transactions to the report; returns the path of the report."""
    road.read_transactions()  # data/        rows in, each accepted or quarantined
    road.build_occasions()  # occasions/    who chose among what, at which prices
    road.fit_models()  # profiles/ baselines/ head/    the past of every customer; models that choose
    road.score_models()  # evaluation/   on weeks that no model saw
    road.simulate_market()  # population/ calibration/    all households, week by week, against what was sold
    road.ask_what_if()  # scenarios/    one change of the shelf, and where the units came from
    road.explain_one_decision()  # profiles/     one customer, one choice, and why
    return road.write_report()  # report/       one page that opens offline


def walk_to_models(road: Road) -> None:
    """The first part of the road: what `malles fit` does."""
    road.read_transactions()
    road.build_occasions()
    road.fit_models()


def start(config: Config, *, command: str = "run", tell: Tell = be_silent) -> Path:
    """Begin a new run of a configuration; returns its folder."""
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


__all__ = ["Run", "resume", "start", "walk_road"]
