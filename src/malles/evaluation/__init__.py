"""Scores on held-out reality, with intervals."""
