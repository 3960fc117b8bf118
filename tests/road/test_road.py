"""The whole road on a small synthetic market: it ends in a report, is reused, resumes, and answers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from malles import pipeline
from malles.cli import run as command_line
from malles.config import Config, build_config
from malles.data.home import write_dataset
from malles.data.synthetic import MarketSettings, generate_market
from malles.occasions.build import build_occasions
from malles.occasions.table import write_occasions
from malles.query import open_run_tables
from malles.records.schema import TABLES
from malles.stages.finished import open_finished
from malles.stages.occasions import occasion_rules
from malles.stages.predict import predict_table
from malles.store import load_manifest

MODELS = ("popularity", "personal_frequency", "conditional_logit")


def silent(title: str, done: float | None = None, total: float | None = None) -> None:
    """Tells nobody."""


def small_config(root: Path) -> Config:
    """Thirty weeks: fitted to 20, scored on 21 and 22."""
    return build_config(
        {
            "data": {"name": "small"},
            "occasions": {
                "slate_size": 6, "first_week": 6, "fit_until": 20, "valid": [21, 22], "test": [23, 24],
                "sample": 0,
            },
            "models": {"names": list(MODELS)},
            "market": {"weeks": [21, 22]},
            "calibration": {"weeks": [17, 18], "fit_until": 16},
            "evaluation": {"bootstrap": 40},
            "run": {"name": "small", "root": str(root), "workers": 1},
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(folder of the run, data home): the road walked once."""
    base = tmp_path_factory.mktemp("road")
    home = base / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MALLES_HOME", str(home))
        dataset, _ = generate_market(MarketSettings(customers=120, weeks=30), seed=4)
        write_dataset(dataset.__class__(**{**dataset.__dict__, "name": "small"}), home)
        folder = pipeline.start(small_config(base / "runs"))
    return folder, home


