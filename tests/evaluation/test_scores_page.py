"""The page about scores runs as it is written."""

import re
from pathlib import Path

import pytest

from malles.evaluation.metrics import METRICS

PAGE = Path(__file__).parents[2] / "docs" / "method" / "scores.md"


def test_the_example_runs():
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(blocks) == 1
    exec(compile(blocks[0], str(PAGE), "exec"), {})


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_explained(name):
    assert f"`{name}`" in PAGE.read_text("utf-8")
