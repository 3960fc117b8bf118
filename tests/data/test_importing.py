"""Files in: every record is accounted for, and every kind of bad input is one clear sentence."""

from __future__ import annotations

import gzip
import json
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from malles.data import importing
from malles.data.columns import ColumnMap, build_column_map, load_column_map
from malles.data.importing import import_files, preview_file
from malles.errors import ConfigError, DataError, MallesError, ReconciliationError, SchemaError, UsageError

ASSETS = Path(__file__).parents[1] / "assets"
HEAD = "order,timestamp,customer,product,quantity,price\n"


def imported(tmp_path, text: str, table: str = "transactions", **settings):
    path = tmp_path / "orders.csv"
    path.write_text(text, "utf-8")
    return import_files([path], table, build_column_map(settings))


def test_the_bad_orders_give_the_golden_report():
    done = import_files(
        [ASSETS / "orders_bad.csv"], "transactions", load_column_map(ASSETS / "orders_bad.toml")
    )
    golden = json.loads((ASSETS / "orders_bad_report.json").read_text("utf-8"))
    assert json.loads(json.dumps(done.report.as_dict(), default=str)) == golden
    assert done.report.records == 24 == done.report.accepted + done.report.quarantined
    assert len(done.quarantine) == 18
    assert len(set(done.quarantine["cause"])) == 17  # 'not finite' twice


def test_a_weight_becomes_one_unit_at_the_price_of_the_line(tmp_path):
    done = imported(tmp_path, HEAD + "1,2024-01-01,7,apples,0.5,4.00\n")
    assert done.rows.select("quantity", "price", "list_price").row(0) == (1, 2.0, 2.0)


def test_exact_duplicates_are_kept_and_counted(tmp_path):
    done = imported(tmp_path, HEAD + "1,2024-01-01,7,milk,1,4.00\n" * 3)
    assert len(done.rows) == 3
    assert {r.rule: r.lines for r in done.report.rules}["exact duplicate"] == 2


def test_a_missing_week_store_and_list_price_are_derived_and_noted(tmp_path):
    """2024-01-03 is a Wednesday, so the week turns on the Monday after it, 2024-01-08."""
    done = imported(
        tmp_path, HEAD + "1,2024-01-03,7,milk,1,4\n2,2024-01-07,7,milk,1,4\n3,2024-01-08,7,milk,1,4\n"
    )
    assert done.rows["week"].to_list() == [1, 1, 2]
    assert set(done.rows["store"]) == {"all"}
    assert done.rows["list_price"].to_list() == [4.0] * 3
    assert len(done.report.notes) == 3


def test_times_with_an_offset_become_local_wall_clock_time(tmp_path):
    text = HEAD + "1,2024-07-01T10:00:00Z,7,milk,1,4\n2,2024-01-01T10:00:00+05:00,7,milk,1,4\n"
    done = imported(tmp_path, text, time_zone="Europe/Berlin")
    assert done.rows["timestamp"].to_list() == [datetime(2024, 7, 1, 12), datetime(2024, 1, 1, 6)]


def test_day_and_month_are_never_guessed(tmp_path):
    text = HEAD + "1,03/04/2024,7,milk,1,4\n"
    with pytest.raises(SchemaError, match="State `timestamp_format`"):
        imported(tmp_path, text)
    done = imported(tmp_path, text, timestamp_format="%d/%m/%Y")
    assert done.rows["timestamp"][0] == datetime(2024, 4, 3)


def test_leading_zeros_keep_a_key_text(tmp_path):
    done = imported(tmp_path, HEAD + "1,2024-01-01,007,milk,1,4\n2,2024-01-01,8,milk,1,4\n")
    assert done.rows["customer"].to_list() == ["007", "8"]
    assert done.rows.schema["order"] == pl.Int64


