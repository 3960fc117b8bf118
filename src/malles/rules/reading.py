"""Text → expression, by a grammar of our own; what is not in it is refused in one sentence.

sum     = term {("+" | "-") term}
term    = unary {("*" | "/") unary}
unary   = "-" unary | power
power   = atom ["^" unary]
atom    = number | name | function "(" sum ["," sum] ")" | "(" sum ")"
"""

from __future__ import annotations

import re
from collections.abc import Collection

from malles.errors import UsageError, did_you_mean
from malles.rules.expression import MOST_DEPTH, OPERATIONS, Call, Expression, Number, Variable, check_size

MOST_CHARACTERS = 4_000
FUNCTIONS = {name for name in OPERATIONS if name.isalpha() and name != "neg"}
ALIASES = {"fmax": "max", "fmin": "min"}
"""Names that the search engine prints."""
_TOKEN = re.compile(
    r"\s*(?:(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)|([A-Za-z_][A-Za-z0-9_]*)|(\*\*|[-+*/^(),]))",
    re.ASCII,
)


def read_rule(text: str, names: Collection[str] | None = None) -> Expression:
    """Read a formula.

    Args:
        text: for example "max(0, a * b / p ^ 1.5 - 1)"; `**` is read as `^`.
        names: the inputs it may use; None allows any name.

    Raises:
        UsageError: anything but numbers, names, + - * / ^, parentheses and the functions of `OPERATIONS`.

    >>> read_rule("2 * p")
    Call(operation='*', arguments=(Number(value=2.0), Variable(name='p')))
    >>> read_rule("a.real")
    Traceback (most recent call last):
    ...
    malles.errors.UsageError: The rule cannot be read at character 2: got '.'. A rule holds numbers, names \
of inputs, + - * / ^, parentheses and abs, exp, log, max, min, sqrt; nothing in it is ever executed.
    """
    if len(text) > MOST_CHARACTERS:
        raise UsageError(f"A rule has at most {MOST_CHARACTERS:,} characters; this one has {len(text):,}.")
    reader = _Reader(text, names)
    found = reader.sum(0)
    if reader.kind:
        reader.refuse()
    check_size(found)
    return found


class _Reader:
    """Recursive descent over the tokens of one text."""

    def __init__(self, text: str, names: Collection[str] | None) -> None:
        self.text, self.names, self.after = text, names, 0
        self.kind, self.token, self.at = "", "", 0
        self.step()

    def step(self) -> None:
        """Go to the next token; `kind` is number, name, the sign itself, or empty at the end."""
        self.at = self.after + len(self.text[self.after :]) - len(self.text[self.after :].lstrip())
        if self.at == len(self.text):
            self.kind, self.token = "", ""
            return
        match = _TOKEN.match(self.text, self.after)
        if match is None:
            self.token = self.text[self.at]
            self.refuse()
            return
        number, name, sign = match.groups()
        self.kind = "number" if number else "name" if name else "^" if sign == "**" else sign
        self.token, self.after = number or name or sign, match.end()

    def refuse(self) -> None:
        got = repr(self.token[:20]) if self.token else "the end of the text"
        known = ", ".join(sorted(FUNCTIONS))
        raise UsageError(
            f"The rule cannot be read at character {self.at + 1}: got {got}. A rule holds numbers, names of "
            f"inputs, + - * / ^, parentheses and {known}; nothing in it is ever executed."
        )

    def take(self, kind: str) -> str:
        if self.kind != kind:
            self.refuse()
        token = self.token
        self.step()
        return token

    def sum(self, depth: int) -> Expression:
        if depth > MOST_DEPTH:
            raise UsageError(f"A rule is at most {MOST_DEPTH} levels deep; this one is deeper.")
        found = self.term(depth)
        while self.kind in {"+", "-"}:
            found = Call(self.take(self.kind), (found, self.term(depth)))
        return found

    def term(self, depth: int) -> Expression:
        found = self.unary(depth)
        while self.kind in {"*", "/"}:
            found = Call(self.take(self.kind), (found, self.unary(depth)))
        return found

    def unary(self, depth: int) -> Expression:
        if depth > MOST_DEPTH:
            raise UsageError(f"A rule is at most {MOST_DEPTH} levels deep; this one is deeper.")
        if self.kind != "-":
            return self.power(depth)
        self.step()
        literal = self.kind == "number"
        found = self.unary(depth + 1)
        return Number(-found.value) if literal and isinstance(found, Number) else Call("neg", (found,))

    def power(self, depth: int) -> Expression:
        base = self.atom(depth)
        if self.kind != "^":
            return base
        self.step()
        return Call("^", (base, self.unary(depth + 1)))

    def atom(self, depth: int) -> Expression:
        if self.kind == "number":
            return Number(float(self.take("number")))
        if self.kind == "(":
            self.step()
            found = self.sum(depth + 1)
            self.take(")")
            return found
        name = self.take("name")
        if self.kind != "(":
            return self.variable(name)
        name = ALIASES.get(name, name)
        if name not in FUNCTIONS:
            known = ", ".join(sorted(FUNCTIONS))
            raise UsageError(f"A rule has no function {name[:40]!r}; it has {known}. Nothing was executed.")
        self.step()
        arguments = [self.sum(depth + 1)]
        while self.kind == ",":
            self.step()
            arguments.append(self.sum(depth + 1))
        self.take(")")
        return Call(name, tuple(arguments))

    def variable(self, name: str) -> Variable:
        if self.names is not None and name not in self.names:
            hint = did_you_mean(name, self.names) or f"There are {', '.join(sorted(self.names))}."
            raise UsageError(f"The rule reads {name[:40]!r}, which is no input. {hint}")
        return Variable(name)
