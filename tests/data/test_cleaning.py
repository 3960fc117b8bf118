"""The cleaning rules: each touches what its sentence says, and the law that nothing disappears."""

from __future__ import annotations

from datetime import datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from malles.data.cleaning import RULES, Effect, clean_transactions, ruled_products

GOOD = {
    "order": 1,
    "timestamp": datetime(2024, 1, 3),
    "product": "milk",
    "quantity": 1.0,
    "price": 2.0,
    "list_price": 2.5,
    "category": "MILK",
    "subcategory": "FRESH MILK",
}


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"timestamp": datetime(1969, 12, 31)}, "impossible date"),
        ({"timestamp": datetime(2101, 1, 1)}, "impossible date"),
        ({"quantity": -1.0}, "return"),
        ({"quantity": 0.0}, "zero quantity"),
        ({"quantity": 1_000_001.0}, "absurd quantity"),
        ({"price": -0.01}, "negative price"),
        ({"price": 0.0}, "zero price"),
        ({"price": 2e9, "list_price": 2e9}, "absurd price"),
        ({"list_price": 2e9}, "absurd list price"),
        ({"subcategory": "GASOLINE-REG UNLEADED"}, "fuel"),
        ({"category": "COUPON/MISC ITEMS"}, "service category"),
        ({"product": "POST"}, "non-product code"),
        ({"quantity": -1.0, "price": 0.0}, "return"),  # the first rule is the cause
    ],
)
def test_a_refusing_rule_touches_its_line_and_no_other(change, rule):
    done = clean_transactions(pl.DataFrame([GOOD, GOOD | {"order": 2} | change]))
    assert done.accepted["order"].to_list() == [1]
    assert done.refused["_cause"].to_list() == [rule]
    assert {c.rule: c.lines for c in done.counts if c.lines} == {rule: 1}


def test_the_tests_above_know_every_refusing_rule():
    assert sum(r.effect is Effect.REFUSE for r in RULES) == 11
    assert len(RULES) == 14
    assert len({r.name for r in RULES}) == 14


def test_limits_themselves_are_allowed():
    edge = GOOD | {"quantity": 1_000_000.0, "price": 1_000_000.0, "list_price": 1_000_000.0}
    edge |= {"timestamp": datetime(1970, 1, 1)}
    assert len(clean_transactions(pl.DataFrame([edge])).accepted) == 1


def test_joining_only_ruled_products_refuses_the_same_lines():
    products = pl.DataFrame(
        {
            "product": ["a", "b", "c"],
            "category": ["MILK", "COUPON/MISC ITEMS", None],
            "subcategory": [None, "X", "DIESEL"],
        }
    )
    lines = pl.DataFrame([GOOD | {"product": p} for p in "abcab"]).drop("category", "subcategory")
    results = [
        clean_transactions(lines.join(p, on="product", how="left", maintain_order="left"))
        .refused["_cause"]
        .to_list()
        for p in (products, ruled_products(products))
    ]
    assert results[0] == results[1] == ["service category", "fuel", "service category"]


number = st.floats(-10, 3e6, allow_nan=False)


@given(st.lists(st.tuples(number, number, number), max_size=30))
def test_every_line_is_accepted_or_refused_with_a_cause(values):
    lines = pl.DataFrame(
        values, schema=dict.fromkeys(("quantity", "price", "list_price"), pl.Float64), orient="row"
    )
    done = clean_transactions(lines)
    assert len(done.accepted) + len(done.refused) == len(lines)
    assert done.refused["_cause"].null_count() == 0
    assert sum(c.lines for c in done.counts if c.effect is Effect.REFUSE) == len(done.refused)
    assert bool((done.accepted["list_price"] >= done.accepted["price"] * (1 - 1e-9)).all())
