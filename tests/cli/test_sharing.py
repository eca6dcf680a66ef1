"""The commands that compare runs and hand them on, called in this process."""

import json
import math
from pathlib import Path

import pytest
from transformers import AutoTokenizer
from typer.testing import CliRunner

import latent_core as lc
from latent_core.cli import app
from latent_core.errors import LatentError, PromptError, SettingError
from latent_core.models.build import build_model
from latent_core.models.latent import LatentModel
from latent_core.tasks.conversations import chat_prompt
from tests.families import talking_backbone


def latent(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})
    if isinstance(result.exception, LatentError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Untrained models where runs would lie, of a task with short answers."""
    folder = tmp_path_factory.mktemp("runs")
    lines = [
        {"prompt": f"{number}=", "answer": str(number), "split": split}
        for split, first in (("train", 2), ("id", 5), ("ood-6", 8))
        for number in range(first, first + 2)
    ]
    task = folder / "echo.jsonl"
    task.write_text("".join(json.dumps(line) + "\n" for line in lines))
    notes = {"task": "echo", "task_source": str(task)}
    return {
        method: build_model("tiny", method).save_pretrained(folder / method, **notes)
        for method in ("Start_2", "lora-r1", "few-shot-2")
    }


def test_one_table_of_methods(runs: dict[str, Path]) -> None:
    folders = [str(folder) for folder in runs.values()]
    latent("evaluate", *folders, "--examples", "2", "--splits", "id,ood-6")
    said = latent("compare", *folders)
    for heading in ("ID", "OOD", "trainable", "extra", "slots", "seconds"):
        assert heading in said
    rows = {line.split()[0]: line for line in said.splitlines() if line.strip()}
    assert "256" in rows["Start_2"] and "2.0" in rows["Start_2"]
    assert "2,048" in rows["lora-r1"] and "0.0" in rows["lora-r1"]


def test_controls_are_listed_with_what_they_cost() -> None:
    said = latent("match", "Start_1+Comma_2", "--task", "repetition")
    for words in ("Start_3", "End_3", "prompt-tuning-3", "lora-384p", "384", "512"):
        assert words in said
    assert "filler" not in said
    said = latent("match", "Start_1+Comma_2", "--task", "repetition", "--by", "compute")
    assert "filler(Start_1+Comma_2)" in said and "lora" not in said
    with pytest.raises(SettingError, match="expected parameters or compute"):
        latent("match", "Start_1", "--task", "repetition", "--by", "size")


def test_export_and_the_card(runs: dict[str, Path], tmp_path: Path) -> None:
    latent("export", str(runs["Start_2"]), "--out", str(tmp_path / "checkpoint"))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "checkpoint")
    assert len(tokenizer("<|latent Start.0|>12")["input_ids"]) == 3
    card = latent("push", str(runs["lora-r1"]), "me/lora", "--dry-run")
    assert card.startswith("---\nlibrary_name: peft") and 'lc.load_model("me/lora")' in card


@pytest.mark.slow
def test_the_harness_with_and_without_latents(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"q": f"{a}=", "a": a} for a in "12"]
    data = tmp_path / "mine.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "mine.yaml").write_text(
        f"task: mine\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {data}}}}}\n"
        'test_split: test\noutput_type: loglikelihood\ndoc_to_text: "{{q}}"\n'
        'doc_to_target: "{{a}}"\ntarget_delimiter: ""\n'
        "metric_list: [{metric: perplexity}, {metric: acc}]\n"
    )
    out = tmp_path / "results.json"
    import lm_eval.tasks as of_harness

    looked_through: list[bool] = []

    class OwnTasks(of_harness.TaskManager):
        """Without the harness's thousands of tasks, and noting whether they were asked for."""

        def __init__(self, include_path: str | None = None, include_defaults: bool = True) -> None:
            looked_through.append(include_defaults)
            super().__init__(include_path=include_path, include_defaults=False)

    monkeypatch.setattr(of_harness, "TaskManager", OwnTasks)
    said = latent(
        *("harness", str(runs["Start_2"]), "--tasks", "mine", "--include-path", str(tmp_path)),
        *("--backbone-too", "--out", str(out)),
    )
    assert looked_through == [False]
    assert "mine" in said and "perplexity" in said and "zero-shot (tiny)" in said
    results = json.loads(out.read_text())
    values = [entry["results"]["mine"]["perplexity,none"] for entry in results.values()]
    assert len(values) == 2 and values[0] != values[1]
    with pytest.raises(SettingError, match="the harness knows no task nothing"):
        latent("harness", str(runs["Start_2"]), "--tasks", "nothing")
    assert looked_through == [False, True]

    backbone = talking_backbone()
    for part in (backbone.model, backbone.tokenizer):
        part.save_pretrained(tmp_path / "talking")
    model = LatentModel(str(tmp_path / "talking"), "Start_2", seed=1)
    model.save_pretrained(tmp_path / "run")
    asked = ("--tasks", "mine", "--include-path", str(tmp_path), "--out", str(out))
    latent("harness", str(tmp_path / "run"), *asked, "--chat")
    (entry,) = json.loads(out.read_text()).values()
    prompts = [chat_prompt([{"role": "user", "content": row["q"]}]) for row in rows]
    chances = [
        lc.token_probabilities(model, prompt, row["a"])["log_probability"].sum()
        for prompt, row in zip(prompts, rows, strict=True)
    ]
    wanted = math.exp(-sum(chances) / len(rows))
    assert entry["results"]["mine"]["perplexity,none"] == pytest.approx(wanted, rel=1e-4)
    with pytest.raises(PromptError, match="tiny has no chat template"):
        latent("harness", str(runs["Start_2"]), *asked, "--chat")
