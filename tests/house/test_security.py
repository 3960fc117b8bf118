"""What must not stand in the source: code from data, pickles, strangers' code, secrets of this machine."""

from __future__ import annotations

import ast

from house.source_tree import CLONE, imports, modules

FORBIDDEN_IMPORTS = {
    "pickle",
    "cPickle",
    "dill",
    "joblib",
    "cloudpickle",
    "shelve",
    "marshal",
    "litellm",
    "diskcache",
}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_ATTRIBUTES = {
    ("torch", "load"),
    ("np", "load"),
    ("numpy", "load"),
    ("sympy", "sympify"),
    ("sympy", "lambdify"),
    ("os", "system"),
    ("np.random", "seed"),
    ("torch", "manual_seed"),
    ("random", "seed"),
}


def test_nothing_is_unpickled_or_evaluated():
    wrong = []
    for module in modules():
        for name, line in imports(module):
            if name.split(".")[0] in FORBIDDEN_IMPORTS:
                wrong.append(f"{module.name}:{line} imports {name}")
        kept_apart = {  # seeds set inside `with torch.random.fork_rng()` do not leak
            inner
            for node in ast.walk(module.tree)
            if isinstance(node, ast.With) and any("fork_rng" in ast.unparse(item) for item in node.items)
            for inner in ast.walk(node)
        }
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and node not in kept_apart:
                wrong += _wrong_call(module.name, node)
            dangerous = isinstance(node, ast.keyword) and node.arg in {
                "trust_remote_code",
                "allow_pickle",
                "shell",
            }
            if dangerous and not (isinstance(node.value, ast.Constant) and node.value.value is False):
                wrong.append(f"{module.name}:{node.value.lineno} sets {node.arg}")
    assert not wrong, "\n".join(wrong)


def _wrong_call(module: str, node: ast.Call) -> list[str]:
    place = f"{module}:{node.lineno}"
    if isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS:
        return [f"{place} calls {node.func.id}"]
    if isinstance(node.func, ast.Attribute):
        pair = (ast.unparse(node.func.value), node.func.attr)
        refuses = any(
            k.arg == "allow_pickle" and isinstance(k.value, ast.Constant) and k.value.value is False
            for k in node.keywords
        )
        if pair in FORBIDDEN_ATTRIBUTES and not refuses:
            return [f"{place} calls {pair[0]}.{pair[1]}"]
    return []


def test_nothing_needs_a_folder_outside_the_clone():
    """No absolute path of a developer's machine in source, tests, scripts, configs or documents."""
    wrong, seen = [], 0
    roots = ("src", "tests", "scripts", "configs", "docs", "examples", "benchmarks", ".ci")
    files = [
        p
        for root in roots
        for p in (CLONE / root).rglob("*")
        if p.suffix in {".py", ".md", ".toml", ".sh", ""}
    ]
    for path in [*files, *CLONE.glob("*.md"), CLONE / "Makefile", CLONE / "pyproject.toml"]:
        if not path.is_file():
            continue
        seen += 1
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if any(word in line for word in ("/" + "work/", "/" + "home/", "/" + "tmp/w/", "/" + "root/")):
                wrong.append(f"{path.relative_to(CLONE)}:{number}")
    assert not wrong, wrong
    assert seen > 40
