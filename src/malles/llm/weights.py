"""Where language models lie on this machine: fetch one once, find it again without a network.

<models>/smollm2/                 the embedded default, made by `malles models pull smollm2`
        /<owner>--<name>/         a model of the Hugging Face hub, by `malles models pull owner/name`

<models> is $MALLES_MODELS, else $MALLES_HOME/models, else `.malles/models` here.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from malles.data.home import data_home
from malles.errors import ModelError, UsageError, did_you_mean
from malles.llm import embedded, hub
from malles.llm.embedded import Tell, be_silent
from malles.llm.folders import (
    MANIFEST,
    check_files,
    check_folder,
    count_weights,
    read_json,
    verify_weights,
    write_manifest,
)
from malles.store import write_whole

__all__ = ["find_weights", "list_weights", "models_home", "pull_weights", "verify_weights"]

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


@dataclass(frozen=True)
class Weights:
    """A language model that lies on this machine."""

    name: str
    """What `find_weights` takes: 'smollm2' or 'owner/name'."""
    folder: Path
    state: str
    """'ready', or what is wrong with it."""
    weights: int
    """How many weights it has; 0 if that cannot be read."""
    bytes: int
    """Size on the disk."""
    licence: str
    source: str


def models_home(home: Path | None = None) -> Path:
    """The folder of all models: the argument, else $MALLES_MODELS, else `models` in the data home."""
    if home is not None:
        return Path(home)
    stated = os.environ.get("MALLES_MODELS")
    return Path(stated) if stated else data_home() / "models"


def find_weights(name: str | Path, *, home: Path | None = None) -> Path:
    """The folder of a language model that is already on this machine; never uses the network.

    Args:
        name: 'smollm2', a folder in Hugging Face layout, or 'owner/name' if it was pulled or stands in the
            cache of the Hugging Face libraries.
        home: the folder of all models, if not the usual one.

    Raises:
        ModelError: it is not here, or is not a whole model of safetensors that needs no code of its own.
        UsageError: no model can have this name.
    """
    if isinstance(name, str) and name == embedded.NAME:
        folder = models_home(home) / embedded.NAME
        if not (folder / MANIFEST).is_file():
            raise ModelError(
                f"The weights of {name} are not in {models_home(home)}. "
                f"Fetch them with: malles models pull {name}"
            )
    elif Path(name).expanduser().is_dir():
        folder = Path(name).expanduser()
    elif isinstance(name, Path) or name.startswith((".", "/", "~")):
        raise ModelError(f"There is no folder {name}. Check the path.")
    else:
        folder = _find_hub(_hub_name(name, home), home)
    check_files(folder, deep=False)
    return check_folder(folder)


def pull_weights(name: str, *, home: Path | None = None, tell: Tell = be_silent) -> Path:
    """Fetch a language model unless it is here and whole; returns its folder.

    Args:
        name: 'smollm2', or 'owner/name' on the Hugging Face hub.
        home: the folder of all models, if not the usual one.
        tell: hears the title of each step, what is done and what there is to do.

    Raises:
        ModelError: it cannot be reached, its checksum differs, or it is one that malles refuses.
        UsageError: no model can have this name.
        StorageError: the disk is full or cannot be written.
    """
    if name != embedded.NAME:
        target = models_home(home) / _folder_name(_hub_name(name, home))
        if not _is_whole(target):
            hub.download(name, target, tell=tell)
        return target
    target = models_home(home) / name
    if _is_whole(target):
        return target
    with write_whole(target) as draft:
        embedded.write_smollm2(draft, tell=tell)
        write_manifest(draft, name=name, source=embedded.SOURCE, licence="Apache-2.0")
        check_folder(draft)
    return target


def list_weights(home: Path | None = None) -> list[Weights]:
    """Every model that was pulled, the embedded one first; a damaged one says in `state` what is wrong."""
    found = []
    for manifest in sorted(models_home(home).glob(f"*/{MANIFEST}")):
        folder, state, count, stated = manifest.parent, "ready", 0, {}
        try:
            stated = read_json(manifest)
            check_files(folder, deep=False)
            count = sum(count_weights(check_folder(folder)).values())
        except ModelError as problem:
            state = str(problem)
        size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
        name = str(stated.get("name", folder.name))
        licence, source = str(stated.get("licence", "")), str(stated.get("source", ""))
        found.append(Weights(name, folder, state, count, size, licence, source))
    return sorted(found, key=lambda w: (w.name != embedded.NAME, w.name))


def _is_whole(folder: Path) -> bool:
    """Whether a pulled model is there and every checksum is right."""
    if not (folder / MANIFEST).is_file():
        return False
    try:
        verify_weights(folder)
    except ModelError:
        return False
    return True


def _hub_name(name: str, home: Path | None) -> str:
    """The name itself if it has the form owner/name."""
    if HUB_NAME.fullmatch(name) and ".." not in name and "--" not in name:
        return name
    known = list(dict.fromkeys([embedded.NAME, *(w.name for w in list_weights(home))]))
    hint = did_you_mean(name, known) or ("Use smollm2, or a name like owner/name of the Hugging Face hub.")
    raise UsageError(f"There is no language model {name!r}. {hint}")


def _folder_name(name: str) -> str:
    return name.replace("/", "--")


def _find_hub(name: str, home: Path | None) -> Path:
    """Where a model of the hub lies: pulled by malles, else in the cache of the Hugging Face libraries."""
    folder = models_home(home) / _folder_name(name)
    if (folder / MANIFEST).is_file():
        return folder
    cached = hub.find_cached(name)
    if cached is not None:
        return cached
    known = [w.name for w in list_weights(home)]
    hint = did_you_mean(name, known) or f"Fetch it with: malles models pull {name}"
    raise ModelError(f"The language model {name} is not on this machine. {hint}")
