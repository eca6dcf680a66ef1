"""Grids of runs: many methods, tasks and seeds, done by one call that may be killed at any time."""
