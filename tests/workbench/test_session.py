"""The session: what every panel shares is checked where it is set, and whoever observes follows."""

import json
from pathlib import Path

import pytest
from traitlets import TraitError

import latent_core as lc
from latent_core.errors import AdapterError, LatentError, TaskError
from latent_core.runs.shipped import SHIPPED, shipped_adapters
from latent_core.slots.methods import Method
from tests.families import tiny_backbone
from workbench.adapters import adapter_title, best_shipped
from workbench.levels import level_words, split_words
from workbench.session import NO_LATENTS, Session


@pytest.fixture(scope="module")
def backbone() -> lc.Backbone:
    return lc.load_backbone("tiny")


@pytest.fixture(scope="module")
def saved(backbone: lc.Backbone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters") / "mine"
    lc.LatentModel(backbone, "Comma_2", seed=3).save_pretrained(folder)
    return folder


@pytest.fixture
def session(backbone: lc.Backbone, saved: Path) -> Session:
    return Session(backbone, {"first": saved, "second": saved})


def test_by_name_it_opens_with_the_best_of_either_kind_that_ship(backbone: lc.Backbone) -> None:
    session = Session("tiny", task="summation")
    first, second = session.adapter_a, session.adapter_b
    assert list(session.models) == [NO_LATENTS, first, second]
    assert session.model_a.method == first and session.folders[first].is_relative_to(SHIPPED)
    means = lc.load_runs(SHIPPED, {"backbone": "tiny", "task": "summation", "seed": 0})
    means = means.groupby("method")["graded"].mean()  # as many examples of every split
    around = [m for m in means.index if m.startswith(("Start_", "End_")) and "+" not in m]
    within = [m for m in means.index if "Comma_" in m or m == "8_2"]
    assert (first, second) == (means[within].idxmax(), means[around].idxmax())
    assert "filler" not in first


def test_it_opens_with_a_layout_that_has_options_only_where_no_plain_one_ships() -> None:
    opened = [adapter.method for adapter in best_shipped("smollm2-135m", "repetition")]
    assert opened == ["Start_1+8_1", "Start_3"]  # Start_1+Comma_1; positions=sequential is better
    assert [adapter.method for adapter in best_shipped("tiny", "hops")] == ["Start_2+End_2"]


def test_without_adapters_there_is_the_backbone_alone() -> None:
    session = Session("tiny", task="counting")
    assert list(session.models) == [NO_LATENTS]
    assert session.adapter_a == session.adapter_b == NO_LATENTS
    assert session.model_a.layout.groups == ()
    assert session.example is not None and session.prompt == session.example.prompt


def test_the_first_two_adapters_are_a_and_b(backbone: lc.Backbone, saved: Path) -> None:
    third = lc.LatentModel(backbone, "Start_1", seed=0)
    session = Session(backbone, [saved, third, saved])
    assert list(session.models) == [NO_LATENTS, "Comma_2", "Start_1"]  # one folder, one model
    assert (session.adapter_a, session.adapter_b) == ("Comma_2", "Start_1")
    assert session.model_b is third
    assert session.folders == {"Comma_2": saved}


def test_adding_tells_observers_and_the_same_model_keeps_its_name(session: Session) -> None:
    told: list[list[str]] = []
    session.observe(lambda change: told.append(list(change["new"])), "models")
    model = lc.LatentModel(session.backbone, "End_3", seed=0)
    assert session.add(model) == session.add(model) == "End_3"
    assert session.add(lc.LatentModel(session.backbone, "End_3", seed=1)) == "End_3 (2)"
    assert session.add(model, "my own") == "my own"
    assert told[0] == [NO_LATENTS, "first", "second", "End_3"]
    session.adapter_a = "my own"
    assert session.model_a is model


def test_an_adapter_of_another_backbone_is_refused(session: Session, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="is for backbone llama"):
        session.add(lc.LatentModel(tiny_backbone("llama"), "Start_1", seed=0))
    with pytest.raises(AdapterError, match="no adapter 'Comma_9' ships for tiny on repetition"):
        session.add("Comma_9")
    assert list(session.models) == [NO_LATENTS, "first", "second"]


@pytest.mark.parametrize(
    ("trait", "value", "error", "says"),
    [
        ("adapter_a", "third", AdapterError, "no adapter named 'third'.*no latents, first, second"),
        ("adapter_b", "", AdapterError, "no adapter named ''"),
        ("intervention", "drop(", LatentError, "drop"),
        ("intervention", "smash(Comma)", LatentError, "smash"),
        ("task", "repetition", TraitError, "Task"),
        ("example", "a prompt", TraitError, "Example"),
        ("prompt", 5, TraitError, "unicode"),
    ],
)
def test_nonsense_is_refused_and_the_old_value_stays(
    session: Session, trait: str, value: object, error: type[Exception], says: str
) -> None:
    before = getattr(session, trait)
    with pytest.raises(error, match=says):
        setattr(session, trait, value)
    assert getattr(session, trait) == before


def test_an_intervention_is_kept_in_its_own_words(session: Session) -> None:
    told: list[str] = []
    session.observe(lambda change: told.append(change["new"]), "intervention")
    session.intervention = "  drop( Comma ,after=3 ) "
    session.intervention = "drop(Comma, after=3)"  # the same: nobody is told again
    session.intervention = ""
    assert told == ["drop(Comma, after=3)", "none"]


def test_the_prompt_follows_the_example_until_one_is_typed(session: Session) -> None:
    told: list[str] = []
    session.observe(lambda change: told.append(change["name"]), ["prompt", "example"])
    example = session.draw("ood-8", 2)
    assert (example.split, example.level, session.prompt) == ("ood-8", 8, example.prompt)
    assert sorted(told) == ["example", "prompt"]
    session.prompt = "1,2,"
    assert session.example is None and session.prompt == "1,2,"
    session.task = lc.load_task("summation")
    assert session.prompt == "1,2,", "a typed prompt stays"
    session.draw("id")
    session.task = lc.load_task("repetition")
    assert session.example in session.task.examples("id", 5, seed=1)
    assert session.example.level == 3, "not the shortest, which has no comma"
    assert session.prompt == session.example.prompt


def test_drawing_counts_within_a_level(session: Session) -> None:
    first, second = session.draw("id", 0, level=3), session.draw("id", 1, level=3)
    threes = [e for e in session.task.examples("id", 40, seed=1) if e.level == 3]
    assert [first, second] == threes[:2]
    assert session.draw("id", 0, level=3, seed=2) != first
    for wrong in (("id", 0, 77), ("nowhere", 0, None)):
        with pytest.raises(TaskError):
            session.draw(*wrong)
    assert session.example is not None and session.example.level == 3


def test_a_file_of_prompts_need_not_have_an_id_split(backbone: lc.Backbone, tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    rows = [{"prompt": f"{n},", "answer": "1", "split": "validation"} for n in range(5)]
    rows += [{"prompt": f"far {n},", "answer": "1", "split": "ood-9"} for n in range(5)]
    path.write_text("\n".join(map(json.dumps, rows)))
    session = Session(backbone, task=path)
    assert session.example is not None and session.example.split == "validation"
    assert {session.draw("ood-9", n, level=9).prompt for n in range(5)} == {
        f"far {n}," for n in range(5)
    }
    with pytest.raises(TaskError, match=r"has 5 examples in split 'ood-9' with level 9;"):
        session.draw("ood-9", 5, level=9)


def test_a_new_task_brings_what_ships_for_it_and_says_so(backbone: lc.Backbone) -> None:
    session = Session("tiny", ["Comma_2", "8_2"])
    first = session.models
    session.task = lc.load_task("summation")
    assert (session.adapter_a, session.adapter_b) == ("Comma_2 (summation)", "8_2 (summation)")
    assert session.folders[session.adapter_b] == lc.shipped_adapter("8_2", "summation", "tiny")
    assert "trained on summation: Comma_2 (summation) and 8_2 (summation)" in session.notice
    session.task = lc.load_task("repetition")
    assert (session.adapter_a, session.adapter_b) == ("Comma_2", "8_2"), "loaded once"
    assert session.model_a is first["Comma_2"]
    session.adapter_b = NO_LATENTS
    assert session.notice == "", "the user has chosen since"
    session.task = lc.load_task("generation")
    assert (session.adapter_a, session.adapter_b) == ("Comma_2 (generation)", NO_LATENTS)


def test_each_side_keeps_its_seed_and_a_side_that_fits_does_not_hold_up_the_other(
    backbone: lc.Backbone,
) -> None:
    seeds = [SHIPPED / "tiny" / "repetition" / "Comma_2" / f"seed-{seed}" for seed in (1, 2)]
    session = Session("tiny", seeds)
    session.task = lc.load_task("summation")
    summation = SHIPPED / "tiny" / "summation" / "Comma_2"
    shown = [session.folders[name] for name in (session.adapter_a, session.adapter_b)]
    assert shown == [summation / "seed-1", summation / "seed-2"]
    session.adapter_b = session.add(SHIPPED / "tiny" / "repetition" / "8_2" / "seed-0")
    session.task = lc.load_task("repetition")
    assert [session.trained_on[n] for n in (session.adapter_a, session.adapter_b)] == [
        "repetition",
        "repetition",
    ]


def test_where_a_method_does_not_ship_for_a_new_task_the_opening_pair_comes(
    backbone: lc.Backbone,
) -> None:
    session, opening = Session("tiny", ["Comma_2", "End_6"]), Session("tiny", task="summation")
    session.task = lc.load_task("summation")
    assert [session.folders[name] for name in (session.adapter_a, session.adapter_b)] == [
        opening.folders[name] for name in (opening.adapter_a, opening.adapter_b)
    ]
    shown = (session.adapter_a, session.adapter_b)
    session.task = lc.load_task("counting")
    assert (session.adapter_a, session.adapter_b, session.notice) == (*shown, ""), "nothing ships"


def test_an_adapter_of_ones_own_stays_whatever_the_task(session: Session) -> None:
    session.adapter_b = session.add("Comma_2")
    session.task = lc.load_task("summation")
    assert (session.adapter_a, session.adapter_b, session.notice) == ("first", "Comma_2", "")
    assert session.trained_on == {"Comma_2": "repetition"}


def test_an_example_is_never_beside_another_task_when_the_adapters_change() -> None:
    session = Session("tiny", ["Comma_2", "Start_6"])
    seen = []
    session.observe(
        lambda change: seen.append((session.task.name, session.example.prompt)), "adapter_a"
    )
    session.task = lc.load_task("summation")
    ((task, prompt),) = seen
    assert task == "summation" and "=" in prompt and "Repeat" not in prompt


# --- what ships, and what panels tell of the session ----------------------------------------------


def test_every_adapter_and_seed_that_ships_can_be_chosen_by_its_title() -> None:
    session = Session("tiny", ["Comma_2"])
    ours = [a for a in shipped_adapters() if a.backbone == "tiny"]
    latents = [a for a in ours if Method.parse(a.method).kind == "latents"]
    assert len(session.shipped) == len(latents) < len(ours), "LoRA has no latents to look at"
    tasks = [title.rsplit("(", 1)[1].split(",")[0] for title in session.shipped]
    assert set(tasks[: tasks.count("repetition")]) == {"repetition"}, "the task's come first"
    title = next(t for t in session.shipped if "summation" in t)
    session.choose("b", title)
    assert session.adapter_b == title and session.trained_on[title] == "summation"
    before = dict(session.models)
    session.choose("a", title)
    assert session.adapter_a == title and session.models == before, "it is loaded once"
    with pytest.raises(AdapterError, match="no adapter named 'nowhere'"):
        session.choose("a", "nowhere")


def test_a_run_is_named_by_method_task_and_seed(tmp_path: Path) -> None:
    assert adapter_title(lc.shipped_adapter("Start_2", "summation", "tiny")) == (
        "Start_2 (summation, seed 0)"
    )
    assert adapter_title(tmp_path / "Comma_2" / "seed-4") == "Comma_2 (seed 4)"
    assert adapter_title(tmp_path / "mine") == "mine"


def test_the_header_says_task_example_models_and_intervention() -> None:
    session = Session("tiny", ["Comma_2", "Start_6"])
    session.draw("ood-6")
    session.intervention = "drop(Comma)"
    assert session.about() == (
        "repetition · ood-6 · example of 6 repeats: Repeat 6 times: 57+63=120 · "
        "A Comma_2 (repetition, seed 0) · "
        "B Start_6 (repetition, seed 0) · intervention drop(Comma)"
    )
    session.prompt = "1+1="
    assert "typed prompt" in session.about()


# --- levels and splits are called alike everywhere ------------------------------------------------


@pytest.mark.parametrize(
    ("split", "words"),
    [("id", "ID"), ("ood-20", "OOD 20"), ("validation", "validation"), ("ood-names", "OOD names")],
)
def test_a_split_in_words_keeps_names_that_only_hold_id(split: str, words: str) -> None:
    assert split_words(split) == words


@pytest.mark.parametrize(
    ("level", "name", "words"),
    [(1, "repeats", "1 repeat"), (5, "repeats", "5 repeats"), (3, "level", "level 3")],
)
def test_a_level_in_words_counts_what_its_task_counts(level: int, name: str, words: str) -> None:
    assert level_words(level, name) == words
