"""Run folders: settings, checkpoints, records, and how to find them."""
