"""Training: what it changes, what it repeats exactly, and how it survives a kill or a full disk."""

import errno
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

import latent_core.training.train as training_module
import latent_core.training.watcher as watcher_module
from latent_core import files
from latent_core.errors import (
    LatentError,
    PromptError,
    SettingError,
    TaskError,
    TrainingDivergedError,
)
from latent_core.interventions.kinds import parse_intervention
from latent_core.models.latent import LatentModel
from latent_core.models.rates import default_rate
from latent_core.progress import listening
from latent_core.runs.checkpoints import keep_hashes
from latent_core.runs.folder import disk_errors
from latent_core.threads import ThreadChoice
from latent_core.training.result import TrainingResult
from latent_core.training.train import train
from latent_core.training.untrained import keep_untrained
from latent_core.training.watcher import Watcher
from tests.families import (
    MAIN_FAMILIES,
    tiny_backbone,
)
from tests.training.samples import LAYOUT, Barren, Echo, fresh, run, same, shared

# ---- what training changes ----


@pytest.mark.parametrize("family", MAIN_FAMILIES)
def test_only_the_tables_change(family: str) -> None:
    model = fresh(family=family)
    before = {name: w.clone() for name, w in model.base_model.state_dict().items()}
    start = model.tables.rows().clone()
    result = run(model, steps=3)
    after = model.base_model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], weight) for name, weight in before.items())
    assert all(weight.grad is None for weight in model.base_model.parameters())
    assert ((model.tables.rows() - start).abs().amax(1) > 1e-4).all()
    assert not model.training
    assert result.output_dir is None and not result.stopped


def test_the_loss_falls() -> None:
    result = run(shared("Start_4+Comma_2"), steps=60, batch_size=8, learning_rate=3e-2)
    assert result.loss < 0.75 * result.log["loss"].head(5).mean()


def test_the_log_has_one_line_a_step() -> None:
    seen = []
    highest = default_rate(shared()).value
    result = run(shared(), steps=5, on_step=lambda step, loss: seen.append((step, loss)))
    assert list(result.log.columns) == ["step", "loss", "learning_rate", "grad_norm"]
    assert result.log["step"].tolist() == [1, 2, 3, 4, 5]
    assert seen == list(zip(result.log["step"], result.log["loss"], strict=True))
    rates = result.log["learning_rate"]
    assert rates.max() == pytest.approx(highest)
    assert rates.is_monotonic_decreasing or rates.iloc[1:].is_monotonic_decreasing
    assert rates.iloc[-1] == pytest.approx(highest / 4)


def test_the_logged_loss_is_the_mean_over_response_tokens() -> None:
    model = shared()
    examples = Echo().examples("train", 4, 3)
    batch = model.batch([model.insert(e.prompt, e.answer) for e in examples])
    wanted = float(model(**batch.as_dict())["loss"].detach())
    log = run(model, steps=1).log
    assert log["loss"].tolist() == [pytest.approx(wanted, rel=1e-5)]


@pytest.mark.parametrize("open_ended", [True, False])
def test_a_response_ends_only_where_its_task_does(open_ended: bool, monkeypatch) -> None:
    labels = []
    forward = LatentModel.forward

    def watched(self, *args, **kwargs):
        labels.extend(kwargs["labels"].flatten().tolist())
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(LatentModel, "forward", watched)
    train(shared(), Echo(open_ended), steps=1, batch_size=4, progress=False)
    assert (0 in labels) is not open_ended


def test_two_batches_of_four_are_one_of_eight() -> None:
    """Responses differ in length, so that means of means would differ."""
    whole, parts = shared(), shared()
    first = run(whole, steps=6, batch_size=8, learning_rate=0.1)
    second = run(parts, steps=6, batch_size=4, gradient_accumulation=2, learning_rate=0.1)
    for column in ("loss", "grad_norm"):
        assert second.log[column].tolist() == pytest.approx(first.log[column].tolist(), rel=1e-4)
    torch.testing.assert_close(whole.tables.rows(), parts.tables.rows(), rtol=1e-3, atol=1e-3)


