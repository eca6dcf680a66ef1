"""Attention panel: attention onto latents, and the effect of cutting it."""
