"""Rebuilding and shipping: what replaces pages or runs is compared with what was there."""

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from experiments.rebuild import PARTS, ROOT, Part, contents, rebuild
from latent_core.archives.folders import file_names
from latent_core.archives.format import ARCHIVE_FILES
from latent_core.errors import ArchiveError, SettingError
from latent_core.runs import folder as runs
from latent_core.runs.archive import pack_runs
from latent_core.runs.evaluation_file import write_records
from latent_core.runs.find import run_folders
from latent_core.tasks import load_task
from tests.runs.samples import add_run, records


def writes(root: Path, text: str) -> Part:
    """A part whose command writes `text` into page.md."""
    (root / "make.py").write_text(f"open('page.md', 'w').write({text!r})")
    return Part("make.py", ("page.md",))


def test_a_page_that_comes_out_the_same_is_not_reported(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("made on 2026-01-01: 0.78\n")
    assert rebuild("page", writes(tmp_path, "made on 2026-02-02: 0.78\n"), tmp_path) == []


@pytest.mark.parametrize("text", ["made on 2026-01-01: 0.79\n", ""])
def test_another_figure_is_reported_and_stays(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text("made on 2026-01-01: 0.78\n")
    assert rebuild("page", writes(tmp_path, text), tmp_path) == [Path("page.md")]
    assert page.read_text() == text


def test_a_page_that_appears_is_reported(tmp_path: Path) -> None:
    assert rebuild("page", writes(tmp_path, "new"), tmp_path) == [Path("page.md")]


def test_a_command_that_fails_stops_the_rebuild(tmp_path: Path) -> None:
    (tmp_path / "make.py").write_text("raise SystemExit(3)")
    with pytest.raises(subprocess.CalledProcessError):
        rebuild("page", Part("make.py", ("page.md",)), tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("loss 0.5 in 3.1 s", "loss 0.5 in 9.9 s", True),
        ("loss 0.5 in 3.1 s", "loss 0.4 in 3.1 s", False),
        ("<Axes at 0x7f>", "<Axes at 0x8f>", True),
    ],
)
def test_results_of_a_notebook_count_and_times_do_not(
    tmp_path: Path, old: str, new: str, same: bool
) -> None:
    found = []
    for name, text in (("old", old), ("new", new)):
        (tmp_path / name).mkdir()
        cell = {"source": ["1"], "outputs": [{"text": [text]}], "execution_count": len(found)}
        (tmp_path / name / "a.ipynb").write_text(json.dumps({"cells": [cell]}))
        found.append(contents(Part("", ("*.ipynb",)), tmp_path / name))
    assert (found[0] == found[1]) is same


@pytest.mark.parametrize("name", PARTS)
def test_every_part_has_its_command_and_its_files(name: str) -> None:
    part = PARTS[name]
    assert contents(part, ROOT)
    first, *rest = part.command.split()
    script = rest[0].replace(".", "/") + ".py" if first == "-m" else first
    assert (ROOT / script).is_file()


def test_no_page_is_forgotten() -> None:
    """Every script that writes a page is a part."""
    scripts = {path.name for path in (ROOT / "experiments").glob("*.py")}
    helpers = {"computed.py", "learning_rates.py", "paper_cost.py", "readme.py", "rebuild.py"}
    helpers |= {"registry.py", "ship.py"}
    named = {Path(part.command.split()[0]).name for part in PARTS.values()}
    assert scripts - helpers <= named


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
