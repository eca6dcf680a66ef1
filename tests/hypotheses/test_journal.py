"""The journal: it counts the family, shows earlier looks, and notices an edit."""

import errno
import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from latent_core.errors import LatentError
from latent_core.hypotheses import journal, lab
from latent_core.hypotheses.journal import Journal
from latent_core.progress import Progress, listening
from tests.hypotheses.made_up import MIXED, records, verdict_of
from tests.made_backbones import copying_model


def test_the_journal_counts_the_family_and_shows_earlier_looks(gain, tmp_path) -> None:
    table = pd.concat([records(MIXED, 0.3), records("Start_2", 0.0)])
    first = verdict_of(gain, table, tmp_path)
    assert (first.tests, first.history) == (1, "")
    again = verdict_of(gain, table, tmp_path)
    assert again.tests == 1, "the same test on the same records is no further test"
    assert again.history.endswith("on the same records")
    softer = replace(gain, smallest_effect=0.05)
    table = pd.concat([records(MIXED, 0.31), records("Start_2", 0.0)])
    third = verdict_of(softer, table, tmp_path)
    assert third.tests == 2 and third.p_holm == pytest.approx(2 * third.effect.p)
    assert "tested 1 time before the plan was written" in third.history
    assert "an earlier test had another direction or smallest effect" in third.history
    entries = Journal(tmp_path).entries()
    assert [entry["kind"] for entry in entries if entry["kind"] == "test"] == ["test"] * 3
    assert entries[-1]["outcome"]["outcome"] == "supported"
    assert entries[-1]["training_seeds"] == [0, 1, 2, 3, 4] and "torch" in entries[-1]["versions"]


def test_a_plan_that_was_stopped_is_still_the_plan(commas, tmp_path) -> None:
    """The same plan made again is no look at the records; made after the test, it is."""
    models = [copying_model(), copying_model("b")]

    def test(stopped: bool = False):
        def stop(progress: Progress | None) -> None:
            if stopped and progress is not None and progress.done == 3:
                raise KeyboardInterrupt

        with listening(stop):
            return lab.run(commas, models, lab.plan(commas, 2, 3), tmp_path)

    with pytest.raises(KeyboardInterrupt):
        test(stopped=True)
    assert test().history == ""
    assert [entry["kind"] for entry in Journal(tmp_path).entries()] == ["plan", "test"]
    assert test().history.endswith("on the same records")
    softer = replace(commas, smallest_effect=0.05)
    looked = lab.run(softer, models, lab.plan(softer, 2, 3), tmp_path)
    assert "some of its records are older than the plan" in looked.history


def test_an_edited_journal_is_noticed(gain, tmp_path) -> None:
    verdict_of(gain, pd.concat([records(MIXED, 0.3), records("Start_2", 0.0)]), tmp_path)
    path = tmp_path / "journal.jsonl"
    path.write_text(path.read_text().replace("0.1", "0.2", 1))
    with pytest.raises(LatentError, match=r"line 2: this line or one before it was changed"):
        Journal(tmp_path).entries()


@pytest.fixture
def written(gain, tmp_path):
    """A journal of two plans and two tests, and its content."""
    for shift in (0.3, 0.31):
        verdict_of(gain, pd.concat([records(MIXED, shift), records("Start_2", 0.0)]), tmp_path)
    path = tmp_path / "journal.jsonl"
    return path, path.read_bytes()


@pytest.mark.parametrize("lost", [1, 2, 700])
def test_a_torn_last_line_is_told_and_the_lines_before_it_are_read(written, gain, lost) -> None:
    path, content = written
    count = content.count(b"\n")
    path.write_bytes(content[:-lost])
    if lost == 1:  # all but the line break
        assert len(Journal(path.parent).entries()) == count
    else:
        with pytest.warns(
            UserWarning, match=rf"was not written whole .* the {count - 1} before it"
        ):
            assert len(Journal(path.parent).entries()) == count - 1


@pytest.mark.parametrize("torn", [b'{"kind": "te', b"\0" * 40 + b"\n", b"\xff\xfe"])
def test_the_next_entry_cuts_a_torn_line_off_and_says_so(written, gain, torn: bytes) -> None:
    path, content = written
    path.write_bytes(content + torn)
    with pytest.warns(UserWarning) as told:
        verdict_of(gain, pd.concat([records(MIXED, 0.32), records("Start_2", 0.0)]), path.parent)
    assert any("it was cut off" in str(one.message) for one in told)
    after = path.read_bytes()
    assert after.startswith(content) and torn not in after
    assert len(Journal(path.parent).entries()) > content.count(b"\n")


