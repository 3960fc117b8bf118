import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from malles.calibration.raking import rake_weights
from malles.data.margins import Margin, build_margins, read_margins
from malles.errors import DataError, SchemaError


def people(n: int = 200, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    age = rng.choice(["young", "middle", "old"], n, p=[0.2, 0.5, 0.3])
    return pl.DataFrame({"age": age, "income": rng.choice(["low", "high"], n, p=[0.7, 0.3])})


MARGINS = build_margins(
    [
        ("age", "young", 0.4),
        ("age", "middle", 0.3),
        ("age", "old", 0.3),
        ("income", "low", 0.5),
        ("income", "high", 0.5),
    ]
)


def test_raking_is_iterated_proportional_fitting():
    """Scaling rows and columns in turn, 200 times, by other code."""
    panel = people()
    w = np.ones(len(panel))
    for _ in range(200):
        for column in ("age", "income"):
            for m in MARGINS:
                if m.column == column:
                    rows = (panel[column] == m.value).to_numpy()
                    w[rows] *= m.share * len(panel) / w[rows].sum()
    found = rake_weights(panel, MARGINS)
    assert found.feasible
    np.testing.assert_allclose(found.weight, w, rtol=1e-3)
    np.testing.assert_allclose(found.table["achieved"], found.table["target"], atol=1e-4)
    assert "5 margins, all met; effective sample" in found.sentence


@settings(max_examples=20, deadline=None)
@given(st.floats(0.05, 0.95))
def test_one_margin_gives_the_ratio_of_shares(share):
    """One attribute of two values: weight = share / panel share, and Kish's effective size by hand."""
    panel = pl.DataFrame({"age": ["young"] * 25 + ["old"] * 75})
    found = rake_weights(panel, build_margins([("age", "young", share), ("age", "old", 1 - share)]))
    np.testing.assert_allclose(found.weight[[0, -1]], [share / 0.25, (1 - share) / 0.75], rtol=2e-3)
    assert found.effective_sample_size == pytest.approx(
        100 / (share**2 / 0.25 + (1 - share) ** 2 / 0.75), rel=5e-3
    )


def test_a_margin_of_nobody_is_named():
    margins = build_margins([("age", "young", 0.5), ("age", "ancient", 0.1)])
    found = rake_weights(people(), margins)
    assert not found.feasible
    assert found.unmet == ("age = 'ancient' should be 10.0% and no customer has it",)
    assert found.table["achieved"].to_list() == pytest.approx([0.5, 0.0], abs=1e-4)


def test_margins_that_contradict_each_other_are_named():
    """Everybody old is rich here, so that 50 % old and 20 % rich cannot be."""
    panel = pl.DataFrame({"age": ["old", "old", "young"], "income": ["high", "high", "low"]})
    found = rake_weights(panel, build_margins([("age", "old", 0.5), ("income", "high", 0.2)]))
    assert not found.feasible
    assert {u.split(" should")[0] for u in found.unmet} == {"age = 'old'", "income = 'high'"}
    assert "2 that no weights can meet together" in found.sentence


def test_missing_attributes_are_not_guessed():
    """Two unknown customers stay; among the known ones the margin holds."""
    panel = pl.DataFrame({"age": ["young", "old", "old", "old", None, None]})
    found = rake_weights(panel, build_margins([("age", "young", 0.5), ("age", "old", 0.5)]))
    assert found.unknown == 2
    assert (found.weight > 0).all()
    assert found.weight[0] == pytest.approx(found.weight[1:4].sum(), rel=1e-3)


def test_a_share_of_zero_excludes_and_is_counted():
    panel = pl.DataFrame({"age": ["young", "old", "old", "child"]})
    found = rake_weights(panel, build_margins([("age", "young", 0.5), ("age", "old", 0.5)]))
    assert found.weight[3] == 0
    assert found.excluded == 1
    assert found.weight.mean() == pytest.approx(1.0)


def test_an_unknown_column_is_named_with_the_nearest():
    with pytest.raises(DataError, match="Did you mean 'income'"):
        rake_weights(people(), [Margin("incom", "low", 0.5)])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.csv", "column,value,share\nage,young,0.25\nage,old,0.75\n"),
        ("m.csv", "column,value,total\nage,young,100\nage,old,300\n"),
        ("m.toml", "[age]\nyoung = 0.25\nold = 0.75\n"),
    ],
)
def test_margins_are_read_from_shares_or_totals(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert read_margins(tmp_path / name) == (Margin("age", "young", 0.25), Margin("age", "old", 0.75))


@pytest.mark.parametrize(
    ("name", "text", "error", "said"),
    [
        ("m.csv", "column,value\nage,young\n", SchemaError, "margins need column, value and share"),
        ("m.csv", "column,value,share\nage,young,many\n", DataError, "line 2: 'many' is no share"),
        ("m.csv", "column,value,share\nage,young,0.9\nage,old,0.9\n", DataError, "add up to 1.8"),
        ("m.csv", "column,value,share\nage,young,-1\n", DataError, "never below 0"),
        ("m.csv", "column,value,share\nage,young,nan\n", DataError, "never below 0"),
        ("m.csv", "column,value,share\nage,a,0.1\nage,a,0.2\n", DataError, "given twice"),
        ("m.toml", "age = 3\n", SchemaError, "'age' is no table"),
        ("m.toml", "[age\n", DataError, "is no TOML"),
    ],
)
def test_what_is_no_margin_is_said(tmp_path, name, text, error, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(error, match=said):
        read_margins(tmp_path / name)