@pytest.mark.parametrize(
    ("text", "error", "sentence"),
    [
        (
            "InvoiceNo,InvoiceDate,StockCode,Price,Customer ID,Quantity\n1,2024-01-01,a,1,2,3\n",
            SchemaError,
            r"orders\.csv lacks 6 columns: 'order', 'timestamp', 'customer', 'product', 'quantity', 'price'"
            r"\. .*"
            r"customer = \"Customer ID\"",
        ),
        (
            HEAD + "1,2024-01-01,,milk,1,2\n",
            SchemaError,
            "column 'customer' is empty, but transactions need customer",
        ),
        (
            HEAD + "1,2024-01-01,7,milk,1,a\n2,2024-01-01,7,milk,1,b\n3,2024-01-01,7,milk,1,3\n",
            SchemaError,
            "column 'price' does not hold numbers: 2 of 3 cannot be read, for example 'a'",
        ),
        (HEAD, DataError, "No record of orders.csv could be accepted: the files hold only a header"),
        (HEAD + "1,2024-01-01,7,milk,-1,2\n", DataError, "could be accepted: 1 return"),
    ],
)
def test_a_table_that_does_not_fit_is_one_sentence(tmp_path, text, error, sentence):
    with pytest.raises(error, match=sentence) as caught:
        imported(tmp_path, text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings_", "sentence"),
    [
        ({"colums": {}}, "unknown setting 'colums'. Did you mean 'columns'?"),
        (
            {"columns": {"prise": "a"}},
            "names 'prise', which is no column of transactions. Did you mean 'price'?",
        ),
        ({"currency": "dollars"}, "must be an ISO 4217 code"),
        ({"time_zone": "Mars/Base"}, "there is no time zone 'Mars/Base'"),
        ({"decimal": ";"}, "must be '.' or ','"),
        ({"delimiter": "::"}, "must be one character"),
        ({"currency": 5}, "must be text in quotes"),
    ],
)
def test_a_wrong_setting_is_one_sentence(tmp_path, settings_, sentence):
    with pytest.raises(ConfigError) as caught:
        imported(tmp_path, HEAD + "1,2024-01-01,7,milk,1,2\n", **settings_)
    assert sentence in str(caught.value)