def test_a_run_is_fixed_by_its_seed() -> None:
    models = [shared(), shared(), shared()]
    logs = [run(model, seed=seed).log for model, seed in zip(models, (3, 3, 4), strict=True)]
    assert same(models[0], models[1])
    pd.testing.assert_frame_equal(logs[0], logs[1])
    assert not same(models[0], models[2])


@pytest.mark.parametrize("family", ["llama", "opt"])
def test_recomputed_activations_train_the_same_tables(family: str) -> None:
    plain, recomputed = fresh(family=family), fresh(family=family)
    run(plain, steps=4)
    run(recomputed, steps=4, activation_checkpointing=True)
    assert same(plain, recomputed)


def test_bf16_arithmetic_leaves_tables_in_fp32() -> None:
    model = shared()
    result = run(model, steps=2, bf16=True)
    assert {table.dtype for table in model.tables.parameters()} == {torch.float32}
    assert result.log["loss"].between(0, 20).all()


# ---- the run folder ----


@pytest.mark.parametrize(
    ("given", "rate", "source"),
    [
        ({}, lambda: default_rate(shared()).value, "root mean square of the input embeddings"),
        ({"learning_rate": 0.07}, lambda: 0.07, "as given"),
    ],
)
def test_a_run_records_its_rate_and_threads_and_where_the_rate_comes_from(
    tmp_path: Path, given: dict, rate, source: str
) -> None:
    result = run(shared(), tmp_path, steps=2, **given)
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["settings"]["learning_rate"] == pytest.approx(rate())
    assert source in record["learning_rate_from"] == result.rate_from
    assert record["threads"] == list(result.threads) == [torch.get_num_threads()]


def test_threads_that_change_are_said_and_recorded(tmp_path: Path, monkeypatch) -> None:
    choices = iter([ThreadChoice(4, 4, 0.1), ThreadChoice(3, 4, 1.0), ThreadChoice(4, 4, 0.0)])
    monkeypatch.setattr(watcher_module, "fit_threads", lambda: next(choices))
    told = []
    with listening(lambda progress: progress and told.append(progress.description)):
        result = run(shared(), steps=3)
    assert result.threads == (4, 3)
    assert [text for text, _ in itertools.groupby(told)] == [
        "train",
        "train on 3 of 4 threads",
        "train on 4 of 4 threads",
    ]


def test_a_finished_run_keeps_what_is_needed_and_no_pickle(tmp_path: Path) -> None:
    model = shared()
    result = run(model, tmp_path / "a" / "run", notes={"method": LAYOUT})
    names = sorted(path.name for path in (tmp_path / "a" / "run").rglob("*"))
    kept = ["adapter_config.json", "adapter_model.safetensors", "log.csv", "run.json"]
    assert names == [".lock", *kept]
    record = json.loads((result.output_dir / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["settings"]["task"] == "echo"
    assert record["notes"] == {"method": LAYOUT}
    assert record["loss"] == pytest.approx(result.loss)
    assert record["trainable"] == 96
    pd.testing.assert_frame_equal(pd.read_csv(result.output_dir / "log.csv"), result.log)
    assert same(LatentModel.from_pretrained(result.output_dir, model.backbone), model)


def test_a_finished_run_is_loaded_and_not_repeated(tmp_path: Path, monkeypatch) -> None:
    model, other = shared(), LatentModel(tiny_backbone("llama"), LAYOUT, seed=9)
    first = run(model, tmp_path)
    monkeypatch.setattr(training_module, "Trainer", None)
    again = run(other, tmp_path, resume=True)
    assert same(model, other)
    pd.testing.assert_frame_equal(again.log, first.log)


def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path) -> None:
    run(shared(), tmp_path, steps=1)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(SettingError, match=r"already holds a run.*resume"):
        run(shared(), tmp_path, steps=1)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    (tmp_path / "run.json").unlink()
    with pytest.raises(SettingError, match="already holds an adapter"):
        run(shared(), tmp_path, steps=1)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"steps": 11}, "steps 10 there, 11 here"),
        ({"batch_size": 2}, "batch_size 4 there, 2 here"),
        ({"seed": 4}, "seed 3 there, 4 here"),
        ({"learning_rate": 0.5}, "learning_rate .* there, 0.5 here"),
        ({"gradient_accumulation": 2}, "gradient_accumulation 1 there, 2 here"),
        ({"max_grad_norm": 0.5}, "training_arguments"),
    ],
)
def test_other_settings_do_not_resume(tmp_path: Path, change, named: str) -> None:
    begin(tmp_path)
    with pytest.raises(SettingError, match=f"a run with other settings: .*{named}"):
        run(shared(), tmp_path, resume=True, **change)


