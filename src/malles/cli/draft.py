"""`malles draft FILE --buyer KEY`: an order file from a table of past orders."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from malles.errors import UsageError


def draft_command(
    file: Annotated[Path, typer.Argument(help="CSV, Parquet or Excel table of past orders.")],
    buyer: Annotated[str, typer.Option(help="Whose order it is: a value of the column of buyers.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="TOML file to write.")],
    buyer_column: Annotated[str, typer.Option(help="Column of buyers.")] = "customer",
    product_column: Annotated[str, typer.Option(help="Column of product names.")] = "product",
    units_column: Annotated[str, typer.Option(help="Column of units ordered.")] = "quantity",
    cost_column: Annotated[str, typer.Option(help="Column of the cost of a unit.")] = "price",
    price_column: Annotated[
        str | None, typer.Option(help="Column of selling prices, if there is one.")
    ] = None,
    date_column: Annotated[str | None, typer.Option(help="Column of dates, if there is one.")] = None,
    pack_column: Annotated[
        str | None, typer.Option(help="Column of units per pack, if there is one.")
    ] = None,
    products: Annotated[int, typer.Option(help="Most products.", min=1, max=200)] = 8,
    period: Annotated[str, typer.Option(help="day, week or month.")] = "week",
    periods: Annotated[int, typer.Option(help="Most periods looked back.", min=1, max=200)] = 12,
    markup: Annotated[
        float, typer.Option(help="On the cost, where selling prices are unknown.", min=0)
    ] = 0.5,
    keep: Annotated[
        float, typer.Option(help="Part of its cost that a unit left over is still worth.", min=0, max=0.99)
    ] = 0.8,
    case: Annotated[int, typer.Option(help="Units counted as one, for very large orders.", min=1)] = 1,
    budget: Annotated[float | None, typer.Option(help="What may be spent.", min=0)] = None,
    currency: Annotated[str, typer.Option(help="Of all money.")] = "",
    rule: Annotated[
        bool, typer.Option("--rule", help="Add a rule for units, fitted on the orders of all buyers.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the rule's draws.", min=0)] = 1,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that exists.")] = False,
) -> None:
    """What one buyer could reorder, from what all buyers paid; then: malles negotiate FILE."""
    import numpy as np

    from malles.data.files import read_file
    from malles.wholesale.draft import Columns, draft_order
    from malles.wholesale.draft_file import write_order
    from malles.wholesale.draft_rule import find_draft_rule, reads_stock, with_guessed_stock, write_rule
    from malles.wholesale.order import load_order

    if output.suffix != ".toml":
        raise UsageError(f"-o {output} should end in .toml.")
    if output.exists() and not force:
        raise UsageError(f"{output} exists; name another file with -o, or write over it with --force.")
    columns = Columns(
        buyer_column, product_column, units_column, cost_column, price_column, date_column, pack_column
    )
    rows = read_file(file).rows.drop("_line")
    found = draft_order(
        rows, columns, buyer, products=products, periods=periods, period=period, markup=markup, case=case
    )
    said = ""
    if rule:
        fitted = find_draft_rule(
            rows, columns, np.random.default_rng(seed), periods=periods, period=period, case=case
        )
        found = with_guessed_stock(found) if reads_stock(fitted) else found
        said = "\n" + write_rule(fitted)
        typer.echo(fitted.sentence, err=True)
    name = re.sub(r"[^a-z0-9]+", "-", buyer.casefold()).strip("-")[:50] or "order"
    text = write_order(
        found, name, budget=budget, currency=currency, keep=keep,
        period=period if date_column is not None else None, case=case,
    )  # fmt: skip
    output.write_text(text + said, "utf-8")
    load_order(output)  # what is written can be read
    typer.echo(f"{len(found)} products in {output}; next: malles negotiate {output}", err=True)
