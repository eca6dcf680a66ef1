"""Panels: controls and views on one session."""
