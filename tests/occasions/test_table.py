"""Occasions as a long table: there and back, and what is refused in words."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import polars as pl
import pytest

from malles.errors import OccasionError, SchemaError
from malles.occasions.build import build_occasions
from malles.occasions.catalogue import build_catalogue
from malles.occasions.rules import OccasionRules
from malles.occasions.table import read_occasions, write_occasions
from malles.vocabulary import OTHER, Occasions

RULES = OccasionRules(alternatives=7, min_alternatives=3, first_week=5)


@pytest.fixture(scope="module")
def catalogue(random_market):
    return build_catalogue(random_market)


@pytest.fixture(scope="module")
def found(catalogue):
    return build_occasions(catalogue, RULES, (5, 8)).occasions


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_written_occasions_are_read_back_byte_for_byte(catalogue, found, tmp_path, suffix):
    path = tmp_path / f"occasions{suffix}"
    write_occasions(found, catalogue, path)
    again, keys = read_occasions(path, catalogue)
    for field in fields(Occasions):
        assert getattr(again, field.name).tobytes() == getattr(found, field.name).tobytes(), field.name
    assert keys.ignored == ()
    assert keys.occasion.to_list() == list(range(len(found)))


def test_the_other_alternative_survives_the_round_trip(catalogue):
    found = build_occasions(catalogue, replace(RULES, other=True), (5, 6)).occasions
    again, _ = read_occasions(write_occasions(found, catalogue), catalogue)
    assert (again.product[:, -1] == OTHER).all()
    for field in fields(Occasions):
        assert getattr(again, field.name).tobytes() == getattr(found, field.name).tobytes(), field.name


def test_what_a_table_leaves_out_is_filled_by_rule(catalogue, found):
    table = write_occasions(found, catalogue)
    bare = table.select(
        "occasion", "customer", "store", "timestamp", "alternative", "price", weather=pl.lit("fine")
    )
    again, keys = read_occasions(bare, catalogue)
    assert keys.ignored == ("weather",)
    np.testing.assert_array_equal(again.week, found.week)
    np.testing.assert_array_equal(again.category, found.category)
    np.testing.assert_array_equal(again.list_price, again.price)
    np.testing.assert_array_equal(again.rank, found.rank)
    assert (again.chosen == -1).all()
    assert (again.units == 0).all()


def one(**changes):
    columns = {
        "occasion": ["x", "x"],
        "customer": [1, 1],
        "store": [1, 1],
        "timestamp": ["2024-02-05 10:00:00"] * 2,
        "alternative": ["p00", "p01"],
        "price": [1.0, 2.0],
    }
    return pl.DataFrame({**columns, **changes})


def test_ragged_slates_and_unknown_customers_are_fine(catalogue):
    table = pl.concat(
        [
            one(),
            one(occasion=["y", "y"], customer=[77, 77]),
            one(alternative=["outside", "p02"], occasion=["z"] * 2).tail(1),
        ]
    )
    again, keys = read_occasions(table, catalogue)
    assert again.shape == (3, 3)
    assert again.customer[1] == -1
    assert again.available.tolist() == [[False, True, True], [False, True, True], [False, True, False]]
    answers = keys.to_table(again, probability=np.where(again.available, 0.5, 0.0))
    assert answers["alternative"].to_list() == ["p00", "p01", "p00", "p01", "p02"]


def test_a_listed_outside_option_is_column_zero(catalogue):
    again, _ = read_occasions(one(alternative=["outside", "p01"], price=[None, 2.0]), catalogue)
    assert again.available.tolist() == [[True, True]]
    assert again.price.tolist() == [[0.0, 2.0]]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (one(available=[False, False]), r"'x': no alternative is available"),
        (one(alternative=["p00", "p0O"]), r"'x': unknown alternatives 'p0O'.*Did you mean"),
        (one(alternative=["p00", "p00"]), r"'x': alternative 'p00' is listed twice"),
        (one(price=[1.0, -2.0]), r"'x': alternative 'p01' has price -2.0"),
        (one(price=[1.0, float("inf")]), r"'x': alternative 'p01' has price inf"),
        (one(price=[1.0, None]), r"'x': alternative 'p01' has price None"),
        (one(store=[9, 9]), r"'x': store 9 is not in"),
        (one(customer=[1, 2]), r"'x': it has 2 different values of 'customer'"),
        (one(chosen=[True, True]), r"'x': 2 alternatives are chosen"),
        (one(chosen=[True, False], units=[1.5, 0.0]), r"'x': units are 1.5"),
        (one(category=["G0", "G0"]).with_columns(category=pl.lit("G7")), r"'x': category 'G7' is no choice"),
        (one().head(0), "has no rows"),
    ],
)
def test_an_occasion_that_cannot_be_decided_is_named(catalogue, table, message):
    with pytest.raises(OccasionError, match=message):
        read_occasions(table, catalogue)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (one().rename({"price": "prise"}), r"lacks 'price'.*Did you mean 'prise'"),
        (one(price=["1", "two"]), r"price 'two' of the occasions table is not a number"),
        (one(timestamp=["2024-02-30 10:00:00"] * 2), r"timestamp '2024-02-30 10:00:00'"),
        (one(display=["maybe", "no"]), r"display 'maybe'"),
    ],
)
def test_a_table_that_cannot_be_read_is_explained(catalogue, table, message):
    with pytest.raises(SchemaError, match=message):
        read_occasions(table, catalogue)


def test_a_broken_file_is_one_sentence(catalogue, tmp_path):
    path = tmp_path / "broken.parquet"
    path.write_bytes(b"no parquet")
    with pytest.raises(SchemaError, match="cannot be read"):
        read_occasions(path, catalogue)
