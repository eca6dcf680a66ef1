"""Reports of checked backbones: one row a name, also for what is refused."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from latent_core.cli.app import app
from latent_core.errors import SettingError
from latent_core.invariants.reports import (
    INVARIANTS,
    add_report,
    check_backbone,
    read_reports,
    report_of,
)
from tests.families import tiny_backbone

LAYOUTS = ("Start_1", "Before[;]_1")
"""The second has no place: the test tokenizer has no such token."""


def test_a_row_counts_what_holds_and_names_what_fails(tmp_path: Path) -> None:
    backbone = tiny_backbone("gemma2")
    found = check_backbone(backbone, LAYOUTS, ("a=1,", "b"), new_tokens=2)
    row = report_of(backbone, found)
    assert row["passed"] == int(found["holds"].fillna(False).sum()) > 5
    assert (row["family"], row["sliding_window"], row["dtype"]) == ("gemma2", True, "float32")
    assert row["parameters"] == sum(one.numel() for one in backbone.model.parameters())
    assert row["failed"] == [] and set(row["not_applicable"]) < set(INVARIANTS)
    assert 0 < row["difference"] < 1e-4 and row["versions"]["torch"]
    broken = found.copy()
    broken.loc[0, ["holds", "note"]] = [False, "apart"]
    layout, invariant = found.loc[0, ["layout", "invariant"]]
    worse = report_of(backbone, broken)
    assert worse["failed"] == [{"layout": layout, "invariant": invariant, "note": "apart"}]
    assert worse["passed"] == row["passed"] - 1
    path = add_report(tmp_path / "sub" / "reports.json", row | {"backbone": "b"})
    add_report(path, row | {"backbone": "a"})
    add_report(path, worse | {"backbone": "b"})
    rows = read_reports(path)
    assert [one["backbone"] for one in rows] == ["a", "b"] and rows[1]["failed"]


def test_the_command_writes_a_row_and_refuses_another_file_before_it_checks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = []

    def check(backbone, progress):
        checked.append(backbone.name)
        return check_backbone(backbone, ("Start_1",), ("a=1,", "b"), 2, progress=progress)

    monkeypatch.setattr("latent_core.invariants.reports.check_backbone", check)
    runner, path = CliRunner(), tmp_path / "reports.json"
    told = runner.invoke(app, ["backbones", "--check", "tiny", "--report", str(path)])
    assert told.exit_code == 0, told.output
    (row,) = read_reports(path)
    assert (row["backbone"], row["family"], row["failed"]) == ("tiny", "llama", [])

    missing = runner.invoke(app, ["backbones", "--check", "no/where", "--report", str(path)])
    assert missing.exit_code != 0
    refused, kept = read_reports(path)
    assert "no/where" in refused["refused"] and kept == row

    path.write_text(json.dumps({"version": 7, "backbones": []}))
    with pytest.raises(SettingError, match="expected a JSON file of version 1"):
        read_reports(path)
    other = runner.invoke(app, ["backbones", "--check", "tiny", "--report", str(path)])
    assert other.exit_code != 0 and checked == ["tiny"]
    assert json.loads(path.read_text())["version"] == 7, "it is kept"
    alone = runner.invoke(app, ["backbones", "--report", str(path)])
    assert alone.exit_code != 0 and "--check" in str(alone.exception or alone.output)
