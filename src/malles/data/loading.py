"""One door to every data set by name: a source, an imported set, or a registered file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from malles.data.home import (
    data_home,
    dataset_folder,
    list_datasets,
    read_dataset,
    read_manifest,
    registered,
    write_dataset,
)
from malles.data.sources import SOURCES
from malles.data.sources.delimited import load_delimited
from malles.errors import DataError, UsageError, did_you_mean
from malles.vocabulary import DataSet


def load_dataset(name: str, home: Path | None = None, *, refresh: bool = False) -> DataSet:
    """A data set by name: imported under the home, a known source, a registered file, or the path of a file.

    Sources that take seconds to clean are kept in the home and read back from there; `refresh` makes them
    anew.
    `provenance["fingerprint"]` changes if and only if the content does.

    Raises:
        UsageError: no data set has that name, or a source needs a file that was not registered.
        DataError: what is stored is damaged.
    """
    check_dataset(name, home)
    source, paths = SOURCES.get(name), registered(home)
    if source is not None and source.load is not None:
        path = Path(paths[name]) if name in paths else None
        if not source.cached:
            return source.load(path)
        if not refresh and (dataset_folder(name, home) / "dataset.json").exists():
            stored = read_manifest(name, home)["provenance"]
            if stored.get("version") == source.version:
                return read_dataset(name, home)
        write_dataset(source.load(path), home)
        return read_dataset(name, home)
    if name in list_datasets(home):
        return read_dataset(name, home)
    if name in paths:
        return replace(load_delimited(Path(paths[name])), name=name)
    return load_delimited(Path(name), name=Path(name).stem)


def check_dataset(name: str, home: Path | None = None) -> None:
    """Refuse a name that no data set has; reads nothing of the data.

    Raises:
        UsageError: no data set has that name, or a source needs a file that was not registered.
        DataError: a registered file is not there any more.
    """
    source, paths = SOURCES.get(name), registered(home)
    if name in paths and not Path(paths[name]).exists():
        raise DataError(
            f"The data set {name!r} was registered at {paths[name]}, which is not there any more. Say where "
            f"it is with: malles data add {name} PATH"
        )
    if source is not None and source.load is None:
        raise UsageError(f"The source {name!r} holds no order lines: {source.how}.")
    if source is not None and source.needs_path and name not in paths:
        raise UsageError(
            f"The source {name!r} needs a file of yours. {source.how[0].upper()}{source.how[1:]}."
        )
    known = list_datasets(home)
    if source is not None or name in known or name in paths or (Path(name).suffix and Path(name).exists()):
        return
    names = [*known, *paths, *SOURCES]
    hint = did_you_mean(name, names) or "Known: " + ", ".join(names) + "."
    raise UsageError(f"There is no data set {name!r} under {data_home(home)}. {hint}")


def dataset_rows(name: str, home: Path | None = None) -> int:
    """Order lines of an imported data set, from its manifest."""
    entry = read_manifest(name, home)["tables"].get("transactions")
    if entry is None:
        raise DataError(f"The data set {name!r} has no transactions yet.")
    return int(entry["rows"]["rows"])
