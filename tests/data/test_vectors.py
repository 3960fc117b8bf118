"""Embedding columns of a product table: kept, set aside by row, refused in one sentence."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from malles.data import home as store
from malles.data.importing import import_files
from malles.data.loading import load_dataset
from malles.data.synthetic import MarketSettings, first_weeks, generate_market
from malles.errors import DataError, SchemaError
from malles.occasions.embeddings import build_embeddings


def write(folder, name="products.parquet", **columns):
    count = len(next(iter(columns.values())))
    table = pl.DataFrame({"product": range(1, count + 1), "category": ["DRINKS"] * count, **columns})
    table.write_parquet(folder / name)
    return folder / name


def test_embedding_columns_of_any_number_are_kept_as_float32_and_null_is_missing(tmp_path):
    path = write(
        tmp_path,
        image=pl.Series([[1.0, 2.0], None, [3.0, 4.0]], dtype=pl.List(pl.Float64)),
        words=pl.Series([[1, 2, 3]] * 3, dtype=pl.Array(pl.Int16, 3)),
    )
    found = import_files([path], "products")
    assert found.rows.schema["image"] == found.rows.schema["words"] == pl.List(pl.Float32)
    assert found.rows["image"].to_list() == [[1.0, 2.0], None, [3.0, 4.0]]
    assert found.rows["words"].to_list() == [[1.0, 2.0, 3.0]] * 3
    assert "image: an embedding of 2 numbers, known of 2 of 3 products" in found.report.notes
    assert found.report.quarantined == 0


def test_vectors_of_another_length_or_not_finite_set_their_row_aside(tmp_path):
    rows = [[1.0, 2.0], [1.0], [math.nan, 0.0], [math.inf, 0.0], [None, 1.0], None, [0.0, 0.0]]
    found = import_files([write(tmp_path, image=rows)], "products")
    assert found.rows["product"].to_list() == [1, 6, 7]
    assert dict(found.report.causes) == {"vector not finite": 3, "vector of another length": 1}
    assert found.quarantine["line"].to_list() == [2, 3, 4, 5]
    assert set(found.quarantine["column"]) == {"image"}
    assert found.report.records == found.report.accepted + found.report.quarantined == 7


def test_the_length_is_one_over_all_files(tmp_path):
    first = write(tmp_path, image=[[1.0, 2.0], [2.0, 1.0]])
    second = tmp_path / "more.parquet"
    pl.DataFrame({"product": [9], "category": ["DRINKS"], "image": [[1.0, 2.0, 3.0]]}).write_parquet(second)
    found = import_files([first, second], "products")
    assert found.rows["product"].to_list() == [1, 2]
    assert dict(found.report.causes) == {"vector of another length": 1}


def test_vectors_of_many_lengths_are_no_embedding(tmp_path):
    path = write(tmp_path, image=[[1.0], [1.0, 2.0], [1.0, 2.0, 3.0]])
    with pytest.raises(SchemaError, match=r"Column 'image' holds vectors of 3 lengths \(1, 2, 3, …\)"):
        import_files([path], "products")


def test_lists_of_words_and_lists_of_other_tables_are_refused_as_before(tmp_path):
    with pytest.raises(SchemaError, match="column 'tags' is of type"):
        import_files([write(tmp_path, tags=[["a"], ["b"]])], "products")
    path = tmp_path / "customers.parquet"
    pl.DataFrame({"customer": [1], "taste": [[1.0, 2.0]]}).write_parquet(path)
    with pytest.raises(SchemaError, match="column 'taste' is of type"):
        import_files([path], "customers")


def test_a_catalogue_refuses_what_an_import_would_set_aside():
    table = pl.DataFrame({"product": [7, 8, 9], "image": [[1.0, 2.0], [0.0, 1.0], [math.nan, 2.0]]})
    with pytest.raises(DataError, match=r"1 rows have a vector not finite in 'image'.* of product 9"):
        build_embeddings(table)
    with pytest.raises(DataError, match="vector of another length"):
        build_embeddings(table.with_columns(image=pl.Series([[1.0, 2.0], [0.0, 1.0], [1.0]])))


def test_a_column_without_any_vector_is_no_embedding():
    empty = pl.DataFrame({"product": [1], "image": pl.Series([None], dtype=pl.List(pl.Float32))})
    assert build_embeddings(empty) == ()


def test_imported_vectors_are_in_the_data_set_and_missing_where_a_product_is_only_sold(tmp_path):
    orders = tmp_path / "orders.csv"
    orders.write_text(
        "order,timestamp,customer,product,quantity,price\n1,2024-01-03,7,1,1,2\n2,2024-01-04,8,3,1,3\n"
    )
    home = tmp_path / "home"
    store.write_import(import_files([orders], "transactions"), "shop", home)
    path = write(tmp_path, image=[[1.0, 2.0], [0.0, 1.0]])
    store.write_import(import_files([path], "products"), "shop", home)
    products = load_dataset("shop", home).products
    assert dict(products.select("product", "image").iter_rows()) == {1: [1.0, 2.0], 2: [0.0, 1.0], 3: None}
    found = build_embeddings(products)[0]
    assert found.vector.dtype == np.float32
    assert found.known.tolist() == [True, True, False]


def test_a_market_with_vectors_is_the_one_without_but_for_the_tastes():
    plain = MarketSettings(customers=50, weeks=12, products=5)
    _, before = generate_market(plain, seed=2)
    data, truth = generate_market(
        MarketSettings(customers=50, weeks=12, products=5, vector_size=3, vector_missing=0.4), seed=2
    )
    np.testing.assert_array_equal(truth.price, before.price)
    np.testing.assert_allclose(truth.taste, before.taste + truth.vector_taste @ truth.vector.T)
    known = data.products["embedding"].is_not_null().to_numpy()
    assert 0 < known.sum() < 15
    told = np.array(data.products["embedding"].drop_nulls().to_list())
    np.testing.assert_allclose(told, truth.vector[known], rtol=1e-6)


def test_new_products_are_bought_and_announced_only_once_they_are_on_the_shelf():
    s = MarketSettings(customers=80, weeks=20, products=5, new_products=2, new_week=8, new_every=6)
    _, truth = generate_market(s, seed=2)
    assert first_weeks(s)[:5].tolist() == [0, 0, 0, 8, 14]
    assert (truth.week >= first_weeks(s)[truth.product]).all()
    assert (truth.product % 5 >= 3).any()
    assert not truth.display[:8, :, 3].any()
    assert truth.choice_arrays(0)["available"].sum(axis=1).min() == 3
