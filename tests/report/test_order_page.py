"""The page of an order: its figures are those of decision.json, and words of data stay words."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from malles.llm.backends.scripted import ScriptedBackend
from malles.report.order_page import order_content, order_sections
from malles.report.page import render_sections
from malles.stages.negotiate import negotiate
from malles.wholesale.order import load_order
from malles.wholesale.talk import build_cases, plan_file

EXAMPLE = Path(__file__).parents[2] / "examples" / "order.toml"


class Tables(HTMLParser):
    """Rows of every table by its caption, cells as text."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, list[list[str]]] = {}
        self._tag, self._caption, self.tags = "", "", set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag == "caption":
            self._caption = ""
        if tag == "tr":
            self.rows.setdefault(self._caption, []).append([])
        if tag in ("td", "th"):
            self.rows[self._caption][-1].append("")
        if tag in ("caption", "td", "th"):
            self._tag = tag

    def handle_endtag(self, tag):
        self._tag = "" if tag == self._tag else self._tag

    def handle_data(self, data):
        if self._tag == "caption":
            self._caption += data
        elif self._tag:
            self.rows[self._caption][-1][-1] += data


def read(page: str) -> Tables:
    tables = Tables()
    tables.feed(page)
    return tables


def haggle(conversation) -> str:
    """The dealer asks for twelve, everybody else for more, for a reason that cites the first fact shown."""
    dealer = "dealer" in conversation[0].content
    fact = conversation[1].content.split("Facts:\n")[1].split(" ")[0]
    return json.dumps(
        {"claim": "it sells", "evidence": [fact], "choice": "A", "units": 12 if dealer else 1_500}
    )


@pytest.fixture
def kept(tmp_path) -> Path:
    speak = lambda: ScriptedBackend(write=haggle)  # noqa: E731
    negotiate(load_order(EXAMPLE), tmp_path / "kept", speak=speak, tell=lambda *_: None)
    return tmp_path / "kept"


def test_the_figures_of_the_page_are_those_of_decision_json(kept):
    found = json.loads((kept / "decision.json").read_text())
    page = (kept / "report.html").read_text()
    tables = read(page).rows
    lines = tables["Units by product"][1:]
    assert len(lines) == len(found["lines"]) == 3
    for row, line in zip(lines, found["lines"], strict=True):
        shown = [line["name"], str(line["proposed"]), str(line["talked"]), str(line["ordered"])]
        assert row[:5] == [*shown, f"{line['cost']:.2f}"]
        assert all(sentence in row[-1] for sentence in (line["end"], *line["corrections"], *line["notes"]))
    turns = 0
    for line in found["lines"]:
        said = [t for t in found["talk"]["said"] if t["product"] == line["name"]]
        rows = tables[line["name"]][1:]
        assert [[r[0], r[1], r[2].replace(",", ""), r[3], r[4]] for r in rows] == [
            [str(t["round"]), t["role"], str(t["units"]), t["claim"], "; ".join(t["evidence"])] for t in said
        ]
        turns += len(rows)
    assert turns == found["talk"]["turns"] == 3 * 3 * 4
    assert f"{found['spent']:.2f} GBP" in page


def test_the_numbers_behind_it_are_those_of_the_file_and_of_the_plan(kept):
    """plum jam: 2.00 from 0 and 1.80 from 24, 5 in stock, packs of 6, at least 12; 25 % of 36 are 9."""
    row = read((kept / "report.html").read_text()).rows["Prices, stock and limits"][1]
    planned = json.loads((kept / "decision.json").read_text())["lines"][0]["proposed"]
    low, high = str(max(int(planned * 0.75), 12)), str(int(planned * 1.25))
    assert row[:5] == ["plum jam", "3.20", "2.00 from 0, 1.80 from 24", "5", "7, 6, 8, 9, 11, 10"]
    assert row[5].endswith("likely") and "expected in 5 weeks" in row[5]
    assert row[6:] == [str(planned), low, high, "6", "12", "–", "–"]


def test_hostile_words_of_data_and_of_a_model_stay_words(kept, tmp_path):
    """A product, a claim and a piece of evidence that are markup appear as their own text, nothing else."""
    bad = '<script>alert(1)</script><img src="//x" onerror=alert(1)>{{ 7*7 }}'
    path = tmp_path / "order.toml"
    path.write_text(EXAMPLE.read_text().replace("plum jam", bad.replace('"', "'")))
    order = load_order(path)
    found = json.loads((kept / "decision.json").read_text())
    for turn in found["talk"]["said"]:
        turn.update(claim=bad, evidence=[bad], product=bad)
    found["talk"]["model"] = found["lines"][0]["name"] = bad
    page = render_sections(
        order_content(order, found), order_sections(order, build_cases(order, *plan_file(order)), found)
    )
    tables = read(page)
    assert not tables.tags & {"script", "img"}
    assert tables.rows[bad][1][3:] == [bad, bad]
    assert tables.rows["Units by product"][1][0] == bad
    assert tables.rows["Prices, stock and limits"][1][0] == bad.replace('"', "'")


def test_an_order_by_arithmetic_alone_has_no_talk(tmp_path):
    negotiate(load_order(EXAMPLE), tmp_path / "kept", speak=None, tell=lambda *_: None)
    page = (tmp_path / "kept" / "report.html").read_text()
    assert "by arithmetic alone" in page
    assert 'id="talk"' not in page
    assert "://" not in page