@pytest.fixture(autouse=True)
def at_home(walked: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test here uses the small data home."""
    monkeypatch.setenv("MALLES_HOME", str(walked[1]))


def test_the_road_ends_in_a_report_that_needs_nothing_from_outside(walked: tuple[Path, Path]) -> None:
    page = (walked[0] / "report.html").read_text(encoding="utf-8")
    assert load_manifest(walked[0]).status == "success"
    for name in MODELS:
        assert name in page
    without_names = page.replace("http://www.w3.org/", "")
    assert "http://" not in without_names and "https://" not in without_names


def test_a_model_that_learns_beats_one_that_does_not(walked: tuple[Path, Path]) -> None:
    """The market has known price coefficients; the logit sees prices, popularity does not."""
    scores = json.loads((walked[0] / "05-scores.json").read_text())
    loss = {s["model"]: s["value"] for s in scores["scores"] if s["metric"] == "log_loss"}
    assert loss["conditional_logit"] < loss["popularity"]


def test_units_of_the_base_world_and_the_change_add_up_to_the_scenario(walked: tuple[Path, Path]) -> None:
    found = json.loads((walked[0] / "07-what-if.json").read_text())
    for effect in found["effects"].values():
        assert effect["base"] + effect["change"]["value"] == pytest.approx(effect["scenario"], abs=1e-6)
    assert sum(d["value"] for d in found["diversion"].values()) == pytest.approx(1.0, abs=1e-6)
    assert found["effects"]["units"]["change"]["value"] > 0  # a price cut with a display sells more


def test_every_simulated_week_solves_its_mean_field(walked: tuple[Path, Path]) -> None:
    """The gap between the shares customers see and the shares they make is closed, in every week."""
    found = json.loads((walked[0] / "06-market.json").read_text())
    assert [week["week"] for week in found["mean_field"]] == [21, 22]
    assert all(week["gap"] < 1e-6 for week in found["mean_field"])
    assert found["reaction"]["standard_error"] > 0


def test_a_run_leaves_every_documented_table_and_they_agree(walked: tuple[Path, Path]) -> None:
    """Decisions add up to the drawn units, products and categories to the totals that the run reports."""
    market = json.loads((walked[0] / "06-market.json").read_text())
    with open_run_tables(walked[0]) as tables:
        assert list(tables.tables) == list(TABLES)
        for name, table in TABLES.items():
            frame = tables.table(name).collect()
            assert frame.columns == [column.name for column in table.columns]
            assert frame.height > 0
        sums = tables.query(
            """
            with drawn as (
                from decisions select mode, trip_source, week, sum(units) as drawn group by all
            ),
            products as (
                from product_week
                select mode, trip_source, week, sum(expected_units) as by_product group by all
            ),
            categories as (
                from category_week
                select mode, trip_source, week, sum(expected_units) as by_category group by all
            )
            from week_total
            join drawn using (mode, trip_source, week)
            join products using (mode, trip_source, week)
            join categories using (mode, trip_source, week)
            where mode = 'free_running'
            order by week
            """
        )
    assert sums["week"].to_list() == [21, 22]
    assert sums["drawn"].to_list() == sums["drawn_units"].to_list()
    reported = market["total"]["simulated, free-running, trips simulated"]
    for name in ("expected_units", "by_category"):
        assert sums[name].to_list() == pytest.approx(reported)
    part = (sums["by_product"] / sums["by_category"]).to_list()
    assert all(0.95 < p < 1 + 1e-9 for p in part)  # what nothing was bought of outside slates has no product
    assert sums["actual_units"].to_list() == market["total"]["actual"]


def test_the_ten_worked_queries_are_answered(walked: tuple[Path, Path]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "queries.md").read_text(encoding="utf-8")
    queries = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    assert len(queries) == 10
    with open_run_tables(walked[0]) as tables:
        answers = [tables.query(sql) for sql in queries]
        trips = tables.query("select count(*) as n from trips where mode = 'one_week_ahead' "
                             "and trip_source = 'simulated'")["n"].item()  # fmt: skip
    assert all(answer.height > 0 for answer in answers)
    assert answers[3]["trips"].sum() == trips  # every trip is counted once, also those that bought nothing
    assert all(answers[8]["status"] == "SETTLED")
    assert answers[9]["model"].unique().to_list() == [MODELS[-1]]


def test_a_second_run_reuses_every_stage_and_gives_the_same_bytes(walked: tuple[Path, Path]) -> None:
    first = load_manifest(walked[0])
    second = load_manifest(pipeline.start(small_config(walked[0].parent)))
    assert [s["name"] for s in second.stages if not s["reused"]] == []
    assert {s["name"]: s["digest"] for s in second.stages} == {s["name"]: s["digest"] for s in first.stages}


def test_resuming_a_finished_run_changes_nothing(walked: tuple[Path, Path]) -> None:
    before = (walked[0] / "05-scores.json").read_bytes()
    pipeline.resume(walked[0])
    assert (walked[0] / "05-scores.json").read_bytes() == before


def test_prediction_from_a_table_equals_prediction_inside_the_run(
    walked: tuple[Path, Path], tmp_path: Path
) -> None:
    """Occasions written to the documented table and read back get the run's own probabilities."""
    folder, _ = walked
    finished = open_finished(folder.parent, folder.name, silent)
    rules = occasion_rules(finished.catalogue, finished.config.occasions)
    occasions = build_occasions(finished.catalogue, rules, (21, 22)).occasions.take(np.arange(40))
    write_occasions(occasions, finished.catalogue, tmp_path / "shelf.parquet")
    answers, _ = predict_table(
        folder.parent, f"{folder.name}/conditional_logit", tmp_path / "shelf.parquet", silent
    )
    inside = finished.model("conditional_logit").predict(finished.features(occasions))
    np.testing.assert_allclose(answers["probability"].to_numpy(), inside[occasions.available], atol=1e-6)
    totals = answers.group_by("occasion").agg(pl.col("probability").sum())["probability"]
    np.testing.assert_allclose(totals.to_numpy(), 1.0, atol=1e-5)
    assert (answers["units_mean"] >= 1).all()


def test_a_history_given_as_a_column_replaces_the_one_looked_up(
    walked: tuple[Path, Path], tmp_path: Path
) -> None:
    """Two otherwise equal alternatives: the one said to be bought nine times before is likelier."""
    folder, _ = walked
    finished = open_finished(folder.parent, folder.name, silent)
    rules = occasion_rules(finished.catalogue, finished.config.occasions)
    occasions = build_occasions(finished.catalogue, rules, (21, 21)).occasions.take(np.arange(1))
    table = write_occasions(occasions, finished.catalogue)
    nine, none = float(np.log1p(9.0)), 0.0
    answers = {}
    for name, lines in {"first": (nine, none), "second": (none, nine)}.items():
        given = [*lines, *[none] * (table.height - 2)]
        table.with_columns(own_lines=pl.Series(given)).write_parquet(tmp_path / f"{name}.parquet")
        model = f"{folder.name}/personal_frequency"
        answer, _ = predict_table(folder.parent, model, tmp_path / f"{name}.parquet", silent)
        answers[name] = answer["probability"].to_numpy()
    assert answers["first"][0] > answers["second"][0]
    assert answers["second"][1] > answers["first"][1]


def best_seller(folder: Path) -> str:
    found: str = json.loads((folder / "07-what-if.json").read_text())["product"]
    return found


def test_a_what_if_on_a_finished_run_moves_units_the_right_way(
    walked: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The market has negative price coefficients: half the price sells more, and the parts add up."""
    scenario, product = tmp_path / "half.toml", best_seller(walked[0])
    scenario.write_text(f'[scenario]\nmargin = 0.3\n[[change]]\nkind = "price"\nproduct = "{product}"\n'
                        "relative = -0.5\n")  # fmt: skip
    call = ["simulate", str(scenario), "--model", walked[0].name, "--root", str(walked[0].parent), "--json"]
    assert command_line(call) == 0
    found = json.loads(capsys.readouterr().out)
    units = {r["part"]: r["change"]["value"] for r in found["tables"]["product"] if r["quantity"] == "units"}
    whole = next(r for r in found["tables"]["total"] if r["quantity"] == "units")["change"]["value"]
    named = found["products"][0]["product"]
    assert product in named
    assert units[named] > 0
    assert sum(units.values()) == pytest.approx(whole)
    parts = found["diversion"][named]
    assert sum(parts[k]["value"] for k in ("shelf", "other", "expansion")) == pytest.approx(1.0)
    assert {r["quantity"] for r in found["risks"]} == {"revenue", "margin"}

    assert command_line([*call, "--sweep", "1.relative=-0.4:0.2:0.2", "--draws", "20"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["1.relative"] for row in rows] == [-0.4, -0.2, 0.0, 0.2]
    assert [row["units"] for row in rows] == sorted((row["units"] for row in rows), reverse=True)
    assert rows[2]["units_change"] == pytest.approx(0.0, abs=1e-9)  # nothing changed

    table = tmp_path / "rows.csv"
    assert command_line([*call, "--elasticities", "2", "--draws", "20", "-o", str(table)]) == 0
    own = [row for row in json.loads(capsys.readouterr().out) if row["own"]]
    assert all(row["elasticity"] < 0 for row in own)
    assert len(table.read_text().splitlines()) == 1 + 4


def test_what_an_answer_leaves_out_is_said(
    walked: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One known cost among many; a price a hundred times the highest ever seen; a product that leaves."""
    scenario, product = tmp_path / "odd.toml", best_seller(walked[0])
    call = ["simulate", str(scenario), "--model", walked[0].name, "--root", str(walked[0].parent), "--json",
            "--draws", "20"]  # fmt: skip

    def notes(change: str) -> str:
        scenario.write_text(f'[costs]\n"{product}" = 0.1\n[[change]]\nproduct = "{product}"\n{change}\n')
        assert command_line(call) == 0
        return " ".join(json.loads(capsys.readouterr().out)["notes"])

    dear = notes('kind = "price"\nabsolute = 300.0')
    assert "Margins count only products with a known cost" in dear
    assert "300.00 is outside what was observed" in dear
    assert "associational" in dear
    assert "Consumer surplus is left out" not in dear
    assert "Consumer surplus is left out" in notes('kind = "delist"')


def test_margins_weight_the_panel(
    walked: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nearly everybody has a high income: what the others buy nearly vanishes, and the rest grows."""
    scenario, margins = tmp_path / "cut.toml", tmp_path / "margins.csv"
    scenario.write_text(f'[scenario]\nsegment_by = "income"\n[[change]]\nkind = "price"\n'
                        f'product = "{best_seller(walked[0])}"\nrelative = -0.1\n')  # fmt: skip
    margins.write_text("column,value,share\nincome,high,0.999\nincome,low,0.001\n")
    call = ["simulate", str(scenario), "--model", walked[0].name, "--root", str(walked[0].parent), "--json",
            "--draws", "20"]  # fmt: skip
    units = []
    for more in ([], ["--margins", str(margins)]):
        assert command_line([*call, *more]) == 0
        found = json.loads(capsys.readouterr().out)
        units.append({r["part"]: r["base"] for r in found["tables"]["segment"] if r["quantity"] == "units"})
    assert any("effective sample" in note for note in found["notes"])
    assert units[1]["low"] < 0.02 * units[0]["low"]
    assert units[1]["high"] > 1.2 * units[0]["high"]


def test_a_scenario_is_checked_without_asking_a_model(
    walked: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario, product = tmp_path / "check.toml", best_seller(walked[0])
    call = ["simulate", str(scenario), "--model", walked[0].name, "--root", str(walked[0].parent)]
    scenario.write_text(f'[[change]]\nkind = "price"\nproduct = "{product}"\nrelative = -0.5\n')
    assert command_line([*call, "--dry-run", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["products"]
    assert row["price_then"] == pytest.approx(row["price_today"] / 2, rel=1e-3)
    scenario.write_text(f'[[change]]\nkind = "price"\nproduct = "{product}9"\nrelative = -0.5\n')
    assert command_line([*call, "--dry-run"]) == 2
    assert f"product '{product}9' is unknown" in capsys.readouterr().err
    assert command_line([*call, "--dry-run", "--sweep", "2.relative=0,1"]) == 2


def test_a_look_at_test_weeks_is_written_down(walked: tuple[Path, Path]) -> None:
    from malles.stages.evaluate import evaluate_run

    evaluate_run(walked[0].parent, walked[0].name, "temporal", silent)
    uses = (walked[0] / "test-uses.jsonl").read_text().splitlines()
    assert [json.loads(line)["split"] for line in uses] == ["temporal"]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["predict", "small-9", "--occasions", "x.csv", "-o", "y.csv"], 1, "There is no run 'small-9'"),
        (["predict", "small-1/heat", "--occasions", "x.csv", "-o", "y.csv"], 1, "has no model 'heat'"),
        (["predict", "small-1", "--occasions", "x.csv", "-o", "y.txt"], 2, "should end in .parquet or .csv"),
        (["simulate", "absent.toml", "--model", "small-1"], 2, "There is no scenario file absent.toml"),
        (["run", "absent.toml"], 2, "There is no configuration file absent.toml"),
        (["evaluate", "small-1", "--split", "future"], 2, "future"),
        (["fly"], 2, "There is no command 'fly'"),
    ],
)
def test_a_wrong_call_is_one_sentence(
    walked: tuple[Path, Path],
    arguments: list[str],
    code: int,
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(walked[0].parent.parent)
    assert command_line(arguments) == code
    said = capsys.readouterr().err
    assert sentence in said
    assert "Traceback" not in said
