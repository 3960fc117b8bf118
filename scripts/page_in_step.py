"""Write a page that is made from the program, or say whether it is in step with it."""

from __future__ import annotations

import sys
from pathlib import Path


def write_or_check(path: Path, page: str, arguments: list[str]) -> int:
    """Write the page, or with --check among the arguments only compare it; returns the exit code."""
    if "--check" not in arguments:
        path.write_text(page, encoding="utf-8")
        return 0
    if path.exists() and path.read_text(encoding="utf-8") == page:
        return 0
    print(f"docs/{path.name} is out of step with the program; run: make docs", file=sys.stderr)
    return 1
