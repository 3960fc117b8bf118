"""Shorter forms of the same rule: constants are gathered, neutral elements go, products become one product.

Inputs are taken to be positive, as the searches' are; so |x| = x and (2 x)^3 = 8 x^3.
"""

from __future__ import annotations

import numpy as np

from malles.rules.expression import Call, Expression, Number, Variable, complexity, evaluate


def tidy(expression: Expression) -> Expression:
    """An equal rule (for positive inputs) with as few nodes as these identities give.

    >>> from malles.rules.printing import format_rule
    >>> from malles.rules.reading import read_rule
    >>> format_rule(tidy(read_rule("2 * (3 * x) * abs(1.0 * p) ^ (-0.5) + 0")))
    '6 * x / p ^ 0.5'
    """
    if not isinstance(expression, Call):
        return expression
    arguments = tuple(tidy(a) for a in expression.arguments)
    e = Call(expression.operation, arguments)
    if all(isinstance(a, Number) for a in arguments):
        return _number(e)
    match e.operation:
        case "abs" if _is_positive(arguments[0]):
            return arguments[0]
        case "neg" | "*" | "/" | "^" | "sqrt":
            return _shared_out(*_monomial(e))
        case "+" | "-":
            return _sum(e.operation, *arguments)
        case _:
            return e


def _number(e: Expression) -> Expression:
    return Number(float(evaluate(e, {}, 1)[0]))


def _is_positive(e: Expression) -> bool:
    if isinstance(e, Number):
        return e.value > 0
    if isinstance(e, Variable):
        return True
    if e.operation in {"*", "/", "+", "min"}:
        return all(_is_positive(a) for a in e.arguments)
    if e.operation == "max":
        return any(_is_positive(a) for a in e.arguments)
    return e.operation in {"^", "exp"}


def _monomial(e: Expression) -> tuple[float, dict[Expression, float]]:
    """Factor and powers whose product is the expression."""
    if isinstance(e, Number):
        return e.value, {}
    if isinstance(e, Call):
        a = e.arguments[0]
        if e.operation == "neg":
            factor, powers = _monomial(a)
            return -factor, powers
        if e.operation == "*":
            (f, p), (g, q) = _monomial(a), _monomial(e.arguments[1])
            return f * g, {k: p.get(k, 0) + q.get(k, 0) for k in (*p, *q)}
        if e.operation == "/":
            (f, p), (g, q) = _monomial(a), _monomial(e.arguments[1])
            if g != 0 and all(_is_positive(k) for k in q):
                return f / g, {k: p.get(k, 0) - q.get(k, 0) for k in (*p, *q)}
        raised = e.arguments[1] if e.operation == "^" else Number(0.5) if e.operation == "sqrt" else None
        if isinstance(raised, Number) and _is_positive(a):
            factor, powers = _monomial(a)
            if factor > 0 and all(_is_positive(k) for k in powers):
                return float(factor**raised.value), {k: v * raised.value for k, v in powers.items()}
    return 1.0, {e: 1.0}


def _product(factor: float, powers: dict[Expression, float]) -> Expression:
    found: Expression | None = None if factor == 1 else Number(factor)
    for base, power in sorted(powers.items(), key=lambda item: item[1] < 0):
        size = abs(power)
        if size < 1e-12:
            continue
        part = base if np.isclose(size, 1, atol=1e-9) else Call("^", (base, Number(size)))
        if power < 0:
            found = Call("/", (found or Number(1.0), part))
        else:
            found = part if found is None else Call("*", (found, part))
    return found or Number(1.0)


def _shared_out(factor: float, powers: dict[Expression, float]) -> Expression:
    """The product; a factor before a sum goes into its terms where that is shorter."""
    plain = _product(factor, powers)
    base, power = next(iter(powers.items()), (None, 0.0))
    if len(powers) != 1 or power != 1 or not isinstance(base, Call) or base.operation not in {"+", "-"}:
        return plain
    a, b = (_product(factor * f, p) for f, p in (_monomial(x) for x in base.arguments))
    shared = _sum(base.operation, a, b)
    return shared if complexity(shared) < complexity(plain) else plain


def _sum(operation: str, a: Expression, b: Expression) -> Expression:
    if isinstance(b, Number):
        value = b.value if operation == "+" else -b.value
        if isinstance(a, Call) and a.operation in {"+", "-"} and isinstance(a.arguments[1], Number):
            inner = a.arguments[1].value
            return _sum("+", a.arguments[0], Number(value + (inner if a.operation == "+" else -inner)))
        if value == 0:
            return a
        return Call("+" if value > 0 else "-", (a, Number(abs(value))))
    if isinstance(a, Number):
        if operation == "+":
            return _sum("+", b, a)
        if a.value == 0:
            return _product(*_monomial(Call("neg", (b,))))
    return Call(operation, (a, b))
