"""The report of a test: an HTML page and its figures."""
