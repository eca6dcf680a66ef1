"""Runs packed and unpacked: the same tables, the same files, and nothing lost of the source."""

import hashlib
import os
from pathlib import Path

import pandas as pd
import pytest

import latent_core as lc
from latent_core.archives.folders import file_names
from latent_core.errors import ArchiveError, SettingError
from latent_core.runs import folder as runs
from latent_core.runs.archive import pack_runs, unpack_runs
from latent_core.runs.evaluation_file import read_evaluation, read_summary
from latent_core.runs.find import find_runs
from latent_core.runs.lock import run_lock
from latent_core.runs.removal import holds_results
from tests.runs.samples import add_run, records


@pytest.fixture
def kept(root: Path) -> Path:
    """The runs of `root`, all at their end, with adapters of ours and of PEFT, logs and notes."""
    runs.close_run(root / "d", "finished", {"task": "other", "seed": 7}, {"method": "End_2"})
    lc.LatentModel("tiny", "Start_2+Comma_1").save_pretrained(root / "a", method="Start_2+Comma_1")
    lc.build_model("tiny", "lora-768p").save_pretrained(root / "deep" / "c")
    (root / "a" / "log.csv").write_text("step,loss\n1,0.5\n")
    lc.write_records(root / ".search" / "hidden", records(0.25).assign(shots=4))
    with run_lock(root / "a"):  # leaves its file behind
        return root


