"""Figures of `malles simulate`: drawn to a file, with labels that tell products apart."""

from pathlib import Path

import pytest

from malles.report.scenario_figures import _label, draw_answer

CHANGE = {"value": 3.0, "low": 1.0, "high": 5.0}
ANSWER = {
    "question": "a cut",
    "tables": {"product": [{"part": f"TEA {k}", "quantity": "units", "change": CHANGE} for k in range(20)]},
}
SWEPT = [
    {
        "1.relative": x,
        "2.depth": y,
        "units": 9 + x,
        "units_change": x,
        "units_low": x - 1,
        "units_high": x + 1,
    }
    for x in (-0.1, 0.1)
    for y in (0.0, 0.2)
]
ELASTIC = [{"units_of": "TEA", "elasticity": -1.0, "low": -2.0, "high": 0.0, "own": True}]


@pytest.mark.parametrize(
    ("found", "names"),
    [(ANSWER, []), (SWEPT[:2], ["1.relative"]), (SWEPT, ["1.relative", "2.depth"]), (ELASTIC, [])],
)
@pytest.mark.parametrize("ending", ["svg", "png"])
def test_every_answer_is_drawn(found: object, names: list[str], ending: str, tmp_path: Path):
    file = tmp_path / f"answer.{ending}"
    draw_answer(found, names, file)
    head = file.read_bytes()[:200]
    assert head.startswith(b"\x89PNG") if ending == "png" else b"<?xml" in head


def test_products_that_differ_in_their_key_have_labels_that_differ():
    long = "SOFT DRINKS 12/18&15PK CAN CAR 12 OZ"
    assert _label(f"{long} (5569230)") != _label(f"{long} (8090521)")
    assert _label("TEA (7)") == "TEA (7)"
