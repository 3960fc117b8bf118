"""Scores of a finished run on any held-out split; looks at test weeks are written down."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from malles.engines import find_engine
from malles.errors import RunError
from malles.occasions.build import build_occasions
from malles.road import Tell
from malles.stages.finished import FinishedRun, open_finished
from malles.stages.occasions import occasion_rules
from malles.stages.scores import score_all
from malles.store import load_manifest
from malles.vocabulary import Occasions


def evaluate_run(root: Path, run: str, split: str, tell: Tell) -> dict[str, Any]:
    """Scores of every model of a run on one split.

    Args:
        root: folder of all runs.
        run: name of the run.
        split: 'valid', 'frozen' (benchmark v1's fixed valid occasions), or one of the test splits 'temporal',
            'cold-category', 'cold-customer', 'cold-both', whose use is appended to `test-uses.jsonl`.
        tell: told what is going on.
    """
    finished = open_finished(root, run, tell)
    settings = finished.config.evaluation
    if split == "valid":
        path = finished.folder / "05-scores.json"
        if not path.is_file():
            if load_manifest(finished.folder).command == "fit":
                raise RunError(
                    f"Run {run!r} was made by `malles fit` and has only models; scores come from: malles run "
                    "CONFIG, with the same configuration (its models are reused, not fitted again)."
                )
            raise RunError(f"Run {run!r} has no scores yet; go on with: malles runs resume {run}")
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return kept
    occasions = split_occasions(finished, split)
    data = finished.features(occasions)
    predictions = {}
    for name in finished.config.models.names:
        if find_engine(name).slow:
            continue  # a language model is scored on its fixed sample, when the run is made
        tell(f"predicting with {name}")
        predictions[name] = finished.model(name).predict(data).astype(np.float32)
    scores = score_all(predictions, occasions, settings.bootstrap, settings.seed)
    if split != "frozen":
        _write_down(finished.folder, split, scores)
    return {**scores, "split": split, "run": run}


def split_occasions(finished: FinishedRun, split: str) -> Occasions:
    """The occasions of a split, by the rules of the run."""
    from malles.occasions.splits import build_split

    settings = finished.config.occasions
    rules = occasion_rules(finished.catalogue, settings)
    cold = build_split(finished.catalogue)
    customers = cold.cold_customer if split in {"cold-customer", "cold-both"} else ~cold.cold_customer
    categories = cold.cold_category if split in {"cold-category", "cold-both"} else ~cold.cold_category
    weeks = settings.valid if split == "frozen" else settings.test
    found = build_occasions(finished.catalogue, rules, weeks, customers, categories).occasions
    if split == "frozen":
        from malles.occasions.benchmark import select_scored

        return found.take(select_scored(found).rows)
    return found


def _write_down(folder: Path, split: str, scores: dict[str, Any]) -> None:
    """Test weeks are looked at once per closing note; this file says when they were."""
    loss = {s["model"]: s["value"] for s in scores["scores"] if s["metric"] == "log_loss"}
    line = {"when": datetime.now(UTC).isoformat(timespec="seconds"), "split": split, "log_loss": loss}
    with (folder / "test-uses.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
