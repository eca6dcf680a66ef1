"""Attention onto latent tokens: capture, records, rollout, files."""
