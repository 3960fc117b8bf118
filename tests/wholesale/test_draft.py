"""An order file from past orders, against a table small enough to do by hand."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from malles.cli import run as command_line
from malles.errors import DataError, SchemaError
from malles.wholesale.draft import Columns, Drafted, draft_order
from malles.wholesale.draft_file import write_order
from malles.wholesale.order import load_order

COLUMNS = Columns("shop", "item", "units", "cost", date="day", pack="box")
EXAMPLES = Path(__file__).parents[2] / "examples" / "orders"


def orders() -> pl.DataFrame:
    """Shop A orders jam in weeks 1, 1 and 3 and tea in week 2; shop B buys jam by the two dozen for less."""
    rows = [
        ("A", "jam", 6, 2.0, date(2024, 1, 1), 6), ("A", "jam", 6, 2.0, date(2024, 1, 3), 6),
        ("A", "tea", 2, 5.0, date(2024, 1, 9), 1), ("A", "jam", 12, 2.0, date(2024, 1, 16), 6),
        ("B", "jam", 6, 2.0, date(2024, 1, 2), 6),
        *[("B", "jam", 24, 1.5, date(2024, 1, d), 6) for d in (1, 2, 3, 4)],
        ("B", "tea", 0, 5.0, date(2024, 1, 4), 1), ("A", "", 3, 1.0, date(2024, 1, 4), 1),
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=["shop", "item", "units", "cost", "day", "box"], orient="row")


def test_what_was_ordered_costs_and_breaks_by_hand():
    jam, tea = draft_order(orders(), COLUMNS, "A", markup=0.5)
    assert (jam.name, jam.sold, jam.pack) == ("jam", (12.0, 0.0, 12.0), 6)
    assert (tea.name, tea.sold, tea.cost, tea.price) == ("tea", (0.0, 2.0, 0.0), ((0, 5.0),), 7.5)
    assert jam.cost == ((0, 2.0), (24, 1.5))  # eight lines, four of 24
    assert jam.price == pytest.approx(3.0)


def test_without_dates_everything_is_one_period():
    (jam,) = draft_order(orders(), Columns("shop", "item", "units", "cost"), "A", products=1)
    assert jam.sold == (24.0,)


def test_a_case_of_six_is_a_sixth_of_the_units_at_six_times_the_cost():
    jam, _ = draft_order(orders(), COLUMNS, "A", case=6)
    assert jam.sold == (2.0, 0.0, 2.0)
    assert jam.cost == ((0, 12.0), (4, 9.0))


def test_a_name_may_be_made_of_several_columns():
    jam, *_ = draft_order(orders(), Columns("shop", "item,box", "units", "cost"), "A")
    assert jam.name == "jam 6"


def test_the_file_is_an_order_file_whatever_the_names_hold(tmp_path: Path):
    rows = orders().with_columns(item=pl.col("item").replace("tea", 'tea"\n[[product]]\nname = "x'))
    text = write_order(draft_order(rows, COLUMNS, "A"), "a", budget=100.0, currency="GBP")
    (tmp_path / "order.toml").write_text(text, "utf-8")
    found = load_order(tmp_path / "order.toml")
    assert len(found.product) == 2
    assert found.product[1].name == 'tea" [[product]] name = "x'
    assert found.order.budget == 100.0


def test_what_is_left_over_keeps_part_of_its_lowest_cost(tmp_path: Path):
    """Of costs of 2.00, and 1.50 from 24 units on, nine tenths of the lower one: 1.35; of none, 0."""
    jam = Drafted("jam", ((0, 2.0), (24, 1.5)), 3.0, (5.0,), 1)
    for keep, worth in ((0.9, 1.35), (0.0, 0.0)):
        (tmp_path / "order.toml").write_text(write_order((jam,), "a", budget=None, currency="", keep=keep))
        assert load_order(tmp_path / "order.toml").product[0].salvage == pytest.approx(worth)


@pytest.mark.parametrize(
    ("columns", "buyer", "kind", "sentence"),
    [
        (COLUMNS, "AA", DataError, "no order of the buyer 'AA'"),
        (
            Columns("shop", "items", "units", "cost"),
            "A",
            SchemaError,
            "no column 'items' for product. Did you",
        ),
        (Columns("shop", "item", "units", "item"), "A", DataError, "no line has a buyer"),
    ],
)
def test_refusals(columns: Columns, buyer: str, kind: type[Exception], sentence: str):
    with pytest.raises(kind, match=sentence):
        draft_order(orders(), columns, buyer)


def called(folder: Path, *more: str) -> list[str]:
    """The command on a table in `folder`, without -o."""
    table = folder / "orders.csv"
    orders().with_columns(shelf_price=pl.when(item="jam").then(4.25)).write_csv(table)
    return [
        "draft", str(table), "--buyer", "A", "--buyer-column", "shop", "--product-column", "item",
        "--units-column", "units", "--cost-column", "cost", "--date-column", "day", *more,
    ]  # fmt: skip


def test_a_file_is_never_overwritten_unless_it_is_said(tmp_path: Path, capsys):
    out = tmp_path / "order.toml"
    call = [*called(tmp_path), "-o", str(out)]
    out.write_text("mine\n")
    assert command_line(call) == 2
    said = capsys.readouterr().err.strip()
    assert said.endswith(f"{out} exists; name another file with -o, or write over it with --force.")
    assert out.read_text() == "mine\n"
    assert command_line([*call, "--force"]) == 0
    assert load_order(out).product[0].name == "jam"


def test_a_missing_column_is_answered_with_the_columns_of_the_table_alone(tmp_path: Path, capsys):
    call = [*called(tmp_path, "--pack-column", "qqq"), "-o", str(tmp_path / "order.toml")]
    assert command_line(call) == 1
    said = capsys.readouterr().err
    assert "It has shop, item, units, cost, day, box, shelf_price." in said


def test_the_file_says_what_is_guessed(tmp_path: Path):
    """Tea has no selling price: 1.25 times its cost of 5; jam has one; a case is six of each."""
    out = tmp_path / "order.toml"
    more = ("--price-column", "shelf_price", "--markup", "0.25", "--period", "month", "--case", "6")
    assert command_line([*called(tmp_path, *more), "-o", str(out)]) == 0
    text = out.read_text()
    comments = [line for line in text.splitlines() if line.startswith("#")]
    jam, tea = load_order(out).product
    assert (jam.price, tea.price) == (6 * 4.25, 1.25 * 30.0)
    assert "price = 25.5\n" in text
    assert "price = 37.5  # made up: cost x 1.25\n" in text
    for said in (
        "sold: units that the buyer ordered (by month, the last one last), not what it sold.",
        "weeks: 2 unless you state it under [order]; it counts months here.",
        "salvage: 80 % of the lowest cost, a guess",
        "price: made up where it says so", "stock: 0 of everything", "A unit is a case of 6",
        "docs/method/orders.md",
    ):  # fmt: skip
        assert sum(said in line for line in comments) == 1, said


def test_nothing_is_called_a_guess_that_the_table_says():
    jam = Drafted("jam", ((0, 2.0),), 3.0, (5.0,), 1, stock=4)
    text = write_order((jam,), "a", budget=None, currency="", keep=0.0, period=None)
    assert "made up" not in text
    assert "case of" not in text
    assert "stock = 4  # guessed" in text
    assert "(all orders of the table, taken as one week)" in text


def test_the_command_writes_what_negotiate_reads(tmp_path: Path):
    out = tmp_path / "order.toml"
    call = [*called(tmp_path), "-o", str(out)]
    assert command_line(call) == 0
    assert command_line(["negotiate", str(out), "--dry-run", "--json"]) == 0
    assert command_line([*call[:-1], str(tmp_path / "order.json")]) == 2


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.toml")), ids=lambda f: f.stem)
def test_the_examples_are_orders(file: Path):
    assert command_line(["negotiate", str(file), "--dry-run"]) == 0
    assert load_order(file).product


def test_there_are_examples():
    assert len(list(EXAMPLES.glob("*.toml"))) == 3
