"""docs/method/alignment.md says of every setting and loss what the program says of it."""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from pathlib import Path

from malles import config
from malles.config import LanguageSettings
from malles.config.language import LossSettings

PAGE = Path(__file__).parents[2] / "docs" / "method" / "alignment.md"


def sentences(kind: type) -> dict[str, str]:
    """The sentence under every setting of a section."""
    tree = ast.parse((Path(config.__file__).parent / "language.py").read_text(encoding="utf-8"))
    (body,) = (n.body for n in tree.body if isinstance(n, ast.ClassDef) and n.name == kind.__name__)
    found = {}
    for here, after in pairwise(body):
        if isinstance(here, ast.AnnAssign) and isinstance(here.target, ast.Name):
            assert isinstance(after, ast.Expr)
            found[here.target.id] = str(ast.literal_eval(after.value))
    return found


def settings_table() -> list[str]:
    """The lines that the page should have, in the order of the section."""
    said = sentences(LanguageSettings)
    rows = []
    for name, field in LanguageSettings.model_fields.items():
        if name == "losses":
            continue
        default = field.default
        shown = {True: "true", False: "false"}[default] if isinstance(default, bool) else repr(default)
        shown = str(list(default)) if isinstance(default, tuple) else shown
        shown = shown.replace("'", '"').replace("0.0004", "4e-4").replace("0.0006", "6e-4")
        rows.append(f"| `{name}` | `{shown}` | {said[name]} |")
    return rows


def test_the_page_lists_every_setting_with_its_default_and_what_it_does():
    page = PAGE.read_text(encoding="utf-8")
    expected = settings_table()
    assert "\n".join(expected) in page, "the table should read:\n" + "\n".join(expected)
    assert len(expected) >= 25


def test_the_page_lists_every_loss_with_its_default_weight():
    page = PAGE.read_text(encoding="utf-8")
    listed = re.findall(r"^\| (\w+) \| ([\d.]+) \| .+ \| .+ \|$", page, re.MULTILINE)
    expected = [(name, f"{f.default:g}") for name, f in LossSettings.model_fields.items()]
    assert listed == expected
