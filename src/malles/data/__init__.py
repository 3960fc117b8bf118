"""Rows in: schema, cleaning, quarantine, the sources, and a synthetic market with known truth."""
