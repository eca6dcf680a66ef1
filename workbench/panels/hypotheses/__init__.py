"""Hypotheses panel: claims, plans, tests and verdicts."""
