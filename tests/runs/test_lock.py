"""The lock of a run: who is kept off, and what it leaves behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import latent_core as lc
from latent_core.errors import LatentError
from latent_core.runs.lock import RunBusyError, is_busy, run_lock
from tests.runs.samples import add_run, held_elsewhere, records


def test_another_thread_is_kept_off_and_named(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path / "run"):
        assert is_busy(tmp_path / "run")
        said = r"working on the run in .*run; wait until it ends"
        with pytest.raises(RunBusyError, match=said), run_lock(tmp_path / "run"):
            pass
    assert not is_busy(tmp_path / "run")


def test_another_process_is_kept_off(tmp_path: Path) -> None:
    folder = add_run(tmp_path / "run")
    code = "import sys; from latent_core.runs.lock import run_lock, RunBusyError\n"
    code += "try:\n    with run_lock(sys.argv[1]): print('had it')\n"
    code += "except RunBusyError: print('kept off')"

    def other() -> str:
        command = [sys.executable, "-c", code, str(folder)]
        env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        return subprocess.run(command, capture_output=True, text=True, env=env).stdout.strip()

    with run_lock(folder):
        assert other() == "kept off"
    assert other() == "had it"


def test_the_thread_that_holds_it_may_take_it_again_unless_it_must_not(tmp_path: Path) -> None:
    with run_lock(tmp_path):
        with run_lock(tmp_path):
            pass
        assert is_busy(tmp_path), "the inner block let go of its own hold alone"
        with pytest.raises(RunBusyError), run_lock(tmp_path, nested=False):
            pass


def test_where_nothing_came_to_be_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for folder in (tmp_path / "new" / "deep" / "run", tmp_path / "there"):
        with pytest.raises(ZeroDivisionError), run_lock(folder):
            raise ZeroDivisionError
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_what_came_to_be_is_kept(tmp_path: Path) -> None:
    with run_lock(tmp_path / "new"):
        lc.write_records(tmp_path / "new", records())
    assert len(lc.load_runs(tmp_path / "new", records=True)) == 8


def test_a_lock_that_is_a_link_or_a_folder_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".lock").symlink_to(tmp_path / "nowhere")
    (tmp_path / "b" / ".lock").mkdir(parents=True)
    for name in "ab":
        with pytest.raises(LatentError, match="cannot write the run to"), run_lock(tmp_path / name):
            pass
    assert not (tmp_path / "nowhere").exists()


def test_records_are_not_written_beside_another_writer(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("latent_core.runs.evaluation_file._PATIENCE", 0.0)
    with held_elsewhere(tmp_path / "run"), pytest.raises(RunBusyError):
        lc.write_records(tmp_path / "run", records())
