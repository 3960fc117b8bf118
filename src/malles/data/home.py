"""The data home: imported data sets as Parquet files under one folder, committed by one small JSON file.

<home>/data/<name>/dataset.json      what the data set is; replacing this file is the commit
                  /<table>-<hash>.parquet, <table>-<hash>.quarantine.parquet
<home>/sources.json                  files registered by `malles data add`
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from malles.data.importing import Imported
from malles.data.products import build_text
from malles.data.schema import PRODUCTS, empty_table
from malles.errors import DataError, StorageError, UsageError, did_you_mean
from malles.vocabulary import DataSet

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
FORMAT = 1
"""Version of dataset.json."""

TABLE_FIELDS = ("transactions", "products", "customers", "promotions", "offers")


def data_home(home: Path | None = None) -> Path:
    """The folder that holds imported data: the argument, else $MALLES_HOME, else `.malles` here."""
    return Path(home) if home is not None else Path(os.environ.get("MALLES_HOME") or ".malles")


def check_name(name: str) -> str:
    """The name itself if it may name a data set.

    >>> check_name("shop-1")
    'shop-1'
    """
    if not NAME.fullmatch(name) or ".." in name or name.endswith("."):
        raise UsageError(
            f"{name!r} cannot name a data set. Use 1 to 64 of a-z, 0-9, '.', '_' and '-', starting with a "
            "letter or digit."
        )
    return name


def dataset_folder(name: str, home: Path | None = None) -> Path:
    """The folder of a data set; it never leaves the home, not even through a link."""
    root = data_home(home) / "data"
    folder = root / check_name(name)
    if folder.is_symlink() or not folder.resolve().is_relative_to(root.resolve()):
        raise UsageError(f"The data set {name!r} leads outside {root}. Remove the link.")
    return folder


def list_datasets(home: Path | None = None) -> dict[str, dict[str, Any]]:
    """Every imported data set by name, with its manifest."""
    root = data_home(home) / "data"
    names = sorted(p.parent.name for p in root.glob("*/dataset.json")) if root.is_dir() else []
    return {n: read_manifest(n, home) for n in names if NAME.fullmatch(n)}


def read_manifest(name: str, home: Path | None = None) -> dict[str, Any]:
    """What dataset.json says of an imported data set."""
    path = dataset_folder(name, home) / "dataset.json"
    if not path.exists():
        known = [p.parent.name for p in (data_home(home) / "data").glob("*/dataset.json")]
        hint = did_you_mean(name, known) or "Import it with `malles import`, or see `malles data list`."
        raise DataError(f"There is no data set {name!r} under {data_home(home)}. {hint}")
    try:
        manifest = json.loads(path.read_text("utf-8"))
        version = manifest["format"]
    except (ValueError, KeyError, TypeError, OSError):
        raise DataError(f"{path} is damaged. Import {name!r} again.") from None
    if version != FORMAT:
        raise DataError(f"{path} has format {version}, this malles reads {FORMAT}. Import {name!r} again.")
    return dict(manifest)


@contextmanager
def _storage(what: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{what} cannot be written: {error.strerror or error}. Free space or set MALLES_HOME; what was "
            "there before is intact."
        ) from None
    except pl.exceptions.PolarsError as error:
        raise StorageError(
            f"{what} cannot be written: {str(error).splitlines()[0]}. What was there before is intact."
        ) from None


def _write_tables(
    folder: Path, frames: Mapping[str, pl.DataFrame], manifest: dict[str, Any]
) -> dict[str, Any]:
    """Write frames and the manifest; until the manifest is replaced nothing has changed."""
    with _storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=folder) as temporary:
            for key, frame in frames.items():
                draft = Path(temporary) / "table.parquet"
                frame.write_parquet(draft, compression="zstd", compression_level=1, statistics=True)
                digest = _sha256(draft)
                final = folder / f"{key.replace('/', '.')}-{digest[:12]}.parquet"
                _sync(draft)
                draft.replace(final)
                table, _, part = key.partition("/")
                manifest["tables"].setdefault(table, {})[part or "rows"] = {
                    "file": final.name,
                    "rows": len(frame),
                    "sha256": digest,
                }
            manifest["fingerprint"] = _fingerprint(manifest)
            draft = Path(temporary) / "dataset.json"
            draft.write_text(json.dumps(manifest, indent=1, ensure_ascii=False, default=str) + "\n", "utf-8")
            _sync(draft)
            draft.replace(folder / "dataset.json")
        used = {part["file"] for parts in manifest["tables"].values() for part in parts.values()}
        for old in folder.glob("*.parquet"):
            if old.name not in used:
                old.unlink(missing_ok=True)
    return manifest


def _sync(path: Path) -> None:
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _fingerprint(manifest: Mapping[str, Any]) -> str:
    """Changes if and only if a table, the currency or the time zone changes."""
    content = {t: parts["rows"]["sha256"] for t, parts in manifest["tables"].items()}
    stated = [manifest["currency"], manifest["time_zone"], FORMAT, sorted(content.items())]
    return hashlib.sha256(json.dumps(stated).encode()).hexdigest()


def write_dataset(dataset: DataSet, home: Path | None = None) -> Path:
    """Write a whole data set into the home, replacing one of the same name; returns its folder."""
    folder = dataset_folder(dataset.name, home)
    manifest = {
        "format": FORMAT,
        "name": dataset.name,
        "currency": dataset.currency,
        "time_zone": dataset.time_zone,
        "provenance": {k: v for k, v in dataset.provenance.items() if k != "fingerprint"},
        "tables": {},
    }
    frames = {t: getattr(dataset, t) for t in TABLE_FIELDS}
    if dataset.quarantine is not None:
        frames["transactions/quarantine"] = dataset.quarantine
    _write_tables(folder, frames, manifest)
    return folder


def write_import(imported: Imported, name: str, home: Path | None = None) -> Path:
    """Add an imported table to a data set (replacing that table), with its quarantine and report; returns
    the folder.
    """
    folder = dataset_folder(name, home)
    settings = imported.settings
    if (folder / "dataset.json").exists():
        manifest = read_manifest(name, home)
        for what in ("currency", "time_zone"):
            stated = getattr(settings, what)
            if imported.table == "transactions":
                manifest[what] = stated
    else:
        manifest = {
            "format": FORMAT,
            "name": name,
            "currency": settings.currency,
            "time_zone": settings.time_zone,
            "tables": {},
        }
        manifest["provenance"] = {
            "origin": settings.origin or ", ".join(imported.report.files),
            "licence": settings.licence,
            "imports": {},
        }
    manifest["provenance"].setdefault("imports", {})[imported.table] = imported.report.as_dict()
    frames = {imported.table: imported.rows, f"{imported.table}/quarantine": imported.quarantine}
    _write_tables(folder, frames, manifest)
    return folder


def read_table(name: str, table: str, home: Path | None = None, *, part: str = "rows") -> pl.DataFrame | None:
    """One stored table of a data set (part='quarantine' for what was refused), or None if it has none."""
    entry = read_manifest(name, home)["tables"].get(table, {}).get(part)
    if entry is None:
        return None
    path = dataset_folder(name, home) / Path(entry["file"]).name
    try:
        frame = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError):
        raise DataError(f"{path} is missing or damaged. Import {name!r} again.") from None
    if len(frame) != entry["rows"]:
        raise DataError(
            f"{path} holds {len(frame):,} rows, but {entry['rows']:,} were written. Import {name!r} again."
        )
    return frame


def read_dataset(name: str, home: Path | None = None) -> DataSet:
    """An imported data set as its checked tables; tables never imported are empty or made of what the
    transactions know.
    """
    manifest = read_manifest(name, home)
    tables = {t: read_table(name, t, home) for t in TABLE_FIELDS}
    if tables["transactions"] is None:
        raise DataError(
            f"The data set {name!r} has {', '.join(manifest['tables'])} but no transactions. Import them "
            "with --table transactions."
        )
    made = assemble_dataset(
        name,
        {t: f for t, f in tables.items() if f is not None},
        currency=manifest["currency"],
        time_zone=manifest["time_zone"],
    )
    return replace(
        made, provenance={**manifest["provenance"], **made.provenance, "fingerprint": manifest["fingerprint"]}
    )


def assemble_dataset(
    name: str, tables: Mapping[str, pl.DataFrame], *, currency: str, time_zone: str
) -> DataSet:
    """A DataSet from whatever tables there are: keys of one type, products and customers complete, canonical
    columns present.
    """
    tables = dict(tables)
    for key in ("product", "customer", "store"):
        types = {_scalar(f.schema[key]) for f in tables.values() if key in f.columns and len(f)}
        if len(types) > 1:
            for table, frame in tables.items():
                if key in frame.columns:
                    listed = isinstance(frame.schema[key], pl.List)
                    tables[table] = frame.with_columns(
                        pl.col(key).cast(pl.List(pl.String) if listed else pl.String)
                    )
    lines = tables["transactions"]
    keys = {k: lines.schema[k] for k in ("product", "customer", "store")}
    added = {}
    for table, key in (("products", "product"), ("customers", "customer")):
        known = tables.get(table, pl.DataFrame(schema={key: keys[key]}))
        known = known.with_columns(pl.col(key).cast(keys[key]))
        new = lines.select(pl.col(key).unique().sort()).join(
            known.select(key), on=key, how="anti", maintain_order="left"
        )
        added[f"{table} only in transactions"] = len(new)
        tables[table] = pl.concat([known, new], how="diagonal_relaxed") if len(new) else known
    products = tables["products"]
    for column in PRODUCTS.names[1:]:
        if column not in products.columns:
            products = products.with_columns(pl.lit(None, pl.String).alias(column))
    products = products.with_columns(text=build_text(products))
    others = [c for c in products.columns if c not in PRODUCTS.names]
    return DataSet(
        name=name,
        currency=currency,
        time_zone=time_zone,
        transactions=lines,
        products=products.select(*PRODUCTS.names, *others),
        customers=tables["customers"],
        promotions=tables.get("promotions", empty_table("promotions", keys)),
        offers=tables.get("offers", empty_table("offers", keys)),
        provenance={"completed": added},
    )


def _scalar(dtype: pl.DataType) -> pl.DataType:
    return dtype.inner if isinstance(dtype, pl.List) else dtype  # type: ignore[return-value]


def remove_dataset(name: str, home: Path | None = None) -> None:
    """Delete an imported data set."""
    shutil.rmtree(dataset_folder(name, home), ignore_errors=True)


def registered(home: Path | None = None) -> dict[str, str]:
    """Files registered by `malles data add`: name → path."""
    path = data_home(home) / "sources.json"
    if not path.exists():
        return {}
    try:
        return {str(k): str(v) for k, v in json.loads(path.read_text("utf-8")).items()}
    except (ValueError, AttributeError, OSError):
        raise DataError(f"{path} is damaged. Delete it and add the files again.") from None


def register_file(name: str, path: Path, home: Path | None = None) -> Path:
    """Remember where the user keeps a file or folder of a source; returns its absolute path."""
    target = Path(path).expanduser().resolve()
    if not target.exists():
        raise DataError(f"There is no file {path}. Check the path.")
    known = registered(home) | {check_name(name): str(target)}
    root = data_home(home)
    with _storage(root):
        root.mkdir(parents=True, exist_ok=True)
        draft = root / ".sources.json.tmp"
        draft.write_text(json.dumps(known, indent=1) + "\n", "utf-8")
        draft.replace(root / "sources.json")
    return target
