"""`malles data`: what data there is, where it comes from, and how to get it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from malles.data.home import list_datasets, read_manifest, register_file, registered
from malles.data.sources import SOURCES
from malles.errors import UsageError, did_you_mean

data_app = typer.Typer(help="Data sets: list them, register a file, show one.", no_args_is_help=True)
out = Console()

_JSON = typer.Option("--json", help="Print JSON.")
_HOME = typer.Option("--home", help="Data home (default $MALLES_HOME or .malles).")


def _line(text: str) -> None:
    out.print(text, highlight=False, markup=False, soft_wrap=True)


def _entries(home: Path | None) -> list[dict[str, Any]]:
    """Every source, imported set and registered file, as plain values."""
    imported, paths = list_datasets(home), registered(home)
    entries = []
    for source in SOURCES.values():
        here = "ready" if not source.needs_path or source.name in paths else "needs a file"
        entries.append(
            {
                "name": source.name,
                "origin": source.origin,
                "licence": source.licence,
                "rows": source.rows,
                "state": here,
                "how": source.how,
            }
        )
    for name, manifest in imported.items():
        if name in SOURCES:
            continue
        provenance = manifest.get("provenance", {})
        rows = ", ".join(f"{parts['rows']['rows']:,} {table}" for table, parts in manifest["tables"].items())
        entries.append(
            {
                "name": name,
                "origin": provenance.get("origin", ""),
                "licence": provenance.get("licence", ""),
                "rows": rows,
                "state": "imported",
                "how": "here",
            }
        )
    for name, path in paths.items():
        if name not in SOURCES and name not in imported:
            entries.append(
                {
                    "name": name,
                    "origin": path,
                    "licence": "not stated",
                    "rows": "",
                    "state": "registered",
                    "how": "here",
                }
            )
    return entries


@data_app.command("list")
def list_command(as_json: Annotated[bool, _JSON] = False, home: Annotated[Path | None, _HOME] = None) -> None:
    """Every data set malles knows: origin, licence, size and how to get it."""
    entries = _entries(home)
    if as_json:
        typer.echo(json.dumps(entries, ensure_ascii=False))
        return
    for entry in entries:
        out.print(entry["name"], style="bold", highlight=False, markup=False, soft_wrap=True)
        for label, key in (
            ("origin", "origin"),
            ("licence", "licence"),
            ("size", "rows"),
            ("state", "state"),
            ("get it", "how"),
        ):
            if entry[key]:
                _line(f"  {label:8} {entry[key]}")


@data_app.command("add")
def add_command(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A source such as online_retail, or a name of your own.")
    ],
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The file you have.")],
    home: Annotated[Path | None, _HOME] = None,
) -> None:
    """Register a file you have under a name; nothing is copied."""
    target = register_file(name, path, home)
    typer.echo(f"{name} = {target}")


@data_app.command("show")
def show_command(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    as_json: Annotated[bool, _JSON] = False,
    home: Annotated[Path | None, _HOME] = None,
) -> None:
    """Everything known of one data set: tables, records accepted and quarantined, what each rule touched."""
    imported = list_datasets(home)
    known = {e["name"]: e for e in _entries(home)}
    if name not in known and name not in imported:
        raise UsageError(
            f"There is no data set {name!r}. {did_you_mean(name, known) or 'See `malles data list`.'}"
        )
    entry = dict(known.get(name, {"name": name}))
    if name in imported:
        entry |= read_manifest(name, home)
    if as_json:
        typer.echo(json.dumps(entry, ensure_ascii=False, default=str))
        return
    _print_entry(entry)


def _print_entry(entry: dict[str, Any]) -> None:
    _line(str(entry["name"]))
    for key in ("origin", "licence", "how", "state", "currency", "time_zone", "fingerprint"):
        if entry.get(key):
            _line(f"  {key}: {entry[key]}")
    for table, parts in entry.get("tables", {}).items():
        _line(f"  {table}: {parts['rows']['rows']:,} rows")
    provenance = entry.get("provenance", {})
    for table, report in {
        **{k: provenance[k] for k in ("transactions", "promotions") if k in provenance},
        **provenance.get("imports", {}),
    }.items():
        _line(
            f"  {table}: {report['records']:,} records = {report['accepted']:,} accepted + "
            f"{report['quarantined']:,} quarantined"
        )
        for cause, count in report.get("causes", {}).items():
            _line(f"    {count:>9,}  {cause}")
