"""What stands in the figures of the market, read back from the drawing."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure

from malles.report import market_figures
from malles.report.market_figures import (
    draw_convergence,
    draw_market_fit,
    draw_response_surface,
    draw_tornado,
)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Figures as matplotlib holds them, in the order in which they were drawn."""
    figures: list[Figure] = []

    def keep(name: str, draw, **size: float) -> str:
        figures.append(Figure(layout="constrained"))
        draw(figures[-1])
        return name

    monkeypatch.setattr(market_figures, "as_svg", keep)
    return figures


def test_convergence_draws_every_gap_and_names_the_slowest_week(drawn: list[Figure]):
    draw_convergence(
        pl.DataFrame(
            {"week": [1, 1, 2, 2, 2], "iteration": [1, 2, 2, 1, 3], "gap": [0.1, 1e-9, 1e-3, 0.2, None]}
        )
    )
    lines = drawn[0].axes[0].lines
    week_2, week_1 = ([[1, 0.2], [2, 1e-3]], [[1, 0.1], [2, 1e-9]])
    assert [line.get_xydata().tolist() for line in lines] == [week_2, week_1]
    assert drawn[0].axes[0].get_yscale() == "log"
    assert drawn[0].axes[0].get_legend().get_texts()[0].get_text().endswith("the slowest of 2")


def test_the_slowest_week_is_the_one_with_the_most_evaluations(drawn: list[Figure]):
    draw_convergence(
        pl.DataFrame({"week": [8, 9, 9, 9], "iteration": [1, 1, 2, 3], "gap": [0.1, 0.2, 0.1, 0.05]})
    )
    assert drawn[0].axes[0].get_legend().get_texts()[0].get_text().startswith("week 9")


def test_fit_draws_cells_against_truth_and_totals_in_their_band(drawn: list[Figure]):
    cells = pl.DataFrame({"actual": [1.0, 200.0], "simulated": [3.0, 150.0]})
    totals = pl.DataFrame(
        {"week": [2, 1], "actual": [20.0, 10.0], "simulated": [19.0, 11.0], "low": [15.0, 8.0],
         "high": [25.0, 14.0]}
    )  # fmt: skip
    draw_market_fit(cells, totals)
    left, right = drawn[0].axes
    assert left.lines[1].get_xydata().tolist() == [[1, 3], [200, 150]]
    assert [line.get_xydata().tolist() for line in right.lines] == [[[1, 10], [2, 20]], [[1, 11], [2, 19]]]
    band = right.collections[0].get_paths()[0].vertices
    assert {(1.0, 8.0), (1.0, 14.0), (2.0, 15.0), (2.0, 25.0)} <= {tuple(point) for point in band.tolist()}


def test_tornado_has_the_largest_effect_on_top_whatever_its_sign(drawn: list[Figure]):
    effects = pl.DataFrame(
        {"name": ["a", "b", "c", "none"], "value": [0.1, -0.4, 0.2, None], "low": [0.0, -0.5, None, None],
         "high": [0.2, -0.3, None, None]}
    )  # fmt: skip
    draw_tornado(effects, "change", percent=True)
    axes = drawn[0].axes[0]
    named = dict(zip(axes.get_yticks(), [t.get_text() for t in axes.get_yticklabels()], strict=True))
    bars = {named[round(bar.get_y() + bar.get_height() / 2)]: bar.get_width() for bar in axes.patches}
    assert bars == {"a": 0.1, "b": -0.4, "c": 0.2}
    assert named[max(named)] == "b"
    intervals = [line.get_xdata() for line in axes.lines if len(set(line.get_ydata())) == 1]
    assert [-0.5, -0.3] in [list(ends) for ends in intervals]
    assert {text.get_text() for text in axes.texts} == {"+10.0 %", "−40.0 %", "+20.0 %"}


def test_surface_has_every_value_in_its_cell_and_today_framed(drawn: list[Figure]):
    value = np.array([[1.0, 2.0, 3.0], [4.0, np.nan, 6.0]])
    draw_response_surface(
        [0.9, 1.0, 1.1], ["no display", "display"], value, labels=("price", "display", "units"), today=(1, 2)
    )
    axes = drawn[0].axes[0]
    np.testing.assert_array_equal(np.ma.filled(axes.collections[0].get_array(), np.nan), value)
    texts = {(t.get_position(), t.get_text()) for t in axes.texts}
    assert texts == {
        ((0.5, 0.5), "1"), ((1.5, 0.5), "2"), ((2.5, 0.5), "3"), ((0.5, 1.5), "4"), ((2.5, 1.5), "6"),
    }  # fmt: skip
    assert [t.get_text() for t in axes.get_xticklabels()] == ["0.9", "1", "1.1"]
    assert axes.lines[0].get_xydata().mean(0) == pytest.approx([2.4, 1.4])  # corners of row 1, column 2


def test_large_surfaces_carry_no_numbers(drawn: list[Figure]):
    draw_response_surface(range(20), range(20), np.ones((20, 20)), labels=("p", "q", "units"))
    assert not drawn[0].axes[0].texts


def test_figures_are_vectors_of_the_same_bytes_also_when_there_is_nothing_to_draw():
    empty = pl.DataFrame(schema={"week": pl.Int64, "iteration": pl.Int64, "gap": pl.Float64})
    none = pl.DataFrame(schema=dict.fromkeys(("name", "value", "low", "high"), pl.Float64))
    surface = np.full((2, 2), np.nan)
    for draw in (
        lambda: draw_convergence(empty),
        lambda: draw_tornado(none, "change"),
        lambda: draw_convergence(pl.DataFrame({"week": [1, 1], "iteration": [1, 2], "gap": [0.1, 1e-9]})),
        lambda: draw_market_fit(
            pl.DataFrame({"actual": [0.0, 900.0], "simulated": [2.0, 800.0]}),
            pl.DataFrame({"week": [1], "actual": [900.0], "simulated": [802.0]}),
        ),
        lambda: draw_response_surface([1, 2], [1, 2], surface, labels=("a", "b", "c")),
        lambda: draw_response_surface([1, 2], [1, 2], np.eye(2), labels=("a", "b", "c")),
    ):
        svg = draw()
        assert svg == draw()
        assert svg.startswith("<svg")
        assert "<image" not in svg
        assert "mathdefault" not in svg
