"""Records and summary: what is kept, what is refused, and what a full disk costs."""

import errno
import json
import os
from pathlib import Path

import pandas as pd
import pytest

import latent_core as lc
from latent_core import files
from latent_core.errors import LatentError, SettingError
from latent_core.runs.evaluation_file import read_evaluation, read_summary
from tests.runs.samples import records


def test_records_and_summary_agree_or_the_summary_is_gone(root: Path, monkeypatch) -> None:
    """A kill between the two files leaves no summary of other records."""
    write = files._write_through

    def full(path: Path, content: bytes) -> None:
        if "summary" in path.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, content)

    monkeypatch.setattr(files, "_write_through", full)
    with pytest.raises(LatentError, match=r"cannot write .*No space left on device"):
        lc.write_records(root / "a", records(graded=0.9))
    frame = lc.load_runs(root / "a")
    assert frame["graded"].tolist() == pytest.approx([0.91, 0.92, 0.915])


def asked(splits: dict[str, int], graded: float = 0.5, seed: int = 1) -> pd.DataFrame:
    """Records as `evaluate` makes them: they say what was asked, and what drew the examples."""
    frame = pd.concat([records(graded, (name,), count) for name, count in splits.items()])
    frame = frame.assign(eval_seed=seed)
    each = {name: {"examples": count, "seed": seed} for name, count in splits.items()}
    frame.attrs["evaluation"] = {"splits": each}
    return frame


def test_records_of_other_splits_stay(tmp_path: Path) -> None:
    lc.write_records(tmp_path, asked({"ood-15": 4, "ood-6": 4}).assign(old=1))
    lc.write_records(tmp_path, asked({"id": 2, "ood-6": 6}, 0.1, seed=1))
    frame = pd.read_parquet(tmp_path / "records.parquet")
    assert frame["split"].tolist() == ["id"] * 2 + ["ood-6"] * 6 + ["ood-15"] * 4
    assert frame["old"].notna().sum() == 4 and frame["graded"].iloc[0] == 0.1
    assert read_evaluation(tmp_path) == frame.attrs["evaluation"]
    counts = {name: one["examples"] for name, one in frame.attrs["evaluation"]["splits"].items()}
    assert counts == {"id": 2, "ood-6": 6, "ood-15": 4}
    assert list(dict.fromkeys(read_summary(tmp_path)["split"])) == list(counts)
    assert sum(read_summary(tmp_path)["examples"]) == 12


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        (
            {"splits": {"ood-6": 3}},
            r"4 examples \(seed 1\) of split 'ood-6'.* 3 new ones \(seed 1\)",
        ),
        ({"splits": {"ood-6": 9}, "seed": 2}, r"4 examples \(seed 1\).* 9 new ones \(seed 2\)"),
    ],
)
def test_what_would_lose_records_is_refused(tmp_path: Path, new, reason: str) -> None:
    lc.write_records(tmp_path, asked({"id": 4, "ood-6": 4}))
    before = (tmp_path / "records.parquet").read_bytes()
    with pytest.raises(SettingError, match=reason + ".*--replace or replace=True"):
        lc.write_records(tmp_path, asked(**new))
    assert (tmp_path / "records.parquet").read_bytes() == before
    lc.write_records(tmp_path, asked(**new), replace=True)
    counts = lc.load_runs(tmp_path, records=True).groupby("split").size().to_dict()
    assert counts == {"id": 4, **new["splits"]}


def test_what_an_older_version_was_asked_is_still_known(tmp_path: Path) -> None:
    frame = asked({"id": 4, "ood-6": 4})
    frame.attrs["evaluation"] = {"splits": ["id", "ood-6"], "examples": 4, "seed": 1}
    lc.write_records(tmp_path, frame)
    each = {"examples": 4, "seed": 1}
    assert read_evaluation(tmp_path) == {"splits": {"id": each, "ood-6": each}}
    lc.write_records(tmp_path, asked({"id": 5}))
    assert read_evaluation(tmp_path) == {
        "splits": {"id": {"examples": 5, "seed": 1}, "ood-6": each}
    }


def test_records_that_do_not_say_what_they_were_asked_leave_the_others_their_word(
    tmp_path: Path,
) -> None:
    """Else a grid would ask them all again, each time it is called."""
    lc.write_records(tmp_path, asked({"id": 4, "ood-6": 4}).pipe(_without_attrs))
    assert read_evaluation(tmp_path) is None
    for split in ("id", "ood-6"):
        lc.write_records(tmp_path, asked({split: 4}))
    each = {"examples": 4, "seed": 1}
    assert read_evaluation(tmp_path) == {"splits": {"id": each, "ood-6": each}}


def _without_attrs(frame: pd.DataFrame) -> pd.DataFrame:
    frame.attrs = {}
    return frame


def test_a_full_disk_keeps_the_records_of_before(root: Path, monkeypatch) -> None:
    before = lc.load_runs(root / "a", records=True)

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(LatentError, match=r"cannot write .*No space left on device"):
        lc.write_records(root / "a", records(graded=0.9))
    pd.testing.assert_frame_equal(lc.load_runs(root / "a", records=True), before)


@pytest.mark.parametrize("summary", [None, "{", "[]", "stale"])
def test_without_a_summary_of_its_own_a_run_is_read_from_its_records(root, summary) -> None:
    wanted = lc.load_runs(root)
    path = root / "a" / "summary.json"
    if summary == "stale":
        body = json.loads(path.read_text())
        path.write_text(json.dumps(body | {"records_bytes": 7, "graded": [9, 9, 9]}))
    elif summary is None:
        path.unlink()
    else:
        path.write_text(summary)
    pd.testing.assert_frame_equal(lc.load_runs(root), wanted)
