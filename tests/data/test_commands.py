"""`malles import` and `malles data` from the door."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from malles.cli.data import data_app
from malles.cli.import_ import import_command
from malles.errors import SchemaError

ORDERS = "order,timestamp,customer,product,quantity,price\n1,2024-01-03,7,11,1,2\n2,2024-01-04,8,12,-1,3\n"


@pytest.fixture
def call(tmp_path, monkeypatch):
    monkeypatch.setenv("MALLES_HOME", str(tmp_path / "home"))
    (tmp_path / "orders.csv").write_text(ORDERS)
    app = typer.Typer()
    app.command("import")(import_command)
    app.add_typer(data_app, name="data")

    def invoke(*words: str):
        return CliRunner().invoke(app, [w.replace("@", str(tmp_path) + "/") for w in words])

    return invoke


def test_import_writes_a_data_set_and_reports_it(call):
    done = call("import", "@orders.csv", "--name", "shop", "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["records"], report["accepted"], report["causes"]) == (2, 1, {"return": 1})
    shown = json.loads(call("data", "show", "shop", "--json").stdout)
    assert shown["tables"]["transactions"]["rows"]["rows"] == 1
    assert "2 records = 1 accepted + 1 quarantined" in call("data", "show", "shop").stdout
    assert "2 records = 1 accepted + 1 quarantined" in call("import", "@orders.csv", "--name", "shop").stdout


def test_a_preview_writes_nothing(call, tmp_path):
    shown = call("import", "@orders.csv", "--preview")
    assert shown.exit_code == 0
    assert "2 records" in shown.stdout
    assert not (tmp_path / "home").exists()


def test_a_missing_name_is_a_usage_error(call):
    assert call("import", "@orders.csv").exit_code == 2


def test_a_bad_table_writes_nothing(call, tmp_path):
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    done = call("import", "@bad.csv", "--name", "shop")
    assert isinstance(done.exception, SchemaError)
    assert not (tmp_path / "home").exists()


def test_the_list_names_every_source_with_origin_and_licence(call):
    entries = {e["name"]: e for e in json.loads(call("data", "list", "--json").stdout)}
    assert entries["complete_journey"]["licence"] == "MIT (as packaged)"
    assert entries["online_retail"]["state"] == "needs a file"
    assert call("data", "add", "online_retail", "@orders.csv").exit_code == 0
    entries = {e["name"]: e for e in json.loads(call("data", "list", "--json").stdout)}
    assert entries["online_retail"]["state"] == "ready"
    assert "CC BY 4.0" in call("data", "list").stdout
