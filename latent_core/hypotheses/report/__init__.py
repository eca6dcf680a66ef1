"""The report of tests: one HTML page, and drawings that the workbench shows as well."""
