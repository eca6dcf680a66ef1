"""Training of latent tokens and baselines with the Hugging Face Trainer."""
