"""Records: one an example, paired across models, the same whatever the batch."""

import pandas as pd
import pytest
import torch

from latent_core.backbones.backbone import Backbone
from latent_core.errors import LatentError, PromptError, SettingError, TaskError
from latent_core.evaluation.evaluate import evaluate, response_limit
from latent_core.interventions import Drop
from latent_core.models.build import build_model
from latent_core.models.latent import LatentModel
from latent_core.tasks import Task
from latent_core.tasks.base import Example, Score
from tests.families import character_tokenizer, random_model, tiny_backbone

COLUMNS = [
    *(
        "task",
        "task_fingerprint",
        "backbone",
        "method",
        "layout",
        "shots",
        "split",
        "level",
        "example",
        "key",
        "prompt",
    ),
    *("answer", "response", "exact", "graded", "response_tokens", "latent_slots", "extra_slots"),
    *("decode_steps", "trainable", "seconds"),
    *("eval_seed", "dtype", "batch_size"),
]


class Letters(Task):
    """Answers of many lengths, in an order that no sorting by length keeps."""

    name = "letters"
    description = hypothesis = exact_metric = graded_metric = "for tests"
    level_name = "letters"
    id_levels = (1, 5, 2)
    ood_levels = (9, 7)

    def __init__(self, open_ended: bool = False) -> None:
        self.open_ended = open_ended

    def examples(self, split: str, count: int, seed: int) -> list[Example]:
        levels = (int(split[4:]),) if split.startswith("ood-") else self.id_levels
        found = []
        for number in range(count):
            level = levels[number % len(levels)]
            letter = "abcdefghijklmnop"[(3 * number + seed + len(split)) % 16]
            found.append(Example(f"{level}{letter}=", letter * level, split, level, letter))
        return found

    def score(self, example: Example, response: str) -> Score:
        graded = min(1.0, len(response) / 30)
        return Score(response.startswith(example.answer[0]), graded, ())


def model(layout: str = "Start_1+2_1") -> LatentModel:
    return LatentModel(tiny_backbone("llama"), layout, seed=1)


def records(layout: str = "Start_1+2_1", task: Task | None = None, **kwargs) -> pd.DataFrame:
    settings = {"examples": 7, "progress": False} | kwargs
    return evaluate(model(layout), task or Letters(), **settings)


def test_one_record_an_example_in_the_order_drawn() -> None:
    frame = records(splits=("ood", "id"), eval_seed=4)
    assert list(frame.columns) == COLUMNS
    assert frame["split"].tolist() == ["ood-9"] * 7 + ["ood-7"] * 7 + ["id"] * 7
    assert frame["example"].tolist() == list(range(7)) * 3
    task = Letters()
    for split in ("ood-9", "ood-7", "id"):
        mine = frame[frame["split"] == split]
        drawn = task.examples(split, 7, 4)
        assert mine["prompt"].tolist() == [example.prompt for example in drawn]
        assert mine["answer"].tolist() == [example.answer for example in drawn]
        assert mine["key"].tolist() == [example.key for example in drawn]
        assert mine["level"].tolist() == [example.level for example in drawn]
    assert set(frame["eval_seed"]) == {4}
    assert set(frame["task"]) == {"letters"}
    assert set(frame["backbone"]) == {"llama"}
    assert set(frame["layout"]) == {"Start_1+2_1"}


def test_a_record_holds_what_the_model_answered_and_the_verdict() -> None:
    frame, latent, task = records(splits="id"), model(), Letters()
    for row in frame.itertuples():
        example = task.examples("id", 7, 1)[row.example]
        limit = response_limit(latent, task, example)
        (alone,) = latent.generate(row.prompt, limit, return_details=True)
        assert row.response == alone.text
        assert row.response_tokens == len(alone.response_ids)
        assert row.latent_slots == sum(slot.group is not None for slot in alone.slots)
        score = task.score(example, alone.text)
        assert (row.exact, row.graded) == (score.exact, score.graded)
    assert frame["exact"].dtype == bool
    assert frame["response"].nunique() > 3


def test_a_seed_that_is_not_of_the_examples_is_refused() -> None:
    with pytest.raises(SettingError, match=r"evaluate takes no seed, .* use eval_seed"):
        records(seed=2)
    with pytest.raises(TypeError, match="evaluate takes no argument example"):
        records(example=2)


def test_the_same_seed_gives_every_model_the_same_examples() -> None:
    frames = [records("none"), records("Start_1+2_1"), records("Start_1+2_1", eval_seed=2)]
    paired = ["split", "level", "example", "key", "prompt", "answer"]
    pd.testing.assert_frame_equal(frames[0][paired], frames[1][paired])
    assert not frames[1]["prompt"].equals(frames[2]["prompt"])
    assert frames[0]["latent_slots"].sum() == 0 < frames[1]["latent_slots"].min()


def test_records_name_precision_and_batch_size() -> None:
    frame = records(splits="id")
    assert set(frame["dtype"]) == {"float32"} and set(frame["batch_size"]) == {32}
    assert set(records(splits="id", batch_size=3)["batch_size"]) == {3}
    assert set(records(splits="id", deterministic=True)["batch_size"]) == {1}


