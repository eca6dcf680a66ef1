"""Methods by name: layouts are methods, baselines have names of their own."""

import re

import pytest

from latent_core.errors import LayoutError, SettingError
from latent_core.slots.methods import BASELINES, EXAMPLE_LAYOUTS, Method, method_name


@pytest.mark.parametrize(
    ("name", "layout", "trained", "init", "shots"),
    [
        ("zero-shot", "none", False, "vocab", 0),
        ("none", "none", False, "vocab", 0),
        ("few-shot", "none", False, "vocab", 4),
        ("few-shot-12", "none", False, "vocab", 12),
        ("filler", "End_2", False, "text:.", 0),
        ("filler(Start_1+Comma_3)", "Start_1+Comma_3", False, "text:.", 0),
        ("pause", "End_2", True, "vocab", 0),
        ("pause-5", "End_5", True, "vocab", 0),
        ("Start_1+Comma_2", "Start_1+Comma_2", True, "vocab", 0),
        (" 8_2; tied ", "8_2; tied", True, "vocab", 0),
    ],
)
def test_a_name_says_all(name: str, layout: str, trained: bool, init: str, shots: int) -> None:
    method = Method.parse(name)
    assert (str(method.layout), method.trained, method.init, method.shots) == (
        layout,
        trained,
        init,
        shots,
    )


@pytest.mark.parametrize(
    ("name", "kind", "size", "parameters"),
    [
        ("lora", "lora", 4, 0),
        ("lora-r16", "lora", 16, 0),
        ("lora-384p", "lora", None, 384),
        ("prefix", "prefix", 2, 0),
        ("prefix-5", "prefix", 5, 0),
        ("prompt-tuning", "prompt-tuning", 2, 0),
        ("prompt-tuning-7", "prompt-tuning", 7, 0),
        ("full", "full", None, 0),
    ],
)
def test_baselines_that_train(name: str, kind: str, size: int | None, parameters: int) -> None:
    method = Method.parse(name)
    assert (method.kind, method.size, method.parameters) == (kind, size, parameters)
    assert method.trained and not method.layout.groups
    assert method.name.startswith(name)


@pytest.mark.parametrize(
    ("spellings", "name"),
    [
        (["Start_1+Comma_1", " Start_1 +\tComma_01", "Start_1@latent+Comma_1"], "Start_1+Comma_1"),
        (["8_2@verbal;tied", "8_2@verbal ; positions=shared; tied"], "8_2@verbal; tied"),
        (["none", "zero-shot", "none; tied", "none; positions=sequential"], "zero-shot"),
        (["few-shot", "few-shot-4", "few-shot-04"], "few-shot-4"),
        (["filler", "filler(End_2)", "filler( End_2@latent )"], "filler(End_2)"),
        (["pause", "pause-2"], "pause-2"),
        (["prompt-tuning", "prompt-tuning-2"], "prompt-tuning-2"),
        (["prefix", "prefix-2"], "prefix-2"),
        (["lora", "lora-r4"], "lora-r4"),
        (["lora-384p", "lora-0384p"], "lora-384p"),
        (["full"], "full"),
    ],
)
def test_a_method_has_one_name_however_it_is_written(spellings: list[str], name: str) -> None:
    methods = {Method.parse(text) for text in spellings}
    assert len(methods) == 1
    assert [str(method) for method in methods] == [name]
    assert methods == {Method.parse(name)}


def test_an_initialisation_that_a_method_has_no_use_for_is_refused() -> None:
    assert Method.parse("prompt-tuning-3", init="text:so").init == "text:so"
    assert Method.parse("pause-3", init="mean").init == "mean"
    for name in ("lora-r4", "prefix-2", "full"):
        with pytest.raises(SettingError, match=f"init is 'mean', but {name} has no vectors"):
            Method.parse(name, init="mean")


