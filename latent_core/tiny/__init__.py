"""How the small backbone `tiny` was made: corpus, pre-training, optimiser."""
