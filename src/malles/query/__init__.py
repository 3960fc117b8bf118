"""SQL over the tables of a run: read-only, with nothing from outside."""

from malles.query.opened import RunTables, open_run_tables

__all__ = ["RunTables", "open_run_tables"]
