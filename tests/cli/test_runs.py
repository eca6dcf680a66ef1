"""`latent runs`: the folders from the command line."""

import os
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

import latent_core as lc
from latent_core.cli import app
from latent_core.errors import ArchiveError, SettingError
from latent_core.runs import folder as runs
from latent_core.runs.evaluation_file import write_records
from latent_core.runs.removal import remove_run
from tests.runs.samples import add_run, held_elsewhere, records


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for seed in (0, 1):
        write_records(add_run(tmp_path / f"s{seed}", seed=seed), records(seed * 0.104))
    runs.open_run(tmp_path / "going", {"task": "echo", "seed": 2}, {"method": "Comma_1"})
    runs.fail_run(tmp_path / "failed", {"task": "echo", "seed": 3}, {}, "LayoutError: no comma")
    return tmp_path


def latent(*arguments: object) -> Result:
    command = [str(argument) for argument in arguments]
    return CliRunner().invoke(app, ["runs", *command], env={"COLUMNS": "200"})


def test_list(root: Path) -> None:
    said = latent("list", root).stdout
    assert "2 finished" in said and "1 failed" in said and "1 running" in said
    heading = next(line for line in said.splitlines() if "status" in line)
    assert heading.split()[-1] == "error"
    line = next(line for line in said.splitlines() if "failed" in line)
    assert line.rstrip().endswith("  LayoutError: no comma")
    line = next(line for line in said.splitlines() if "s1" in line)
    assert line.split() == ["s1", "finished", "echo", "tiny", "Start_2", "1", "0.12", "0.12"]
    assert "s1" not in latent("list", root, "--where", "seed=0,2", "-w", "task=echo").stdout


def test_list_leaves_out_what_the_paths_say(tmp_path: Path) -> None:
    for seed in (0, 10):
        add_run(tmp_path / f"echo/tiny/Start_2/seed-{seed}-ab", seed=seed)
    said = latent("list", tmp_path).stdout
    heading, _, *rows = [line for line in said.splitlines() if line.strip()]
    assert heading.split() == ["run", "status"]
    assert rows[0].split() == ["echo/tiny/Start_2/seed-0-ab", "finished"]


def test_show(root: Path) -> None:
    said = latent("show", root / "s1").stdout
    assert "trainable" in said and "ood-6" in said and "0.119" in said
    heading = next(line for line in said.splitlines() if "graded" in line)
    assert heading.split()[-3:] == ["seconds", "per", "answer"]
    rows = [line.split() for line in said.splitlines() if line.lstrip().startswith("ood-6")]
    assert [row[-1] for row in rows] == ["0.250"]  # of four examples, in one second
    assert "no comma" in latent("show", root / "failed").stdout
    with pytest.raises(SettingError, match="holds 4 runs; expected the folder of one"):
        raise latent("show", root).exception


def test_export(root: Path, tmp_path: Path) -> None:
    assert latent("export", tmp_path / "x.csv", root, "-w", "seed=1").exit_code == 0
    assert pd.read_csv(tmp_path / "x.csv")["run"].tolist() == ["s1"] * 3
    latent("export", root / "s0", root / "s1", "--records", "--out", tmp_path / "x.parquet")
    assert len(pd.read_parquet(tmp_path / "x.parquet")) == 16
    with pytest.raises(SettingError, match=r"ends in \.csv, \.parquet or \.json"):
        raise latent("export", tmp_path / "x.xlsx", root).exception
    with pytest.raises(SettingError, match=r"cannot read --where 'seed'; expected NAME=VALUE"):
        raise latent("export", tmp_path / "x.csv", root, "-w", "seed").exception
    with pytest.raises(SettingError, match="expected --out with a name"):
        raise latent("export", root).exception


def test_prune_deletes_what_is_not_finished_after_asking(root: Path) -> None:
    asked = CliRunner().invoke(app, ["runs", "prune", str(root)], input="n\n")
    assert asked.exit_code == 1 and "Delete these 2" in asked.stdout
    assert (root / "going").is_dir()
    with held_elsewhere(root / "going"):
        assert "not deleted" in latent("prune", root, "--yes").stdout
    assert {path.name for path in root.iterdir()} == {"s0", "s1", "going"}
    latent("prune", root, "--yes")
    assert {path.name for path in root.iterdir()} == {"s0", "s1"}
    assert "nothing to delete" in latent("prune", root).stdout


