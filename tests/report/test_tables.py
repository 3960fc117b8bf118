"""Numbers for reading."""

import io

import polars as pl
import pytest
from rich.console import Console

from malles.report.tables import difference_table, effect_table, number, percent, plain_table, score_table
from malles.report.terminal import print_facts, print_scores


def scores(name="a"):
    return pl.DataFrame(
        {
            "model": [name, name, "b", "b"], "metric": ["log_loss", "hit_rate_score"] * 2,
            "value": [1.6, 0.5, 1.7, 0.6], "low": [1.5, 0.4, 1.6, 0.5], "high": [1.7, 0.6, 1.8, 0.7],
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234.5, "1,234.500"),
        (-3, "−3"),
        (None, "–"),
        (float("nan"), "–"),
        (float("inf"), "–"),
        (True, "yes"),
        ("x", "x"),
    ],
)
def test_numbers_for_reading(value, text):
    assert number(value) == text


def test_a_share_is_a_percentage_only_for_the_reader():
    assert percent(0.8055) == "80.5 %"
    assert percent(None) == "–"


def test_the_best_value_of_each_metric_is_marked():
    table = score_table(scores(), "x")
    marks = [[cell.mark for cell in row] for row in table.rows]
    assert marks == [["", "best", ""], ["", "", "best"]]
    assert table.header[1].small == "lower is better"
    assert table.rows[0][1].small == "[1.500, 1.700]"


def test_verdicts_are_words():
    frame = pl.DataFrame(
        [("b", "a", "log_loss", 0.1, 0.05, 0.2, "worse")],
        schema=["model", "reference", "metric", "value", "low", "high", "verdict"],
        orient="row",
    )
    row = difference_table(frame, "x").rows[0]
    assert [cell.text for cell in row] == ["b", "Log-loss (nats)", "+0.1000", "[0.0500, 0.2000]", "worse"]
    assert difference_table(frame, "x", ["hit_rate_score"]).rows == ()


def test_each_effect_has_the_digits_its_size_deserves():
    frame = pl.DataFrame(
        {
            "quantity": ["units", "share"], "base": [812.4, 0.21], "scenario": [1190.0, 0.29],
            "difference": [377.6, 0.08], "low": [331.0, 0.07], "high": [422.0, 0.09],
        }
    )  # fmt: skip
    texts = [[cell.text for cell in row] for row in effect_table(frame, "x").rows]
    assert texts[0] == ["units", "812", "1,190", "+378", "[331, 422]"]
    assert texts[1] == ["share", "0.210", "0.290", "+0.080", "[0.070, 0.090]"]


def test_columns_that_are_missing_are_left_out():
    table = plain_table(pl.DataFrame({"b": [1]}), "x", {"a": "A", "b": "B"})
    assert [cell.text for cell in table.header] == ["B"]


def terminal(width=80):
    return Console(file=io.StringIO(), width=width, force_terminal=False, color_system=None)


def test_the_terminal_shows_names_as_they_are():
    console = terminal()
    print_scores(scores("[red]x\x1b[31m"), console=console)
    text = console.file.getvalue()
    assert "[red]x" in text
    assert "\x1b" not in text
    assert "1.600 *" in text
    assert "[1.500, 1.700]" in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_terminal_prints_to_standard_output(capsys):
    print_scores(scores())
    print_facts({"report": "run/report.html", "seconds": 12})
    captured = capsys.readouterr()
    assert "Log-loss" in captured.out
    assert "run/report.html" in captured.out
    assert captured.err == ""
