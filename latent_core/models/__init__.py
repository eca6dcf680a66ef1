"""Models with latent tokens, and baselines with the same interface."""
