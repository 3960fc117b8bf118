"""Which categories become choice categories, and that coding loses nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from malles.errors import DataError, SchemaError
from malles.occasions.catalogue import build_catalogue, build_category_table
from malles.occasions.rules import CatalogueRules


def test_the_tiny_market_has_one_choice_category_with_its_three_teas_first(tiny, tiny_rules):
    catalogue = build_catalogue(tiny, tiny_rules)
    assert catalogue.category_name == ("TEA | BLACK",)
    assert catalogue.products.key.to_list() == ["A", "B", "C", "soap"]
    assert catalogue.products.category.tolist() == [0, 0, 0, -1]
    assert catalogue.choice_store.tolist() == [True, True]
    assert len(catalogue.lines) == 14
    assert catalogue.products.amount[:2].tolist() == [20.0, 40.0]
    assert all(catalogue.products.text.to_list())


def test_price_agreement_counts_lines_within_two_percent_of_the_weekly_median(tiny, tiny_rules):
    """Cells of two or more lines: A in week 1 (4, 4: both agree), in week 4 (3, 4.4, 5, 9.99: none)."""
    table = build_category_table(tiny, replace(tiny_rules, min_price_agreement=0.5)).table
    tea = table.filter(pl.col("name") == "TEA | BLACK").row(0, named=True)
    assert tea["agreement"] == pytest.approx(2 / 6)
    assert tea["lines"] == 13
    assert tea["products"] == 2
    assert not tea["eligible"]
    assert "price agreement 0.33" in tea["reason"]


def test_lines_without_units_or_price_are_left_out_and_counted(tiny, tiny_rules):
    table = tiny.transactions.with_columns(
        quantity=pl.when(pl.col("order") == 1).then(0).otherwise("quantity"),
        price=pl.when(pl.col("order") == 2).then(0.0).otherwise("price"),
    )
    changed = replace(tiny, transactions=table)
    assert len(build_catalogue(changed, tiny_rules).lines) == 12
    assert build_category_table(changed, tiny_rules).left_out["no units or no price"] == 2


def test_a_data_set_without_stores_weeks_list_prices_and_subcategories_still_works(random_market):
    bare = replace(
        random_market,
        transactions=random_market.transactions.drop("store", "week", "list_price"),
        promotions=pl.DataFrame(),
        offers=pl.DataFrame(),
    )
    catalogue = build_catalogue(bare)
    assert catalogue.category_name == ("G0", "G1", "G2")
    assert set(catalogue.lines.store.tolist()) == {0}
    np.testing.assert_array_equal(catalogue.lines.week, build_catalogue(random_market).lines.week)
    np.testing.assert_array_equal(catalogue.lines.price, catalogue.lines.list_price)
    assert len(catalogue.promotions.week) == 0


def test_repeated_promotion_rows_are_joined_bit_by_bit(tiny, tiny_rules):
    promotions = build_catalogue(tiny, tiny_rules).promotions
    assert list(zip(promotions.store, promotions.product, promotions.kind, strict=True)) == [
        (0, 0, 3),
        (1, 1, 4),
    ]


def test_no_eligible_category_is_one_sentence_with_the_reason(tiny):
    with pytest.raises(DataError, match=r"13 lines, needs 800"):
        build_catalogue(tiny, CatalogueRules())


def test_a_missing_column_is_named(tiny):
    with pytest.raises(SchemaError, match="'price'"):
        build_catalogue(replace(tiny, transactions=tiny.transactions.drop("price")))
