"""Models of the Hugging Face hub: safetensors, JSON and tokenizer files are fetched, never code or pickles.

A download that was interrupted goes on where it stopped; until it is whole, the model is not there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from malles.errors import ModelError
from malles.llm.embedded import Tell, be_silent
from malles.llm.folders import check_folder, check_not_pickles, sha256, write_manifest
from malles.llm.libraries import check_installed
from malles.store import storage_errors

_HTTP = {"httpx", "httpx2", "httpcore", "requests"}
WANTED = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")
"""Files that are fetched, if they stand at the top of the repository."""


def find_cached(name: str) -> Path | None:
    """The snapshot of 'owner/name' in the cache of the Hugging Face libraries, or None."""
    try:
        check_installed("a model of the Hugging Face hub", "huggingface_hub")
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

        return Path(snapshot_download(name, local_files_only=True, allow_patterns=list(WANTED)))
    except (LocalEntryNotFoundError, HFValidationError, HfHubHTTPError, OSError):
        return None


def download(name: str, target: Path, *, tell: Tell = be_silent) -> None:
    """Fetch 'owner/name' into the folder `target`, at its newest commit, checked against what the hub states.

    Raises:
        ModelError: it is not there, cannot be reached, needs permission, arrived damaged, or is refused.
        StorageError: the disk is full or cannot be written.
    """
    check_installed("a model of the Hugging Face hub", "huggingface_hub")
    from huggingface_hub import HfApi, hf_hub_download

    with _explained(name), quiet_hub(), storage_errors(target):
        tell(f"asking the hub for {name}")
        info = HfApi().model_info(name, files_metadata=True)
        files = {f.rfilename: f for f in info.siblings or ()}
        names = [n for n in sorted(files) if "/" not in n and any(fnmatch(n, p) for p in WANTED)]
        if not any(n.endswith(".safetensors") for n in names):
            check_not_pickles(sorted(files), name)
            raise ModelError(f"{name} has no *.safetensors. Take a model that has.")
        partial = target.with_name(f".{target.name}.partial")  # kept when interrupted, so that it goes on
        partial.mkdir(parents=True, exist_ok=True)
        done, total = 0, sum(files[n].size or 0 for n in names)
        for file in names:
            tell(f"downloading {name}", done, total)
            got = Path(hf_hub_download(name, file, revision=info.sha, local_dir=partial))
            _check_file(got, files[file], name)
            done += files[file].size or 0
        tell(f"downloading {name}", total, total)
        shutil.rmtree(partial / ".cache", ignore_errors=True)
        for stray in {p.name for p in partial.iterdir()} - set(names):  # of an older commit
            (partial / stray).unlink()
        check_folder(partial)
        licence = str(getattr(info.card_data, "license", None) or "not stated")
        write_manifest(partial, name=name, source=f"Hugging Face hub, commit {info.sha}", licence=licence)
        shutil.rmtree(target, ignore_errors=True)
        partial.replace(target)


def _check_file(path: Path, stated: Any, name: str) -> None:
    """Compare a large file with the SHA-256 that the hub states."""
    expected = getattr(stated.lfs, "sha256", None)
    if expected is None or (got := sha256(path)) == expected:
        return
    path.unlink()
    raise ModelError(
        f"{path.name} of {name} has the SHA-256 {got}, expected {expected}: it was truncated or altered on "
        f"the way. Fetch it again with: malles models pull {name}"
    )


@contextmanager
def quiet_hub() -> Iterator[None]:
    """Keep the hub's own progress bars from stderr."""
    import huggingface_hub.utils

    bars: Any = huggingface_hub.utils
    before = bars.are_progress_bars_disabled()
    bars.disable_progress_bars()
    try:
        yield
    finally:
        if not before:
            bars.enable_progress_bars()


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """One sentence instead of a library's."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        yield
    except GatedRepoError:
        raise ModelError(
            f"{name} is given only to those who accept its terms. Accept them on huggingface.co, set "
            "HF_TOKEN, and call it again."
        ) from None
    except (RepositoryNotFoundError, HFValidationError):
        raise ModelError(f"The Hugging Face hub has no model {name}. Check the name.") from None
    except (HfHubHTTPError, LocalEntryNotFoundError, ConnectionError, TimeoutError) as problem:
        raise ModelError(_unreachable(name, problem)) from problem
    except Exception as problem:
        if type(problem).__module__.partition(".")[0] not in _HTTP:
            raise
        raise ModelError(_unreachable(name, problem)) from problem


def _unreachable(name: str, problem: Exception) -> str:
    first = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
    return (
        f"{name} could not be fetched from the Hugging Face hub ({first}). Check the connection and call it "
        "again; what has arrived is kept. Without a network, copy its folder here and name the folder."
    )