def test_a_broken_or_missing_map_and_file_are_named(tmp_path):
    (tmp_path / "map.toml").write_text("columns = ", "utf-8")
    with pytest.raises(ConfigError, match=r"map\.toml is not valid TOML"):
        load_column_map(tmp_path / "map.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_column_map(tmp_path / "absent.toml")
    with pytest.raises(DataError, match="There is no file"):
        import_files([tmp_path / "absent.csv"], "transactions")
    with pytest.raises(UsageError, match="Did you mean 'transactions'"):
        import_files([tmp_path / "absent.csv"], "transaction")
    for name in ("damaged.parquet", "damaged.xlsx"):
        (tmp_path / name).write_bytes(b"not a table")
        with pytest.raises(DataError, match="is not a readable"):
            import_files([tmp_path / name], "transactions")


@pytest.mark.parametrize(
    ("column", "values", "sentence"),
    [
        ("price", [[1.0], [2.0]], "of type List"),
        ("timestamp", [1, 2], "is Int64, but a date or time is needed"),
        ("quantity", [b"1", b"2"], "of type Binary"),
    ],
)
def test_a_typed_column_of_the_wrong_kind_is_one_sentence(tmp_path, column, values, sentence):
    whole = {
        "order": [1, 2],
        "timestamp": [datetime(2024, 1, 1)] * 2,
        "customer": [7, 8],
        "product": ["a", "b"],
    }
    whole |= {"quantity": [1, 1], "price": [1.0, 2.0]}
    pl.DataFrame(whole | {column: values}).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(SchemaError, match=sentence):
        import_files([tmp_path / "t.parquet"], "transactions")


def test_a_compressed_file_is_not_mistaken_for_text(tmp_path):
    (tmp_path / "t.csv").write_bytes(gzip.compress(HEAD.encode()))
    with pytest.raises(DataError, match="does not start with a line of text"):
        import_files([tmp_path / "t.csv"], "transactions")


def test_a_lost_record_stops_the_import(tmp_path, monkeypatch):
    whole = importing.clean_transactions

    def lossy(lines, *rest):
        done = whole(lines, *rest)
        return type(done)(done.accepted.head(1), done.refused, done.counts)

    monkeypatch.setattr(importing, "clean_transactions", lossy)
    with pytest.raises(ReconciliationError, match="2 records in the files, but 1 accepted and 0 quarantined"):
        imported(tmp_path, HEAD + "1,2024-01-01,7,milk,1,2\n2,2024-01-01,7,milk,1,2\n")


def test_csv_parquet_and_excel_give_the_same_table(tmp_path):
    rows = pl.DataFrame(
        {
            "order": [1, 1, 2],
            "timestamp": [datetime(2024, 1, 3, 10), datetime(2024, 1, 3, 10), datetime(2024, 1, 9, 18, 30)],
            "customer": [7, 7, 8],
            "product": ["milk", "bread", "milk"],
            "quantity": [1, 2, 1],
            "price": [1.5, 2.25, 1.25],
        }
    )
    rows.write_csv(tmp_path / "t.csv")
    rows.write_parquet(tmp_path / "t.parquet")
    rows.write_excel(tmp_path / "t.xlsx")
    tables = [import_files([tmp_path / f"t.{e}"], "transactions").rows for e in ("csv", "parquet", "xlsx")]
    assert len(tables) == 3
    assert all(t.equals(tables[0]) for t in tables)


def test_several_files_are_one_table_and_the_quarantine_names_the_file(tmp_path):
    for name, customer in (("a.csv", "7"), ("b.csv", "x9")):
        (tmp_path / name).write_text(
            HEAD + f"1,2024-01-01,{customer},milk,1,2\n2,2024-01-01,{customer},milk,-1,2\n"
        )
    done = import_files([tmp_path / "a.csv", tmp_path / "b.csv"], "transactions")
    assert done.rows["customer"].to_list() == ["7", "x9"]
    assert done.quarantine.select("file", "line").rows() == [("a.csv", 3), ("b.csv", 3)]


def test_fuel_and_services_are_set_aside_once_products_are_known(tmp_path):
    (tmp_path / "t.csv").write_text(HEAD + "".join(f"{i},2024-01-01,7,{i},1,2\n" for i in (1, 2, 3)))
    products = pl.DataFrame(
        {
            "product": [1, 2, 3],
            "category": ["MILK", "X", "COUPON/MISC ITEMS"],
            "subcategory": ["M", "GASOLINE", "G"],
        }
    )
    done = import_files([tmp_path / "t.csv"], "transactions", products=products)
    assert done.report.causes == {"fuel": 1, "service category": 1}
    without = import_files([tmp_path / "t.csv"], "transactions")
    assert {r.rule for r in without.report.rules if r.skipped} == {"fuel", "service category"}


def test_the_other_tables_refuse_repeated_keys_and_keep_attributes(tmp_path):
    products = imported(tmp_path, "product,colour\n1,red\n1,blue\n2,\n", "products")
    assert products.rows.to_dicts() == [{"product": 1, "colour": "red"}, {"product": 2, "colour": None}]
    assert products.report.causes == {"repeated key": 1}
    promotions = imported(tmp_path, "product,week,kind\n1,2,3\n1,2,1\n1,1,99\n1,0,1\n2,1,1\n", "promotions")
    assert promotions.rows.select("product", "store", "week", "kind").rows() == [
        (2, "all", 1, 1),
        (1, "all", 2, 3),
    ]
    assert promotions.report.causes == {"impossible week": 1, "repeated key": 1, "unknown promotion": 1}
    talk = imported(
        tmp_path, "case,turn,role,text\na,0,buyer,hello\na,1,seller,=1+1\na,1,seller,again\n", "dialogues"
    )
    assert (len(talk.rows), talk.report.causes) == (2, {"repeated key": 1})


def test_a_preview_suggests_names_and_writes_nothing(tmp_path):
    path = tmp_path / "o.csv"
    path.write_text("InvoiceNo,InvoiceDate,StockCode,UnitPrice,Quantity\n1,2024-01-01,a,1,2\n")
    seen = preview_file(path, "transactions", ColumnMap(columns={"order": "InvoiceNo"}))
    assert seen.columns == {"order": "InvoiceNo"}
    assert seen.suggested == {
        "timestamp": "InvoiceDate", "product": "StockCode", "quantity": "Quantity", "price": "UnitPrice",
    }  # fmt: skip
    assert seen.missing == ("customer",)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["o.csv"]


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(
        st.tuples(
            st.integers(48, 900),
            st.sampled_from(
                [b'"', b"\n", b"\x00", b"\xff", b",", b"inf", b"-", b"02-30", b"9" * 10, b"", b"\r\n", b"NaN"]
            ),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_whatever_is_done_to_a_file_records_equal_accepted_plus_quarantined(tmp_path, cuts):
    content = HEAD.encode() + b"".join(
        b'%d,2024-01-%02d,7,"milk, fresh",1,2.5\n' % (i, i + 1) for i in range(25)
    )
    for at, insert in cuts:
        content = content[:at] + insert + content[at + len(insert) :]
    path = tmp_path / "mutated.csv"
    path.write_bytes(content)
    try:
        done = import_files([path], "transactions")
    except ReconciliationError:
        raise
    except MallesError:
        return
    assert done.report.records == len(done.rows) + len(done.quarantine)
    assert done.quarantine["cause"].null_count() == 0
    assert done.quarantine["text"].null_count() == 0
    assert done.rows["price"].is_finite().all()
    assert bool((done.rows["quantity"] > 0).all())
