"""Comparison panel: accuracy in and out of distribution, by method."""
