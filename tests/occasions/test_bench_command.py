"""`malles bench choice` says what it lacks before it works."""

from __future__ import annotations

import json
from dataclasses import replace

from typer.testing import CliRunner

from malles.cli.bench import bench_app
from malles.errors import UsageError
from malles.occasions.rules import CatalogueRules

SMALL = CatalogueRules(min_lines=20, min_products=2)


def test_a_folder_without_the_frozen_files_is_named_at_once(tmp_path):
    answer = CliRunner().invoke(bench_app, ["choice", "--frozen", str(tmp_path)])
    assert isinstance(answer.exception, UsageError)
    assert "occasions.parquet" in str(answer.exception)


def test_the_counts_of_a_small_data_set_are_printed_as_json(random_market, monkeypatch):
    small = replace(random_market, name="complete_journey")
    monkeypatch.setattr("malles.data.loading.load_dataset", lambda name, home: small)
    monkeypatch.setattr(
        "malles.occasions.rules.CatalogueRules.scaled_to",
        classmethod(lambda cls, _: SMALL),
    )
    answer = CliRunner().invoke(bench_app, ["choice", "--json"])
    assert answer.exit_code == 0, answer.output
    report = json.loads(answer.stdout)
    assert report["catalogue"]["categories"] == 3
    assert [row["split"] for row in report["splits"]][:2] == ["train", "valid"]
