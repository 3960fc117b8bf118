"""A drafted order as TOML, with what is guessed in it said where it stands."""

from __future__ import annotations

import json

from malles.wholesale.draft import Drafted


def write_order(
    products: tuple[Drafted, ...], name: str, *, budget: float | None, currency: str, keep: float = 0.8,
    period: str | None = "week", case: int = 1,
) -> str:  # fmt: skip
    """The order file as TOML; names are quoted, whatever they hold.

    Args:
        products: of the order.
        name: of the order.
        budget: that may be spent.
        currency: of all money.
        keep: part of its lowest cost that a unit left over is still worth, because it sells later; 0 where
            what is left perishes. Rare and lumpy sales are worth no stock if it is 0.
        period: that `sold` counts; None: all orders of the table are one.
        case: units that are counted as one.
    """
    head = [*_guesses(products, keep, period, case), f"[order]\nname = {json.dumps(name)}"]
    head += [f"currency = {json.dumps(currency)}"]
    head += [f"budget = {budget:.2f}"] if budget is not None else []
    return "\n\n".join(["\n".join(head), *(_product(p, keep) for p in products)]) + "\n"


def _guesses(products: tuple[Drafted, ...], keep: float, period: str | None, case: int) -> list[str]:
    """Comments on what the table does not say."""
    span = (
        "all orders of the table, taken as one week" if period is None else f"by {period}, the last one last"
    )
    said = [f"sold: units that the buyer ordered ({span}), not what it sold."]
    said += [f"weeks: 2 unless you state it under [order]; it counts {period}s here."] if period else []
    if any(p.markup is not None for p in products):
        said.append("price: made up where it says so, because the table has none; --price-column, --markup.")
    left = f"{keep * 100:g} % of the lowest cost" if keep else "0"
    said.append(f"salvage: {left}, a guess; --keep.")
    some = any(p.stock for p in products)
    said.append(
        f"stock: 0 {'where nothing was guessed' if some else 'of everything'}; the table does not say."
    )
    said += [f"A unit is a case of {case}, in units and in costs."] if case > 1 else []
    return [
        "# Written by malles draft. Look through it before you order; every key: docs/method/orders.md.",
        *(f"#   {line}" for line in said),
    ]


def _product(p: Drafted, keep: float) -> str:
    made_up = f"  # made up: cost x {1 + p.markup:g}" if p.markup is not None else ""
    return "\n".join(
        [
            "[[product]]",
            f"name = {json.dumps(p.name, ensure_ascii=False)}",
            f"price = {p.price:g}{made_up}",
            "cost = [" + ", ".join(f"[{at}, {cost:g}]" for at, cost in p.cost) + "]",
            *([f"salvage = {keep * min(cost for _, cost in p.cost):.6g}"] if keep else []),
            "sold = [" + ", ".join(f"{units:g}" for units in p.sold) + "]",
            *([f"stock = {p.stock}  # guessed: what is left of the last order"] if p.stock else []),
            *([f"pack = {p.pack}"] if p.pack > 1 else []),
        ]
    )
