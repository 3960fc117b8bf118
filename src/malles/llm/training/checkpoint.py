"""Checkpoints of post-training: one safetensors file and one JSON file, replaced in one piece."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from malles.errors import ModelError

if TYPE_CHECKING:
    from malles.llm.training.loop import History, TrainingSettings
    from malles.llm.training.optimizer import Optimizer

VERSION = 1


def save_checkpoint(
    folder: Path, optimizer: Optimizer, settings: TrainingSettings, history: History, step: int
) -> None:
    """Write the state after `step` steps; the one before it stays until this one is whole."""
    from safetensors.torch import save_file

    from malles.store import write_whole

    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / f"step-{step}.safetensors"
    with write_whole(weights) as temporary:
        save_file(optimizer.state(), temporary)
    about = {
        "version": VERSION,
        "step": step,
        "weights": weights.name,
        "settings": asdict(settings),
        "reader": optimizer.reader,
        "history": asdict(history),
    }
    with write_whole(folder / "checkpoint.json") as temporary:
        Path(temporary).write_text(json.dumps(about) + "\n")
    for old in (*folder.glob("step-*.safetensors"), *folder.glob(".step-*.tmp")):
        if old != weights:
            old.unlink(missing_ok=True)


def load_checkpoint(
    folder: Path, optimizer: Optimizer, settings: TrainingSettings
) -> tuple[History, int] | None:
    """Put the last checkpoint of `folder` in place; returns its history and step, or None without one.

    Raises:
        ModelError: the checkpoint is damaged, or was written under other settings.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from malles.llm.training.loop import History

    path = folder / "checkpoint.json"
    if not path.exists():
        return None
    try:
        about: dict[str, Any] = json.loads(path.read_text())
        state = load_file(folder / about["weights"])
        same = about["settings"] == _plain(asdict(settings))
        same = same and about.get("reader", _plain(optimizer.reader)) == _plain(optimizer.reader)
        if about["version"] != VERSION or not same:
            raise ModelError(
                f"{folder} holds a checkpoint of other settings or another version; "
                "remove the folder to train anew, or go on with the same settings."
            )
        history = about["history"]
        history["valid"] = [(int(step), float(value)) for step, value in history["valid"]]
        found = History(**history), int(about["step"])
        optimizer.restore(state, found[1])
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as problem:
        raise ModelError(
            f"The checkpoint in {folder} is damaged ({problem}); remove the folder to train anew."
        ) from problem
    return found


def _plain(value: dict[str, Any]) -> Any:
    return json.loads(json.dumps(value))