def test_latents_may_start_elsewhere_and_fillers_may_not() -> None:
    assert Method.parse("Start_2", init="mean").init == "mean"
    assert Method.parse("filler(Start_2)", init="mean").init == "text:."


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Comma_x", "expected a count of at least 1 at column 7, got 'x'"),
        ("Comma", "group 'Comma' has no count at column 1; .* as in 'Comma_2'"),
        ("comma", "'comma' is no method at column 1; did you mean 'Comma_2'?"),
        ("8", "expected '_' and a count at column 2"),
        ("few-shots", "'few-shots' is no method at column 1; did you mean few-shot-K?"),
        ("", "expected a method such as .* or lora-r4 at column 1, got the end"),
        ("nonsense", r"expected a baseline \(zero-shot, .* full\) or a layout such as"),
        ("filler(Middle_2)", "unknown place 'Middle' at column 8"),
        ("filler()", r"expected a layout such as .* at column 8, got '\)'"),
        ("filler(End_2", r"expected '\)' at column 13, got the end"),
        ("filler(End_2, End_3)", r"expected .* at column 13, got ','"),
        ("Start_0", "the count of 'Start' is '0' at column 7"),
        ("LoRA", "did you mean lora-rR.*lora means rank 4"),
        ("lora_4", "'lora' is no method at column 1; did you mean lora-rR"),
        ("lora-4", "did you mean lora-rR.*lora-Np"),
        ("lora-r4 x", "expected ';' or the end at column 9, got 'x'"),
        ("prefix-0", "the size is '0' at column 8; expected a whole number from 1"),
        ("prompt-tuning-x", "did you mean prompt-tuning-M"),
        ("full-2", "'full-2' is no method at column 1; did you mean full?"),
        ("few-shot-" + "9" * 5_000, "expected a whole number from 0 to 1,000,000,000"),
        ("pause-" + "9" * 7, "at most 1,000,000"),
        ("Start_2\ud800", "half of a character at column 8"),
    ],
)
def test_what_is_no_method_is_refused(name: str, reason: str) -> None:
    with pytest.raises(LayoutError, match=reason) as caught:
        Method.parse(name)
    str(caught.value).encode()  # can be printed


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Start_2; init=words", "unknown option 'init=words' at column 15; expected init=task or"),
        ("Start_2; init", "unknown option 'init' at column 10"),
        ("prefix-2; init=mean", "unknown option 'init=mean' at column 16; expected init=task"),
        ("prefix-2; tied", "unknown option 'tied' at column 11; expected init=task"),
        ("lora-r2; init=task", "has nothing whose start could be chosen at column 10"),
        ("End_2=hidden; init=task", "has nothing whose start could be chosen at column 15"),
        ("Start_2; init=task; init=task", "option init appears twice at column 21"),
    ],
)
def test_a_start_that_does_not_exist_is_refused(text: str, reason: str) -> None:
    with pytest.raises(LayoutError, match=re.escape(reason)):
        Method.parse(text)


def test_a_start_in_the_name_is_the_methods_own() -> None:
    method = Method.parse("Start_2;positions=sequential;init=task & lora-r2")
    assert method.name == "Start_2; positions=sequential; init=task & lora-r2"
    assert Method.parse(method.name) == method and method.init == "task"
    assert str(method.layout) == "Start_2; positions=sequential"
    assert Method.parse("prefix-9;init=task").size == 9
    with pytest.raises(SettingError, match="says how its vectors start; give one of them"):
        Method.parse("Start_2; init=task", "mean")


def test_everything_that_is_listed_can_be_read() -> None:
    for text in EXAMPLE_LAYOUTS:
        for layout in text.split(", "):
            assert Method.parse(layout).trained is not layout.endswith("=hidden")
    for word, baseline in BASELINES.items():
        name = baseline.form.replace("LAYOUT", "End_2").replace("-K", "-3").replace("-M", "-3")
        name = name.replace("-rR", "-r3")
        assert Method.parse(name).trained is not (word in ("zero-shot", "few-shot", "filler"))
        assert Method.parse(word) == baseline.usual == Method.parse(baseline.usual.name)


@pytest.mark.parametrize(
    ("recorded", "name"),
    [
        ("Start_1 + Comma_1", "Start_1+Comma_1"),
        ("lora", "lora-r4"),
        ("few-shot-4", "few-shot-4"),
        ("Start_2 (steps=200)", "Start_2 (steps=200)"),
        ("drop(Comma)", "drop(Comma)"),
        ("", ""),
    ],
)
def test_a_recorded_name_is_read_as_the_method_it_is(recorded: str, name: str) -> None:
    assert method_name(recorded) == name


def test_a_start_that_only_a_name_can_say_is_shown_in_the_name() -> None:
    with pytest.raises(SettingError, match=r"write it in the name, prefix-3; init=task"):
        Method.parse("prefix-3", init="task")


def test_a_method_that_starts_otherwise_has_another_name_where_a_name_can_say_it() -> None:
    tuned = Method.parse("Start_2 & lora-r2").starting("mean")
    assert tuned == Method.parse("Start_2; init=mean & lora-r2")
    assert Method.parse("Start_2").starting("text:so").init == "text:so"
    assert Method.parse("lora-r2").starting("vocab").name == "lora-r2"
    with pytest.raises(SettingError, match="says how its vectors start; give one of them"):
        Method.parse("Start_2; init=mean").starting("task")
    with pytest.raises(LayoutError, match="nothing whose start could be chosen"):
        Method.parse("End_2=hidden(proj=2)").starting("mean")
