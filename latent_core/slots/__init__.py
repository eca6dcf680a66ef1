"""Slots: where latent tokens go, which slots a word selects, and their tensors."""