def test_another_layout_or_backbone_does_not_resume(tmp_path: Path) -> None:
    begin(tmp_path)
    with pytest.raises(SettingError, match=r"layout 'Start_2\+Comma_1' there, 'Start_1' here"):
        run(shared("Start_1"), tmp_path, resume=True)
    with pytest.raises(SettingError, match="backbone_fingerprint"):
        run(shared(family="qwen2"), tmp_path, resume=True)


def test_a_damaged_record_is_one_clear_error(tmp_path: Path) -> None:
    for content in ('{"status": "fin', "[]", "{}"):
        (tmp_path / "run.json").write_text(content)
        with pytest.raises(SettingError, match=r"run\.json is damaged"):
            run(shared(), tmp_path, resume=True)


def test_a_method_without_training_is_a_run_too(tmp_path: Path) -> None:
    model = fresh("none")
    for resume in (False, True):
        keep_untrained(model, Echo(), 0, tmp_path / "run", resume=resume, notes={"x": 1})
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (record["status"], record["trainable"], record["notes"]) == ("finished", 0, {"x": 1})
    assert LatentModel.from_pretrained(tmp_path / "run", model.backbone).num_trainable == 0
    with pytest.raises(SettingError, match="already holds a run"):
        keep_untrained(model, Echo(), 0, tmp_path / "run")
    with pytest.raises(SettingError, match="seed 0 there, 1 here"):
        keep_untrained(model, Echo(), 1, tmp_path / "run", resume=True)


# ---- killed and resumed ----


class Stop(Exception):
    """Ends a run from within, leaving the folder as a kill would."""


def dying(at: int):
    """`Watcher.on_log` of a process that dies after the log of step `at`, before it is saved."""
    on_log = Watcher.on_log

    def die(self, args, state, control, logs=None, **kwargs) -> None:
        on_log(self, args, state, control, logs, **kwargs)
        if state.global_step == at:
            raise Stop

    return die


def begin(folder: Path, at: int = 7, model: LatentModel | None = None, **kwargs) -> None:
    """A run that dies in step `at`. Its checkpoints are after steps 2, 4, 6, 8 and 10."""

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stop):
        patch.setattr(Watcher, "on_log", dying(at))
        run(model or shared(), folder, **kwargs)


