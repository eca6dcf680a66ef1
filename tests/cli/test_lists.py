"""`latent shipped`, and the names that it lists, wherever a command takes a run."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

import latent_core as lc
from latent_core.archives.folders import SHIPPED
from latent_core.cli import app
from latent_core.errors import AdapterError, ArchiveError, SettingError


def latent(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})
    if result.exception is not None:
        raise result.exception
    return result.output


def test_every_method_that_ships_has_a_row() -> None:
    said = latent("shipped")
    names = {f"{one.backbone}/{one.task}/{one.method}" for one in lc.shipped_adapters()}
    rows = [line for line in said.splitlines() if any(f" {name} " in line for name in names)]
    assert len(rows) == len(names) and f"{len(lc.shipped_adapters())} runs" in said
    frame = lc.load_runs("shipped:tiny/summation/8_2", {"split": "id"})
    mean = (frame["graded"] * frame["examples"]).sum() / frame["examples"].sum()
    (row,) = (line.split() for line in rows if "tiny/summation/8_2 " in line)
    assert row[:3] == ["tiny/summation/8_2", "0-9", f"{mean:.2f}"]


def test_a_name_narrows_the_list_down_to_the_seeds() -> None:
    said = latent("shipped", "tiny/summation")
    assert "tiny/summation/8_2 " in said and "generation" not in said
    said = latent("shipped", "shipped:tiny/summation/8_2", "--metric", "exact")
    assert all(f"tiny/summation/8_2/seed-{seed}" in said for seed in range(10))
    assert said.count("tiny/summation/8_2/seed-") == 10
    with pytest.raises(SettingError, match=r"did you mean 'shipped:tiny/summation'\? Expected"):
        latent("shipped", "tiny/sumation")
    with pytest.raises(SettingError, match="unknown metric 'loss'"):
        latent("shipped", "--metric", "loss")


def test_names_that_ship_are_taken_for_runs(tmp_path: Path) -> None:
    name = "shipped:tiny/summation/Start_2"
    said = latent("generate", name, "--prompt", "a=1")
    assert said == latent("generate", f"{name}/seed-0", "--prompt", "a=1")
    assert "10 finished" in latent("runs", "list", name)
    (seed,) = (
        line.split()[1]
        for line in latent("runs", "show", f"{name}/seed-3").splitlines()
        if line.startswith("seed ")
    )
    assert seed == "3"
    assert "training seeds per method: 10" in latent("compare", name)
    assert "checkpoint" in latent("export", name, "--out", tmp_path / "checkpoint")
    assert "library_name" in latent("push", f"{name}/seed-0", "me/mine", "--dry-run")
    latent("runs", "unpack", f"{name}/seed-4", "--out", tmp_path / "unpacked")
    config = (tmp_path / "unpacked" / "seed-4" / "adapter_config.json").read_text()
    assert '"layout": "Start_2"' in config
    with pytest.raises(AdapterError, match=r"did you mean 'shipped:tiny/summation/Start_2'\?"):
        latent("generate", "shipped:tiny/summation/Strat_2", "--prompt", "a=1")


def test_what_ships_is_shown_by_evaluate_and_never_changed() -> None:
    name = "shipped:tiny/summation/Start_2/seed-0"
    before = {path: path.stat().st_mtime_ns for path in SHIPPED.rglob("*")}
    assert "already evaluated" in latent("evaluate", name, "--splits", "id")
    with pytest.raises(ArchiveError, match=r"which is only read\. Unpack it \(`latent runs unpack"):
        latent("evaluate", name, "--splits", "id", "--examples", "101")
    assert "nothing to delete" in latent("runs", "prune", "shipped:", "--yes")
    assert {path: path.stat().st_mtime_ns for path in SHIPPED.rglob("*")} == before