@pytest.fixture
def packed(kept: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_runs(kept, tmp_path_factory.mktemp("packed") / "archive").path


def hashes(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_mtime_ns,
        )
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


@pytest.mark.parametrize("below", ["", "deep", "deep/b", ".search"])
@pytest.mark.parametrize("asked", [{}, {"records": True}, {"apart": True, "records": True}])
def test_the_archive_gives_the_same_tables_as_the_folder(kept, packed, below, asked) -> None:
    wanted, found = (lc.load_runs(root / below, **asked) for root in (kept, packed))
    paths = wanted["path"].str.replace(str(kept), str(packed), regex=False)
    pd.testing.assert_frame_equal(found, wanted.assign(path=paths))
    assert [str(kind) for kind in found.dtypes] == [str(kind) for kind in wanted.dtypes]


def test_runs_are_chosen_from_an_archive_and_a_folder_at_once(kept: Path, packed: Path) -> None:
    where = {"method": ["Start_1", "Start_3"], "split": "id"}
    with pytest.warns(UserWarning, match=r"1 copy of a run is left out: .*archive/deep/c \(see"):
        both = lc.load_runs([kept / "deep", packed], where, records=True)
    assert set(both["run"]) == {"deep/c", "archive/a"}
    assert len(both) == 2 * 4
    with pytest.raises(SettingError, match="no run has 'metod'; expected some of"):
        lc.load_runs(packed, {"metod": "Start_2"})
    with pytest.raises(
        SettingError, match=r"no folder .*/archive/nowhere\. Expected a folder that hold"
    ):
        lc.load_runs(packed / "nowhere")


def test_all_that_is_said_of_a_run_is_in_the_archive(kept: Path, packed: Path) -> None:
    for run in find_runs(kept):
        there = str(packed / Path(run.path).relative_to(kept))
        assert runs.read_run(there) == runs.read_run(run.path)
        assert file_names(there) == file_names(run.path) - {".lock"}
        if "records.parquet" in file_names(there):
            assert read_summary(there) == read_summary(run.path)
            assert read_evaluation(there) == read_evaluation(run.path)


def test_unpacked_files_are_the_same_bytes_with_the_same_times(kept, packed, tmp_path) -> None:
    unpacked = unpack_runs(packed, tmp_path / "unpacked")
    assert hashes(unpacked.path) == {
        name: found for name, found in hashes(kept).items() if not name.startswith("unpacked/")
    }
    assert unpacked.runs == 5 and unpacked.size == sum(
        path.stat().st_size for path in unpacked.path.rglob("*") if path.is_file()
    )


def test_a_part_of_an_archive_is_unpacked_by_its_path(kept: Path, packed: Path, tmp_path) -> None:
    unpack_runs(packed / "deep", tmp_path / "part")
    assert hashes(tmp_path / "part") == hashes(kept / "deep")
    unpack_runs(packed / "deep" / "b", tmp_path / "one")
    assert hashes(tmp_path / "one" / "b") == hashes(kept / "deep" / "b")


def test_saved_models_are_loaded_from_the_archive(kept: Path, packed: Path) -> None:
    for name in ("a", "deep/c"):
        wanted, found = (lc.load_model(root / name) for root in (kept, packed))
        assert found.method == wanted.method
        weights = wanted.trainable_weights()
        assert weights and weights.keys() == found.trainable_weights().keys()
        assert all((found.trainable_weights()[key] == one).all() for key, one in weights.items())


def test_the_source_stays_as_it_is(kept: Path, tmp_path_factory) -> None:
    before = hashes(kept)
    done = pack_runs(kept, tmp_path_factory.mktemp("other") / "archive")
    assert hashes(kept) == before and done.runs == 5 and done.left_out == {}


def test_one_run_is_packed_by_its_name(kept: Path, tmp_path_factory) -> None:
    out = tmp_path_factory.mktemp("other") / "archive"
    pack_runs(kept / "deep" / "b", out)
    assert [run.about["run"] for run in find_runs(out)] == ["b"]


def test_archives_are_packed_again_with_what_lies_beside_them(kept, packed, tmp_path) -> None:
    add_run(tmp_path / "more" / "new", "End_1")
    pack_runs(kept / "deep", tmp_path / "more" / "old")
    assert [run.about["run"] for run in find_runs(tmp_path / "more")] == ["new", "old/b", "old/c"]
    done = pack_runs(tmp_path / "more")
    assert done.path == tmp_path / "more-packed" and done.left_out == {}
    assert [run.about["run"] for run in find_runs(done.path)] == ["new", "old/b", "old/c"]


def test_what_is_not_packed_is_named(root: Path, tmp_path_factory) -> None:
    (root / "a" / "checkpoints" / "checkpoint-2").mkdir(parents=True)
    (root / "grid.yaml").write_text("seeds: 5")
    (root / "link").symlink_to(root / "a")
    (root / "deep" / "b" / "notes").mkdir()
    (root / "deep" / "b" / "link.txt").symlink_to(root / "grid.yaml")
    done = pack_runs(root, tmp_path_factory.mktemp("other") / "archive")
    assert {str(Path(path).relative_to(root)): why for path, why in done.left_out.items()} == {
        "a": "has checkpoints, so it is unfinished",
        "d": "is running, so it is unfinished",
        "grid.yaml": "belongs to no run",
        "link": "is a link",
        "deep/b/notes": "is a folder within a run",
        "deep/b/link.txt": "is a link",
    }
    assert [run.about["run"] for run in find_runs(done.path)] == ["deep/b", "deep/c"]


def test_what_cannot_be_packed_or_unpacked_is_refused(kept, packed, tmp_path, monkeypatch) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    refused = [
        (pack_runs, (kept, tmp_path / "notes"), "is there already; expected --out with a new"),
        (unpack_runs, (packed, tmp_path / "notes"), "is there already; expected --out with a new"),
        (pack_runs, (kept, tmp_path / "notes" / "mine.txt"), "is there already"),
        (pack_runs, (tmp_path / "notes",), "no runs to pack below"),
        (pack_runs, (tmp_path / "none",), "no folder .*none. Expected a folder that holds runs"),
        (pack_runs, (kept / "deep", kept / "deep" / "archive"), "within itself; expected --out"),
        (unpack_runs, (kept, tmp_path / "new"), "no archive in .*; expected a folder that `latent"),
        (unpack_runs, (packed / "none", tmp_path / "new"), "no archive in"),
    ]
    for act, arguments, reason in refused:
        with pytest.raises(ArchiveError, match=reason):
            act(*arguments)
    assert not (tmp_path / "new").exists() and len(list((tmp_path / "notes").iterdir())) == 1


def test_an_unpacking_that_fails_leaves_nothing(packed: Path, tmp_path: Path, monkeypatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "utime", full)
    before = set(tmp_path.iterdir())
    with pytest.raises(ArchiveError, match=r"cannot write the runs to .*No space left"):
        unpack_runs(packed, tmp_path / "new")
    assert set(tmp_path.iterdir()) == before


def test_a_damaged_archive_is_named_and_left_out(kept: Path, packed: Path) -> None:
    content = (packed / "records.parquet").read_bytes()
    (packed / "records.parquet").write_bytes(content[:-9])
    copies = pytest.warns(UserWarning, match="2 copies of runs are left out: ")
    with copies, pytest.warns(UserWarning, match=r"left out: the archive .* is damaged"):
        found = lc.load_runs([kept / "deep", packed], records=True)
    assert set(found["run"]) == {"deep/b", "deep/c"}
    assert lc.load_runs(packed)["graded"].notna().any(), "summaries are whole"
    (packed / "runs.parquet").write_bytes(b"PAR1 and no more")
    with pytest.warns(UserWarning, match=r"left out: the archive .* is damaged"):
        assert set(lc.load_runs([kept / "deep", packed])["run"]) == {"deep/b", "deep/c"}


def test_nothing_writes_into_an_archive(packed: Path) -> None:
    model = lc.build_model("tiny", "lora-768p")
    for write in (
        lambda: lc.write_records(packed / "a", records()),
        lambda: runs.open_run(packed / "new", {}, {}),
        lambda: run_lock(packed / "a").__enter__(),
        lambda: runs.holds_finished_run(packed / "a", {}, resume=True),
        lambda: lc.LatentModel("tiny", "Start_2").save_pretrained(packed / "a"),
        lambda: model.save_pretrained(packed / "new"),
    ):
        with pytest.raises(ArchiveError, match=r"is an archive, which is only read"):
            write()
    assert {path.name for path in packed.iterdir()} == {
        *("runs.parquet", "records.parquet", "adapters.safetensors")
    }
    assert holds_results(packed / "a")


@pytest.mark.parametrize("name", ["run.json", "records.parquet"])
def test_a_damaged_run_is_not_packed_and_is_named(root, tmp_path_factory, name: str) -> None:
    path = root / "a" / name
    path.write_bytes(path.read_bytes()[:9])
    done = pack_runs(root, tmp_path_factory.mktemp("packed") / "out")
    assert done.left_out[str(root / "a")].startswith("is damaged: ")
    assert done.runs == 3  # the hidden one included
