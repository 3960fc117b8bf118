"""Package sizes as written on a label, read into an amount in a base unit."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

BASE_UNIT: dict[str, tuple[str, float]] = {
    "OZ": ("oz", 1.0), "FZ": ("oz", 1.0), "FOZ": ("oz", 1.0), "LB": ("oz", 16.0), "LBS": ("oz", 16.0),
    "Z": ("oz", 1.0), "PT": ("oz", 16.0), "QT": ("oz", 32.0), "GAL": ("oz", 128.0), "GA": ("oz", 128.0),
    "GL": ("oz", 128.0), "ML": ("oz", 1 / 29.5735), "CL": ("oz", 1 / 2.95735), "L": ("oz", 33.814),
    "LT": ("oz", 33.814), "LTR": ("oz", 33.814), "G": ("oz", 1 / 28.3495), "GM": ("oz", 1 / 28.3495),
    "GR": ("oz", 1 / 28.3495), "KG": ("oz", 35.274), "CT": ("count", 1.0), "PK": ("count", 1.0),
    "PC": ("count", 1.0), "EA": ("count", 1.0), "DZ": ("count", 12.0), "DOZ": ("count", 12.0),
    "RL": ("count", 1.0), "ROLL": ("count", 1.0), "SHT": ("sheet", 1.0), "SHEET": ("sheet", 1.0),
    "LOADS": ("load", 1.0), "LDS": ("load", 1.0), "LOAD": ("load", 1.0), "LD": ("load", 1.0),
    "USE": ("load", 1.0), "SF": ("square foot", 1.0), "SQ": ("square foot", 1.0), "FT": ("inch", 12.0),
    "IN": ("inch", 1.0), "YD": ("inch", 36.0), "STEM": ("count", 1.0), "BG": ("count", 1.0),
    "TABS": ("count", 1.0),
}  # fmt: skip
"""Base unit and factor by unit as written. Fluid and weight ounces share one base, as the labels mix them."""

_NUMBER = r"(?:\d+\s+\d+/\d+|\d+-\d+/\d+|\d+/\d+|\d*\.?\d+)"
_PACK = re.compile(rf"^\s*(\d+)\s*(?:PK|PACK|CT|X|/)\s*[/X-]?\s*({_NUMBER})\s*([A-Z]+)\b")
_PLAIN = re.compile(rf"^\s*({_NUMBER})\s*[- ]?\s*([A-Z]+)?\b")


@dataclass(frozen=True)
class Amount:
    """How much a package holds."""

    value: float
    """In `unit`; NaN where the text says nothing."""
    unit: str
    """oz, count, inch, load, sheet, square foot, or '' where unknown."""


UNKNOWN = Amount(math.nan, "")

BARE = {"GAL": 128.0, "HALF GAL": 64.0, "QT": 32.0, "PT": 16.0, "LB": 16.0}
"""Ounces of a unit written without a number ('L' is left out: it also means large)."""


def _number(text: str) -> float:
    total = 0.0
    for part in re.split(r"[\s-]+", text.strip()):
        above, slash, below = part.partition("/")
        if slash and float(below) == 0.0:
            return math.nan
        total += float(above) / float(below) if slash else float(above)
    return total


def read_amount(size: str | None) -> Amount:
    """The amount a package size states; a pack of several is multiplied out.

    >>> read_amount("12 OZ"), read_amount("1/2 GAL")
    (Amount(value=12.0, unit='oz'), Amount(value=64.0, unit='oz'))
    >>> read_amount("6 PK 12 OZ"), read_amount("20 CT")
    (Amount(value=72.0, unit='oz'), Amount(value=20.0, unit='count'))
    >>> read_amount("PCK").unit
    ''
    """
    if not size:
        return UNKNOWN
    text = (
        size.upper()
        .replace("FL OZ", "OZ")
        .replace("FL. OZ", "OZ")
        .replace("OZ.", "OZ")
        .replace("SQ FT", "SF")
    )
    if text.strip() in BARE:
        return Amount(BARE[text.strip()], "oz")
    if (pack := _PACK.match(text)) and pack[3] in BASE_UNIT and not _is_fraction(text):
        unit, factor = BASE_UNIT[pack[3]]
        return _finite(int(pack[1]) * _number(pack[2]) * factor, unit)
    if plain := _PLAIN.match(text):
        if plain[2] is None or plain[2] not in BASE_UNIT:
            return UNKNOWN
        unit, factor = BASE_UNIT[plain[2]]
        return _finite(_number(plain[1]) * factor, unit)
    return UNKNOWN


def _is_fraction(text: str) -> bool:
    """Whether '1/2 GAL' or '2/3 OZ' is meant rather than '6/12 OZ': a proper fraction with a small
    denominator.
    """
    found = re.match(r"^\s*(\d+)\s*/\s*(\d+)\s*[A-Z]", text)
    return bool(found) and int(found[1]) < int(found[2]) <= 8 if found else False


def _finite(value: float, unit: str) -> Amount:
    return Amount(value, unit) if math.isfinite(value) and value > 0 else UNKNOWN
