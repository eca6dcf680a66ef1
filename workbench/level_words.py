"""Levels and splits in words. Knows names of levels, which tasks give in the plural; no tasks."""

from __future__ import annotations

from latent_core.wording import counted

__all__ = ["level_words", "split_words"]


def level_words(level: int, name: str) -> str:
    """`1 repeat`, `5 repeats`; `level 3` where a task does not say what its levels count."""
    return f"level {level}" if name == "level" else counted(level, name.removesuffix("s"))


def split_words(split: str) -> str:
    """`ID`, `OOD 20`; another split by its own name."""
    return "ID" if split == "id" else split.replace("ood-", "OOD ")
