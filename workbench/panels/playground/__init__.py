"""Playground panel: prompts, interventions and responses."""
