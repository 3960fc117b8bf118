"""`malles simulate SCENARIO.toml --model RUN`: a what-if on the market of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from malles.cli.frame import print_json, print_number, print_table, progress
from malles.errors import UsageError

CAUTION = (
    "Price effects are associational, and prices outside those observed extrapolate: where a category seems "
    "to earn more at every higher price, the records hold too few rises to tell."
)


def simulate_command(
    scenario: Annotated[Path, typer.Argument(help="A TOML file of changes, see examples/scenarios/.")],
    model: Annotated[str, typer.Option(help="The run whose market is asked, for example demo-1.")],
    draws: Annotated[int, typer.Option(help="Draws behind every interval.", min=20, max=10_000)] = 200,
    seed: Annotated[int | None, typer.Option(help="Seed of the draws; by default the run's.")] = None,
    level: Annotated[float, typer.Option(help="Level of the intervals.", min=0.5, max=0.999)] = 0.9,
    customers: Annotated[
        float | None, typer.Option(help="Customers that the panel stands for; by default itself.", min=1)
    ] = None,
    margins: Annotated[
        Path | None, typer.Option(help="Margins that the panel is weighted to, see examples/margins.toml.")
    ] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(help="A grid, CHANGE.FIELD=FIRST:LAST:STEP, for example 1.relative=-0.3:0.1:0.1."),
    ] = None,
    elasticities: Annotated[
        int | None,
        typer.Option(help="Instead: own and cross elasticities of so many best sellers.", min=1, max=30),
    ] = None,
    follow: Annotated[
        int | None,
        typer.Option(
            help="Instead: weekly units during and so many weeks after, in two markets.", min=1, max=52
        ),
    ] = None,
    markets: Annotated[int, typer.Option(help="Pairs of markets of --follow.", min=1, max=100)] = 3,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Also write all rows to a .csv or .parquet file.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Also draw it, to an .svg or .png file.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the scenario against the run, ask no model.")
    ] = False,
    root: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("runs"),
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What a change of prices, promotions, assortment or policy does, with intervals."""
    from malles.config.scenario_file import load_scenario_file
    from malles.stages.follow import follow_answer
    from malles.stages.rehearse import (
        answer_scenario,
        check_scenario,
        open_market,
        outcome_rows,
    )
    from malles.stages.sweep import elasticities as find_elasticities
    from malles.stages.sweep import read_axis
    from malles.stages.sweep import sweep as walk_grid

    if out is not None and out.suffix not in {".csv", ".parquet"}:
        raise UsageError(f"-o {out} should end in .csv or .parquet.")
    for file_name, value in {"-o": out, "--plot": plot}.items():
        if value is not None and not value.parent.is_dir():
            raise UsageError(f"{file_name} {value}: there is no folder {value.parent}; make it first.")
    if plot is not None and plot.suffix not in {".svg", ".png"}:
        raise UsageError(f"--plot {plot} should end in .svg or .png.")
    if plot is not None and dry_run:
        raise UsageError("--plot has nothing to draw with --dry-run; leave one of them out.")
    if sum(bool(one) for one in (sweep, elasticities, follow, dry_run)) > 1:
        raise UsageError(
            "--sweep, --elasticities, --follow and --dry-run are four questions; ask one of them."
        )
    if plot is not None and follow:
        raise UsageError("--plot does not draw --follow; write its rows with -o.")
    file, axes = load_scenario_file(scenario), [read_axis(text) for text in sweep or ()]
    with progress() as tell:
        market = open_market(root, model, tell, margins=margins)
        number = market.config.market.seed if seed is None else seed
        if dry_run:
            found: Any = check_scenario(market, file)
            rows = found["products"]
        elif axes:
            tell("what-if", 0, None)
            rows = found = walk_grid(
                market, file, axes, draws=draws, seed=number, customers=customers, level=level,
                tell=lambda done, total: tell("what-if", done, total),
            )  # fmt: skip
        elif follow:
            rows = found = follow_answer(
                market, file, after=follow, seeds=markets, seed=number,
                tell=lambda done, total: tell("weeks of both markets", done, total),
            )  # fmt: skip
        elif elasticities:
            tell("elasticities")
            rows = found = find_elasticities(
                market, file, elasticities, draws=draws, seed=number, level=level
            )
        else:
            tell("what-if")
            found = answer_scenario(market, file, draws=draws, seed=number, customers=customers, level=level)
            rows = outcome_rows(found)
    _write(rows, out)
    if plot is not None:
        from malles.report.scenario_figures import draw_answer

        draw_answer(found, [f"{number}.{name}" for number, name, _ in axes], plot)
    if json:
        print_json(found)
    elif dry_run:
        _print_check(found)
    elif axes:
        _print_sweep(rows, [f"{number}.{name}" for number, name, _ in axes])
    elif follow:
        _print_weeks(rows)
    elif elasticities:
        _print_elasticities(rows)
    else:
        _print_answer(found)


