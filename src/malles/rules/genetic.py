"""The second search: genetic programming by Operon (pyoperon), chosen by minimum description length.

    length = n/2 log(2 pi e mse) + nodes log(operations + inputs) + constants/2 log n

Its formulas are read back through our own grammar. The package is optional.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.errors import MissingExtra, UsageError
from malles.rules.algebra import tidy
from malles.rules.expression import Expression, constants, nodes
from malles.rules.reading import read_rule

SYMBOLS = "add,sub,mul,div,powabs,exp,logabs,fmax,constant,variable"


def is_installed() -> bool:
    """Whether the search engine can be used."""
    try:
        import pyoperon.sklearn  # noqa: F401
    except ImportError:
        return False
    return True


def evolve_rules(
    inputs: dict[str, Float[ndarray, " row"]],
    target: Float[ndarray, " row"],
    seed: int,
    *,
    most_nodes: int = 15,
    evaluations: int = 60_000,
    most_seconds: int = 30,
) -> list[Expression]:
    """The engine's error-length front for one seed, by least squares, shortest description first.

    Args:
        inputs: positive columns by name.
        target: what is explained.
        seed: of the search.
        most_nodes: longest formula, in the engine's own count.
        evaluations: of formulas; constants are fitted in each.
        most_seconds: of wall time.

    Raises:
        MissingExtra: pyoperon is not installed.
    """
    try:
        from pyoperon.sklearn import SymbolicRegressor
    except ImportError as error:
        raise MissingExtra("the genetic search for rules", "pyoperon", "rules") from error
    names = list(inputs)
    engine = SymbolicRegressor(
        allowed_symbols=SYMBOLS, objectives=["mse", "length"], max_length=most_nodes + 6, max_depth=8,
        max_evaluations=evaluations, generations=200, population_size=400, pool_size=400,
        optimizer_iterations=3, n_threads=1, max_time=most_seconds, random_state=seed,
    )  # fmt: skip
    x = np.column_stack([inputs[name] for name in names])
    spread = float(target.std()) or 1.0
    engine.fit(x, target / spread)
    found = []
    for part in engine.pareto_front_:
        text = engine.get_model_string(part["tree"], 8, names)
        try:
            expression = tidy(read_rule(f"{spread!r} * ({text.replace('logabs', 'log')})", names))
        except UsageError:  # longer or deeper than our rules may be
            continue
        length = description_length(expression, part["mean_squared_error"], len(target), len(names))
        found.append((length, expression))
    return [expression for _, expression in sorted(found, key=lambda f: f[0])]


def description_length(expression: Expression, mean_squared_error: float, rows: int, inputs: int) -> float:
    """Nats that tell the residuals, the tree and its constants (two-part code).

    Source: Rissanen (1978).
    """
    misfit = rows / 2 * float(np.log(2 * np.pi * np.e * max(mean_squared_error, 1e-300)))
    tree = sum(1 for _ in nodes(expression)) * float(np.log(10 + inputs))
    return misfit + tree + len(constants(expression)) / 2 * float(np.log(rows))
