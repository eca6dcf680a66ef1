"""A small world for the torture: a backbone and a task on the disk, and what a part found."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.families import EOS, FAMILIES, character_tokenizer, random_from

__all__ = ["METHODS", "STEPS", "Report", "make_world"]

#: One of each kind: latents, latents beside LoRA, PEFT's, all weights, and nothing to train.
METHODS = (
    *("Start_2+Comma_1", "End_2=hidden & lora-r1"),
    *("lora-r1", "prefix-1", "prompt-tuning-1", "full", "zero-shot"),
)
STEPS = 4


def make_world(folder: Path) -> tuple[Path, Path]:
    """Write a backbone and a task of one's own; their paths."""
    backbone, task = folder / "backbone", folder / "echo.jsonl"
    config = FAMILIES["llama"]()
    config.eos_token_id = EOS
    random_from(config).save_pretrained(backbone)
    character_tokenizer().save_pretrained(backbone)
    lines = [
        {"prompt": f"{n}{letter}=", "answer": ",".join(letter * n), "split": split, "level": n}
        for split, letters in (("train", "abcdefgh"), ("id", "ijklmnop"))
        for letter in letters
        for n in (1, 2, 3)
    ]
    task.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return backbone, task


@dataclass
class Report:
    """Counts of what was tried, and what went wrong.

    Attributes:
        counts: by what was counted.
        failures: a sentence each.
    """

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def count(self, *names: str) -> None:
        """Count one of each."""
        self.counts.update(names)

    def check(self, holds: object, failure: str) -> None:
        """Note a failure unless something holds, and say it at once."""
        if not holds:
            self.failures.append(failure)
            print(f"FAILED: {failure}", flush=True)

    def tell(self, what: str) -> None:
        """Say how far the part is."""
        print(f"{what}: {self.counts.total():,} so far, {len(self.failures)} failed", flush=True)
