"""Widgets: a Python module, a script and a style sheet of one name each."""
