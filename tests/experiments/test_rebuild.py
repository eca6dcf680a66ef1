"""What is rebuilt is compared with what was there."""

import json
import subprocess
from pathlib import Path

import pytest

from experiments.rebuild import PARTS, ROOT, Part, contents, rebuild


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
