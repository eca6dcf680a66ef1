"""Controls of the same size: the numbers are computed from layout, backbone and task."""

import pytest

from latent_core.errors import SettingError
from latent_core.models.build import build_model
from latent_core.models.matching import cost, matched
from latent_core.slots.methods import Method
from latent_core.tasks import Task
from latent_core.tasks.base import Example, Score
from tests.families import tiny_backbone


class Commas(Task):
    """`n` commas in prompt and answer together, for n of 1, 2, 6: 3 on average."""

    name = "commas"
    description = hypothesis = exact_metric = graded_metric = "for tests"
    level_name = "commas"
    id_levels = (1, 2, 6)
    ood_levels = (20,)

    def examples(self, split: str, count: int, seed: int) -> list[Example]:
        levels = self.id_levels if split == "id" else self.ood_levels
        drawn = [levels[number % len(levels)] for number in range(count)]
        return [Example("a,=", "b" + "," * (n - 1), split, n, str(i)) for i, n in enumerate(drawn)]

    def score(self, example: Example, response: str) -> Score:
        return Score(False, 0.0, ())


@pytest.mark.parametrize(
    ("layout", "by", "against", "expected"),
    [
        ("Start_1+Comma_2", "parameters", "start", "Start_3"),
        ("Start_1+Comma_2", "parameters", "end", "End_3"),
        ("Start_1+Comma_2; tied", "parameters", "prompt-tuning", "prompt-tuning-2"),
        ("Comma_2", "parameters", "lora", "lora-64p"),  # D is 32
        ("Comma_8", "parameters", "prefix", "prefix-4"),  # 256 numbers at 2 x 2 layers x 16 each
        ("Comma_1", "parameters", "prefix", "prefix-1"),  # cannot be smaller
        ("Comma_2", "compute", "start", "Start_6"),
        ("Start_1+Comma_2", "compute", "prefix", "prefix-7"),
        ("Comma_2", "compute", "filler", "filler(Comma_2)"),
        ("Comma_2=hidden", "compute", "filler", "filler(Comma_2)"),
        ("Comma_2=hidden", "compute", "end", "End_6"),
        ("Start_1+End_2=fused(0.5)", "parameters", "learned", "Start_1+End_2"),
        ("Comma_3=hidden(norm)", "compute", "learned", "Comma_3"),
        ("End_2=hidden(proj=3)+Start_1", "parameters", "start", "Start_7"),
        ("End_2=hidden(proj=3)", "parameters", "lora", "lora-192p"),
    ],
)
def test_the_control_that_costs_the_same(layout: str, by, against: str, expected: str) -> None:
    settings = {"backbone": tiny_backbone("llama"), "task": Commas(), "examples": 6}
    method = matched(layout, by, against, **settings)
    assert method.name == expected


@pytest.mark.parametrize("layout", ["Comma_2", "Start_1+Comma_2", "3_1+End_2", "Start_5; tied"])
def test_exact_matches_have_as_many_numbers_when_built(layout: str) -> None:
    backbone = tiny_backbone("llama")
    wanted = build_model(backbone, layout).num_trainable
    for against in ("start", "end", "prompt-tuning"):
        assert build_model(backbone, matched(layout, against=against)).num_trainable == wanted


def test_compute_is_counted_on_whole_examples() -> None:
    backbone, task = tiny_backbone("llama"), Commas()
    assert cost("Comma_2", backbone, task, examples=6) == (64, 6.0)
    assert cost("Comma_2", backbone, task, split="ood-20", examples=6) == (64, 40.0)
    assert cost("filler(Comma_2)", backbone, task, examples=6) == (0, 6.0)
    assert cost("prefix-3", backbone, task, examples=6).extra_slots == 3
    assert cost("prompt-tuning-3", backbone, task, examples=6) == (96, 3.0)
    assert cost("lora-r1", backbone, task, examples=6).extra_slots == 0
    shots = cost("few-shot-2", backbone, task, examples=6)
    assert shots.trainable == 0 and shots.extra_slots > 10


@pytest.mark.parametrize(
    ("arguments", "settings", "reason"),
    [
        (("Comma_2", "size"), {}, "by is 'size'; expected parameters or compute"),
        (("Comma_2", "parameters", "middle"), {}, "against is 'middle'; expected one of start"),
        (("none",), {}, "none has no latents, so there is nothing to match"),
        (("prefix-3; init=task",), {}, "prefix-3; init=task has no latents"),
        (("Comma_2", "compute"), {}, "give backbone= and task="),
        (("Comma_2", "parameters", "lora"), {}, "give backbone="),
        (("Comma_2", "parameters", "filler"), {}, "match them by compute"),
        (("Comma_2", "compute", "lora"), {}, "match it by parameters"),
        (("End_2=hidden",), {}, "nothing of End_2=hidden trains.*against=learned"),
        (("End_2=hidden", "size", "learned"), {}, "by is 'size'"),
        (
            ("Newline_2", "compute"),
            {"backbone": tiny_backbone("llama"), "task": Commas()},
            "places nothing in 64 examples of commas",
        ),
    ],
)
def test_a_match_that_makes_no_sense_is_refused(arguments, settings, reason: str) -> None:
    with pytest.raises(SettingError, match=reason):
        matched(*arguments, **settings)


def test_what_trains_beside_a_layout_trains_beside_its_control() -> None:
    assert matched("End_6=hidden & lora-r8", against="learned").name == "End_6 & lora-r8"
    method = Method.parse("Comma_1=mix & prefix-4")
    assert matched(method, against="learned").name == "Comma_1 & prefix-4"
    both = "Start_1+Comma_2 & lora-r8"
    assert matched(both, against="end").name == "End_3 & lora-r8"
    settings = {"backbone": tiny_backbone("llama"), "task": Commas(), "examples": 6}
    assert matched("Comma_2=hidden & lora-r1", "compute", **settings).name == "Start_6 & lora-r1"
    dots = matched(both, "compute", "filler", **settings)
    assert dots.name == "Start_1=text(.)+Comma_2=text(.) & lora-r8"
    with pytest.raises(SettingError, match="nothing can train beside lora; expected against=start"):
        matched(both, against="lora")
    with pytest.raises(SettingError, match=r"nothing of End_2=hidden trains"):
        matched("End_2=hidden & lora-r8")


def test_a_control_starts_as_what_it_is_matched_to() -> None:
    """Else a comparison would be of the start, and not of the place."""
    both = "Start_1+Comma_2; init=task"
    assert matched(both, against="end").name == "End_3; init=task"
    assert matched(both, against="prompt-tuning").name == "prompt-tuning-3; init=task"
    assert matched(f"{both} & lora-r8", against="start").name == "Start_3; init=task & lora-r8"
    settings = {"backbone": tiny_backbone("llama"), "task": Commas(), "examples": 6}
    assert matched("Comma_8; init=task", "parameters", "prefix", **settings).name == (
        "prefix-4; init=task"
    )
    assert matched("Comma_8; init=mean", "parameters", "prefix", **settings).name == "prefix-4"
    assert matched(both, "compute", "filler", **settings).name == "filler(Start_1+Comma_2)"
