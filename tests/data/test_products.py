"""Sizes, texts and the schema."""

from __future__ import annotations

import math
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from malles.data.products import build_text
from malles.data.schema import TABLES, empty_table, find_table, schema_page
from malles.data.sizes import read_amount
from malles.errors import UsageError


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("12 OZ", 12, "oz"),
        ("6 PK 12 OZ", 72, "oz"),
        ("1/2 GAL", 64, "oz"),
        ("12 PK/12 OZ", 144, "oz"),
        ("6/12 OZ BTL", 72, "oz"),
        ("1 1/2 LB", 24, "oz"),
        (".5 LB", 8, "oz"),
        ("2 L", 67.628, "oz"),
        ("750 ML", 25.3606, "oz"),
        ("20 CT", 20, "count"),
        ("1 DZ", 12, "count"),
        ("64 LOADS", 64, "load"),
        ("GAL", 128, "oz"),
        ("2/3 OZ", 2 / 3, "oz"),
        ("16 fl oz", 16, "oz"),
    ],
)
def test_sizes_by_hand(text, value, unit):
    found = read_amount(text)
    assert found.value == pytest.approx(value, rel=1e-4)
    assert found.unit == unit


@given(
    st.one_of(st.none(), st.text(max_size=20), st.from_regex(r"[0-9 /.]{0,8} ?[A-Z]{0,3}", fullmatch=True))
)
def test_any_size_text_is_an_amount_or_unknown(text):
    found = read_amount(text)
    assert (found.unit == "" and math.isnan(found.value)) or (found.value > 0 and math.isfinite(found.value))


def test_a_product_text_is_never_empty():
    table = pl.DataFrame(
        {
            "product": [1, 2, 3],
            "text": ["  Milk\n fresh ", "", None],
            "category": ["DAIRY", "BREAD", None],
            "size": ["1 L", None, "2 L"],
        }
    )
    assert build_text(table).to_list() == ["Milk fresh", "BREAD", "product 3"]


def test_the_schema_page_is_in_step_with_the_tables():
    page = (Path(__file__).parents[2] / "docs" / "schema.md").read_text("utf-8")
    assert page == schema_page()
    assert page.count("\n| `") == sum(len(t.columns) for t in TABLES.values()) == 32


def test_an_unknown_table_is_met_with_the_closest():
    with pytest.raises(UsageError, match="Did you mean 'products'"):
        find_table("product")
    assert empty_table("promotions").schema["kind"] == pl.UInt8
