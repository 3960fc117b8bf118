"""`malles rules` on a fitted run: the front, the files it leaves, the sheet, the section of a page."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from malles import pipeline
from malles.cli import run as command_line
from malles.config import build_config
from malles.data.home import write_dataset
from malles.data.synthetic import MarketSettings, generate_market
from malles.report.content import ReportContent
from malles.report.page import render_page
from malles.rules.expression import complexity
from malles.rules.reading import read_rule
from malles.stages.rules import front_table, read_saved_rule


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(folder of the run, data home): models of a small market."""
    base = tmp_path_factory.mktemp("rules")
    home = base / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MALLES_HOME", str(home))
        dataset, _ = generate_market(MarketSettings(customers=80, weeks=24), seed=4)
        write_dataset(dataset.__class__(**{**dataset.__dict__, "name": "small"}), home)
        config = build_config(
            {
                "data": {"name": "small"},
                "occasions": {
                    "slate_size": 6, "first_week": 6, "fit_until": 18, "valid": [19, 20], "test": [21, 22],
                    "sample": 0,
                },
                "models": {"names": ["conditional_logit"]},
                "market": {"weeks": [19, 20]},
                "calibration": {"weeks": [15, 16], "fit_until": 14},
                "evaluation": {"bootstrap": 40},
                "run": {"name": "small", "root": str(base / "runs"), "workers": 1},
            }
        )  # fmt: skip
        folder = pipeline.start(config, command="fit")
    return folder, home


def test_the_command_prints_rules_and_leaves_them_in_the_run(
    fitted: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, home = fitted
    monkeypatch.setenv("MALLES_HOME", str(home))
    sheet = tmp_path / "rule.csv"
    call = ["rules", folder.name, "--root", str(folder.parent), "--no-genetic", "--json"]
    assert command_line([*call, "--export", str(sheet)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((folder / "10-rules.json").read_text())
    assert complexity(read_rule(found["units"]["rule"])) == found["units"]["nodes"] <= 15
    assert read_saved_rule(folder) == found["units"]["rule"]
    rows = list(csv.DictReader((folder / "10-rules.csv").open()))
    assert [int(r["nodes"]) for r in rows] == [r["nodes"] for r in found["units"]["front"]]
    last = list(csv.reader(sheet.open()))[-1]
    assert last[0] == "units"
    assert last[1].startswith("=MAX(1,")
    copies = found["utility"]
    assert 0 < copies[-1]["variance_share"] <= 1
    assert copies[-1]["agreement"] > 0.5
    page = render_page(ReportContent("Rules", rules=found))
    assert "Short rules" in page
    assert "front-" in page


def test_a_wrong_ending_is_refused_before_anything_is_computed(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line(["rules", "none-1", "--export", "rule.exe"]) == 2
    assert "should end in .csv" in capsys.readouterr().err


def test_no_cell_of_the_front_is_a_formula() -> None:
    row = {
        "nodes": 1,
        "error": 1.0,
        "low": 0.5,
        "high": 1.5,
        "chosen": True,
        "source": "=x",
        "rule": "-1 * a",
    }
    line = front_table({"front": [row]}).splitlines()[1]
    assert line.endswith("'=x,'-1 * a")