def _write(rows: list[dict[str, Any]], out: Path | None) -> None:
    if out is None:
        return
    import polars as pl

    frame = pl.DataFrame(rows, infer_schema_length=None)
    frame.write_csv(out) if out.suffix == ".csv" else frame.write_parquet(out)
    typer.echo(f"{frame.height:,} rows in {out}", err=True)


def _print_check(found: dict[str, Any]) -> None:
    print_table(
        ("product", "price today", "in the scenario", "occasions"),
        [(p["product"], p["price_today"], p["price_then"], p["occasions"]) for p in found["products"]],
        title=f"{found['question']} ({found['category']}, weeks {_weeks(found)})",
    )
    typer.echo(f"Nothing was simulated; {found['occasions']:,} trips would be asked.", err=True)


def _print_answer(found: dict[str, Any]) -> None:
    percent = f"{found['level']:.0%} expected"
    for way, rows in found["tables"].items():
        shown = [r for r in rows if way != "product" or r["quantity"] in {"units", "share", "margin"}]
        if way == "product":  # the ten that move most
            moved = {r["part"]: abs(r["change"]["value"]) for r in shown if r["quantity"] == "units"}
            top = sorted(moved, key=lambda part: -moved[part])[:10]
            shown = [r for part in top for r in shown if r["part"] == part]
        print_table(
            (way, "", "base", "scenario", "difference", percent, "seen"),
            [
                (
                    r["part"],
                    r["quantity"],
                    r["base"],
                    r["scenario"],
                    r["change"]["value"],
                    _span(r["expected_change"]),
                    _span(r["change"]),
                )
                for r in shown
            ],
            title=f"{found['question']} (week{'s' * (len(found['weeks']) > 1)} {_weeks(found)})"
            if way == "total"
            else "",
        )
    for product, parts in found["diversion"].items():
        known = [(name, e["value"], _span(e)) for name, e in parts.items() if e["value"] == e["value"]]
        if known:
            print_table((f"the other side of the change of {product}", "part of it", percent), known)
    print_table(
        ("risk, as seen", "mean change", "loss exceeded in 5 %", "mean of worst 5 %", "chance of a loss"),
        [(r["quantity"], r["mean"], r["value_at_risk"], r["expected_shortfall"], r["loss_probability"])
         for r in found["risks"]],
    )  # fmt: skip
    typer.echo(
        f"{found['households']:,} households standing for {found['customers']:,.0f} customers, "
        f"{found['occasions']:,} trips, {found['draws']} draws, seed {found['seed']}; money in "
        f"{found['currency']}. Expected: households and parameters; seen: the luck of every trip as well. "
        "Parts: shelf + other + expansion = 1, cannibalisation is a part of shelf. A levy is a tax (+) or a "
        "subsidy (-); a negative loss is a gain.",
        err=True,
    )
    for note in found["notes"]:
        typer.echo(note, err=True)


def _print_sweep(rows: list[dict[str, Any]], names: list[str]) -> None:
    def interval(row: dict[str, Any], name: str) -> str | None:
        if f"{name}_change" not in row:
            return None
        low, high = (print_number(row[f"{name}_{end}"]) for end in ("low", "high"))
        return f"{print_number(row[f'{name}_change'])} ({low} to {high})"

    shown = ["units", "category_revenue", "category_margin", "category_consumer_surplus"]
    there = [name for name in shown if any(f"{name}_change" in row for row in rows)]
    print_table(
        [*names, "price", "elasticity", *(f"change of {name.replace('_', ' ')}" for name in there)],
        [
            [
                *(row[n] for n in names),
                row.get("price"),
                row.get("elasticity"),
                *(interval(row, n) for n in there),
            ]
            for row in rows
        ],
    )
    typer.echo(f"In brackets: what will be seen. {CAUTION}", err=True)


def _print_elasticities(rows: list[dict[str, Any]]) -> None:
    own = [r for r in rows if r["own"]]
    print_table(
        ("product", "own elasticity", "interval"),
        [(r["units_of"], r["elasticity"], _span(r)) for r in own],
    )
    cross = sorted((r for r in rows if not r["own"]), key=lambda r: -abs(r["elasticity"]))[:10]
    print_table(
        ("price of", "units of", "cross elasticity", "interval"),
        [(r["price_of"], r["units_of"], r["elasticity"], _span(r)) for r in cross],
    )
    typer.echo(CAUTION, err=True)


def _print_weeks(rows: list[dict[str, Any]]) -> None:
    shown = ("week", "part", "product_base", "product_change", "product_error", "category_base",
             "category_change", "category_error")  # fmt: skip
    print_table([name.replace("_", " ") for name in shown], [[row.get(n) for n in shown] for row in rows])
    typer.echo(
        "Errors are standard errors over pairs of markets; the last row is a part, not units.", err=True
    )


def _span(interval: dict[str, Any]) -> str:
    return f"{print_number(interval['low'])} to {print_number(interval['high'])}"


def _weeks(found: dict[str, Any]) -> str:
    first, last = found["weeks"][0], found["weeks"][-1]
    return str(first) if first == last else f"{first} to {last}"
