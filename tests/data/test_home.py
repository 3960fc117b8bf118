"""The data home: names stay inside it, writing is all or nothing, and what is read is what was written."""

from __future__ import annotations

import errno
import json

import polars as pl
import pytest

from malles.data import home as store
from malles.data.columns import ColumnMap
from malles.data.importing import import_files
from malles.data.loading import load_dataset
from malles.data.synthetic import MarketSettings, generate_market
from malles.errors import DataError, StorageError, UsageError

ORDERS = (
    "order,timestamp,customer,product,quantity,price\n1,2024-01-03,7,11,1,2\n"
    "2,2024-01-04,8,12,1,3\n2,2024-01-04,8,12,-1,3\n"
)


@pytest.fixture
def orders(tmp_path):
    path = tmp_path / "orders.csv"
    path.write_text(ORDERS)
    return path


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def test_an_import_is_read_back_with_its_quarantine_and_report(orders, home):
    store.write_import(import_files([orders], "transactions", ColumnMap(currency="EUR")), "shop", home)
    data = load_dataset("shop", home)
    assert data.transactions["product"].to_list() == [11, 12]
    assert (data.currency, data.products["text"].to_list()) == ("EUR", ["product 11", "product 12"])
    assert data.customers["customer"].to_list() == [7, 8]
    assert store.read_table("shop", "transactions", home, part="quarantine")["cause"].to_list() == ["return"]
    assert data.provenance["imports"]["transactions"]["records"] == 3


def test_tables_join_although_one_of_them_has_text_keys(orders, home, tmp_path):
    (tmp_path / "p.csv").write_text("product,text,colour\n11,Milk,white\nA1,Ale,brown\n")
    store.write_import(import_files([orders], "transactions"), "shop", home)
    store.write_import(import_files([tmp_path / "p.csv"], "products"), "shop", home)
    data = load_dataset("shop", home)
    assert data.transactions["product"].to_list() == ["11", "12"]
    assert dict(data.products.select("product", "text").iter_rows()) == {
        "11": "Milk",
        "A1": "Ale",
        "12": "product 12",
    }
    assert data.provenance["completed"]["products only in transactions"] == 1


def test_the_fingerprint_changes_with_the_content_and_only_then(orders, home):
    prints = []
    for text in (ORDERS, ORDERS, ORDERS.replace("7,11", "7,12")):
        orders.write_text(text)
        store.write_import(import_files([orders], "transactions"), "shop", home)
        prints.append(load_dataset("shop", home).provenance["fingerprint"])
    assert prints[0] == prints[1] != prints[2]


def test_a_data_set_is_written_and_read_whole(home):
    data, _ = generate_market(MarketSettings(customers=20, weeks=4), seed=3)
    store.write_dataset(data, home)
    back = store.read_dataset("synthetic", home)
    for table in store.TABLE_FIELDS:
        assert getattr(back, table).equals(getattr(data, table)), table
    assert (back.currency, back.time_zone) == (data.currency, data.time_zone)


def test_a_full_disk_leaves_what_was_there(orders, home, monkeypatch):
    store.write_import(import_files([orders], "transactions"), "shop", home)
    before = {p.name: p.read_bytes() for p in (home / "data" / "shop").iterdir()}

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    orders.write_text(ORDERS.replace("7,11", "7,12"))
    again = import_files([orders], "transactions")
    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    with pytest.raises(StorageError, match="No space left on device") as caught:
        store.write_import(again, "shop", home)
    assert "\n" not in str(caught.value)
    assert {p.name: p.read_bytes() for p in (home / "data" / "shop").iterdir()} == before


def test_a_write_cut_off_before_the_commit_is_no_data_set(orders, home, monkeypatch):
    def killed(_manifest):
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "_fingerprint", killed)
    with pytest.raises(KeyboardInterrupt):
        store.write_import(import_files([orders], "transactions"), "shop", home)
    assert store.list_datasets(home) == {}
    with pytest.raises(UsageError, match="There is no data set 'shop'"):
        load_dataset("shop", home)


@pytest.mark.parametrize(
    "name", ["", "..", "../x", "a/b", "A", "shop\n", "a" * 65, ".hidden", "a..b", "-x", "shop.", "\x00", "ﬁ"]
)
def test_names_cannot_leave_the_home(home, name):
    with pytest.raises(UsageError, match="cannot name a data set"):
        store.dataset_folder(name, home)


def test_a_link_out_of_the_home_is_refused(home, tmp_path):
    (home / "data").mkdir(parents=True)
    (home / "data" / "shop").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="leads outside"):
        store.dataset_folder("shop", home)


def test_damage_and_other_versions_are_one_sentence(orders, home):
    folder = store.write_import(import_files([orders], "transactions"), "shop", home)
    manifest = json.loads((folder / "dataset.json").read_text())
    table = folder / manifest["tables"]["transactions"]["rows"]["file"]
    whole = table.read_bytes()
    table.write_bytes(whole[:-9])
    with pytest.raises(DataError, match="is missing or damaged"):
        load_dataset("shop", home)
    (folder / "dataset.json").write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(DataError, match="has format 99, this malles reads 1"):
        load_dataset("shop", home)
    (folder / "dataset.json").write_text("{")
    with pytest.raises(DataError, match="is damaged"):
        load_dataset("shop", home)


def test_unknown_names_are_met_with_the_closest_known_one(orders, home):
    store.write_import(import_files([orders], "transactions"), "shop", home)
    with pytest.raises(UsageError, match="Did you mean 'complete_journey'"):
        load_dataset("complete_journy", home)
    with pytest.raises(UsageError, match="Did you mean 'shop'"):
        load_dataset("shopp", home)
    with pytest.raises(UsageError, match="The source 'online_retail' needs a file of yours"):
        load_dataset("online_retail", home)


def test_a_registered_file_and_a_path_are_data_sets_too(orders, home):
    store.register_file("mine", orders, home)
    assert load_dataset("mine", home).name == "mine"
    assert load_dataset(str(orders), home).transactions.equals(load_dataset("mine", home).transactions)
    with pytest.raises(DataError, match="There is no file"):
        store.register_file("other", orders.with_name("absent.csv"), home)


def test_the_home_comes_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("MALLES_HOME", str(tmp_path))
    assert store.data_home() == tmp_path
    monkeypatch.delenv("MALLES_HOME")
    assert str(store.data_home()) == ".malles"
