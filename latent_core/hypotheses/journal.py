"""The journal: every plan and every test, one line of JSON each, appended and never edited.

Each line holds the hash of the line before, so an edited or deleted line is noticed. A last line
that was not written whole, as on a full disk, is left out, and cut off by the next append; both say
so. Holm's correction counts the tests of a family that the journal holds. A test states whether its
contrast was tested before its plan was written.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock

from latent_core.errors import LatentError
from latent_core.files import parse_json
from latent_core.hypotheses.evidence import Evidence
from latent_core.hypotheses.plan import Plan
from latent_core.hypotheses.verdict import Verdict
from latent_core.wording import counted

__all__ = ["JOURNAL_FILE", "Journal"]

JOURNAL_FILE = "journal.jsonl"
_PACKAGES = ("latent-workbench", "torch", "transformers", "numpy", "scipy")
#: What every line has in it that was written as `json.dumps` writes.
_WRITTEN = b'"kind": "'

State = tuple[int, ...]


@dataclass
class _Content:
    """What a journal held when it was read or written last.

    Attributes:
        state: tells the file from another, or from itself once it has changed; None without a file.
        lines: the whole lines.
        torn: bytes of a line after them that was not written whole.
        checked: how many lines are known to name the line before them.
        foreign: the numbers of those that are not written as this module writes.
    """

    state: State | None
    lines: list[bytes]
    torn: int
    checked: int = 0
    foreign: set[int] = field(default_factory=set)


class Journal:
    """The journal of one folder of tests.

    Args:
        folder: holds `journal.jsonl`; made when the first line is written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / JOURNAL_FILE
        self._known = _Content(None, [], 0)

    def entries(self) -> list[dict[str, Any]]:
        """All entries, oldest first.

        Raises:
            LatentError: if a line was changed, one before it is missing, or the file cannot be
                read.

        Warns:
            UserWarning: if the last line was not written whole; it is left out.
        """
        return list(self._those_with())

    def _those_with(self, **said: str) -> Iterator[dict[str, Any]]:
        """The entries that say this, at any depth, one by one; others may be among them.

        A line is read as JSON only if it holds these texts as `json.dumps` writes them, or is not
        written in that way at all.
        """
        content = self._checked_content()
        numbers: Iterable[int] = range(len(content.lines))
        for name, text in said.items():
            written = json.dumps({name: text})[1:-1].encode()
            numbers = [n for n in numbers if written in content.lines[n] or n in content.foreign]
        for number in numbers:
            yield self._parsed(number, content.lines[number])

    def _checked_content(self) -> _Content:
        """The content, in which each line names the one before it; lines are checked once."""
        content = self._content()
        if content.torn:
            warnings.warn(
                f"{self.path} ends in a line that was not written whole ({content.torn:,} bytes), "
                f"as on a full disk; it is left out, and the {len(content.lines):,} before it are "
                "whole",
                stacklevel=4,
            )
        for number in range(content.checked, len(content.lines)):
            previous = _hash(content.lines[number - 1]) if number else ""
            line = content.lines[number]
            if line.endswith(f'"previous": "{previous}"}}'.encode()) and _WRITTEN in line:
                continue
            if self._parsed(number, line).get("previous") != previous:
                raise self._changed(number)
            content.foreign.add(number)
        content.checked = len(content.lines)
        return content

    def _parsed(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            entry: dict[str, Any] = parse_json(line)
        except ValueError:
            raise self._changed(number) from None
        if not isinstance(entry, dict):
            raise self._changed(number)
        return entry

    def _changed(self, number: int) -> LatentError:
        return LatentError(
            f"{self.path}, line {number + 1}: this line or one before it was changed or deleted. A "
            "journal is only ever appended to; restore it, or begin another in a new folder"
        )

    def write_plan(self, plan: Plan) -> Plan:
        """Append a plan, unless the journal holds it, and return it with its first date.

        A plan that is made again keeps its date until a test follows it: a stopped test goes on
        with the plan it had.
        """
        entry = _question(plan) | {"kind": "plan"}
        asked = _asked(json.loads(json.dumps(entry)))
        open_since = ""
        for earlier in self._those_with(digest=entry["digest"]):
            if earlier["digest"] != entry["digest"]:
                continue
            if earlier["kind"] == "test":
                open_since = ""
            elif _asked(earlier) == asked:
                if earlier["plan"]["created"] == plan.created:
                    return plan
                open_since = open_since or earlier["plan"]["created"]
        if open_since:
            return replace(plan, created=open_since)
        self._append(entry)
        return plan

    def write_verdict(self, verdict: Verdict) -> None:
        """Append the outcome of a test."""
        evidence = verdict.evidence
        self._append(
            _question(evidence.plan)
            | {
                "kind": "test",
                "training_seeds": list(evidence.seeds),
                "evidence": evidence.records_digest,
                "outcome": verdict.to_dict(),
                "history": verdict.history,
            }
        )

    def family(self, evidence: Evidence, together: Collection[str] = ()) -> list[float]:
        """Return the p-values of the family's other tests.

        A test that was repeated on the same records counts once.

        Args:
            evidence: of a test of the family.
            together: digest and records' digest of tests that are judged together with it.
        """
        h = evidence.hypothesis
        seen = {h.digest + evidence.records_digest, *together}
        p_values = []
        for entry in self._those_with(kind="test", family=h.family_name):
            if entry["kind"] != "test" or entry["hypothesis"]["family"] != h.family_name:
                continue
            name = entry["digest"] + entry["evidence"]
            if name not in seen:
                seen.add(name)
                p_values.append(float(entry["outcome"]["p"]))
        return p_values

    def history(self, evidence: Evidence) -> str:
        """Say what was known of a contrast before its plan was written; empty if nothing was.

        Args:
            evidence: of the test.
        """
        h, plan, made = evidence.hypothesis, evidence.plan, evidence.records_made
        asked = (h.direction, h.smallest_effect)
        earlier = {  # tests on the same records are one test, and its first history counts
            (e["evidence"], *_expected(e)): e
            for e in reversed(list(self._those_with(digest=h.digest)))
            if e["kind"] == "test" and e["digest"] == h.digest and e["time"] <= plan.created
        }
        if (same := earlier.get((evidence.records_digest, *asked))) is not None:
            repeated = f"this repeats the test of {same['time'][:10]} on the same records"
            return "; ".join(filter(None, (repeated, same["history"])))
        parts = []
        if earlier:
            looks = {e["evidence"] for e in earlier.values()}
            last = max(earlier.values(), key=lambda e: e["time"])
            parts.append(
                f"this contrast was tested {counted(len(looks), 'time')} before "
                f"the plan was written ({last['outcome']['outcome']} on {last['time'][:10]})"
            )
        if made is not None and made < plan.created:
            parts.append("some of its records are older than the plan, so this is exploration")
        if {_expected(e) for e in earlier.values()} - {asked}:
            parts.append("an earlier test had another direction or smallest effect")
        return "; ".join(parts)

    def _content(self) -> _Content:
        """What the file holds; it is read again if it has changed.

        Raises:
            LatentError: if the file cannot be read.
        """
        try:
            with open(self.path, "rb") as file:
                state = _state(file.fileno())
                if state != self._known.state:
                    self._known = _Content(state, *_lines(file.read()))
        except FileNotFoundError:
            self._known = _Content(None, [], 0)
        except OSError as error:
            raise LatentError(
                f"cannot read {self.path}: {error.strerror}; expected a file that can be read"
            ) from error
        return self._known

    def _append(self, entry: dict[str, Any]) -> None:
        """Append an entry, and cut off a torn line before it.

        Raises:
            LatentError: if it cannot be written; the journal is as it was then.

        Warns:
            UserWarning: if a line was cut off.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self.path}.lock"):
                content = self._content()
                lines, torn = content.lines, content.torn
                entry = entry | {"previous": _hash(lines[-1]) if lines else ""}
                whole = sum(len(line) + 1 for line in lines)
                line = json.dumps(entry).encode()
                state = _write_at(self.path, whole, line + b"\n")
                self._known = _Content(state, [*lines, line], 0, content.checked, content.foreign)
        except OSError as error:
            raise LatentError(
                f"cannot write {self.path}: {error}; expected a folder that can be written to, "
                "with free space"
            ) from error
        if torn:
            warnings.warn(
                f"{self.path} ended in a line that was not written whole; it was cut off",
                stacklevel=3,
            )


def _write_at(path: Path, whole: int, line: bytes) -> State:
    """Write a line after the whole ones; a failure leaves the file with these alone."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        size = os.fstat(file).st_size
        if size < whole:  # the last whole line lacks its line break
            line, start = b"\n" + line, size
        else:
            os.ftruncate(file, whole)
            start = whole
        try:
            os.lseek(file, start, os.SEEK_SET)
            left = memoryview(line)
            while left:
                left = left[os.write(file, left) :]
            os.fsync(file)
            return _state(file)
        except OSError:
            os.ftruncate(file, start)
            raise
    finally:
        os.close(file)


def _state(file: int) -> State:
    found = os.fstat(file)
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _lines(content: bytes) -> tuple[list[bytes], int]:
    """The whole lines, and the bytes of a torn one after them."""
    *lines, rest = content.split(b"\n")
    if rest and _is_entry(rest):  # all but its line break was written
        return [*lines, rest], 0
    if not rest and lines and not _is_entry(lines[-1]):  # a disk may lose what it took
        return lines[:-1], len(lines[-1]) + 1
    return lines, len(rest)


def _is_entry(line: bytes) -> bool:
    try:
        return isinstance(parse_json(line), dict)
    except ValueError:
        return False


def _question(plan: Plan) -> dict[str, Any]:
    h = plan.hypothesis
    return {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "digest": h.digest,
        "hypothesis": h.to_dict(),
        "plan": plan.to_dict(),
        "versions": {name: version(name) for name in _PACKAGES},
    }


def _expected(entry: dict[str, Any]) -> tuple[str, float]:
    """Direction and smallest effect of an entry's claim."""
    return entry["hypothesis"]["direction"], entry["hypothesis"]["smallest_effect"]


def _asked(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """What tells whether two entries hold one plan, made now or then."""
    return [entry[key] | {"created": ""} for key in ("hypothesis", "plan")]


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()[:16]
