"""The recorded tables: every number against the world it was drawn in, documents against the code."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import datetime

import numpy as np
import polars as pl
import pytest

from house.source_tree import CLONE
from malles.errors import SchemaError
from malles.population.fixed_point import FixedPoint, Status
from malles.population.mean_field import WeekField, build_mean_field
from malles.population.simulation import Mode, Simulation, TripSource, WeekResult
from malles.profiles.incidence import Purchases, Shelf
from malles.records.found import record_found
from malles.records.given import record_given
from malles.records.schema import TABLES
from malles.records.simulated import Recorder
from malles.records.table import KINDS, Column, Table, read_tables, write_tables
from malles.vocabulary import OTHER, Catalogue, Lines, Offers, Products, Promotion, PromotionTable

NOON = 12 * 3600
F, I = np.float32, np.int32


def catalogue() -> Catalogue:
    """Two categories with products 11, 12 and 21, one product outside (99), two customers, one store."""
    none = np.zeros(0, np.int32)
    code = np.array([0, 0, 1, -1], np.int32)
    return Catalogue(
        name="tiny", currency="EUR",
        lines=Lines(
            np.array([0, 0, 1], I), np.array([0, 0, 0], I), np.array([0, 3, 2], I), np.array([5, 5, 6]),
            np.array([1, 1, 2], np.int16), np.array([NOON, NOON, 8 * 86400]), np.array([2, 1, 1], I),
            np.array([1.89, 5.0, 3.0], F), np.array([2.0, 5.0, 3.0], F),
        ),
        products=Products(
            key=pl.Series([11, 12, 21, 99]), category=code, group=code, department=code, manufacturer=code,
            private_label=np.array([False, True, False, False]), size=code,
            amount=np.array([1.0, np.nan, 2.0, 1.0], F), text=pl.Series(["whole", "own", "rye", "pen"]),
        ),
        category_name=("MILK", "BREAD"), group_name=("MILK", "BREAD"),
        customer_key=pl.Series(["anna", "bert"]), store_key=pl.Series([7]), customers=pl.DataFrame(),
        promotions=PromotionTable(none.astype(np.int16), none, none, none.astype(np.uint8)),
        offers=Offers(none, none, none.astype(np.int64), none.astype(np.int64)),
        choice_store=np.array([True]),
    )  # fmt: skip


SHELF = Shelf(
    row=np.array([[0, 1]], I),
    product=np.array([[0, 1], [2, -3]], I),
    price=np.array([[1.89, 1.2], [3.0, 0]], F),
    list_price=np.array([[2.0, 1.2], [3.0, 0]], F),
    promotion=np.array([[Promotion.DISPLAY, Promotion.MAILER_PAGE], [0, 0]], np.uint8),
    rank=np.array([[0, 1], [0, -1]], I),
)


def bought() -> Purchases:
    """Week 3: anna takes 2 of 11 and 1 of 12, and another bread; bert goes shopping and buys nothing."""
    return Purchases(
        np.array([0, 1], I), np.zeros(2, I), np.array([-1, -2]), np.full(2, 3, I), np.array([NOON, 86400]),
        np.array([0, 2, 2]), np.array([0, 1], I), np.array([0, 2, 3]), np.array([0, 1, OTHER], I),
        np.array([2, 1, 4], I),
    )  # fmt: skip


def simulation(mode: Mode = Mode.ONE_WEEK_AHEAD) -> Simulation:
    one = np.ones((1, 2))
    point = FixedPoint(np.array([0.6, 0.4]), Status.DIVERGED, (0.2, 0.05, np.inf), 0.5)
    solved = WeekField(one / 2, point, np.array([0, 1]), np.array([0.5, 0.5]), np.array([0.7, 0.3]))
    field = build_mean_field(
        np.array([0, 1]), np.array([2.0, 1.0]), np.array([1.89, 1.2]), np.array([2.0, 1.2]),
        np.array([0, 0, 1, -1]), 2, np.array([[True, False]]),
    )  # fmt: skip
    week = WeekResult(
        week=3, trips=2, expected_units=np.array([4.0, 9.0]), drawn_units=np.array([3, 4]),
        expected_purchases=np.array([2.0, 3.0]), other_units=np.array([0.5, 9.0]),
        shelf_units=np.array([2.5, 1.0, 0.0, 0.0]), product_units=np.array([3.0, 1.0, 9.0, 0.0]),
        purchases=bought(), mean_field=field, solved=solved, asked=1,
    )  # fmt: skip
    return Simulation((week,), mode, TripSource.DATA)


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    """The market of week 3; in truth bert bought five of 21."""
    true = replace(
        bought(), start=np.array([0, 0, 1]), category=np.array([1], I), item_start=np.array([0, 1]),
        item=np.array([2], I), item_units=np.array([5], I),
    )  # fmt: skip
    recorder = Recorder(catalogue(), {3: SHELF}, true, np.array([1.0, 4.0]))
    free = simulation(Mode.FREE_RUNNING)
    found = recorder.record([simulation(), simulation(), free])  # the second one is the first one again
    return {name: TABLES[name].conform(frame) for name, frame in found.items()}


def rows(frame: pl.DataFrame, *names: str, mode: str = "one_week_ahead") -> list[tuple]:
    return frame.filter(pl.col("mode") == mode).select(names).rows()


def test_every_decision_is_a_row_with_the_shelf_it_was_taken_from(tables):
    names = ("trip", "customer", "store", "category", "product", "units", "price", "list_price")
    assert rows(tables["decisions"], *names) == [
        (0, "anna", 7, "MILK", 11, 2, 1.89, 2.0),
        (0, "anna", 7, "MILK", 12, 1, 1.2, 1.2),
        (0, "anna", 7, "BREAD", None, 4, None, None),
    ]
    assert rows(tables["decisions"], "display", "mailer") == [(True, False), (False, True), (None, None)]
    assert tables["decisions"]["timestamp"][0] == datetime(1970, 1, 1, 12)


def test_equal_simulations_are_recorded_once_and_different_ones_beside_each_other(tables):
    assert tables["decisions"].group_by("mode").len().sort("mode").rows() == [
        ("free_running", 3),
        ("one_week_ahead", 3),
    ]
    assert tables["trips"]["week"].unique().to_list() == [3]


def test_a_trip_that_bought_nothing_is_a_trip(tables):
    assert rows(tables["trips"], "trip", "customer", "units") == [(0, "anna", 7), (1, "bert", 0)]


def test_aggregates_stand_beside_what_was_sold(tables):
    """Bread: 9 expected with four times the Poisson variance: 9 ± 1.96 * 6; in truth 5."""
    names = ("category", "expected_units", "drawn_units", "actual_units", "other_units")
    assert rows(tables["category_week"], *names) == [("MILK", 4.0, 3, 0.0, 0.5), ("BREAD", 9.0, 4, 5.0, 9.0)]
    low, high = rows(tables["category_week"], "low", "high")[1]
    assert (low, high) == (0.0, pytest.approx(9 + 1.96 * 6))
    total = rows(tables["week_total"], "trips", "expected_units", "drawn_units", "actual_units", "high")
    assert total == [(2, 13.0, 7, 5.0, pytest.approx(13 + 1.96 * np.sqrt(4 + 36)))]


def test_products_are_counted_where_they_are_expected_drawn_or_sold(tables):
    names = ("product", "category", "expected_units", "shelf_units", "drawn_units", "actual_units")
    assert rows(tables["product_week"], *names) == [
        (11, "MILK", 3.0, 2.5, 2, 0), (12, "MILK", 1.0, 1.0, 1, 0), (21, "BREAD", 9.0, 0.0, 0, 5),
    ]  # fmt: skip


def test_the_mean_field_is_kept_by_product(tables):
    names = ("product", "solved_share", "past_share", "long_share", "drawn_share")
    assert rows(tables["mean_field"], *names) == [
        (11, 0.6, 0.5, 0.7, pytest.approx(2 / 3)),
        (12, 0.4, 0.5, 0.3, pytest.approx(1 / 3)),
    ]
    names = ("category", "category_share", "mean_quantity", "availability")
    assert rows(tables["category_field"], *names) == [("MILK", 1.0, 1.5, 1.0), ("BREAD", 0.0, 1.0, 0.0)]


def test_a_market_without_reaction_has_no_solved_shares():
    still = simulation().weeks[0]
    none = np.zeros(0)
    unsolved = replace(still.solved, product=none.astype(int), past_share=none, long_share=none)
    one = Simulation((replace(still, solved=unsolved),), Mode.FREE_RUNNING, TripSource.DATA)
    found = Recorder(catalogue(), {3: SHELF}, bought(), np.ones(2)).record([one])["mean_field"]
    assert found.select("product", "solved_share").rows() == [(11, None), (12, None)]


def test_every_evaluation_of_the_fixed_point_is_kept(tables):
    names = ("iteration", "gap", "status", "contraction", "other_fields")
    assert rows(tables["fixed_point"], *names) == [
        (1, 0.2, "DIVERGED", 0.5, 0), (2, 0.05, "DIVERGED", 0.5, 0), (3, None, "DIVERGED", 0.5, 0),
    ]  # fmt: skip


def test_what_was_given_keeps_its_own_keys():
    given = {name: TABLES[name].conform(frame) for name, frame in record_given(catalogue()).items()}
    assert given["transactions"].select("customer", "product", "category", "units", "price").rows() == [
        ("anna", 11, "MILK", 2, 1.89), ("anna", 99, None, 1, 5.0), ("bert", 21, "BREAD", 1, 3.0),
    ]  # fmt: skip
    assert given["products"]["amount"].to_list() == [1.0, None, 2.0, 1.0]
    assert given["customers"].rows() == [("anna", 1, 8.78, 1, 1), ("bert", 1, 3.0, 2, 2)]


def test_outcomes_and_scores_become_rows():
    part = {"value": 0.5, "low": 0.4, "high": None}
    change = {"value": 3.0, "low": 1.0, "high": 5.0}
    point = dict.fromkeys(
        ("multiplier", "price", "units", "units_low", "units_high", "share", "revenue"), 1.0
    )
    found = record_found(
        [{"model": "logit", "language": False, "market": True, "best": True, "reference": True}],
        {"choice": {"scores": [{"model": "logit", "metric": "log_loss", **part, "more": 1}]}},
        {
            "question": "?", "category": "MILK", "diversion": {"shelf": part},
            "effects": {"units": {"base": 1.0, "scenario": 4.0, "change": change}},
            "sources": [{"product": "own", **change}], "curve": [{**point, "elasticity": None}],
        },
        11,
    )  # fmt: skip
    assert found["scenario_outcomes"].rows() == [("?", 11, "MILK", "units", 1.0, 4.0, 3.0, 1.0, 5.0)]
    assert found["scenario_sources"]["source"].to_list() == ["shelf", "own"]
    assert found["scores"].rows() == [("choice", "logit", "log_loss", 0.5, 0.4, None)]
    assert found["differences"].height == 0
    assert found["price_response"]["elasticity"].to_list() == [None]


def test_the_same_tables_are_the_same_bytes(tables, tmp_path):
    for name in ("a", "b"):
        write_tables(tables, tmp_path / name, TABLES)
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert read_tables(tmp_path / "a")["decisions"].equals(tables["decisions"])


def test_a_column_that_is_not_documented_is_an_error():
    table = Table("t", "x", "one thing", (Column("a", "integer", "a number"),))
    with pytest.raises(SchemaError, match="documented with"):
        table.conform(pl.DataFrame({"a": [1], "b": [2]}))


def test_every_table_and_column_says_what_it_means():
    assert len(TABLES) == 17
    for table in TABLES.values():
        names = [c.name for c in table.columns]
        assert len(set(names)) == len(names)
        assert table.row
        assert all(c.meaning and c.kind in KINDS for c in table.columns)


def test_the_page_of_tables_is_in_step_with_the_code():
    script = CLONE / "scripts" / "write_table_docs.py"
    done = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
