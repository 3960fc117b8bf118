"""Sixteen float32 numbers at once inside numba, for the loops that the compiler does not widen by itself.

    v = load(row, j)          row[j : j + 16] of float32, or of bfloat16 seen as uint16, widened
    save(row, j, v)           the way back, rounded to nearest even
    multiply_add(a, b, c)     a * b + c in one instruction

A value of type `LANES` lives in one register of a machine with AVX-512, in two with AVX2, in four elsewhere;
the instructions are LLVM's own, so nothing here is bound to one make of processor. The functions below are
called from `njit` code only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic as _intrinsic
from numba.extending import models, register_model

WIDTH = 16

_INT = ir.IntType(32)
_SHORTS, _INTS, _FLOATS = (ir.VectorType(t, WIDTH) for t in (ir.IntType(16), _INT, ir.FloatType()))

intrinsic: Any = _intrinsic  # its own types ask every caller for the argument `typing`
_declare: Any = cgutils.get_or_insert_function

Generator = Callable[[Any, Any, Any, Any], Any]
"""What numba asks of an intrinsic: context, builder, signature, arguments to a value."""


class Lanes(types.Type):
    """The type of sixteen float32 numbers."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


LANES = Lanes()


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _FLOATS)  # type: ignore[no-untyped-call]


# ---- memory ----


