"""The shape of the house: imports point one way, pure rooms stay pure, files stay small."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys

import pytest

from house.source_tree import SOURCE, imports, modules

FLOORS = """
    choice
    data
    occasions
    profiles
    rules
    head
    baselines
    cognition
    population
    calibration
    evaluation
    scenarios
    records
    store
    owner
    journal
    scale
    llm
    discussion
    wholesale
    report
    query
    engines
    road stages
    pipeline
    server
    cli
"""
ORDER = {room: floor for floor, line in enumerate(FLOORS.split("\n")) for room in line.split()}
"""Rooms on one line live on one floor and may know each other."""
EVERYBODY = {"vocabulary", "errors", "config", "arrays"}
PURE = {"choice", "population", "calibration", "evaluation", "scenarios", "rules"}
IMPURE = {
    *("torch", "pandas", "duckdb", "pyarrow", "typer", "rich", "socket", "ssl", "urllib", "http", "requests"),
    *(
        "httpx",
        "sqlite3",
        "subprocess",
        "multiprocessing",
        "threading",
        "logging",
        "time",
        "datetime",
        "random",
    ),
    *("tempfile", "shutil", "os", "matplotlib", "jinja2"),
}


def test_every_room_has_a_place_in_the_order():
    rooms = {m.room for m in modules() if m.room} - EVERYBODY
    assert rooms <= set(ORDER), f"no place in the order of this file: {sorted(rooms - set(ORDER))}"
    assert len(rooms) >= 8


def test_imports_point_one_way():
    """A package imports only what stands before it; vocabulary, errors and config import no room."""
    wrong, seen = [], 0
    for module in modules():
        for name, line in imports(module):
            if not name.startswith("malles."):
                continue
            seen += 1
            target = name.split(".")[1]
            if target == module.room or target in EVERYBODY or target == "__version__" or not module.room:
                continue
            if target not in ORDER:  # `from malles import x` of something that is no room
                wrong.append(f"{module.name}:{line} imports {name}, which has no place in the order")
            elif module.room in EVERYBODY or ORDER[target] > ORDER.get(module.room, -1):
                wrong.append(f"{module.name}:{line} imports {name}, which stands below it")
    assert not wrong, "\n".join(wrong)
    assert seen > 30


def test_pure_rooms_know_arrays_and_nothing_else():
    """No files, network, clock, printing or PyTorch; folders are touched only by save and load of a model."""
    wrong, seen = [], 0
    for module in modules():
        if module.room not in PURE:
            continue
        seen += 1
        for name, line in imports(module):
            if name.split(".")[0] in IMPURE:
                wrong.append(f"{module.name}:{line} imports {name}")
        for node in ast.walk(module.tree):
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Name) and called.id in {"print", "open", "input"}:
                wrong.append(f"{module.name}:{node.lineno} calls {called.id}")
            if isinstance(called, ast.Attribute) and ast.unparse(called).startswith(("pl.read_", "pl.scan_")):
                wrong.append(f"{module.name}:{node.lineno} reads a file with polars")
    assert not wrong, "\n".join(wrong)
    assert seen >= 10


def test_numba_stands_only_in_kernel_modules():
    """Kernels cannot carry shape checks, so they live in files whose name ends in 'kernels'."""
    wrong = [
        f"{module.name}:{node.lineno}"
        for module in modules()
        if not module.name.endswith("kernels")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
        if any(word in ast.unparse(decorator) for word in ("njit", "numba.", "vectorize"))
    ]
    assert not wrong, f"move these to a module ending in 'kernels': {wrong}"


def test_files_stay_small():
    long = {m.name: n for m in modules() if (n := len(m.path.read_text().splitlines())) > 400}
    assert not long, f"look for the second noun in {long}"


def test_no_module_is_a_drawer():
    drawers = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    assert not [m.name for m in modules() if set(m.name.split(".")) & drawers]


@pytest.mark.parametrize("missing", ["torch", "lightgbm"])
def test_the_core_works_without(missing):
    """The command line, configuration, data and market import without optional packages."""
    rooms = [m.name for m in modules() if m.room in PURE | {"store", "journal", "data", "config"}]
    rooms += [m.name for m in modules() if m.room == "cli" and "__main__" not in m.name]
    program = (
        f"import sys, importlib; sys.modules[{missing!r}] = None\n"
        f"for name in {rooms!r}: importlib.import_module(name)\n"
        "print(len(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_public_names_exist_and_are_ours():
    """What a package lists in `__all__` exists, is sorted, and nothing private is listed."""
    checked = 0
    for module in modules():
        if module.path.name != "__init__.py":
            continue
        listed = next(
            (
                ast.literal_eval(node.value)
                for node in module.tree.body
                if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
            ),
            None,
        )
        if listed is None:
            continue
        loaded = importlib.import_module(module.name)
        for name in listed:
            assert hasattr(loaded, name), f"{module.name} lists {name!r} but has no such name"
            assert not name.startswith("_") or name == "__version__"
            home = getattr(getattr(loaded, name), "__module__", "malles")
            assert str(home).startswith("malles") or not isinstance(home, str), (
                f"{module.name}.{name} is not ours"
            )
        assert len(set(listed)) == len(listed)
        checked += 1
    assert checked >= 0


def test_the_source_was_found():
    assert (SOURCE / "vocabulary.py").exists()
    assert len(modules()) > 30
