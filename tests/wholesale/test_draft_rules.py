"""A rule fitted on past orders: it finds a known law, reads nothing of the future, and lands in the file."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from malles.cli import run as command_line
from malles.errors import DataError
from malles.wholesale import draft_rule
from malles.wholesale.draft import Columns, Drafted
from malles.wholesale.draft_rule import find_draft_rule, guessed_stock, with_guessed_stock, write_rule
from malles.wholesale.order import load_order

COLUMNS = Columns("shop", "item", "units", "cost", date="day")
MONDAY = date(2024, 1, 1)


def orders(weeks: int = 24, shops: int = 12) -> pl.DataFrame:
    """Every shop orders each of four products every second week, always as many units as the time before."""
    rng = np.random.default_rng(5)
    rows = []
    for shop in range(shops):
        for item in range(4):
            units = int(rng.integers(2, 120))
            rows += [
                (f"s{shop}", f"item {item}", units, 1.0 + item, MONDAY + timedelta(weeks=week, days=item))
                for week in range(shop % 2, weeks, 2)
            ]
    return pl.DataFrame(rows, schema=["shop", "item", "units", "cost", "day"], orient="row")


def test_the_stock_is_guessed_by_hand():
    """Ten two weeks ago: a week counts 2^(-1/8) as much as the next, 10 * 0.917 / 1.917 = 4.783 a week."""
    week = 10 * 2 ** (-1 / 8) / (1 + 2 ** (-1 / 8))
    assert guessed_stock(np.array([10.0, 0.0])) == pytest.approx(10 - 2 * week)
    assert guessed_stock(np.array([0.0, 4.0])) == pytest.approx(4 - 4 / (1 + 2 ** (-1 / 8)))
    (jam,) = with_guessed_stock((Drafted("jam", ((0, 2.0),), 3.0, (0.0, 40.0), 1),))
    assert jam.stock == round(40 - 40 / (1 + 2 ** (-1 / 8))) == 19


def test_shops_that_order_their_usual_units_give_the_rule_history():
    found = find_draft_rule(orders(), COLUMNS, np.random.default_rng(1))
    assert found.front.best.error == pytest.approx(0.0, abs=0.05)
    assert found.usual.error == pytest.approx(0.0, abs=1e-9)
    assert str(found.rule) == "history"
    assert found.buyers == 12
    assert (
        found.earlier + found.later == 12 * 4 * 11
    )  # twelve orders of every shop and product, the first seen


def changed(factor) -> pl.DataFrame:
    """The orders with units times what `factor` gives for the number of the week."""
    week = (pl.col("day") - pl.lit(MONDAY)).dt.total_days() // 7
    return orders().with_columns(units=(pl.col("units") * factor(week)).round().cast(pl.Int64))


def test_a_rule_that_loses_against_the_usual_units_gives_way_to_them(tmp_path: Path, capsys):
    """Orders of the first sixteen weeks alternate between one and three times some units, the last are those.

    A factor fitted on the first is above 1, which is wrong later: `history` is written, and it is said.
    """
    table = changed(lambda week: pl.when(week < 16).then(1 + (week // 2 % 2) * 2).otherwise(1))
    found = find_draft_rule(table, COLUMNS, np.random.default_rng(1))
    assert not found.wins
    assert found.front.best.error > found.usual.error
    assert str(found.rule) == "history"
    csv, out = tmp_path / "orders.csv", tmp_path / "order.toml"
    table.write_csv(csv)
    call = [
        "draft", str(csv), "--buyer", "s0", "--buyer-column", "shop", "--product-column", "item",
        "--units-column", "units", "--cost-column", "cost", "--date-column", "day", "-o", str(out), "--rule",
    ]  # fmt: skip
    assert command_line(call) == 0
    (said,) = [x for x in capsys.readouterr().err.splitlines() if "usual units" in x]
    assert said.startswith("No rule beats the usual units: ")
    assert f"{found.front.best.error:.4g} on {found.later:,} later orders" in said
    assert f"# {said}\n[rule]\n" in out.read_text()
    rule = load_order(out).rule
    assert rule.formula == "history"
    (usual,) = [f.error for f in rule.front if f.rule == "history"]
    assert usual == pytest.approx(found.usual.error, abs=1e-4)


def test_a_rule_that_wins_is_kept():
    """Units drawn anew every time: their mean misses less than the usual units, which are mostly luck."""
    units = pl.Series(np.random.default_rng(3).integers(1, 90, len(orders())))
    found = find_draft_rule(orders().with_columns(units=units), COLUMNS, np.random.default_rng(1))
    assert found.wins
    assert found.rule is found.front.best
    assert found.sentence.startswith(f"Rule: {found.front.best}; ")
    assert "as it stands" not in write_rule(found)


def test_a_made_up_price_is_no_input(monkeypatch):
    """A rule may read `price` only if the table states one of every product."""
    kept = []
    monkeypatch.setattr(
        draft_rule, "find_reorder_rule", lambda train, *rest, **more: kept.append(train) or _stop()
    )
    priced = Columns("shop", "item", "units", "cost", "asked", date="day")
    whole = orders().with_columns(asked=pl.col("cost") + 7)
    some = whole.with_columns(asked=pl.when(pl.col("item") != "item 2").then("asked"))
    for rows, columns in ((orders(), COLUMNS), (some, priced), (whole, priced)):
        with pytest.raises(RuntimeError):
            find_draft_rule(rows, columns, np.random.default_rng(1))
    assert [set(rows.inputs) for rows in kept] == [
        {"demand", "history", "stock", *more} for more in ((), (), ("price",))
    ]
    assert set(kept[-1].inputs["price"]) == {8.0, 9.0, 10.0, 11.0}


def test_an_order_reads_nothing_of_its_own_day_or_later(monkeypatch):
    """The rows of the first twelve weeks are the same when everything after them is deleted."""
    kept = []
    monkeypatch.setattr(
        draft_rule, "find_reorder_rule", lambda train, *rest, **more: kept.append(train) or _stop()
    )
    rng = np.random.default_rng(3)
    table = orders().with_columns(units=pl.Series(rng.integers(1, 90, len(orders()))))
    cut = MONDAY + timedelta(weeks=12)
    for rows in (table, table.filter(pl.col("day") < cut)):
        monkeypatch.setattr(draft_rule, "EARLIER", 1.0 if rows is not table else 0.75)
        monkeypatch.setattr(draft_rule, "LEAST_LATER", 0)
        with pytest.raises(RuntimeError):
            find_draft_rule(rows, COLUMNS, np.random.default_rng(1))
    whole, short = kept
    seen = {
        tuple(np.round([t, *(rows.inputs[n][i] for n in sorted(rows.inputs))], 9))
        for rows in (whole,)
        for i, t in enumerate(rows.target)
    }
    assert len(short) == 12 * 4 * 5
    for i, t in enumerate(short.target):
        assert tuple(np.round([t, *(short.inputs[n][i] for n in sorted(short.inputs))], 9)) in seen


def _stop():
    raise RuntimeError("rows are enough")


@pytest.mark.parametrize(
    ("columns", "rows", "sentence"),
    [
        (Columns("shop", "item", "units", "cost"), orders(), "name the column of dates"),
        (COLUMNS, orders(weeks=2), "the table has 0 and 0"),
        (COLUMNS, orders(weeks=6, shops=2), "at least 30 earlier and 10 later orders"),
    ],
)
def test_refusals(columns: Columns, rows: pl.DataFrame, sentence: str):
    with pytest.raises(DataError, match=sentence):
        find_draft_rule(rows, columns, np.random.default_rng(1))


def test_the_command_writes_a_rule_with_its_front_that_negotiate_reads(tmp_path: Path, capsys):
    table, out, plain = tmp_path / "orders.csv", tmp_path / "order.toml", tmp_path / "plain.toml"
    orders().write_csv(table)
    call = [
        "draft", str(table), "--buyer", "s0", "--buyer-column", "shop", "--product-column", "item",
        "--units-column", "units", "--cost-column", "cost", "--date-column", "day",
    ]  # fmt: skip
    assert command_line([*call, "-o", str(plain)]) == 0
    assert command_line([*call, "-o", str(out), "--rule"]) == 0
    assert "later orders" in capsys.readouterr().err
    with_rule, without = load_order(out), load_order(plain)
    assert without.rule is None
    assert with_rule.rule.use == "fact"
    assert [f.error for f in with_rule.rule.front] == sorted(
        (f.error for f in with_rule.rule.front), reverse=True
    )
    assert sum(f.expression() == with_rule.rule.expression() for f in with_rule.rule.front) == 1
    assert command_line(["negotiate", str(out), "--dry-run"]) == 0
    found = find_draft_rule(orders(), COLUMNS, np.random.default_rng(1))
    assert write_rule(found) in out.read_text()
    if "stock" not in with_rule.rule.formula:
        assert with_rule.product == without.product
