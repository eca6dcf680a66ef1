"""Every task: determinism, disjoint splits, verifiers that accept the answer and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import latent_core.tasks as tasks_package
from latent_core.errors import TaskError
from latent_core.tasks import TASKS, Example, Task, load_task, resolve_splits
from latent_core.tasks.base import SyntheticTask, bucket_of
from latent_core.tasks.chains import HIDDEN_RULE, HIDDEN_STEP, DigitRule

tasks = pytest.mark.parametrize("task", [load_task(name) for name in TASKS], ids=list(TASKS))


def test_tasks_import_no_torch() -> None:
    code = "import sys, latent_core.tasks; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@tasks
def test_examples_are_fixed_by_split_and_seed(task: Task) -> None:
    for split in task.splits:
        many = task.examples(split, 40, seed=3)
        assert task.examples(split, 17, seed=3) == many[:17]
        assert task.examples(split, 40, seed=4) != many
        assert {example.split for example in many} == {split}


@tasks
def test_no_key_is_in_two_of_train_validation_and_test(task: Task) -> None:
    keys: dict[str, set[str]] = {"train": set(), "validation": set(), "test": set()}
    for split in task.splits:
        bucket = split if split in keys else "test"
        for seed in range(3):
            keys[bucket] |= {example.key for example in task.examples(split, 300, seed)}
    assert all(keys.values())
    assert not keys["train"] & keys["validation"]
    assert not keys["train"] & keys["test"]
    assert not keys["validation"] & keys["test"]


@tasks
def test_levels_take_turns_and_follow_the_split_name(task: Task) -> None:
    seen = [example.level for example in task.examples("id", 3 * len(task.id_levels), seed=0)]
    assert seen == list(task.id_levels) * 3
    for level in task.ood_levels:
        assert level > max(task.id_levels)
        assert {e.level for e in task.examples(f"ood-{level}", 5, seed=0)} == {level}


@tasks
def test_test_prompts_do_not_repeat(task: Task) -> None:
    prompts = [example.prompt for example in task.examples("id", 500, seed=0)]
    assert len(set(prompts)) == len(prompts)


@tasks
def test_the_answer_scores_full_marks_and_nonsense_none(task: Task) -> None:
    for split in task.splits:
        for example in task.examples(split, 12, seed=1):
            score = task.score(example, example.answer)
            assert score.exact
            assert score.graded == 1.0
            assert all(mark.correct for mark in score.marks)
            for response in ("", " ", "xyz", ",,,", ".", "1", "名>前,", "٣٤٥٦>٣٤٥٦"):
                if example.answer == f"{response}.":
                    continue
                wrong = task.score(example, response)
                assert not wrong.exact
                assert wrong.graded == 0.0


@tasks
def test_few_shot_puts_solved_training_examples_in_front(task: Task) -> None:
    example = task.examples("id", 1, seed=0)[0]
    assert task.few_shot(example, 0, seed=0) == example.prompt
    prompt = task.few_shot(example, 3, seed=0)
    assert prompt.endswith(example.prompt)
    for solved in task.examples("train", 3, seed=0):
        assert solved.prompt + solved.answer in prompt
    with pytest.raises(TaskError, match="shots must be 0 or more"):
        task.few_shot(example, -1, seed=0)


@tasks
def test_every_level_beyond_training_has_a_split(task: Task) -> None:
    assert isinstance(task, SyntheticTask)
    first, last = max(task.id_levels) + 1, task.longest or 200
    for level in (first, last):
        (example,) = task.examples(f"ood-{level}", 1, seed=0)
        assert example.level == level and task.score(example, example.answer).exact
    assert resolve_splits(task, f"ood-{last}") == (f"ood-{last}",)
    assert f"ood-{last}" not in resolve_splits(task, ["id", "ood"])
    assert task.has_split(f"ood-{last + 1}") is (task.longest is None)


@tasks
def test_bad_requests_say_what_exists(task: Task) -> None:
    for missing in ("ood-1", "ood-07", "ood-x"):
        said = rf"no split '{missing}'; it has train, validation, id.*, ood-N for every N from \d+ "
        with pytest.raises(TaskError, match=said):
            task.examples(missing, 1, seed=0)
    with pytest.raises(TaskError, match="count must be 0 or more, got -1"):
        task.examples("id", -1, seed=0)
    with pytest.raises(TaskError, match="stands for several splits"):
        task.examples("ood", 1, seed=0)


def test_every_task_states_its_demand() -> None:
    assert {name: task.demand for name, task in TASKS.items()} == {
        "generation": "self-prompting",
        "counting": "self-prompting",
        "summation": "retrieval",
        "lookup": "retrieval",
        "repetition": "instruction",
        "hops": "retrieval",
        "reach": "retrieval",
        "generation-shown": "self-prompting",
        "counting-shown": "self-prompting",
        "repetition-listed": "instruction",
    }


def test_a_task_of_an_unknown_demand_is_refused_when_its_class_is_made() -> None:
    with pytest.raises(TaskError, match="class Wrong: demand is 'H2'; expected one of self-prompt"):
        type("Wrong", (Task,), {"demand": "H2"})


def test_the_package_lists_its_public_names_and_loads_them_lazily() -> None:
    assert set(dir(tasks_package)) >= {"TASKS", "Demand", "Example", "Mark", "Score", "load_task"}
    for name in tasks_package.__all__:
        assert getattr(tasks_package, name) is not None
    with pytest.raises(AttributeError, match="JsonlTask"):
        _ = tasks_package.JsonlTask  # type: ignore[attr-defined]


def test_resolve_splits_expands_ood_once_and_keeps_order() -> None:
    task = load_task("repetition")
    assert resolve_splits(task, "id") == ("id",)
    levels = ("ood-6", "ood-8", "ood-10", "ood-15")
    assert resolve_splits(task, ("ood-8", "id", "ood")) == (
        "ood-8",
        "id",
        "ood-6",
        "ood-10",
        "ood-15",
    )
    assert resolve_splits(task, ["ood", "ood"]) == levels
    with pytest.raises(TaskError, match="no split 'test'"):
        resolve_splits(task, ("id", "test"))


def test_a_task_without_ood_splits_is_judged_by_the_default_ones(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(f'{{"prompt": "{n}", "answer": "a"}}\n' for n in range(40)))
    task = load_task(path)
    assert resolve_splits(task, ("id", "ood")) == ("id",)
    for asked in ("ood", ["ood", "ood"]):
        said = r"no split 'ood'; it has train, validation, id\. .*to have OOD splits, give"
        with pytest.raises(TaskError, match=said):
            resolve_splits(task, asked)


def test_an_exhausted_split_says_so() -> None:
    with pytest.raises(TaskError, match=r"no more than .* different examples"):
        load_task("generation").examples("validation", 5000, seed=0)


def test_unknown_task_names_those_that_exist() -> None:
    with pytest.raises(TaskError, match=r"unknown task 'arithmetic'\. Expected one of generation"):
        load_task("arithmetic")


def test_buckets_do_not_depend_on_the_process() -> None:
    first = [bucket_of("repetition", str(i)) for i in range(6)]
    assert first == ["train", "test", "train", "train", "train", "train"]
    shares = [bucket_of("x", str(i)) for i in range(10_000)]
    assert 0.68 < shares.count("train") / 10_000 < 0.72
    assert 0.18 < shares.count("test") / 10_000 < 0.22


def example_of(name: str, split: str) -> tuple[Task, Example]:
    task = load_task(name)
    return task, task.examples(split, 1, seed=0)[0]


def test_repetition_charges_for_stopping_early_and_for_running_on() -> None:
    task, example = example_of("repetition", "ood-8")
    equation = example.key
    few, many = ",".join([equation] * 6), ",".join([equation] * 10)
    assert task.score(example, few + ".").graded == 6 / 8
    assert task.score(example, many + ".").graded == 8 / 10
    assert task.score(example, many + ".").marks[8].correct is False
    unstopped = task.score(example, example.answer[:-1])
    assert (unstopped.graded, unstopped.exact) == (1.0, False)
    slipped = task.score(example, f"{equation},{equation},1+1=2,{equation}.")
    assert slipped.graded == 2 / 8
    assert [mark.correct for mark in slipped.marks] == [True, True, False, True]
    assert not task.score(example, example.answer + "more").exact


def test_generation_wants_the_true_chain_and_grades_the_rule() -> None:
    task, example = example_of("generation", "ood-12")
    start = example.answer[:4]
    slip = "0000" if HIDDEN_RULE.apply(start) != "0000" else "1111"
    response = ",".join([f"{start}>{slip}", *HIDDEN_RULE.chain(slip, 11)])
    score = task.score(example, response)
    assert (score.exact, score.graded) == (False, 11 / 12)  # the slip, not what follows it well
    assert [mark.correct for mark in score.marks] == [False] + [True] * 11
    assert response[slice(score.marks[0].start, score.marks[0].end)] == f"{start}>{slip}"
    assert task.score(example, example.answer + ",9999>0000").exact
    assert task.score(example, ",".join(example.answer.split(",")[:5])).graded == 5 / 12


def test_the_hidden_rule_has_long_orbits_only() -> None:
    assert HIDDEN_RULE.apply("1234") == "3143"
    assert {len(HIDDEN_RULE.orbit(f"{n:04d}")) for n in range(0, 10_000, 7)} == {40}
    assert max(load_task("generation").ood_levels) < 40


def test_digit_rules_are_checked() -> None:
    with pytest.raises(ValueError, match="permutation"):
        DigitRule((0, 0, 1, 2), (0, 0, 0, 0))
    with pytest.raises(ValueError, match="expected 4 increments"):
        DigitRule((0, 1, 2, 3), (0,))


def test_the_hidden_step_counts_on_and_around() -> None:
    assert HIDDEN_STEP.chain("9850", 3) == ["9850>9950", "9950>0050", "0050>0150"]
    task = load_task("counting")
    assert {len(HIDDEN_STEP.orbit(f"{n:04d}")) for n in range(0, 10_000, 97)} == {100}
    assert max(task.ood_levels) < 100
    (example,) = task.examples("ood-9", 1, seed=0)
    start = example.prompt.split()[1]
    other = f"{(int(start) + 200) % 10_000:04d}"
    # a wrong step costs the equation that it is in, not those that go on from there
    response = ",".join([f"{start}>{other}", *HIDDEN_STEP.chain(other, 8)])
    assert task.score(example, response).graded == pytest.approx(8 / 9)


@pytest.mark.parametrize(("name", "farthest"), [("generation", "ood-36"), ("counting", "ood-30")])
def test_not_one_equation_of_a_test_chain_is_in_training(name: str, farthest: str) -> None:
    task = load_task(name)
    trained = {q for e in task.examples("train", 1500, seed=0) for q in e.answer.split(",")}
    tested = {q for e in task.examples(farthest, 60, seed=0) for q in e.answer.split(",")}
    assert not trained & tested


def test_lookup_finds_both_in_the_order_asked() -> None:
    task, example = example_of("lookup", "ood-12")
    *listed, asked = example.prompt.splitlines()
    first, second = example.answer.rstrip(".").split(",")
    assert asked == f"{first[0]},{second[0]}" and {first, second} <= set(listed[0].split(","))
    assert task.score(example, f"{first},{second}0.").graded == pytest.approx(1 / 2)
    assert task.score(example, f"{first},{second},{first}.").graded == pytest.approx(2 / 3)
    assert task.score(example, f"{second},{first}.").graded == 0


@pytest.mark.parametrize("name", ["lookup", "summation"])
@pytest.mark.parametrize("level", [52, 53, 400])
def test_long_lists_ask_for_names_as_in_training(name: str, level: int) -> None:
    task = load_task(name)
    places = []
    for example in task.examples(f"ood-{level}", 40, seed=0):
        listed, asked = example.prompt.splitlines()
        names = [entry.split("=")[0] for entry in listed.split(",")]
        assert len(set(names)) == len(names) == level
        assert sum(len(one) == 1 for one in names) == 52
        wanted = asked.replace("+", ",").split(",")
        assert all(len(one) == 1 for one in wanted)
        places += [names.index(one) / level for one in wanted]
        assert len(task.roles(example)["asked"]) == 2
    assert min(places) < 0.2 and max(places) > 0.8, "anywhere in the list"


def test_summation_tells_look_up_from_addition() -> None:
    task, example = example_of("summation", "ood-20")
    a, rest = example.answer.split("+")
    b, total = rest.rstrip(".").split("=")
    assert int(a) + int(b) == int(total)
    assert f"={a}" in example.prompt
    assert task.score(example, f"{a}+{b}=7.").graded == pytest.approx(2 / 3)
    assert task.score(example, f"{a}+{b}={total}+1.").graded == pytest.approx(3 / 4)
    marks = task.score(example, f"{a}+{b}=7.").marks
    assert [mark.correct for mark in marks] == [True, True, False]
    assert (marks[1].start, marks[1].end) == (3, 5)
