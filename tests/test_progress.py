"""Whoever listens hears of all long work, sees no bars, and can stop it."""

import io
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from types import SimpleNamespace

import pytest

import latent_core as lc
from latent_core.progress import Progress, listening, progress_bar


class StopError(Exception):
    pass


@pytest.fixture(scope="module")
def model() -> lc.LatentModel:
    return lc.LatentModel(lc.load_backbone("tiny"), "Start_1+Comma_1", seed=0)


WORK: dict[str, tuple[Callable[[lc.LatentModel], object], Progress | None]] = {
    "train": (
        lambda model: lc.train(
            lc.LatentModel(model.backbone, "Start_1", seed=0),
            lc.load_task("repetition"),
            steps=2,
            batch_size=2,
        ),
        Progress("train", 2, 2, "step"),
    ),
    "evaluate": (
        lambda model: lc.evaluate(model, lc.load_task("repetition"), "id", examples=3),
        Progress("evaluate id", 3, 3, "example"),
    ),
    "trace": (
        lambda model: lc.trace(model, ("1,2=", "3,4"), layers=[0, 2]),
        Progress("trace", 5, 5, "run"),  # one clean, and two layers by two groups
    ),
    "generate": (lambda model: model.generate("1,2,", max_new_tokens=4), None),
    "capture": (lambda model: lc.capture_attention(model, "1,2,", max_new_tokens=4), None),
}


@pytest.mark.parametrize("name", WORK)
def test_it_is_heard_to_its_end_and_can_be_stopped(name: str, model: lc.LatentModel) -> None:
    work, last = WORK[name]
    heard: list[Progress | None] = []
    printed = io.StringIO()
    with redirect_stderr(printed), redirect_stdout(printed), listening(heard.append):
        work(model)
    reports = [progress for progress in heard if progress is not None]
    assert (reports[-1] if reports else None) == last
    assert [r.done for r in reports] == sorted(r.done for r in reports)
    assert "it/s" not in printed.getvalue() and "%" not in printed.getvalue()

    def stop_at(nth: int) -> Callable[[Progress | None], None]:
        calls = 0

        def listener(progress: Progress | None) -> None:
            nonlocal calls
            calls += 1
            if calls == nth:
                raise StopError

        return listener

    for nth in (1, len(heard)):
        with pytest.raises(StopError), listening(stop_at(nth)):
            work(model)


def test_outside_the_block_nobody_is_told(model: lc.LatentModel) -> None:
    heard: list[Progress | None] = []
    with listening(heard.append):
        pass
    model.generate("1,2,", max_new_tokens=2)
    assert heard == []


def test_stopped_work_leaves_the_model_as_it_was(model: lc.LatentModel) -> None:
    before = model.generate("1,2,", max_new_tokens=8)
    steps = 0

    def listener(progress: Progress | None) -> None:
        nonlocal steps
        steps += 1
        if steps == 2:
            raise StopError

    edit = lc.parse_intervention("knock_out(all -> Comma) & scale(Start, 0.1)")
    with pytest.raises(StopError), listening(listener), edit.on(model):
        model.generate("1,2,", max_new_tokens=8)
    assert model.generate("1,2,", max_new_tokens=8) == before


@pytest.mark.parametrize("kernel", [False, True])
def test_a_bar_goes_to_the_notebook_only_in_a_kernel(
    kernel: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script that has imported ipykernel, as other packages do, is none.

    The module is a stand-in: importing the real one would give every widget of later tests another
    kind of comm. `tests/test_notebooks.py` has the real one.
    """
    app = SimpleNamespace(initialized=lambda: kernel)
    monkeypatch.setitem(sys.modules, "ipykernel.kernelapp", SimpleNamespace(IPKernelApp=app))
    with progress_bar(1, "work", "step") as bar:
        bar.update()
    told = capsys.readouterr()
    assert ("work" in told.out, "work" in told.err) == (kernel, not kernel)
