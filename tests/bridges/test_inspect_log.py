"""An evaluation as a log of Inspect."""

import importlib.util
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import latent_core as lc
from latent_core.cli import app
from latent_core.errors import SettingError
from latent_core.runs.evaluation_file import write_records

RUN = "Comma_2"


@pytest.fixture(scope="module")
def shipped() -> Path:
    return lc.shipped_adapter(RUN, task="summation", backbone="tiny")


def test_a_log_has_every_response_and_the_means_of_the_records(
    shipped: Path, tmp_path: Path
) -> None:
    log = json.loads(lc.export_inspect_log(shipped, tmp_path / "a.json").read_text())
    records = lc.load_runs(shipped, records=True)
    assert log["version"] == 2 and log["status"] == "success"
    assert log["eval"]["task"] == "summation" and log["eval"]["model"] == "latent/tiny/Comma_2"
    assert log["eval"]["dataset"]["samples"] == len(log["samples"]) == len(records)
    assert len({sample["id"] for sample in log["samples"]}) == len(records)
    for sample, (_, row) in zip(log["samples"], records.iterrows(), strict=True):
        assert (sample["input"], sample["target"]) == (row["prompt"], row["answer"])
        assert sample["output"]["completion"] == sample["messages"][-1]["content"]
        assert sample["messages"][-1]["content"] == row["response"]
        assert sample["scores"]["graded"]["value"] == row["graded"]
        assert sample["metadata"]["split"] == row["split"]
    exact, graded = log["results"]["scores"]
    assert exact["metrics"]["mean"]["value"] == pytest.approx(records["exact"].mean(), abs=1e-6)
    id_mean = records[records["split"] == "id"]["graded"].mean()
    assert graded["metrics"]["mean[id]"]["value"] == pytest.approx(id_mean, abs=1e-6)


def test_a_conversation_keeps_its_turns(tmp_path: Path) -> None:
    model = lc.LatentModel("tiny", "Start_1")
    task = lc.load_task("repetition")
    lc.train(model, task, steps=1, output_dir=tmp_path / "run", progress=False)
    frame = lc.evaluate(model, task, "id", 2, progress=False)
    turns = [{"role": "system", "content": "Add."}, {"role": "user", "content": "1+1"}]
    write_records(tmp_path / "run", frame.assign(prompt=lc.tasks.chat_prompt(turns)))
    log = json.loads(lc.export_inspect_log(tmp_path / "run", tmp_path / "a.json").read_text())
    assert log["samples"][0]["input"] == turns
    assert [m["role"] for m in log["samples"][0]["messages"]] == ["system", "user", "assistant"]


def test_a_command_writes_the_log_of_one_run(shipped: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "log.json"
    done = CliRunner().invoke(app, ["runs", "export", str(shipped), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert len(json.loads(out.read_text())["samples"]) > 100
    several = ["runs", "export", str(shipped.parent), "--out", str(tmp_path / "b.json")]
    failed = CliRunner().invoke(app, several)
    assert failed.exit_code != 0 and "expected one for an Inspect log" in str(failed.exception)
    assert not (tmp_path / "b.json").exists()


def test_what_cannot_be_a_log_is_refused(shipped: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"expected one that ends in \.json"):
        lc.export_inspect_log(shipped, tmp_path / "a.eval")
    model = lc.LatentModel("tiny", "Start_1")
    with pytest.raises(SettingError, match="has no records; run `latent evaluate"):
        lc.export_inspect_log(model.save_pretrained(tmp_path / "run"), tmp_path / "a.json")


@pytest.mark.skipif(importlib.util.find_spec("inspect_ai") is None, reason="no inspect_ai")
def test_inspect_reads_it(shipped: Path, tmp_path: Path) -> None:
    from inspect_ai.log import read_eval_log

    log = read_eval_log(str(lc.export_inspect_log(shipped, tmp_path / "a.json")))
    assert log.status == "success" and log.samples[0].output.completion