def test_a_missing_line_break_is_put_in(written, gain) -> None:
    path, content = written
    path.write_bytes(content[:-1])
    verdict_of(gain, pd.concat([records(MIXED, 0.32), records("Start_2", 0.0)]), path.parent)
    assert path.read_bytes().startswith(content)
    assert len(Journal(path.parent).entries()) > content.count(b"\n")


@pytest.mark.parametrize("step", ["write", "fsync"])
def test_an_entry_that_cannot_be_written_is_an_error_and_leaves_no_trace(
    written, gain, monkeypatch, step: str
) -> None:
    path, content = written
    write = os.write

    def full(file: int, data: bytes = b"") -> int:
        if step == "write" and len(data) > 10:
            return write(file, bytes(data[:10]))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(f"latent_core.hypotheses.journal.os.{step}", full)
        with pytest.raises(LatentError, match=r"cannot write .*No space left.*with free space"):
            verdict_of(gain, pd.concat([records(MIXED, 0.33), records("Start_2", 0)]), path.parent)
    assert path.read_bytes() == content


def test_a_journal_that_cannot_be_read_is_one_clear_error(tmp_path) -> None:
    (tmp_path / "journal.jsonl").mkdir()
    with pytest.raises(LatentError, match=r"cannot read .*journal\.jsonl: Is a directory"):
        Journal(tmp_path).entries()


def chained(path: Path, entries: list[dict], **how) -> None:
    """Write entries, each of which names the line before it."""
    lines, previous = [], ""
    for entry in entries:
        lines.append(json.dumps(entry | {"previous": previous}, **how).encode())
        previous = hashlib.sha256(lines[-1]).hexdigest()[:16]
    path.write_bytes(b"\n".join(lines) + b"\n")


@pytest.mark.parametrize("how", [{}, {"separators": (",", ":")}, {"sort_keys": True}])
def test_only_lines_that_may_be_of_a_test_are_read_and_none_of_them_is_missed(
    written, gain, monkeypatch, how
) -> None:
    path, _ = written
    plan, test, *_ = Journal(path.parent).entries()
    others = [
        one | {"digest": f"{n}", "hypothesis": one["hypothesis"] | {"family": f'of "{n % 5}" é'}}
        for n in range(200)
        for one in (plan, test)
    ]
    mates = [
        one | {"hypothesis": gain.to_dict(), "digest": f"m{n}"} for n, one in enumerate([test] * 3)
    ]
    chained(path, [*others, plan, *mates, test], **how)
    parsed = []
    read = journal.parse_json
    monkeypatch.setattr(journal, "parse_json", lambda line: parsed.append(line) or read(line))
    verdict = verdict_of(
        gain, pd.concat([records(MIXED, 0.34), records("Start_2", 0)]), path.parent
    )
    assert verdict.tests == 5 and "tested 1 time before" in verdict.history
    assert len(parsed) < 30 or how, "lines of other claims are not read"
    monkeypatch.undo()
    assert len(Journal(path.parent).entries()) == 407


def test_a_journal_in_use_notices_what_others_append_or_change(written) -> None:
    path, content = written
    used = Journal(path.parent)
    count = len(used.entries())
    assert len(used.entries()) == count
    entries = used.entries()
    chained(path, [*entries, entries[-1]])
    assert len(used.entries()) == count + 1
    path.write_bytes(content.replace(b"0.1", b"0.2", 1))
    with pytest.raises(LatentError, match="line 2: this line or one before it was changed"):
        used.entries()
    path.unlink()
    assert used.entries() == []


@pytest.mark.parametrize("line", [b"no JSON", b"[1]", b'{"kind": "plan"}'])
def test_a_line_that_is_no_entry_is_a_changed_one(written, line: bytes) -> None:
    path, content = written
    path.write_bytes(content + line + b"\n" + content.splitlines()[0] + b"\n")
    number = content.count(b"\n") + 1
    with pytest.raises(LatentError, match=f"line {number}: this line or one before"):
        Journal(path.parent).entries()
