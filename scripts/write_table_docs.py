"""Write `docs/tables.md` from the tables that a run writes; with --check only say whether it is in step."""

from __future__ import annotations

import sys
from pathlib import Path

from malles.records.schema import describe_tables

PATH = Path(__file__).parent.parent / "docs" / "tables.md"


def main(arguments: list[str]) -> int:
    """Write or check the page; returns the exit code."""
    page = describe_tables()
    if "--check" not in arguments:
        PATH.write_text(page, encoding="utf-8")
        return 0
    if PATH.exists() and PATH.read_text(encoding="utf-8") == page:
        return 0
    print("docs/tables.md is out of step with the program; run: make docs", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
