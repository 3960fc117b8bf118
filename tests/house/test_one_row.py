"""docs/one-row.md is executed: what it prints is what malles does."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "one-row.md"


@pytest.mark.usefixtures("shapes_unchecked")
def test_the_page_that_follows_one_row_is_true(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MALLES_HOME", str(tmp_path_factory.mktemp("home")))
    text = PAGE.read_text(encoding="utf-8").replace("```", "")
    test = doctest.DocTestParser().get_doctest(text, {}, "one-row", str(PAGE), 0)
    assert len(test.examples) >= 25
    said: list[str] = []
    doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert not said, "".join(said)
