"""Invariants of latent tokens on a backbone, checked by running it."""
