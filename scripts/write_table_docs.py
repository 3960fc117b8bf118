"""Write `docs/tables.md` from the tables that a run writes; with --check only say whether it is in step."""

from __future__ import annotations

import sys
from pathlib import Path

from page_in_step import write_or_check

from malles.records.schema import describe_tables

PATH = Path(__file__).parent.parent / "docs" / "tables.md"

if __name__ == "__main__":
    sys.exit(write_or_check(PATH, describe_tables(), sys.argv[1:]))