def checkpoints(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").glob("checkpoint-*"))


@pytest.fixture(scope="module")
def uninterrupted() -> tuple[LatentModel, TrainingResult]:
    model = shared()
    return model, run(model)


@pytest.mark.parametrize("at", [1, 3, 7, 10])
def test_a_run_that_died_goes_on_as_if_it_had_not(tmp_path: Path, uninterrupted, at: int) -> None:
    model, result = uninterrupted
    begin(tmp_path, at)
    assert json.loads((tmp_path / "run.json").read_text())["status"] == "running"
    assert not (tmp_path / "adapter_config.json").exists()
    steps = []
    resumed = shared()
    again = run(resumed, tmp_path, resume=True, on_step=lambda step, loss: steps.append(step))
    assert steps[0] == (at - 1) // 2 * 2 + 1
    assert same(resumed, model)
    pd.testing.assert_frame_equal(again.log, result.log)


def test_a_run_that_died_twice_goes_on(tmp_path: Path, uninterrupted) -> None:
    begin(tmp_path, 3)
    begin(tmp_path, 6, resume=True)
    resumed = shared()
    run(resumed, tmp_path, resume=True)
    assert same(resumed, uninterrupted[0])


def test_a_resumed_run_took_what_its_earlier_sessions_took(tmp_path: Path) -> None:
    """Up to their checkpoints: what was lost with a kill is no cost of the method."""
    begin(tmp_path, 3)
    for at, after in ((6, 2), (None, 4)):
        path = tmp_path / "checkpoints" / f"checkpoint-{after}" / "trainer_state.json"
        state = json.loads(path.read_text())
        state["log_history"][-1]["seconds_spent"] += 1000
        path.write_text(json.dumps(state))
        keep_hashes(path.parent)
        if at is not None:
            begin(tmp_path, at, resume=True)
    result = run(shared(), tmp_path, resume=True)
    assert 2000 < json.loads((tmp_path / "run.json").read_text())["seconds"] < 2300
    assert result.seconds < 300
    assert list(result.log.columns) == ["step", "loss", "learning_rate", "grad_norm"]


def test_a_model_that_was_trained_on_starts_again_from_its_beginning(
    tmp_path: Path, uninterrupted
) -> None:
    """Before the first checkpoint, the tables in memory are no longer those of the start."""
    model = shared()
    begin(tmp_path, 2, model)
    assert checkpoints(tmp_path) == []
    run(model, tmp_path, resume=True)
    assert same(model, uninterrupted[0])


@pytest.mark.parametrize("lost", ["absent", "cut", "empty"])
def test_a_checkpoint_cut_short_is_passed_over(tmp_path: Path, uninterrupted, lost: str) -> None:
    """The Trainer writes `trainer_state.json` last: without it, whole, a checkpoint is not."""
    begin(tmp_path, 7)
    assert checkpoints(tmp_path) == ["checkpoint-4", "checkpoint-6"]
    newest = tmp_path / "checkpoints" / "checkpoint-6"
    state = newest / "trainer_state.json"
    weights = newest / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:40])
    (newest / "optimizer.pt").unlink()
    (newest / "hashes.json").unlink()  # which come after the Trainer's files
    content = state.read_text()
    state.write_text({"cut": content[: len(content) // 2]}.get(lost, ""))
    if lost == "absent":
        state.unlink()
    steps = []
    resumed = shared()
    run(resumed, tmp_path, resume=True, on_step=lambda step, loss: steps.append(step))
    assert steps == [5, 6, 7, 8, 9, 10]
    assert same(resumed, uninterrupted[0])


def test_a_run_that_died_between_its_last_step_and_its_end_only_ends(
    tmp_path: Path, uninterrupted, monkeypatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(training_module, "_keep", lambda *args: (_ for _ in ()).throw(Stop))
        with pytest.raises(Stop):
            run(shared(), tmp_path)
    steps = []
    resumed = LatentModel(tiny_backbone("llama"), LAYOUT, seed=9)
    again = run(resumed, tmp_path, resume=True, on_step=lambda step, loss: steps.append(step))
    assert steps == []
    assert same(resumed, uninterrupted[0])
    pd.testing.assert_frame_equal(again.log, uninterrupted[1].log)


def test_a_run_stopped_on_purpose_can_go_on(tmp_path: Path, uninterrupted) -> None:
    model = shared()
    result = run(model, tmp_path, on_step=lambda step, loss: step == 5)
    assert result.stopped and len(result.log) == 5
    assert json.loads((tmp_path / "run.json").read_text())["status"] == "stopped"
    assert same(LatentModel.from_pretrained(tmp_path, model.backbone), model)
    again = run(model, tmp_path, resume=True)
    assert not again.stopped
    assert same(model, uninterrupted[0])
    assert not (tmp_path / "checkpoints").exists()


CHILD = """
    import sys, time
    from pathlib import Path
    from tests.training.samples import run, shared
    if len(sys.argv) > 2:  # nothing larger than this may be written
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
    def tell(step, loss):
        print(step, flush=True)
        if step == 28:
            time.sleep(60)  # so that it cannot end before it is killed
    try:
        run(shared(), Path(sys.argv[1]), steps=int(sys.argv[3]), on_step=tell)
    except Exception as error:
        print(type(error).__name__, error, flush=True)
"""


def child(folder: Path, limit: int | None = None, steps: int = 10) -> subprocess.Popen[str]:
    arguments = [str(folder), str(limit or 2**40), str(steps)]
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), *arguments],
        cwd=Path(__file__).parents[2],
        # As many threads as here: another number may round sums differently.
        env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads()), "PYTHONPATH": "."},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_killed_process_resumes_to_the_same_tables(tmp_path: Path) -> None:
    """Checkpoints are after steps 8, 16, 24; it dies somewhere from step 17 to step 28."""
    wanted = shared()
    run(wanted, steps=40)
    process = child(tmp_path, steps=40)
    while int(process.stdout.readline()) < 17:
        pass
    time.sleep(random.random() / 4)  # in the middle of a step or of a checkpoint
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "adapter_config.json").exists()
    steps = []
    resumed = shared()
    run(resumed, tmp_path, steps=40, resume=True, on_step=lambda step, _: steps.append(step))
    assert steps[0] in (17, 25)
    assert same(resumed, wanted)


