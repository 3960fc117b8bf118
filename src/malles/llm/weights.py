"""Where language models lie on this machine: fetch one once, find it again without a network.

<models>/smollm2/                 the embedded default, made by `malles models pull smollm2`
        /<owner>--<name>/         a model of the Hugging Face hub, by `malles models pull owner/name`

<models> is $MALLES_MODELS, else $MALLES_HOME/models, else `.malles/models` here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from malles.errors import ModelError, UsageError, did_you_mean
from malles.llm import embedded, hub
from malles.llm.embedded import Tell, be_silent
from malles.llm.folders import (
    HUB_NAME,
    MANIFEST,
    check_files,
    check_folder,
    count_weights,
    folder_name,
    models_home,
    read_json,
    verify_weights,
    write_manifest,
)
from malles.store import write_whole

__all__ = ["find_weights", "list_weights", "models_home", "pull_weights", "verify_weights"]

READ_WHOLE = 500_000_000
"""Models of at most so many bytes are compared byte for byte whenever they are listed: a second or two."""


@dataclass(frozen=True)
class Weights:
    """A language model that lies on this machine."""

    name: str
    """What `find_weights` takes: 'smollm2' or 'owner/name'."""
    folder: Path
    state: str
    """'ready' (every byte compared), 'ready (not verified)' if it is too large for that, or what is wrong."""
    weights: int | None
    """How many weights it has; None if that cannot be read."""
    bytes: int
    """Size on the disk."""
    licence: str
    source: str


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
                f"The weights of {name} are not in {models_home(home).absolute()}. "
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
        target = models_home(home) / folder_name(_hub_name(name, home))
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
    """Every model that was pulled, the embedded one first; a damaged one says in `state` what is wrong.

    Of models above `READ_WHOLE` only the sizes are compared, and `state` says so.
    """
    return [_look(folder) for folder in _pulled(home)]


def _look(folder: Path) -> Weights:
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    deep, stated = size <= READ_WHOLE, {}
    state = "ready" if deep else "ready (not verified)"
    try:
        stated = read_json(folder / MANIFEST)
        check_files(folder, deep=deep)
        check_folder(folder)
    except ModelError as problem:
        state = str(problem)
    try:
        count = sum(count_weights(folder).values()) or None
    except ModelError:
        count = None
    name = str(stated.get("name", folder.name))
    return Weights(
        name, folder, state, count, size, str(stated.get("licence", "")), str(stated.get("source", ""))
    )


def _pulled(home: Path | None) -> list[Path]:
    """Folders of the models that were pulled, the embedded one first."""
    folders = [manifest.parent for manifest in models_home(home).glob(f"*/{MANIFEST}")]
    return sorted(folders, key=lambda f: (f.name != embedded.NAME, f.name))


def _names(home: Path | None) -> list[str]:
    return [folder.name.replace("--", "/") for folder in _pulled(home)]


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
    known = list(dict.fromkeys([embedded.NAME, *_names(home)]))
    hint = did_you_mean(name, known) or ("Use smollm2, or a name like owner/name of the Hugging Face hub.")
    raise UsageError(f"There is no language model {name!r}. {hint}")


def _find_hub(name: str, home: Path | None) -> Path:
    """Where a model of the hub lies: pulled by malles, else in the cache of the Hugging Face libraries."""
    folder = models_home(home) / folder_name(name)
    if (folder / MANIFEST).is_file():
        return folder
    cached = hub.find_cached(name)
    if cached is not None:
        return cached
    hint = did_you_mean(name, _names(home)) or f"Fetch it with: malles models pull {name}"
    raise ModelError(f"The language model {name} is not on this machine. {hint}")
