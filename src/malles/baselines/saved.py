"""How models are written to a folder and read back: JSON, safetensors and text, never pickle.

model.json           {"model": name, "version": 1, "settings": {...}}
arrays.safetensors   numbers that do not belong in JSON
*.txt                what another library writes as text
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy import ndarray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from malles.errors import ModelError


@dataclass(frozen=True)
class SavedModel:
    """What stands in a model's folder."""

    model: str
    version: int
    settings: dict[str, Any]
    arrays: Mapping[str, ndarray] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)


def write_model(folder: Path, saved: SavedModel) -> None:
    """Write a model to a new folder, all of it or nothing.

    Args:
        folder: does not exist yet, or is empty.
        saved: settings must be plain JSON values; arrays of any numeric type.

    Raises:
        ModelError: the folder already holds something.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ModelError(
            f"{folder} already holds something; a model needs a new folder. Choose another name."
        )
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        head = {"model": saved.model, "version": saved.version, "settings": saved.settings}
        (partial / "model.json").write_text(json.dumps(head, indent=2, allow_nan=False) + "\n", "utf-8")
        if saved.arrays:
            save_file(dict(saved.arrays), partial / "arrays.safetensors")
        for name, text in saved.texts.items():
            (partial / f"{name}.txt").write_text(text, "utf-8")
        partial.replace(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def read_head(folder: Path) -> dict[str, Any]:
    """The content of `model.json`, checked for its form.

    Raises:
        ModelError: there is no model in the folder, or it cannot be read.
    """
    path = Path(folder) / "model.json"
    try:
        head = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ModelError(
            f"{path} does not exist, so {folder} holds no model. Give the folder of a saved model."
        ) from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as JSON ({error}). Fit and save the model again.") from None
    if not isinstance(head, dict) or not {"model", "version", "settings"} <= head.keys():
        raise ModelError(f"{path} lacks 'model', 'version' or 'settings'. Fit and save the model again.")
    return head


def read_model(folder: Path, model: str, version: int) -> SavedModel:
    """Read what `write_model` wrote.

    Args:
        folder: of a saved model.
        model: name that must stand in it.
        version: the only version that is read.

    Raises:
        ModelError: another model, another version, or a damaged file.
    """
    folder = Path(folder)
    head = read_head(folder)
    if head["model"] != model:
        raise ModelError(f"{folder} holds the model {head['model']!r}, not {model!r}. Load it as what it is.")
    if head["version"] != version:
        raise ModelError(
            f"{folder} was written as version {head['version']} of {model!r}; this malles reads {version}. "
            "Fit it again, or use the malles that wrote it."
        )
    arrays: dict[str, ndarray] = {}
    try:
        if (folder / "arrays.safetensors").exists():
            arrays = load_file(folder / "arrays.safetensors")
        texts = {path.stem: path.read_text("utf-8") for path in sorted(folder.glob("*.txt"))}
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{folder} is damaged ({error}). Fit and save the model again.") from None
    return SavedModel(model, version, head["settings"], arrays, texts)


def required(saved: SavedModel, name: str) -> ndarray:
    """One array of a saved model; ModelError if it is missing."""
    if name not in saved.arrays:
        raise ModelError(
            f"the saved model {saved.model!r} lacks the array {name!r}. Fit and save the model again."
        )
    return saved.arrays[name]
