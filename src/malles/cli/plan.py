"""`malles plan PLAN.toml --model RUN`: the best prices and displays for a goal, under constraints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from malles.cli.frame import print_json, print_table, progress
from malles.errors import UsageError


def plan_command(
    plan: Annotated[Path, typer.Argument(help="A TOML file of levers and constraints, see examples/plans/.")],
    model: Annotated[str, typer.Option(help="The run whose market is asked, for example demo-1.")],
    trials: Annotated[
        int | None, typer.Option(help="Plans that are asked; by default the file's.", min=1, max=10_000)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of search and luck; by default the file's, or the run's.", min=0)
    ] = None,
    draws: Annotated[
        int | None,
        typer.Option(help="Draws behind every value; by default the file's.", min=20, max=10_000),
    ] = None,
    grid_points: Annotated[
        int, typer.Option(help="Largest grid that the plan is compared with; 0 = none.", min=0, max=100_000)
    ] = 200,
    level: Annotated[float, typer.Option(help="Level of the intervals.", min=0.5, max=0.999)] = 0.9,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a search that was stopped; nothing is asked twice.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o",
            help="Also write the plan: .toml a scenario for malles simulate, .csv or .parquet its table.",
        ),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Also draw it, to an .svg or .png file.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the plan against the run, ask no model.")
    ] = False,
    root: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("runs"),
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:  # fmt: skip
    """Search prices and displays for a goal under constraints, and say how far the plan is from the best."""
    from malles.cli.frame import is_quiet
    from malles.config.plan_file import load_plan_file
    from malles.stages.plan import answer_plan
    from malles.stages.plan_search import require_optuna
    from malles.stages.planner import Planner, check_plan
    from malles.stages.rehearse import open_market
    from malles.store import find_run

    if out is not None and out.suffix not in {".toml", ".csv", ".parquet"}:
        raise UsageError(f"-o {out} should end in .toml, .csv or .parquet.")
    if plot is not None and plot.suffix not in {".svg", ".png"}:
        raise UsageError(f"--plot {plot} should end in .svg or .png.")
    file = load_plan_file(plan)
    if not dry_run:
        require_optuna()
    with progress() as tell:
        market = open_market(root, model, tell)
        number = next(s for s in (seed, file.plan.seed, market.config.market.seed) if s is not None)
        tell("plan")
        planner = Planner(market, file, draws=draws or file.plan.draws, seed=number)
        if dry_run:
            found: dict[str, Any] = check_plan(planner)
        else:
            best: list[float] = []

            def say(question: int, value: float) -> None:
                if (not best or value != best[-1]) and not is_quiet():
                    typer.echo(f"question {question}: {file.plan.goal} {value:,.2f}", err=True)
                best.append(value)

            found = answer_plan(
                planner, trials=trials or file.plan.trials, grid_points=grid_points, run=model,
                journal=find_run(root, model) / "plans" / f"{plan.stem}.json", resume=resume, level=level,
                say=say, tell=tell,
            )  # fmt: skip
    if out is not None:
        _write(found, out)
    if plot is not None and not dry_run:
        from malles.report.plan_figures import draw_plan

        draw_plan(found, plot)
    if json:
        print_json(found)
    elif dry_run:
        _print_check(found)
    else:
        _print_plan(found)


def _write(found: dict[str, Any], out: Path) -> None:
    if out.suffix == ".toml":
        if found.get("scenario") is None:
            typer.echo(
                f"The plan leaves everything as today, so there is no scenario to write to {out}.", err=True
            )
            return
        from malles.stages.planner import write_scenario

        out.write_text(write_scenario(found["scenario"]), encoding="utf-8")
        typer.echo(f"the plan as a scenario in {out}", err=True)
        return
    import polars as pl

    frame = pl.DataFrame(found.get("plan") or found["levers"], infer_schema_length=None)
    if out.suffix == ".csv":
        nested = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List)]
        frame.drop(nested).write_csv(out)
    else:
        frame.write_parquet(out)
    typer.echo(f"{frame.height:,} rows in {out}", err=True)


def _print_check(found: dict[str, Any]) -> None:
    print_table(
        ("product", "weeks", "price today", "price points", "display"),
        [
            (p["product"], ", ".join(map(str, p["weeks"])), p["price_today"], _points(p["prices"]),
             "may change" if p["display"] else "as today")
            for p in found["levers"]
        ],
        title=_title(found),
    )  # fmt: skip
    typer.echo(
        f"Nothing was asked; {found['points']:,} plans can be written down, each asks {found['occasions']:,} "
        "trips.",
        err=True,
    )


def _print_plan(found: dict[str, Any]) -> None:
    print_table(
        ("product", "week", "price today", "planned price", "change", "display"),
        [
            (r["product"], r["week"], f"{r['price_today']:.2f}", f"{r['price']:.2f}",
             f"{r['price'] / r['price_today'] - 1:+.1%}" if r["price"] != r["price_today"] else "as today",
             _display(r))
            for r in found["plan"]
        ],
        title=_title(found),
    )  # fmt: skip
    goal, search = found["goal"], found["search"]
    print_table(
        (
            f"{found['quantity']} of {found['of']}", "today", "plan", "difference",
            f"{found['level']:.0%} interval",
        ),
        [
            ("fresh luck", goal["base"], goal["plan"], goal["change"]["value"], _span(goal["change"])),
            ("fresh luck, expected", goal["base"], goal["plan"], goal["expected_change"]["value"],
             _span(goal["expected_change"])),
            ("in the search", search["base"], search["plan"], search["change"], ""),
        ],
    )  # fmt: skip
    if found["constraints"]:
        print_table(
            ("constraint", "limit", "slack", "slack with fresh luck"),
            [(c["constraint"], c["limit"], c["slack"], c["fresh_slack"]) for c in found["constraints"]],
        )
    regret = found["regret"]
    if regret is not None:
        print_table(
            ("same luck", found["quantity"], "questions"),
            [
                ("plan", regret["plan"], regret["search_questions"]),
                (f"best of the grid ({regret['grid']})", regret["grid_best"], regret["grid_questions"]),
            ],
        )
        typer.echo(f"regret: {regret['regret']:.3%} of {regret['part_of']}")
    typer.echo(
        f"Winner's curse: the search promised {search['optimism']:+.4g} more than fresh luck gives (standard "
        f"error {goal['error']:.2g}); chance of a loss {goal['loss_probability']:.0%}.\n"
        f"{found['households']:,} households, {found['occasions']:,} trips, {found['draws']} draws, seed "
        f"{found['seed']}; money in {found['currency']}.",
        err=True,
    )
    for note in found["notes"]:
        typer.echo(note, err=True)


def _title(found: dict[str, Any]) -> str:
    first, last = found["weeks"][0], found["weeks"][-1]
    weeks = f"week {first}" if first == last else f"weeks {first} to {last}"
    return f"{found['question']} ({weeks})"


def _display(row: dict[str, Any]) -> str:
    if row["display"] == row["display_today"]:
        return "yes" if row["display"] else ""
    return "put on" if row["display"] else "taken off"


def _points(prices: list[float]) -> str:
    if not prices:
        return "as today"
    if len(prices) <= 4:
        return ", ".join(f"{p:.2f}" for p in prices)
    return f"{len(prices)} from {prices[0]:.2f} to {prices[-1]:.2f}"


def _span(interval: dict[str, Any]) -> str:
    return f"{interval['low']:.4g} to {interval['high']:.4g}"