def test_prune_leaves_alone_what_was_finished_while_it_asked(root: Path, monkeypatch) -> None:
    def finish(question: str) -> bool:
        runs.close_run(root / "going", "finished", {"task": "echo"}, {})
        return True

    monkeypatch.setattr("typer.confirm", finish)
    said = latent("prune", root).stdout
    assert "1 deleted" in said and f"{root}/going: it is finished, or holds" in said
    assert {path.name for path in root.iterdir()} == {"s0", "s1", "going"}


def test_prune_leaves_alone_what_has_records(root: Path) -> None:
    """The run was judged once; what failed is a later evaluation."""
    runs.fail_run(root / "s0", {}, {}, "LatentError: full")
    assert runs.read_run(root / "s0")["status"] == "failed"
    assert remove_run(root / "s0")
    latent("prune", root, "--yes")
    assert {path.name for path in root.iterdir()} == {"s0", "s1"}


def test_prune_leaves_alone_what_is_being_trained_or_evaluated(root: Path, monkeypatch) -> None:
    out, said = root / "trained", []

    def pruned(*_: object, **__: object) -> None:
        said.append(latent("prune", root, "--yes", "-w", "status=running").stdout)

    settings = {"steps": 1, "batch_size": 1, "progress": False, "output_dir": out}
    lc.train(lc.LatentModel("tiny", "Start_1"), "repetition", **settings, on_step=pruned)
    assert f"{out}: another process is working on it" in said[0]
    assert (out / "run.json").is_file() and not (root / "going").exists()

    plan = SimpleNamespace(folder=out, splits=["id"])
    monkeypatch.setattr("latent_core.cli.evaluating._asked", lambda *_: plan)
    monkeypatch.setattr("latent_core.cli.evaluating._evaluate_run", pruned)
    train = ["train", "--task", "repetition", "--method", "Start_1", "--out", str(out), "--resume"]
    train += ["--steps", "1", "--batch-size", "1"]
    with held_elsewhere(out):
        for command in (train, ["evaluate", str(out)]):
            error = CliRunner().invoke(app, command).exception
            assert isinstance(error, SettingError)
            assert f"another process is working on the run in {out}; wait" in str(error)
        assert len(said) == 1
        monkeypatch.setattr("latent_core.cli.evaluating.FIRST_PROCESS", False)
        CliRunner().invoke(app, ["evaluate", str(out)])  # its first process has the lock
        assert len(said) == 2


def test_a_run_that_came_to_nothing_leaves_no_folder(tmp_path: Path) -> None:
    train = ["train", "--task", "repetition", "--method", "Start_1", "--out", str(tmp_path / "a")]
    assert "seed is -1" in str(CliRunner().invoke(app, [*train, "--seed", "-1"]).exception)
    assert not (tmp_path / "a").exists()


