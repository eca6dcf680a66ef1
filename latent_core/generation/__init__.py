"""Decoding with latent tokens: the loop, sampling, stop rules, streaming."""
