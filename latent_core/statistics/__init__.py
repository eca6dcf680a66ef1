"""Statistics: means, paired differences, confidence intervals, p-values."""
