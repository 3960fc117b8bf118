"""A folder that holds a language model: what must be in it, what must not, and whether it is what it was.

Only safetensors and JSON are read. A model that needs code of its own, or whose weights are pickles, is
refused: either could do anything on this machine.

<folder>/config.json, *.safetensors, tokenizer files   the usual Hugging Face layout
        /malles.json                                   SHA-256 and size of each, if malles wrote the folder
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

from malles.data.home import data_home
from malles.errors import ModelError

MANIFEST = "malles.json"
FORMAT = 1
"""Version of malles.json."""
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2}
"""Bytes per number of the types that safetensors files name; 1 for the others."""


def models_home(home: Path | None = None) -> Path:
    """The folder of all models: the argument, else $MALLES_MODELS, else `models` in the data home."""
    if home is not None:
        return Path(home)
    stated = os.environ.get("MALLES_MODELS")
    return Path(stated) if stated else data_home() / "models"


def folder_name(name: str) -> str:
    """What the folder of a model is called: 'owner--name' for 'owner/name'.

    >>> folder_name("acme/tiny")
    'acme--tiny'
    """
    return name.replace("/", "--")


def check_folder(folder: Path) -> Path:
    """The folder itself if it holds a whole model that can be loaded without running anybody's code.

    Raises:
        ModelError: a file is missing or truncated, the weights are pickles, or the model needs its own code.
    """
    if not folder.is_dir():
        raise ModelError(f"There is no folder {folder}. Check the path.")
    names = sorted(p.name for p in folder.iterdir() if p.is_file())
    weights = [n for n in names if n.endswith(".safetensors")]
    if not weights:
        check_not_pickles(names, str(folder))
        raise ModelError(f"{folder} holds no *.safetensors. Give a folder in Hugging Face layout.")
    for missing in {"config.json"} - set(names):
        raise ModelError(f"{folder} holds no {missing}. Give a folder in Hugging Face layout.")
    check_own_code(folder)
    if not set(names) & set(TOKENIZERS):
        raise ModelError(f"{folder} holds no tokenizer, such as {TOKENIZERS[0]}. Copy it beside the weights.")
    for shard in _shards(folder):
        if shard not in names:
            raise ModelError(f"{folder} lacks {shard}, a part of the weights. Fetch or copy it again.")
    for name in weights:
        read_header(folder / name)
    return folder


def check_not_pickles(names: list[str], place: str) -> None:
    """Refuse weights that are there only as pickles, which run code when they are read."""
    pickles = [n for n in names if n.endswith(PICKLES)]
    if pickles:
        raise ModelError(
            f"{place} has its weights only as {pickles[0]}, a pickle, which can run any code when "
            "it is read. Take a model with *.safetensors."
        )


def check_own_code(folder: Path) -> None:
    """Refuse a model that transformers does not know, but would run code from the folder for."""
    config = read_json(folder / "config.json")
    kind = config.get("model_type")
    if "auto_map" not in config and isinstance(kind, str):
        return
    from malles.llm.libraries import check_installed

    check_installed("a local language model", "transformers")
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if kind not in CONFIG_MAPPING:
        reason = "needs code of its own (auto_map)" if "auto_map" in config else f"is of the type {kind!r}"
        raise ModelError(
            f"The model in {folder} {reason}, which malles does not run. Take one that "
            "transformers knows by itself."
        )


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise ModelError(f"{path} is missing or damaged. Fetch or copy it again.")
    return found


def read_header(path: Path) -> dict[str, dict[str, Any]]:
    """The tensors a safetensors file lists, by name, with 'dtype', 'shape' and 'data_offsets'.

    Raises:
        ModelError: the file is not as long as its own header says, for example because it was truncated.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as handle:
            length = int.from_bytes(handle.read(8), "little")
            if not 2 <= length <= min(size, 100_000_000):  # the format's own limit
                raise ValueError(length)
            tensors = {k: v for k, v in json.loads(handle.read(length)).items() if k != "__metadata__"}
        expected = 8 + length + max((int(t["data_offsets"][1]) for t in tensors.values()), default=0)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ModelError(
            f"{path} is not a safetensors file, or is damaged. Fetch or copy it again."
        ) from None
    if size != expected:
        raise ModelError(
            f"{path} has {size:,} bytes, expected {expected:,}: it was truncated or altered. "
            "Fetch or copy it again."
        )
    return tensors


def count_weights(folder: Path) -> dict[str, int]:
    """Numbers in every tensor of the folder, by the tensor's name, from the headers alone."""
    counts = {}
    for path in sorted(folder.glob("*.safetensors")):
        for name, entry in read_header(path).items():
            begin, end = entry["data_offsets"]
            counts[name] = (end - begin) // ITEM_BYTES.get(entry["dtype"], 1)
    return counts


# ---- checksums ----


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_manifest(folder: Path, *, name: str, source: str, licence: str) -> None:
    """Write malles.json: where the files come from, and size and SHA-256 of each."""
    files = {
        p.relative_to(folder).as_posix(): {"bytes": p.stat().st_size, "sha256": sha256(p)}
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != MANIFEST
    }
    content = {"format": FORMAT, "name": name, "source": source, "licence": licence, "files": files}
    (folder / MANIFEST).write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", "utf-8")


def verify_weights(folder: Path) -> None:
    """Compare every file of a folder that malles wrote with its checksum; of others only the lengths.

    Raises:
        ModelError: names the first file that is missing, truncated or altered, and what to do.
    """
    check_files(folder, deep=True)
    check_folder(folder)


def check_files(folder: Path, *, deep: bool) -> None:
    """Compare the files with malles.json, if there is one: their sizes, and if `deep` their checksums.

    Raises:
        ModelError: names the first file that differs, and what to do.
    """
    if not (folder / MANIFEST).is_file():
        return
    manifest = read_json(folder / MANIFEST)
    again = how_to_mend(folder, str(manifest.get("name")))
    if manifest.get("format") != FORMAT:
        raise ModelError(
            f"{folder / MANIFEST} has format {manifest.get('format')}, this malles reads {FORMAT}. {again}"
        )
    for name, stated in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise ModelError(f"{path} is missing. {again}")
        size = path.stat().st_size
        if size != stated["bytes"]:
            raise ModelError(
                f"{path} has {size:,} bytes, expected {stated['bytes']:,}: truncated or altered. {again}"
            )
        if deep and (got := sha256(path)) != stated["sha256"]:
            raise ModelError(
                f"{path} has the SHA-256 {got}, expected {stated['sha256']}: it was altered. {again}"
            )


def how_to_mend(folder: Path, name: str) -> str:
    """What makes a damaged folder whole: pulling mends what lies where pulling puts it, never a copy."""
    if name != "smollm2" and not HUB_NAME.fullmatch(name):
        return "Copy it again from where it came."
    if folder.absolute().name != folder_name(name):
        return (
            f"This folder is a copy, which pulling does not mend: copy it again, or take {name} by its name "
            f"after: malles models pull {name}"
        )
    home = folder.absolute().parent
    option = "" if home.resolve() == models_home().resolve() else f" --home {shlex.quote(str(home))}"
    return f"Fetch it again with: malles models pull {name}{option}"


def _shards(folder: Path) -> list[str]:
    """The files that the index of a model in several parts names."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return []
    try:
        return sorted({str(n) for n in read_json(index)["weight_map"].values()})
    except (KeyError, AttributeError):
        raise ModelError(f"{index} is damaged. Fetch or copy it again.") from None
