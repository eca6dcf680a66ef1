"""Curricula as values: stages, presets, files, and what is refused."""

from pathlib import Path

import pytest

from latent_core.errors import LayoutError, SettingError
from latent_core.slots.methods import Method
from latent_core.training.curriculum import PRESETS, Curriculum, Stage

METHOD = Method.parse("Start_1+End_4=hidden & lora-r2")


@pytest.mark.parametrize(
    ("replaced", "left_out"),
    [
        *[(0, [0, 0, 0]), (2, [0, 2, 2]), (9, [0, 3, 5]), ("all", [0, 3, 5])],
        *[("50%", [0, 2, 3]), ("0%", [0, 0, 0]), ("100%", [0, 3, 5]), ("1%", [0, 1, 1])],
    ],
)
def test_the_first_steps_are_left_out(replaced: int | str, left_out: list[int]) -> None:
    stage = Stage(1, "End_2", replaced)
    assert [stage.skipped(steps) for steps in (0, 3, 5)] == left_out


def test_coconut_adds_a_latent_a_stage_and_then_leaves_out_all_steps() -> None:
    found = Curriculum.of("coconut", METHOD, 80)
    assert [(s.layout, s.replaced, s.steps) for s in found.stages] == [
        ("Start_1", 0, 10),
        ("Start_1+End_1=hidden", 1, 10),
        ("Start_1+End_2=hidden", 2, 10),
        ("Start_1+End_3=hidden", 3, 10),
        ("Start_1+End_4=hidden", 4, 10),
        ("Start_1+End_4=hidden", "all", 30),
    ]
    assert Curriculum.of("coconut", Method.parse("End_1=mix"), 5).stages[0].layout == "none"


def test_lt_tuning_writes_then_feeds_back_states_then_fuses() -> None:
    method = Method.parse("Comma_2=fused(0.6, norm)+End_1 & lora-r2")
    found = Curriculum.of("lt-tuning", method, 30)
    assert [(s.layout, s.replaced, s.steps) for s in found.stages] == [
        ("none", 0, 10),
        ("Comma_2=hidden(norm)+End_1", 0, 10),
        ("Comma_2=fused(0.6, norm)+End_1", 0, 10),
    ]


def test_written_keeps_all_steps_for_any_method() -> None:
    (stage,) = Curriculum.of("written", Method.parse("lora-r2"), 7).stages
    assert (stage.steps, stage.skipped(3), stage.layout) == (7, 0, "none")


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("steps", [6, 7, 50, 199])
def test_presets_share_out_every_step(name: str, steps: int) -> None:
    method = Method.parse("End_4=fused(0.5)")
    found = Curriculum.of(name, method, steps)
    assert found.steps == steps and min(stage.steps for stage in found.stages) >= 1
    assert found.stages[-1].layout == "End_4=fused(0.5)"


def test_steps_belong_to_stages() -> None:
    found = Curriculum((Stage(2), Stage(3), Stage(1)))
    assert [found.stage_of(step) for step in range(8)] == [0, 0, 1, 1, 1, 2, 2, 2]
    assert [found.first_step(number) for number in range(3)] == [0, 2, 5]


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "stages:\n"
        "  - {steps: 3, layout: none, trains: beside, learning_rate: 0.01}\n"
        "  - {steps: 4, layout: Start_1+End_2=hidden, replaced: 50%}\n"
        "  - {steps: 5, replaced: all}\n"
    )
    found = Curriculum.of(path, METHOD)
    assert found == Curriculum.of(str(path), METHOD, 12)
    assert [stage.to_dict() for stage in found.stages] == [
        {"steps": 3, "layout": "none", "trains": "beside", "learning_rate": 0.01},
        {"steps": 4, "layout": "Start_1+End_2=hidden", "replaced": "50%"},
        {"steps": 5, "layout": "Start_1+End_4=hidden", "replaced": "all"},
    ]
    assert Curriculum.of([stage.to_dict() for stage in found.stages], METHOD) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stages: {}", "has no list of stages"),
        ("stages: []", "has 0 stages; expected 1 to 100"),
        ("stages: [5]", "stage 0 has no steps"),
        ("stages: [{layout: none}]", "stage 0 has no steps"),
        ("stages: [{steps: 0}]", "steps of a stage is 0"),
        (
            "stages: [{steps: 1}, {steps: 1, layuot: x}]",
            "stage 1 .*did you mean 'layout'",
        ),
        ("stages: [{steps: 1, replaced: 1.5}]", "replaced is 1.5; expected a whole number"),
        ("stages: [{steps: 1, replaced: 101%}]", "replaced is '101%'"),
        ("stages: [{steps: 1, replaced: -1}]", "replaced is -1"),
        ("stages: [{steps: 1, replaced: true}]", "replaced is True"),
        ("stages: [{steps: 1, learning_rate: 0}]", "learning_rate of a stage is 0"),
        ("stages: [{steps: 1, learning_rate: .inf}]", "expected more than 0"),
        ("stages: [{steps: 1, trains: tables}]", "expected all, latents, beside"),
        ("stages: [{steps: 1, layout: 5}]", "layout of a stage is 5"),
        ("stages: [{steps: 1, layout: End_4}]", "the last stage has the layout End_4; expected"),
        ("steps: 5", "is no curriculum; expected stages:"),
        ("- 5", "is no curriculum"),
        ("stages: [*a]", "is not valid YAML"),
        ("a: &a [x]\nstages: " + "[" * 60 + "]" * 60, "nested too deep"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(SettingError, match=said):
        Curriculum.of(path, METHOD)


def test_what_is_no_curriculum_says_what_is(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="did you mean 'coconut'"):
        Curriculum.of("cocnut", METHOD)
    with pytest.raises(SettingError, match=r"cannot read .*none\.yaml"):
        Curriculum.of(tmp_path / "none.yaml", METHOD)
    with pytest.raises(LayoutError):
        Curriculum.of([{"steps": 1, "layout": "End"}], METHOD)
    with pytest.raises(SettingError, match="steps is 9, but the stages have 3 together"):
        Curriculum.of([{"steps": 3}], METHOD, 9)
    with pytest.raises(SettingError, match="needs latents at End"):
        Curriculum.of("coconut", Method.parse("Comma_1=hidden"))
    with pytest.raises(SettingError, match="needs latents that are fused"):
        Curriculum.of("lt-tuning", METHOD)
    with pytest.raises(SettingError, match="has 6 stages; expected more steps"):
        Curriculum.of("coconut", METHOD, 5)
