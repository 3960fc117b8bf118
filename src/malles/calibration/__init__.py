"""Simulated against real: distances, mapping, reweighting."""