def test_evaluate_loses_nothing_that_was_measured(tmp_path: Path) -> None:
    def called(*arguments: object) -> Result:
        command = [str(argument) for argument in arguments]
        return CliRunner().invoke(app, command, env={"COLUMNS": "200"}, catch_exceptions=True)

    def counts(run: Path) -> dict[str, int]:
        return pd.read_parquet(run / "records.parquet").groupby("split").size().to_dict()

    first, second = tmp_path / "first", tmp_path / "second"
    for seed, run in enumerate((first, second)):
        common = ("--method", "zero-shot", "--backbone", "tiny", "--seed", seed, "--out", run)
        assert called("train", "--task", "repetition", *common).exit_code == 0
    assert called("evaluate", first, "--examples", 3, "--splits", "id,ood-6").exit_code == 0
    said = called("evaluate", first, second, "--examples", 3, "--splits", "validation,ood-6")
    assert said.exit_code == 0 and f"{first}: ood-6 already evaluated" in said.stdout
    assert counts(first) == {"id": 3, "ood-6": 3, "validation": 3}
    assert counts(second) == {"ood-6": 3, "validation": 3}
    shot = pd.read_parquet(second / "records.parquet").assign(shots=1)
    write_records(second, shot)
    said = called("evaluate", second, "--examples", 3, "--splits", "ood-6")
    assert "already evaluated" not in said.stdout  # another question

    again = ("evaluate", first, "--examples", 3, "--splits", "id")
    assert "id already evaluated" in called(*again).stdout
    assert "already evaluated" not in called(*again, "--deterministic").stdout
    assert "id already evaluated" in called(*again, "--deterministic").stdout
    sizes = pd.read_parquet(first / "records.parquet").groupby("split")["batch_size"].unique()
    assert {split: list(found) for split, found in sizes.items()} == {
        "validation": [32],
        "ood-6": [32],
        "id": [1],
    }
    old = pd.read_parquet(first / "records.parquet").drop(columns=["dtype", "batch_size"])
    write_records(first, old)  # as versions wrote them that did not know of it
    assert "id already evaluated" in called(*again).stdout
    assert "already evaluated" not in called(*again, "--deterministic").stdout
    os.utime(first / "adapter_config.json")  # the same adapter, whenever it was copied
    assert "id already evaluated" in called(*again).stdout

    fewer = ("evaluate", second, first, "--examples", 2, "--splits", "id,ood-6")
    with pytest.raises(SettingError, match=r"3 examples \(seed 1\) of split 'ood-6'"):
        raise called(*fewer).exception
    assert counts(second) == {"ood-6": 3, "validation": 3}  # refused before anything is asked
    with pytest.raises(SettingError, match=r"\(seed 1\) of split 'id', .*9 new ones \(seed 2\)"):
        raise called("evaluate", first, "--examples", 9, "--seed", 2).exception
    assert called(*fewer, "--replace").exit_code == 0
    assert counts(first) == {"id": 2, "ood-6": 2, "validation": 3}
    assert called("evaluate", first, "--examples", 4, "--splits", "id").exit_code == 0
    assert counts(first) == {"id": 4, "ood-6": 2, "validation": 3}


def test_runs_are_packed_compared_and_unpacked(root: Path, tmp_path_factory) -> None:
    out = tmp_path_factory.mktemp("packed") / "my runs"
    said = latent("pack", root, "--out", out).stdout
    assert f"left out: {root / 'going'} is running" in said and f"3 runs, 0.0 MB: {out}" in said
    listed = latent("list", root, "-w", "status=finished,failed").stdout
    assert latent("list", out).stdout == listed
    error = latent("pack", root, "--out", out).exception
    assert isinstance(error, ArchiveError)
    assert f"{out} is there already; expected --out with a new folder" in str(error)
    said = latent("unpack", out).stdout
    unpacked = out.with_name("my runs-unpacked")
    assert f"3 runs, 0.0 MB: {unpacked}" in said
    assert (unpacked / "s1" / "run.json").read_bytes() == (root / "s1" / "run.json").read_bytes()


def test_pruning_leaves_archives_alone(root: Path, tmp_path_factory) -> None:
    runs.fail_run(root / "s0", {}, {}, "LatentError: full")
    (root / "s0" / "records.parquet").unlink()
    out = tmp_path_factory.mktemp("packed") / "archive"
    latent("pack", root, "--out", out)
    assert "nothing to delete" in latent("prune", out, "--yes").stdout
    assert "s0" in latent("list", out).stdout


def called(*arguments: object) -> Result:
    command = [str(argument) for argument in arguments]
    return CliRunner().invoke(app, command, env={"COLUMNS": "200"})


@pytest.fixture
def evaluated(tmp_path: Path) -> Path:
    """A run with three answers to each of two splits."""
    run = tmp_path / "evaluated"
    settings = {"steps": 1, "batch_size": 1, "progress": False, "output_dir": run}
    lc.train(lc.LatentModel("tiny", "Start_2"), "repetition", **settings)
    assert called("evaluate", run, "--examples", 3, "--splits", "id,ood-6").exit_code == 0
    return run


