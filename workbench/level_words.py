"""A level in words. Knows names of levels, which tasks give in the plural; no tasks."""

from __future__ import annotations

from latent_core.wording import counted

__all__ = ["level_words"]


def level_words(level: int, name: str) -> str:
    """`1 repeat`, `5 repeats`; `level 3` where a task does not say what its levels count."""
    return f"level {level}" if name == "level" else counted(level, name.removesuffix("s"))
