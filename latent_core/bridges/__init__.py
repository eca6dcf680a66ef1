"""Ways to other tools: Transformers checkpoints, the lm-evaluation-harness."""
