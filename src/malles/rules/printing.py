"""Expression → formula, spreadsheet formula, English sentence.

The formula reads back to the same tree. The spreadsheet formula guards division, powers and logarithms as
`expression.py` does; it is built from the tree and from checked cell references alone, so no text from data
can reach it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from malles.errors import UsageError
from malles.rules.expression import OPERATIONS, Call, Expression, Number, Variable

_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "neg": 3, "^": 4}
_CELL = re.compile(r"\$?[A-Z]{1,3}\$?[1-9][0-9]{0,6}")
_CELL_NAME = re.compile(
    r"(?![A-Za-z]{1,3}[0-9]+$)(?![Rr][0-9]*[Cc]?[0-9]*$)(?![Cc][0-9]*$)[A-Za-z_][A-Za-z0-9_]{0,200}"
)
_WORDS = {
    "+": "{} plus {}", "-": "{} minus {}", "*": "{} times {}", "/": "{} divided by {}",
    "^": "{} to the power {}", "neg": "minus {}", "log": "the logarithm of {}", "exp": "e to the power {}",
    "sqrt": "the square root of {}", "abs": "the size of {}", "min": "the smaller of {} and {}",
    "max": "the larger of {} and {}",
}  # fmt: skip


def format_number(value: float, digits: int | None = None) -> str:
    """A number as a rule shows it; without `digits` it reads back to the same number.

    >>> format_number(2.0), format_number(0.123456, 3)
    ('2', '0.123')
    """
    text = repr(float(value)) if digits is None else f"{value:.{digits}g}"
    return text.removesuffix(".0")


def format_rule(expression: Expression, digits: int | None = None) -> str:
    """The formula as text; without `digits`, `read_rule` gives the same expression back.

    >>> from malles.rules.reading import read_rule
    >>> format_rule(read_rule("(a*(b/p^1.5))-(-2)^x"))
    'a * (b / p ^ 1.5) - (-2) ^ x'
    """
    return _formula(expression, digits)[0]


def _formula(e: Expression, digits: int | None) -> tuple[str, int]:
    if isinstance(e, Number):
        return format_number(e.value, digits), 5 if e.value >= 0 else 3
    if isinstance(e, Variable):
        return e.name, 5
    own = _PRECEDENCE.get(e.operation)
    parts = [_formula(a, digits) for a in e.arguments]
    if own is None:
        return f"{e.operation}({', '.join(text for text, _ in parts)})", 5
    if e.operation == "neg":  # -(2) is a minus before a number, -2 a number
        text, inner = parts[0]
        return (f"-({text})" if inner < 4 or isinstance(e.arguments[0], Number) else f"-{text}"), own
    (left, a), (right, b) = parts
    if e.operation == "^":
        left, right = (f"({left})" if a <= own else left), (f"({right})" if b < own else right)
    else:
        left, right = (f"({left})" if a < own else left), (f"({right})" if b <= own or b == 3 else right)
    return f"{left} {e.operation} {right}", own


def spreadsheet_formula(expression: Expression, cells: Mapping[str, str]) -> str:
    """A formula for Excel, LibreOffice and Google Sheets, English function names.

    Args:
        expression: the rule.
        cells: by input, a cell ("B2", "$B$2") or a defined name ("unit_price").

    Raises:
        UsageError: an input has no cell, or its reference is neither a cell nor a name.

    >>> from malles.rules.reading import read_rule
    >>> spreadsheet_formula(read_rule("max(0, a / p ^ 1.5)"), {"a": "A2", "p": "B2"})
    '=MAX(0,IF(ABS(MAX(B2,1E-12)^1.5)<1E-12,0,A2/(MAX(B2,1E-12)^1.5)))'
    """
    for name in sorted(_names(expression)):
        if name not in cells:
            raise UsageError(f"The input {name!r} of the rule has no cell; name one, for example 'B2'.")
        if not (_CELL.fullmatch(cells[name]) or _CELL_NAME.fullmatch(cells[name])):
            raise UsageError(
                f"{cells[name][:40]!r} is neither a cell such as 'B2' nor a name such as 'unit_price'."
            )
    return "=" + _sheet(expression, cells)


def _names(e: Expression) -> set[str]:
    if isinstance(e, Variable):
        return {e.name}
    return set().union(*(_names(a) for a in e.arguments)) if isinstance(e, Call) else set()


def _sheet(e: Expression, cells: Mapping[str, str]) -> str:
    if isinstance(e, Number):
        text = repr(e.value).removesuffix(".0").upper()
        return text if e.value >= 0 else f"({text})"
    if isinstance(e, Variable):
        return cells[e.name]
    parts = [_sheet(a, cells) for a in e.arguments]
    # a sheet's minus binds before its power, and its powers from the left: brackets everywhere
    bare = [f"({p})" if isinstance(a, Call) and a.operation in _PRECEDENCE else p
            for a, p in zip(e.arguments, parts, strict=True)]  # fmt: skip
    match e.operation:
        case "neg":
            return f"(-{bare[0]})"
        case "^":
            base = parts[0] if _exceeds_tiny(e.arguments[0]) else f"MAX({parts[0]},1E-12)"
            return f"{base}^{bare[1]}"
        case "/" if not _exceeds_tiny(e.arguments[1]):
            return f"IF(ABS({parts[1]})<1E-12,0,{bare[0]}/{bare[1]})"
        case "+" | "-" | "*" | "/":
            return f"{bare[0]}{e.operation}{bare[1]}"
        case "log":
            return f"LN(MAX({parts[0]},1E-12))"
        case "exp":
            return f"EXP(MIN({parts[0]},60))"
        case "sqrt":
            return f"SQRT(MAX({parts[0]},0))"
        case _:
            return f"{e.operation.upper()}({','.join(parts)})"


def _exceeds_tiny(e: Expression) -> bool:
    return isinstance(e, Number) and e.value >= 1e-12


def safe_cell(text: str) -> str:
    """Text for a cell of a table: what a sheet would read as a formula is quoted.

    >>> safe_cell("=HYPERLINK(1)"), safe_cell("price")
    ("'=HYPERLINK(1)", 'price')
    """
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r", "\n", "|"} else text


def describe_rule(expression: Expression, target: str, meaning: Mapping[str, str] | None = None) -> str:
    """The rule as an English sentence; constants show three digits.

    >>> from malles.rules.reading import read_rule
    >>> describe_rule(read_rule("max(0, a * b / p ^ 1.5 - 1)"), "units", {"p": "the price"})
    'units equals a times b divided by (the price to the power 1.5) minus 1, and never below 0.'
    """
    floor = ""
    if isinstance(expression, Call) and expression.operation == "max":
        number = next((a for a in expression.arguments if isinstance(a, Number)), None)
        if number is not None:
            rest = [a for a in expression.arguments if a is not number]
            if rest:
                expression, floor = rest[0], f", and never below {format_number(number.value, 3)}"
    return f"{target} equals {_words(expression, meaning or {})}{floor}."


def _words(e: Expression, meaning: Mapping[str, str]) -> str:
    if isinstance(e, Number):
        return format_number(e.value, 3)
    if isinstance(e, Variable):
        return meaning.get(e.name, e.name.replace("_", " "))
    own = _PRECEDENCE.get(e.operation, 0)
    parts = []
    for i, a in enumerate(e.arguments):
        text = _words(a, meaning)
        inner = _PRECEDENCE.get(a.operation, 0) if isinstance(a, Call) else 5
        open_end = isinstance(a, Call) and (inner < own or inner == 4 or (i > 0 and inner <= own))
        parts.append(f"({text})" if open_end or (isinstance(a, Call) and own == 0) else text)
    return _WORDS[e.operation].format(*parts)


assert _WORDS.keys() == OPERATIONS.keys()
