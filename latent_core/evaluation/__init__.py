"""Evaluation of a model on the splits of a task: records, effects, comparisons."""
