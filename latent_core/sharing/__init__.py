"""Saved models on the Hugging Face hub: model cards and uploads."""