# ---- what goes wrong ----


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"steps": 0}, "steps is 0; expected a whole number of at least 1"),
        ({"steps": -3}, "steps is -3"),
        ({"steps": 2.5}, "steps is 2.5; expected a whole number"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"gradient_accumulation": 0}, "gradient_accumulation is 0"),
        ({"learning_rate": 0.0}, r"learning_rate is 0\.0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"learning_rate": float("inf")}, "learning_rate is inf"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_settings_out_of_range_are_refused_before_anything_is_written(
    tmp_path: Path, change, reason: str
) -> None:
    with pytest.raises(SettingError, match=reason):
        run(shared(), tmp_path / "run", **change)
    assert not (tmp_path / "run").exists()


def test_a_layout_without_latents_has_nothing_to_train(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="nothing to train"):
        run(shared("none"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_nothing_is_trained_inside_an_intervention(tmp_path: Path) -> None:
    model = shared()
    change = parse_intervention(f"scale({model.layout.groups[0].name}, 2)")
    with change.on(model), pytest.raises(SettingError, match="train outside of the block"):
        run(model, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("task", "change", "error", "reason"),
    [
        (Echo(prompt="a" * 95), {}, PromptError, "context window of 96"),
        (Echo(prompt="a" * 99), {}, PromptError, "has 99 tokens"),
        (Barren(), {}, TaskError, "no training examples"),
        (Echo(), {"lerning_rate": 1.0}, SettingError, "'lerning_rate'"),
        (Echo(), {"lr_scheduler_type": "up"}, SettingError, "'up'"),
        (Echo(), {"lr_scheduler_kwargs": {"a": Path("b")}}, SettingError, "not JSON"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(
    tmp_path: Path, task, change, error, reason: str
) -> None:
    with pytest.raises(error, match=reason):
        train(shared(), task, 1, 2, 0, tmp_path / "run", progress=False, **change)
    assert not (tmp_path / "run").exists()


def test_checkpoints_without_their_record_are_another_runs(tmp_path: Path) -> None:
    """They may be those of another program, so they stay."""
    begin(tmp_path, 7)
    (tmp_path / "run.json").unlink()
    before = checkpoints(tmp_path)
    with pytest.raises(SettingError, match=r"holds what no run has made: checkpoints\..*such as"):
        run(shared(), tmp_path, resume=True)
    assert checkpoints(tmp_path) == before == ["checkpoint-4", "checkpoint-6"]


def test_a_loss_of_nan_ends_the_run_and_leaves_nothing(tmp_path: Path) -> None:
    model = shared()
    with torch.no_grad():
        model.tables.tables[0][0, 0] = float("nan")
    with pytest.raises(
        TrainingDivergedError, match=r"the loss became nan at step 1.*learning_rate"
    ):
        run(model, tmp_path / "run")
    assert not (tmp_path / "run").exists(), "the folder is free for another try"


@pytest.mark.parametrize("at", [4, 10])
def test_latents_of_nan_are_never_saved(tmp_path: Path, at: int) -> None:
    """Also where the last step makes them, so that no loss tells."""
    model = shared()

    def spoil(gradient):
        return gradient * (float("nan") if seen[-1] == at - 1 else 1)

    def look(step: int, loss: float) -> None:
        seen.append(step)
        (tmp_path / "mine.txt").write_text("not the run's")

    seen = [0]
    model.tables.tables[1].register_hook(spoil)
    with pytest.raises(TrainingDivergedError, match=r"NaN|nan"):
        run(model, tmp_path, on_step=look)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(LatentError, match=r"cannot write the run to .*free space$"):
            run(shared(), folder)
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_write_protected_folder_is_one_clear_error(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(LatentError, match="Permission denied"):
        run(shared(), tmp_path / "run")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("size", [1, 100, 3_000, 1_000_000])
def test_torch_on_a_full_disk_is_one_clear_error_whatever_it_writes(
    tmp_path: Path, size: int
) -> None:
    """Below a buffer's size, it fails on closing the file, with another message."""
    said = "cannot write the run .*: a checkpoint did not fit or could not be written; expected"
    with pytest.raises(LatentError, match=said), disk_errors(tmp_path):
        torch.save({"state": torch.zeros(size)}, "/dev/full")
    with pytest.raises(RuntimeError, match="shapes"), disk_errors(tmp_path):
        raise RuntimeError("shapes differ")


def test_a_full_disk_is_one_clear_error_and_the_run_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    """No file may grow beyond 2,000 bytes, which ends the first checkpoint in its middle."""
    process = child(tmp_path, limit=2000)
    output, _ = process.communicate(timeout=120)
    assert output.splitlines()[-1].startswith(f"LatentError cannot write the run to {tmp_path}")
    assert "Traceback" not in output
    assert json.loads((tmp_path / "run.json").read_text())["status"] == "running"
    assert not (tmp_path / "adapter_config.json").exists()
    assert checkpoints(tmp_path) == [], "half-written"
    resumed, wanted = shared(), shared()
    run(resumed, tmp_path, resume=True)
    run(wanted)
    assert same(resumed, wanted)


@pytest.mark.parametrize("name", ["run.json", "start.safetensors", "log.csv"])
def test_every_file_of_a_run_is_whole_or_not_there(tmp_path: Path, monkeypatch, name) -> None:
    write = files._write_through

    def full(path, content):
        if name not in path.name:
            return write(path, content)
        write(path, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(files, "_write_through", full)
        with pytest.raises(LatentError, match="No space left on device"):
            run(shared(), tmp_path / "run", steps=2)
    assert not [path for path in (tmp_path / "run").rglob("*") if name in path.name]
    result = run(shared(), tmp_path / "run", steps=2, resume=True)
    assert len(result.log) == 2


def test_a_finished_run_that_kept_its_checkpoints_loses_them(tmp_path: Path) -> None:
    """Killed between the two, that is."""
    run(shared(), tmp_path, steps=1)
    begin(tmp_path / "other", 3)
    shutil.copytree(tmp_path / "other" / "checkpoints", tmp_path / "checkpoints")
    run(shared(), tmp_path, steps=1, resume=True)
    assert not (tmp_path / "checkpoints").exists()
