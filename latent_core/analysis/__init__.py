"""Analysis of single examples and of latent vectors: tracing, geometry."""
