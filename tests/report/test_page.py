"""The report as one file: whole, self-contained, and safe against what stands in the data."""

import re
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from malles.errors import StorageError
from malles.report.content import STANDARD_LIMITS, ReportContent, WhatIf
from malles.report.figures import draw_diversion
from malles.report.page import SECTIONS, render_page, write_page

GOLDEN = Path(__file__).parent.parent / "golden" / "report-outline.txt"
VOID = {"meta", "br", "img", "link", "hr", "input"}


class Outline(HTMLParser):
    """Headings, captions, sections and tables of a page; checks that tags close."""

    def __init__(self):
        super().__init__()
        self.lines, self.open, self.ids, self.text, self.scripts = [], [], [], None, 0

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "section":
            self.lines.append(f"section {found['id']}")
        if tag == "figure":
            self.lines.append("  figure")
        if tag in ("h1", "h2", "caption", "summary"):
            self.text = ""
        self.scripts += tag == "script"

    def handle_startendtag(self, tag, attributes):
        if "id" in dict(attributes):
            self.ids.append(dict(attributes)["id"])

    def handle_data(self, data):
        if self.text is not None:
            self.text += data

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag in ("h1", "h2", "caption", "summary"):
            self.lines.append(f"  {tag} {self.text.strip()}")
            self.text = None


def outline(page):
    reader = Outline()
    reader.feed(page)
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def page(content):
    return render_page(content)


def test_the_structure_is_the_golden_one(page):
    got = "\n".join(outline(page).lines) + "\n"
    assert got == GOLDEN.read_text("utf-8"), "if the change is meant, write the new outline to " + str(GOLDEN)


def test_every_section_is_there_and_linked(page):
    found = outline(page)
    assert len(SECTIONS) == 13
    for key in SECTIONS:
        assert f"section {key}" in found.lines
        assert f'href="#{key}"' in page


def test_identifiers_are_unique(page):
    ids = outline(page).ids
    assert len(ids) > 100
    assert len(ids) == len(set(ids))


def test_nothing_outside_the_file_is_referred_to(page):
    without_namespaces = re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert "http:" not in without_namespaces
    assert "https:" not in without_namespaces
    assert not re.search(r"\bsrc(set)?=|@import", without_namespaces)
    assert all(target.startswith("#") for target in re.findall(r'href="([^"]*)"', page))
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", page))


def test_references_inside_the_figures_have_a_target(page):
    ids = set(outline(page).ids)
    targets = set(re.findall(r'(?:url\(#|href="#)([^")]+)', page))
    assert len(targets) > 20
    assert targets <= ids


HOSTILE = [
    "<script>alert(1)</script>",
    "$\\frac{1}{0}$ $x^{$ and $",
    "\x1b[31mred\x07 \u202e name",
    "\"'><img src=x onerror=alert(1)>",
    "{{ content.title }}{% raw %}",
    "</svg></text><b>",
    "a" * 400,
]


@pytest.mark.parametrize("name", HOSTILE[:2])
def test_hostile_names_are_text_on_the_page(make_content, name):
    page = render_page(make_content(name))
    assert outline(page).scripts == 0
    assert not re.search("<(script|img|b)\\b", page)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text_in_a_figure(name):
    svg = draw_diversion(pl.DataFrame({"source": [name], "share": [0.4], "low": [0.3], "high": [0.5]}))
    assert outline(svg).scripts == 0
    assert not re.search("<(script|img|b)\\b", svg)
    assert svg.count("<svg") == svg.count("</svg>") == 1
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", svg)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text_in_tables(name):
    page = render_page(ReportContent(name, name, run={name: name}, headline={name: name}, warnings=(name,)))
    assert outline(page).scripts == 0
    assert not re.search("<(script|img|b)\\b", page)


def test_the_same_content_gives_the_same_bytes(make_content, page):
    assert render_page(make_content()) == page


def test_figures_speak_and_tables_have_captions(page):
    assert page.count("<figure>") == 12
    assert len(re.findall(r'<div role="img" aria-label="[^"]{20,}', page)) == 12
    assert page.count("<table>") == page.count("<caption>")
    assert '<html lang="en">' in page


def test_price_effects_are_always_called_associational():
    page = render_page(ReportContent("Bare"))
    assert "Price effects are associational" in page
    assert [line for line in outline(page).lines if line.startswith("section")] == ["section limits"]
    assert page.count("<li>") == len(STANDARD_LIMITS) + 1


def test_optional_columns_and_empty_frames_are_fine():
    page = render_page(
        ReportContent(
            "Sparse",
            weekly_units=pl.DataFrame(
                {"category": ["MILK"], "week": [41], "actual": [3.0], "simulated": [2.0]}
            ),
            price_response=pl.DataFrame({"price": [1.0, 2.0], "share": [0.2, 0.1]}),
            scores=pl.DataFrame(
                {"model": ["m"], "metric": ["log_loss"], "value": [1.0], "low": [0.9], "high": [1.1]}
            ),
            calibration={"m": pl.DataFrame({"predicted": [0.5], "observed": [0.4]})},
            promotion=pl.DataFrame({"predicted": [0.1], "realised": [0.1]}),
            what_if=WhatIf(
                "?",
                pl.DataFrame(
                    {
                        "quantity": ["units"],
                        "base": [0.0],
                        "scenario": [0.5],
                        "difference": [0.5],
                        "low": [None],
                        "high": [None],
                    }
                ),
                pl.DataFrame({"source": ["a"], "share": [-0.2]}),
            ),
        )
    )
    assert outline(page).scripts == 0
    assert "The simulated market" in page


def test_the_page_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = write_page(ReportContent("First"), tmp_path / "report.html")
    first = path.read_text("utf-8")
    assert first.startswith("<!DOCTYPE html>")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("malles.report.page.os.fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        write_page(ReportContent("Other"), path)
    assert path.read_text("utf-8") == first
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