@intrinsic
def load(typing: Any, row: Any, at: Any) -> tuple[Any, Generator]:
    """row[at : at + 16]; uint16 holds bfloat16, the upper half of a float32."""

    def write(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        if row.dtype == types.float32:
            return builder.load(_place(context, builder, signature, given, _FLOATS), align=4)
        bits = builder.load(_place(context, builder, signature, given, _SHORTS), align=2)
        return builder.bitcast(builder.shl(builder.zext(bits, _INTS), _ints(16)), _FLOATS)

    return LANES(row, at), write


@intrinsic
def save(typing: Any, row: Any, at: Any, value: Any) -> tuple[Any, Generator]:
    """row[at : at + 16] = value, rounded to nearest even where row holds bfloat16."""

    def write(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        if row.dtype == types.float32:
            builder.store(given[2], _place(context, builder, signature, given, _FLOATS), align=4)
        else:
            bits = builder.bitcast(given[2], _INTS)
            odd = builder.and_(builder.lshr(bits, _ints(16)), _ints(1))
            bits = builder.lshr(builder.add(builder.add(bits, _ints(0x7FFF)), odd), _ints(16))
            place = _place(context, builder, signature, given, _SHORTS)
            builder.store(builder.trunc(bits, _SHORTS), place, align=2)
        return context.get_dummy_value()

    return types.none(row, at, value), write


@intrinsic
def prefetch(typing: Any, row: Any, at: Any) -> tuple[Any, Generator]:
    """Ask for row[at] ahead of time; `at` may lie beyond the end."""

    def write(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        place = _place(context, builder, signature, given, ir.IntType(8))
        kind = ir.FunctionType(ir.VoidType(), [place.type, _INT, _INT, _INT])
        ask = _declare(builder.module, kind, "llvm.prefetch.p0")
        builder.call(ask, [place, _INT(0), _INT(3), _INT(1)])  # to read, keep close, data
        return context.get_dummy_value()

    return types.none(row, at), write


@intrinsic
def fill(typing: Any, number: Any) -> tuple[Any, Generator]:
    """One float32 in all lanes."""
    return LANES(types.float32), lambda _c, builder, _s, given: _spread(builder, given[0], _FLOATS)


# ---- arithmetic ----


def _pairwise(name: str, meaning: str) -> Any:
    def operation(typing: Any, a: Any, b: Any) -> tuple[Any, Generator]:
        return LANES(a, b), lambda _c, builder, _s, given: getattr(builder, name)(*given)

    operation.__doc__ = meaning
    return intrinsic(operation)


add = _pairwise("fadd", "a + b")
subtract = _pairwise("fsub", "a - b")
multiply = _pairwise("fmul", "a * b")
divide = _pairwise("fdiv", "a / b")


@intrinsic
def multiply_add(typing: Any, a: Any, b: Any, c: Any) -> tuple[Any, Generator]:
    """Lane by lane a * b + c."""
    return LANES(a, b, c), lambda _c, builder, _s, given: _call(builder, "fmuladd", given)


@intrinsic
def larger(typing: Any, a: Any, b: Any) -> tuple[Any, Generator]:
    """Lane by lane the larger of two."""

    def write(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", *given), *given)

    return LANES(a, b), write


@intrinsic
def keep_first(typing: Any, value: Any, count: Any, other: Any) -> tuple[Any, Generator]:
    """`value` in the first `count` lanes, `other` in the rest; any whole count is allowed."""

    def write(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        whole = context.cast(builder, given[1], signature.args[1], types.int32)
        lane = ir.Constant(_INTS, list(range(WIDTH)))
        kept = builder.icmp_signed("<", lane, _spread(builder, whole, _INTS))
        return builder.select(kept, given[0], given[2])

    return LANES(value, count, other), write


@intrinsic
def total(typing: Any, value: Any) -> tuple[Any, Generator]:
    """The sum over lanes, a float32."""

    def write(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        start = ir.FloatType()(0.0)
        return _reduce(builder, "fadd", [start, given[0]], ("reassoc",))

    return types.float32(value), write


@intrinsic
def largest(typing: Any, value: Any) -> tuple[Any, Generator]:
    """The largest lane, a float32."""
    return types.float32(value), lambda _c, builder, _s, given: _reduce(builder, "fmax", given, ("nnan",))


POWERS = (1.0, 0.693147182, 0.240226462, 0.0555032887, 0.00961817201, 0.00133988308)
"""2^f = sum of POWERS[k] * f^k for f in [-1/2, 1/2], relative error below 3e-7 (minimax)."""

FURTHEST = 126.0
"""Exponents are kept within ±126, where 2^x is a normal float32."""


@intrinsic
def power_of_two(typing: Any, value: Any) -> tuple[Any, Generator]:
    """2^value lane by lane: 2^n by the exponent's bits, 2^f by a polynomial; n whole, f in [-1/2, 1/2]."""

    def write(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        x, low, high = given[0], _floats(-FURTHEST), _floats(FURTHEST)
        x = builder.select(builder.fcmp_ordered("<", x, low), low, x)
        x = builder.select(builder.fcmp_ordered(">", x, high), high, x)
        whole = _call(builder, "rint", [x])
        part = builder.fsub(x, whole)
        found = _floats(POWERS[-1])
        for power in POWERS[-2::-1]:
            found = _call(builder, "fmuladd", [found, part, _floats(power)])
        bits = builder.shl(builder.add(builder.fptosi(whole, _INTS), _ints(127)), _ints(23))
        return builder.fmul(found, builder.bitcast(bits, _FLOATS))

    return LANES(value), write


# ---- how the instructions are written ----


def _place(context: Any, builder: Any, signature: Any, given: Any, kind: Any) -> Any:
    """Pointer to row[at], row and at being the first two arguments."""
    row = context.make_array(signature.args[0])(context, builder, given[0])
    at = context.cast(builder, given[1], signature.args[1], types.intp)
    return builder.bitcast(builder.gep(row.data, [at]), kind.as_pointer())


def _floats(number: float) -> Any:
    return ir.Constant(_FLOATS, [float(np.float32(number))] * WIDTH)


def _ints(number: int) -> Any:
    return ir.Constant(_INTS, [number] * WIDTH)


def _spread(builder: Any, number: Any, kind: Any) -> Any:
    nothing = ir.Constant(kind, ir.Undefined)
    return builder.shuffle_vector(builder.insert_element(nothing, number, _INT(0)), nothing, _ints(0))


def _call(builder: Any, name: str, given: Any) -> Any:
    kind = ir.FunctionType(_FLOATS, [_FLOATS] * len(given))
    return builder.call(_declare(builder.module, kind, f"llvm.{name}.v{WIDTH}f32"), given)


def _reduce(builder: Any, name: str, given: Any, flags: tuple[str, ...]) -> Any:
    kind = ir.FunctionType(ir.FloatType(), [value.type for value in given])
    full = f"llvm.vector.reduce.{name}.v{WIDTH}f32"
    return builder.call(_declare(builder.module, kind, full), given, fastmath=flags)
