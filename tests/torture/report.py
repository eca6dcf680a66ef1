"""What a part of the torture found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Report"]


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
