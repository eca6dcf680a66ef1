"""Shipping: what replaces the package's runs is looked over before any of them goes."""

import sys
from pathlib import Path
from types import ModuleType

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from latent_core.archives.folders import file_names
from latent_core.archives.format import ARCHIVE_FILES
from latent_core.errors import ArchiveError, SettingError
from latent_core.runs import folder as runs
from latent_core.runs.archive import pack_runs
from latent_core.runs.evaluation_file import write_records
from latent_core.runs.find import run_folders
from latent_core.tasks import load_task
from tests.runs.samples import add_run, records

SPLITS = tuple(split for split in load_task("repetition").splits if split.startswith(("id", "ood")))


@pytest.fixture
def ship(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with a package of its own in which something ships already."""
    monkeypatch.syspath_prepend(repository / "experiments")
    import ship

    monkeypatch.setattr(ship, "SHIPPED", tmp_path / "package" / "adapters")
    monkeypatch.setattr(ship, "write_section", lambda *_: None)
    for task in ("repetition", "summation"):
        add_run(tmp_path / "old" / task / "Old_1" / "seed-0", task=task)
    pack_runs(tmp_path / "old", ship.SHIPPED / "tiny")
    return ship


def add(
    folder: Path, splits: tuple[str, ...] = SPLITS, graded: float = 0.5, **changes: object
) -> Path:
    add_run(folder, **{"task": "repetition", **changes})
    frame = records(graded, splits)
    frame.attrs["evaluation"] = {"splits": list(splits), "examples": 4, "seed": 1}
    write_records(folder, frame)
    return folder


def there(shipped: Path) -> set[str]:
    return {str(Path(path).relative_to(shipped)) for path, _ in run_folders(str(shipped))}


def test_finished_runs_replace_those_of_their_task(ship, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(ship, "contents", lambda: "")
    grid = tmp_path / "grid"
    add(grid / "a")
    add(grid / "b", seed=1)
    (grid / "a" / "log.csv").write_text("step,loss\n")
    save_file({"End": torch.zeros(1, 2)}, grid / "a" / "latent_tables.safetensors")  # beside LoRA
    add(grid / "not asked of id", SPLITS[1:], seed=2)
    add(grid / "not asked far off", SPLITS[:1], seed=3)
    runs.open_run(grid / "running", {"task": "mine", "seed": 4}, {"method": "Start_2"})
    runs.fail_run(grid / "failed", {}, {}, "it broke")
    monkeypatch.setattr(sys, "argv", ["ship.py", str(grid)])
    ship.main()
    told = capsys.readouterr().out
    assert "2 runs in 1 archive of 0.0 MB" in told
    left_out = {line.rsplit("/", 1)[1] for line in told.splitlines() if "left out" in line}
    assert left_out == {"not asked of id", "not asked far off", "running", "failed"}
    new = {f"tiny/repetition/Start_2/seed-{seed}" for seed in (0, 1)}
    assert there(ship.SHIPPED) == {*new, "tiny/summation/Old_1/seed-0"}
    names = file_names(ship.SHIPPED / "tiny/repetition/Start_2/seed-0")
    kept = {"run.json", "records.parquet", "summary.json", "log.csv", "latent_tables.safetensors"}
    assert names == kept
    assert file_names(ship.SHIPPED / "tiny") == set(ARCHIVE_FILES)
    assert [path.name for path in ship.SHIPPED.parent.iterdir()] == ["adapters"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"steps": 20}, r"/a and \S*/b would both ship as .*seed-0 \(steps 10 and 20\); move one"),
        ({}, r"would both ship as .* \(their settings are the same\)"),
        ({"task": "mine"}, r"/b is of the task 'mine', which nobody else has; expected one of"),
        ({"backbone": "/my/model"}, r"/b is of the backbone '/my/model', which nobody else has"),
    ],
)
def test_what_cannot_ship_leaves_what_ships(ship, tmp_path, changes, reason) -> None:
    add(tmp_path / "grid" / "a")
    add(tmp_path / "grid" / "b", graded=0.25, **changes)  # other records: it is no copy
    before = there(ship.SHIPPED)
    with pytest.raises(SettingError, match=reason):
        ship.ship([tmp_path / "grid"])
    assert there(ship.SHIPPED) == before


def test_a_disk_that_is_full_leaves_what_ships(ship, tmp_path, monkeypatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    add(tmp_path / "grid" / "a")
    before = there(ship.SHIPPED)
    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(ArchiveError, match="No space left"):
        ship.ship([tmp_path / "grid"])
    assert there(ship.SHIPPED) == before
