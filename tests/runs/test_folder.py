"""One run's folder: how a run fails and is tried again."""

from pathlib import Path

import latent_core as lc
from latent_core.runs import folder as runs
from latent_core.runs.checkpoints import keep_hashes


def test_a_failed_run_says_why_and_can_be_tried_again(tmp_path: Path) -> None:
    folder, settings = tmp_path / "run", {"task": "echo", "seed": 1}
    runs.fail_run(folder, settings, {"method": "End_2"}, "LayoutError: no comma")
    row = lc.load_runs(tmp_path).iloc[0]
    assert (row["status"], row["error"]) == ("failed", "LayoutError: no comma")
    runs.reopen_run(folder)
    assert runs.read_run(folder)["status"] == "running"
    assert not runs.holds_finished_run(folder, settings | {"steps": 9}, resume=True)
    runs.open_run(folder, settings | {"steps": 3}, {})
    (folder / "checkpoints" / "checkpoint-2").mkdir(parents=True)
    (folder / "checkpoints" / "checkpoint-2" / "trainer_state.json").write_text("{}")
    keep_hashes(folder / "checkpoints" / "checkpoint-2")
    runs.fail_run(folder, settings, {}, "LatentError: full")
    assert runs.read_run(folder)["settings"] == settings | {"steps": 3}
    runs.reopen_run(folder)
    assert runs.read_run(folder)["status"] == "running"
    assert "error" not in runs.read_run(folder)