def test_deterministic_records_do_not_depend_on_the_batch_whatever_rounding_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backbone = Backbone("low", random_model("llama").to(torch.bfloat16), character_tokenizer())
    low = LatentModel(backbone, "Start_1+2_1", seed=1)
    run = Backbone.hidden_states

    def rounded(self, embeds, *rest):
        """Errors that depend on the size of the batch, as bfloat16's do, only larger."""
        states = run(self, embeds, *rest)
        error = 0.5 * (len(embeds) - 1) * torch.arange(states.shape[-1]).cos()
        return states + error.to(states.dtype)

    monkeypatch.setattr(Backbone, "hidden_states", rounded)
    drawn = Letters().examples("ood-9", 5, 1)
    alone = [low.generate(e.prompt, response_limit(low, Letters(), e))[0] for e in drawn]
    found = evaluate(low, Letters(), "ood-9", 5, deterministic=True, progress=False)
    assert found["response"].tolist() == alone
    assert set(found["dtype"]) == {"bfloat16"}
    batched = evaluate(low, Letters(), "ood-9", 5, progress=False)
    assert batched["response"].tolist() != alone


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_records_do_not_depend_on_the_batch(batch_size: int) -> None:
    wanted = records().drop(columns=["seconds", "batch_size"])
    frame = records(batch_size=batch_size).drop(columns=["seconds", "batch_size"])
    pd.testing.assert_frame_equal(frame, wanted)


def test_a_split_is_asked_at_once_and_under_an_intervention_batch_by_batch(monkeypatch) -> None:
    """An intervention knows the examples by their rows in a batch."""
    rows = []
    decode = LatentModel.generate

    def watched(self, prompts, *args, **kwargs):
        rows.append((len(prompts), kwargs["batch_size"]))
        return decode(self, prompts, *args, **kwargs)

    monkeypatch.setattr(LatentModel, "generate", watched)
    records(splits="id", examples=50, batch_size=40)
    assert rows == [(50, 40)]
    rows.clear()
    latent = model()
    with Drop("2", after=1).on(latent):
        evaluate(latent, Letters(), "id", 50, batch_size=40, progress=False)
    assert rows == [(40, 40), (10, 40)]


def test_a_response_may_overrun_where_it_has_an_end() -> None:
    example = Example("1a=", "a" * 12, "id", 1, "a")
    assert response_limit(model(), Letters(), example) == 13 + 3 + 8
    assert response_limit(model(), Letters(open_ended=True), example) == 12


def test_a_task_without_an_end_is_cut_at_the_length_of_the_answer() -> None:
    frame = records("none", Letters(open_ended=True), splits=("id", "ood"))
    assert (frame["response_tokens"] <= frame["answer"].str.len()).all()
    assert (frame["response_tokens"] == frame["answer"].str.len()).sum() > 10


def test_records_come_as_they_are_made() -> None:
    heard = []
    frame = records(splits="id", batch_size=3, on_records=heard.append)
    assert [len(part) for part in heard] == [3, 3, 1]
    assert sorted(pd.concat(heard)["example"]) == frame["example"].tolist()


def test_shots_go_before_the_prompt_and_not_into_the_record(monkeypatch) -> None:
    asked = []
    decode = LatentModel.generate

    def watched(self, prompts, *args, **kwargs):
        asked.extend(prompts)
        return decode(self, prompts, *args, **kwargs)

    monkeypatch.setattr(LatentModel, "generate", watched)
    frame = records("none", splits="id", examples=3, shots=2)
    solved = "".join(f"{e.prompt}{e.answer}\n\n" for e in Letters().examples("train", 2, 1))
    assert sorted(asked) == sorted(solved + prompt for prompt in frame["prompt"])
    assert set(frame["shots"]) == {2}


def test_a_detached_model_says_so() -> None:
    latent = model()
    with latent.detached():
        frame = evaluate(latent, Letters(), "id", 3, progress=False)
    assert set(frame["layout"]) == {"none"}


@pytest.mark.parametrize(
    ("kwargs", "error", "reason"),
    [
        ({"examples": 0}, SettingError, "examples is 0"),
        ({"batch_size": 0}, SettingError, "batch_size is 0"),
        ({"batch_size": 1.5}, SettingError, "batch_size is 1.5; expected a whole number"),
        ({"examples": 2.5}, SettingError, "examples is 2.5; expected a whole number"),
        ({"batch_size": 8, "deterministic": True}, SettingError, "batch_size is 8; expected 1"),
        ({"splits": "far"}, TaskError, "no split 'far'"),
        ({"shots": -1}, LatentError, "shots"),
        ({"shots": 40}, PromptError, "context window of 96"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(kwargs, error, reason: str) -> None:
    with pytest.raises(error, match=reason):
        records(**kwargs)


@pytest.mark.parametrize(
    ("method", "extra", "trainable"),
    [
        ("zero-shot", 0, 0),
        ("Start_2", 2, 64),
        ("filler(End_3)", 3, 0),
        ("prefix-3", 3, 192),
        ("prompt-tuning-2", 2, 64),
        ("lora-r1", 0, 224),
        ("few-shot-2", 16, 0),
    ],
)
def test_every_method_leaves_the_same_kind_of_record(
    method: str, extra: int, trainable: int
) -> None:
    frame = evaluate(
        build_model(tiny_backbone("llama"), method), Letters(), "id", 3, progress=False
    )
    assert list(frame.columns) == COLUMNS
    assert set(frame["method"]) == {method}
    assert set(frame["extra_slots"]) == {extra}
    assert set(frame["trainable"]) == {trainable}
    assert frame["decode_steps"].tolist() == frame["response_tokens"].tolist()
