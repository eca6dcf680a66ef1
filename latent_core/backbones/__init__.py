"""Frozen decoder-only Transformers and their tokenizers: loading, probing, layers."""
