"""How every figure is drawn: one style, colours that the colour-blind can tell apart, markers beside colour.

Drawn with matplotlib without a display; text stays text, so that it can be read, searched and scaled. The
same content gives the same bytes. Text from data is never read as mathematics or markup.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito (2008)."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_FONTS = "system-ui, 'Segoe UI', Roboto, Arial, 'DejaVu Sans'"
INK, FAINT, RULE = "#1f2933", "#64707d", "#d5dbe1"

_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "malles",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": RULE,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": "#e8ecf0",
    "grid.linewidth": 0.8,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


def percent_axis(axis: Any) -> None:
    """Numbers of an axis in percent."""
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.3g} %".replace("-", "−")))


def points_axis(axis: Any) -> None:
    """Numbers of an axis in percentage points."""
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.3g}".replace("-", "−")))


def short(text: str, length: int = 32) -> str:
    """At most `length` printable characters."""
    clean = "".join(c if c.isprintable() else " " for c in text)
    return clean if len(clean) <= length else clean[: length - 1] + "…"


def as_svg(name: str, draw: Callable[[Figure], None], *, width: float = 7.2, height: float = 3.2) -> str:
    """Draw on a fresh figure and give its `<svg>` element; identifiers begin with the figure's name."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, count=1, flags=re.DOTALL)
    style = r"\s*<defs>\s*<style.*?</style>\s*</defs>"  # a rule for '*' would hold for the whole page
    text = re.sub(style, "", text, count=1, flags=re.DOTALL)
    text = re.sub(r'(\bid="|url\(#|xlink:href="#)', rf"\g<1>{name}-", text)
    size = f'style="max-width: {72 * width:.0f}pt" focusable="false"'
    text = re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', rf"\g<1> {size}", text, count=1)
    # the page's own font; DejaVu was only there to measure with, and is wider than any of these
    text = text.replace("'DejaVu Sans'", _FONTS)
    return text.strip()