def test_damaged_records_are_replaced_only_when_that_is_asked(evaluated: Path) -> None:
    path = evaluated / "records.parquet"
    cut = path.read_bytes()[:-9]
    path.write_bytes(cut)
    asked = ("evaluate", evaluated, "--examples", 2, "--splits", "id")
    with pytest.raises(SettingError, match=r"records\.parquet is damaged .*restore it.*--replace"):
        raise called(*asked).exception
    with pytest.raises(SettingError, match="damaged"):
        write_records(evaluated, records())
    assert path.read_bytes() == cut
    assert called(*asked, "--replace").exit_code == 0
    assert len(pd.read_parquet(path)) == 2


def test_records_of_an_adapter_that_is_gone_are_not_reported(evaluated: Path) -> None:
    """Whatever the times of the files say."""
    lc.LatentModel("tiny", "Start_2", seed=9).save_pretrained(
        evaluated, task="repetition", method="Start_2"
    )
    os.utime(evaluated / "adapter_config.json", (1, 1))
    said = "records of id, ood-6 in .* are of another adapter"
    for each in (False, True):
        with pytest.warns(UserWarning, match=said):
            frame = lc.load_runs(evaluated, records=each)
        assert frame["split"].isna().all() or frame.empty
    with pytest.warns(UserWarning, match=said), pytest.raises(SettingError, match="evaluated"):
        lc.compare([evaluated])
    asked = ("evaluate", evaluated, "--examples", 3, "--splits", "id")
    with pytest.warns(UserWarning, match="records of ood-6"):
        assert "already evaluated" not in called(*asked).stdout
    with pytest.warns(UserWarning, match="records of ood-6"):
        assert set(lc.load_runs(evaluated, records=True)["split"]) == {"id"}
    called("evaluate", evaluated, "--examples", 3, "--splits", "ood-6")
    assert len(lc.load_runs(evaluated, records=True)) == 6
    assert "already evaluated" in called(*asked).stdout


def test_records_that_do_not_name_their_adapter_are_taken_to_be_of_the_one_there(evaluated) -> None:
    frame = pd.read_parquet(evaluated / "records.parquet")
    for how in frame.attrs["evaluation"]["splits"].values():
        del how["adapter"]
    frame.to_parquet(evaluated / "records.parquet")
    (evaluated / "summary.json").unlink()
    assert len(lc.load_runs(evaluated, records=True)) == 6
    said = called("evaluate", evaluated, "--examples", 3, "--splits", "id")
    assert "id already evaluated" in said.stdout
    assert "do not say which adapter they are of; they are taken to be of the one" in said.stderr


@pytest.mark.parametrize("name", ["records.parquet", "new.csv", "log.csv"])
def test_no_export_goes_into_a_run(root: Path, name: str) -> None:
    before = {path.name: path.read_bytes() for path in (root / "s0").iterdir()}
    (root / "link").symlink_to(root / "s0")
    for out in (root / "s0" / name, root / "link" / name):
        with pytest.raises(SettingError, match=r"is a run or an archive of runs, whose files"):
            raise latent("export", root, "--out", out).exception
    assert {path.name: path.read_bytes() for path in (root / "s0").iterdir()} == before


@pytest.mark.parametrize(
    ("below", "said"),
    [
        ("s0/run.json", r"holds other runs: s0\. A run has a folder of its own.*such as"),
        ("deep/er/run.json", r"holds other runs: deep/er\."),
        ("log.csv", r"holds what no run has made: log\.csv\."),
        ("checkpoints/a.txt", r"holds what no run has made: checkpoints\."),
        ("baseline.json", "already holds an adapter"),
        ("records.parquet", "no run has made: records"),
    ],
)
@pytest.mark.parametrize("method", ["Start_1", "zero-shot"])
def test_a_run_above_others_or_among_other_files_is_refused(tmp_path, below, said, method) -> None:
    out = tmp_path / "proj"
    (out / below).parent.mkdir(parents=True)
    (out / below).write_text("mine")
    command = ("train", "--task", "repetition", "--method", method, "--out", out, "--resume")
    with pytest.raises(SettingError, match=said):
        raise called(*command).exception
    assert [path.name for path in out.rglob("*") if path.is_file()] == [Path(below).name]
    assert (out / below).read_text() == "mine"
