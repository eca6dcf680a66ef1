"""The playground without a browser, on `tiny` with untrained latents."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import latent_core as lc
from latent_core.backbones.backbone import Backbone
from latent_core.errors import SettingError
from latent_core.evaluation.evaluate import response_limit
from latent_core.progress import progress_bar
from tests.families import talking_backbone
from tests.made_backbones import PROMPT, TOKENS, hostile_backbone
from workbench.panels.exports import as_bytes
from workbench.panels.playground import work
from workbench.panels.playground.panel import Playground
from workbench.pictures.slots import slot_text
from workbench.pictures.theme import show_spaces
from workbench.session import NO_LATENTS, Session
from workbench.widgets.token_strip import TokenStrip

A, B = "Start_2+Comma_1", "Start_1"


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return lc.load_backbone("tiny")


@pytest.fixture
def panel(backbone: Backbone) -> Playground:
    session = Session(backbone, [lc.LatentModel(backbone, A), lc.LatentModel(backbone, B)])
    session.draw("id", level=1)
    panel = Playground(session)
    panel.auto.value = False  # or it would answer as soon as it is seen
    panel.visibility.seen = panel.auto.value = True
    return panel


def settle(panel: Playground) -> None:
    """Wait until nothing is queued; the end of a job may start another."""
    for _ in range(3):
        panel.session.jobs.run("settle", lambda: None)
    assert panel.errors == []


def answered(panel: Playground) -> Playground:
    panel.generate()
    settle(panel)
    return panel


def texts(strip: TokenStrip) -> list[str]:
    return [slot["text"] for slot in strip.slots]


# --- generating -----------------------------------------------------------------------------------


def test_before_anything_is_asked_the_prompt_is_there_with_its_latents(panel: Playground) -> None:
    shown = texts(panel.views["A"].strips["clean"])
    assert shown[:2] == ["Start.0", "Start.1"]
    assert "".join(shown[2:]) == show_spaces(panel.session.prompt)
    assert "Generate" in panel.views["A"].lines["clean"].text
    for what in (panel.table, panel.picture):
        with pytest.raises(SettingError, match="Generate"):
            what()


def test_both_sides_answer_as_their_models_do(panel: Playground) -> None:
    answered(panel)
    for side, model in (("A", panel.session.model_a), ("B", panel.session.model_b)):
        limit = response_limit(model, panel.session.task, panel.session.example)
        (expected,) = model.generate(panel.session.prompt, limit, return_details=True)
        assert panel.answers[side, "clean"].generation == expected
        strip = panel.views[side].strips["clean"]
        assert texts(strip) == [slot_text(slot) for slot in expected.slots]
        length = [slot.group for slot in expected.slots].count(None) - len(expected.response_ids)
        verbal = [slot for slot in strip.slots[: strip.prompt_length] if slot["group"] is None]
        assert len(verbal) == length
        score = panel.session.task.score(panel.session.example, expected.text)
        line = panel.views[side].lines["clean"]
        assert f"graded {score.graded:.2f}" in line.text
        assert f"{len(expected.response_ids)} tokens in" in line.text
        assert line.kind == ("good" if score.exact else "bad")


def test_slots_stream_and_only_additions_travel(
    panel: Playground, monkeypatch: pytest.MonkeyPatch
) -> None:
    strip = panel.views["A"].strips["clean"]
    added: list[str] = []
    monkeypatch.setattr(
        strip, "send", lambda content: added.extend(slot["text"] for slot in content["slots"])
    )
    answered(panel)
    assert len(added) > 4
    assert texts(strip)[strip.prompt_length :] == added
    assert not strip.streaming


def test_a_known_answer_is_not_generated_again(
    panel: Playground, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered(panel)
    first = dict(panel.answers)
    monkeypatch.setattr(lc.LatentModel, "generate", None)
    answered(panel)
    assert panel.answers == first


def test_asking_twice_is_one_job_and_asking_for_something_else_stops_it(panel: Playground) -> None:
    gate = threading.Event()
    panel.session.jobs.start("gate", gate.wait)
    first = panel.generate()
    assert panel.generate() is first
    panel.picker.next.click()  # answers at once, since `auto` is on
    second = panel.generate()
    assert second is not first
    gate.set()
    settle(panel)
    assert first is not None
    assert second is not None
    assert (first.state, second.state) == ("cancelled", "done")
    assert panel.answers["A", "clean"].generation.prompt == panel.session.prompt


def test_while_something_else_runs_both_sides_say_what_they_wait_for(panel: Playground) -> None:
    gate, reported = threading.Event(), threading.Event()

    def train() -> None:
        with progress_bar(8, "train", "step") as bar:
            bar.update(2)
            reported.set()
            gate.wait(60)

    panel.session.jobs.start("Training", train)
    assert reported.wait(60)
    panel.generate()
    said = [view.lines["clean"].text for view in panel.views.values()]
    gate.set()
    settle(panel)
    assert all(line.startswith("waiting for Training (train: 2 of 8 steps") for line in said)


def test_cancel_stops_a_response_and_says_so(panel: Playground) -> None:
    panel.session.prompt = "Repeat"
    panel.picker.limit.value = 400
    view, begun = panel.views["A"], threading.Event()
    view.strips["clean"].observe(lambda change: begun.set(), "streaming")
    job = panel.generate()
    assert job is not None
    assert begun.wait(60)
    panel.status._hear(panel.status, {"kind": "cancel"}, [])
    settle(panel)
    assert job.state == "cancelled"
    assert view.lines["clean"].text == "Cancelled"
    assert not view.strips["clean"].streaming
    assert panel.answers == {}


def test_what_a_cell_prepared_stays_when_its_news_comes_late(backbone: Backbone) -> None:
    async def cell() -> Playground:
        session = Session(backbone, [lc.LatentModel(backbone, A), lc.LatentModel(backbone, B)])
        panel = Playground(session)
        session.intervention = "drop(Comma)"
        panel.prepare()  # the loop is held meanwhile, as by a cell of a notebook
        await asyncio.sleep(0.1)  # now it hears what was streamed
        return panel

    panel = asyncio.run(cell())
    assert panel.errors == []
    for view in panel.views.values():
        assert "graded" in view.lines["clean"].text
    assert "with drop(Comma)" in panel.views["A"].lines["changed"].text
    assert panel.views["B"].strips["changed"].layout.display == "none"


def test_a_typed_prompt_has_no_verdict_and_waits_for_the_button(panel: Playground) -> None:
    panel.picker.prompt.value = "1+1="
    settle(panel)
    assert panel.session.example is None
    assert panel.answers == {}
    assert panel.picker.where.text == "Typed prompt: not graded"
    panel.picker.limit.value = 3
    answered(panel)
    response = panel.answers["B", "clean"]
    assert response.score is None
    assert len(response.generation.response_ids) <= 3
    assert panel.views["B"].lines["clean"].text.startswith("typed prompt, not graded")
    panel.session.prompt = ""
    assert panel.generate() is None
    assert "prompt" in panel.status.message


def test_the_limit_shown_is_the_one_in_force(panel: Playground) -> None:
    panel.picker.limit.value = 7
    panel.session.draw("id", level=4)
    answered(panel)
    shown = panel.picker.limit.value
    assert [answer.limit for answer in panel.answers.values()] == [shown, shown]
    assert shown > 7 and panel.picker.limit.disabled
    panel.picker.prompt.value = "1+1="
    answered(panel)
    assert [answer.limit for answer in panel.answers.values()] == [7, 7]
    assert panel.picker.limit.value == 7 and not panel.picker.limit.disabled


def test_an_error_goes_with_the_prompt_it_was_about(panel: Playground) -> None:
    panel.session.prompt = "a" * 2000
    panel.generate()
    for _ in range(2):
        panel.session.jobs.run("settle", lambda: None)
    assert "has 2000 tokens" in panel.status.message and "shorten it" in panel.status.message
    panel.session.prompt = "a"
    assert panel.status.message == ""


def test_an_error_is_shown_and_kept(panel: Playground) -> None:
    panel.session.prompt = "1" * 5000
    assert "context window" in panel.views["A"].lines["clean"].text
    job = panel.generate()
    assert job is not None
    job.wait(60)
    assert panel.status.state == "failed"
    assert [type(error) for error in panel.errors] == [lc.errors.PromptError]


def test_a_conversation_is_answered_and_one_that_is_half_typed_says_so(tmp_path: Path) -> None:
    backbone = talking_backbone()
    lines = [
        {"messages": [{"role": "user", "content": f"{n},"}], "answer": str(n), "split": split}
        for n, split in enumerate(("train", "id", "id"))
    ]
    task = tmp_path / "talk.jsonl"
    task.write_text("\n".join(map(json.dumps, lines)))
    models = [lc.LatentModel(backbone, A), lc.LatentModel(backbone, B)]
    session = Session(backbone, models, task=task)
    session.draw("id")
    panel = answered(Playground(session))
    assert session.example is not None
    (message,) = json.loads(session.prompt.removeprefix("chat:"))
    assert f": {message['content']} · " in session.about()
    for (side, _), answer in panel.answers.items():
        wanted = models["AB".index(side)].generate([message], answer.limit)
        assert [answer.generation.text] == wanted and answer.score is not None
    session.prompt = session.prompt[:-3]
    assert "begins as a conversation" in panel.views["A"].lines["clean"].text


# --- verdicts -------------------------------------------------------------------------------------


def test_every_judged_character_is_under_a_mark(panel: Playground) -> None:
    answered(panel)
    answer = panel.answers["A", "clean"]
    assert answer.score is not None
    pairs = zip(answer.generation.slots, answer.marks, strict=True)
    judged = "".join(slot.label for slot, mark in pairs if mark)
    spans = [answer.generation.text[mark.start : mark.end] for mark in answer.score.marks]
    assert judged == "".join(spans)


# --- interventions --------------------------------------------------------------------------------


def test_switches_write_the_session_and_follow_it(panel: Playground) -> None:
    panel.auto.value = False
    controls, session = panel.controls, panel.session
    assert list(controls.switches) == ["Start", "Comma"]
    controls.switches["Comma"].on.value = False
    assert session.intervention == "drop(Comma)"
    controls.switches["Start"].count.value = 1
    controls.switches["Start"].place.value = "8"
    assert session.intervention == "recount(Start, 1) & drop(Comma) & move(Start, 8)"
    assert controls.text.value == session.intervention
    session.intervention = "recount(Start, 12)"
    assert controls.switches["Comma"].on.value
    assert controls.switches["Start"].count.label == "12"
    assert controls.switches["Start"].place.value == ""
    controls.switches["Start"].place.value = "nowhere"
    assert "unknown place" in controls.error.text
    assert session.intervention == "recount(Start, 12)"
    controls.none.click()
    assert session.intervention == "none"
    assert controls.error.text == ""
    session.adapter_b, session.adapter_a = NO_LATENTS, B
    assert list(controls.switches) == ["Start"]
    settle(panel)


def test_the_chooser_adds_to_the_text(panel: Playground) -> None:
    panel.auto.value = False
    controls = panel.controls
    controls.add.click()
    controls.kind.value = "drop after n occurrences"
    assert controls.fields["latents"].value == "Comma", "Start does not recur"
    controls.fields["after"].value = 3
    controls.add.click()
    assert panel.session.intervention == "scale(Start, 0.5) & drop(Comma, after=3)"
    controls.text.value = "drop(Comma"
    assert "expected ',' or ')' at column 11" in controls.error.text
    assert panel.session.intervention == "scale(Start, 0.5) & drop(Comma, after=3)"
    settle(panel)


def test_a_change_is_shown_at_once_beside_the_clean_response(panel: Playground) -> None:
    answered(panel)
    panel.session.intervention = "replace(Start, zero)"
    settle(panel)
    model, clean = panel.session.model_a, panel.answers["A", "clean"]
    with lc.parse_intervention("replace(Start, zero)").on(model):
        (expected,) = model.generate(panel.session.prompt, clean.limit, return_details=True)
    changed = panel.answers["A", "changed"]
    assert changed.generation == expected
    assert expected.response_ids != clean.generation.response_ids
    view = panel.views["A"]
    assert view.strips["changed"].layout.display is None
    same = 0
    while expected.response_ids[same] == clean.generation.response_ids[same]:
        same += 1
    verbal = [n for n, slot in enumerate(expected.slots) if slot.group is None]
    assert view.strips["changed"].flagged == verbal[len(expected.prompt_ids) + same]
    assert f"differs from token {same + 1} on" in view.lines["changed"].text
    assert clean.score is not None
    assert f"graded {clean.score.graded:.2f} → " in view.lines["changed"].text
    panel.session.intervention = "none"
    settle(panel)
    assert view.strips["changed"].layout.display == "none"


def test_an_intervention_on_one_side_only_says_so_on_the_other(panel: Playground) -> None:
    answered(panel)
    panel.session.intervention = "drop(Comma) & recount(Start, 1)"
    settle(panel)
    a, b = panel.views["A"], panel.views["B"]
    assert panel.answers["A", "changed"].intervention == panel.session.intervention
    assert panel.answers["B", "changed"].intervention == "recount(Start, 1)"
    assert "drop(Comma) is left out here" in b.note.text
    assert "has no group 'Comma'" in b.note.text
    assert a.note.text == panel.controls.error.text == ""
    panel.session.intervention = "drop(Comma)"
    settle(panel)
    assert b.strips["changed"].layout.display == "none"
    assert "has no group 'Comma'" in b.note.text
    panel.session.intervention = "drop(End)"
    settle(panel)
    assert "has no group 'End'" in panel.controls.error.text


def test_an_intervention_that_changes_nothing_says_so(panel: Playground) -> None:
    answered(panel)
    panel.session.intervention = "drop(Comma, after=90)"
    settle(panel)
    line = panel.views["A"].lines["changed"].text
    assert "the same response" in line
    assert "changed nothing" in line


# --- the session and the examples -----------------------------------------------------------------


def test_examples_are_chosen_by_split_level_and_number(panel: Playground) -> None:
    panel.auto.value = False
    picker, session = panel.picker, panel.session
    picker.level.value = 4
    assert (session.example.split, session.example.level) == ("id", 4)
    first = session.example
    picker.next.click()
    assert (session.example.level, session.example == first) == (4, False)
    picker.previous.click()
    assert session.example == first
    picker.random.click()
    assert session.example.level == 4
    assert session.example != first
    picker.split.value = "ood-8"
    assert session.example.level == 8
    assert picker.level.disabled
    picker.task.value = "summation"
    assert session.task.name == "summation"
    assert picker.prompt.value == session.prompt == session.example.prompt
    session.draw("ood-50")
    assert picker.split.value == "ood-50"
    settle(panel)


def test_the_prompt_is_shown_to_its_end_and_its_level_in_words(panel: Playground) -> None:
    picker = panel.picker
    assert picker.where.text == "id, 1 repeat"
    assert picker.prompt.rows == 2
    panel.session.draw("id", level=4)
    assert picker.where.text == "id, 4 repeats"
    picker.task.value = "summation"
    picker.split.value = "ood-20"
    assert picker.prompt.rows == 4, "99 characters, the question, and the line it begins"
    picker.prompt.value = "x" * 5000
    assert picker.prompt.rows == 6
    settle(panel)


@pytest.mark.parametrize("auto", [True, False])
def test_when_it_is_first_seen_it_answers_by_itself(backbone: Backbone, auto: bool) -> None:
    session = Session(backbone, [lc.LatentModel(backbone, A)])
    session.draw("id", level=1)
    panel = Playground(session)
    panel.auto.value = auto
    settle(panel)
    assert panel.answers == {}, "nobody looks"
    panel.visibility.seen = True
    settle(panel)
    assert bool(panel.answers) is auto


def test_what_changes_while_nobody_looks_is_answered_once_somebody_does(panel: Playground) -> None:
    panel.visibility.seen = False
    panel.session.draw("id", 1)
    settle(panel)
    assert panel.answers == {}
    panel.visibility.seen = True
    settle(panel)
    assert panel.answers["A", "clean"].generation.prompt_ids
    job = panel._job
    panel.visibility.seen = False
    panel.visibility.seen = True
    assert panel._job is job  # nothing has changed since


def test_the_panel_follows_the_session_and_answers_again_only_with_auto(panel: Playground) -> None:
    answered(panel)
    panel.session.adapter_b = NO_LATENTS
    settle(panel)
    assert panel.views["B"].adapter.value == NO_LATENTS
    assert panel.answers["B", "clean"].generation.slots[0].label == "R"
    panel.auto.value = False
    panel.views["B"].adapter.value = A
    settle(panel)
    assert panel.session.adapter_b == A
    assert panel.answers == {}
    assert texts(panel.views["B"].strips["clean"])[:2] == ["Start.0", "Start.1"]
    name = panel.session.add(lc.LatentModel(panel.session.backbone, "End_1"), "late")
    assert name in panel.views["A"].adapter.options


def test_an_adapter_of_another_task_is_named_as_such_on_its_side(backbone: Backbone) -> None:
    session = Session("tiny", ["Comma_2", lc.LatentModel(backbone, B)])
    panel = Playground(session)
    panel.picker.task.value = "summation"
    assert panel.views["A"].trained.text == "Trained on repetition; the prompt is from summation."
    assert panel.views["B"].trained.text == "", "nobody knows what it was trained on"
    session.adapter_b = NO_LATENTS
    panel.picker.task.value = "generation"
    assert session.adapter_a == panel.views["A"].adapter.value == "Comma_2 (generation)"
    assert panel.views["A"].trained.text == ""
    assert "trained on generation: Comma_2 (generation)" in panel.picker.notice.text
    session.adapter_a = "Comma_2"
    assert panel.picker.notice.text == ""
    assert panel.views["A"].trained.text == "Trained on repetition; the prompt is from generation."


# --- one slot -------------------------------------------------------------------------------------


def test_the_chip_of_a_computed_latent_tells_what_it_holds_here(backbone: Backbone) -> None:
    models = [lc.LatentModel(backbone, "Start_1+End_2=mix"), lc.LatentModel(backbone, B)]
    session = Session(backbone, models)
    session.draw("id", level=1)
    panel = Playground(session)
    panel.visibility.seen = True
    answered(panel)
    strip, generation = panel.views["A"].strips["clean"], panel.answers["A", "clean"].generation
    strip.selected = texts(strip).index("End.1")
    settle(panel)
    card = panel.card.card
    held = lc.latent_contents(session.model_a, generation.prompt, generation.text, count=8)
    for name, measure in (("nearest", "cosine"), ("predicted", "probability")):
        wanted = held[(held["label"] == "End.1") & (held["measure"] == measure)]
        assert [token for token, _ in card[name]] == list(wanted["token"])
        assert len(wanted) == 8
    assert any(fact.startswith("computed by mix, norm ") for fact in card["facts"])
    assert len(card["lens"]) == 4
    strip.selected = texts(strip).index("Start.0")
    settle(panel)
    assert panel.card.card["predicted"] == [] and len(panel.card.card["nearest"]) == 8


def test_a_clicked_chip_tells_its_words_length_and_lens(
    panel: Playground, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered(panel)
    calls: list[Any] = []
    lens = work.logit_lens
    monkeypatch.setattr(
        work, "logit_lens", lambda *args, **kw: calls.append(args) or lens(*args, **kw)
    )
    strip = panel.views["A"].strips["clean"]
    strip.selected = 1
    settle(panel)
    model, generation = panel.session.model_a, panel.answers["A", "clean"].generation
    card = panel.card.card
    near = lc.nearest_tokens(model, 8).query("label == 'Start.1'")
    assert [token for token, _ in card["nearest"]] == list(near["token"])
    expected = lens(model, generation.prompt, generation.text, count=5).query("label == 'Start.1'")
    rows = [(layer["layer"], *pair) for layer in card["lens"] for pair in layer["tokens"]]
    assert rows == list(zip(expected.layer, expected.token, expected.probability, strict=True))
    assert "occurrence 1, position id 0" in card["facts"]
    assert card["colour"] == strip.colours["Start"]
    strip.selected = 0
    settle(panel)
    assert panel.card.card["chip"] == "Start.0"
    assert len(calls) == 1
    strip.selected = 2
    assert "token id" in panel.card.card["facts"][1]
    panel.views["B"].strips["clean"].selected = 0
    assert strip.selected == -1
    settle(panel)
    panel.views["B"].strips["clean"].selected = -1
    assert panel.card.card.keys() == {"hint"}


def test_the_card_of_a_changed_slot_is_of_the_changed_run(panel: Playground) -> None:
    answered(panel)
    panel.session.intervention = "recount(Start, 3) & move(Start, 8)"
    settle(panel)
    strip = panel.views["A"].strips["changed"]
    strip.selected = texts(strip).index("8.2")
    settle(panel)
    card = panel.card.card
    assert "uses the vector of Start.0" in card["facts"]
    assert len(card["lens"]) == panel.session.backbone.model.config.num_hidden_layers


# --- exports --------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["scale(Start, 3)", "scale(Start, 3) & patch(Comma, by=mean)"])
def test_the_code_makes_the_same_table(panel: Playground, change: str) -> None:
    panel.session.intervention = change
    answered(panel)
    names: dict[str, Any] = {}
    exec(panel.code(), names)
    assert names["responses"] == {key: answer.generation for key, answer in panel.answers.items()}
    assert names["scores"] == {key: answer.score for key, answer in panel.answers.items()}
    panel.picker.limit.value = 7
    panel.session.prompt = "1+1="
    answered(panel)
    exec(panel.code(), names)
    assert names["responses"] == {key: answer.generation for key, answer in panel.answers.items()}


def test_the_split_is_answered_over_many_examples_with_and_without(panel: Playground) -> None:
    panel.session.intervention = "drop(Comma) & drop(Nowhere)"
    panel.picker.split.value = "ood-6"
    panel.evaluating.count.value = 3
    panel.evaluating.button.click()
    settle(panel)
    a, b = panel.evaluating.found
    assert (a.intervention, b.intervention) == ("drop(Comma)", "none")
    assert a.records["split"].unique().tolist() == ["ood-6"] and len(a.records) == 6
    task, model = panel.session.task, panel.session.model_a
    frame = lc.evaluate_intervention(model, task, "drop(Comma)", "ood-6", 3, progress=False)
    found = lc.paired_difference(frame, "drop(Comma)", "none")
    assert f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}]" in (
        panel.evaluating.children[1].value.replace("-0.00", "+0.00")
    )
    panel.evaluating.propose.click()
    proposal = panel.session.proposal
    assert (proposal.treatment, proposal.split, proposal.side) == ("drop(Comma)", "ood-6", "a")
    assert panel.session.panel == "hypotheses"
    answered(panel)
    table = panel.readable()["Over examples"]
    assert "difference" in table
    code = panel.code()
    code = code[: code.index("session = Session(")] + code[code.index("found = [") :]
    names: dict[str, Any] = {"session": panel.session}
    exec(code, names)
    pd.testing.assert_frame_equal(names["over_examples_table"](names["found"]), table)
    panel.session.adapter_b = NO_LATENTS
    assert panel.evaluating.found == [], "they are of other models"


def test_table_and_picture_have_every_slot_of_both_sides(panel: Playground) -> None:
    panel.session.intervention = "recount(Start, 1)"
    answered(panel)
    table = panel.table()
    assert list(table.groupby(["side", "kind"]).groups) == [
        (side, kind) for side in "AB" for kind in ("changed", "clean")
    ]
    one = table.query("side == 'A' and kind == 'clean'")
    assert list(one["text"]) == [s.label for s in panel.answers["A", "clean"].generation.slots]
    assert set(one.query("part == 'prompt'")["mark"]) == {""}
    assert one["group"].notna().sum() == 2
    (axes,) = panel.picture().axes
    drawn = [text.get_text() for text in axes.texts]
    assert drawn.count("Start.0") == 4
    assert drawn.count("Start.1") == 1
    assert any("graded" in text and "→" in text for text in drawn)


def test_hostile_tokens_are_text_in_every_export() -> None:
    backbone = hostile_backbone()
    session = Session(backbone, [lc.LatentModel(backbone, "Start_1")])
    session.prompt = PROMPT
    panel = Playground(session)
    panel.picker.limit.value = 4
    answered(panel)
    shown = texts(panel.views["A"].strips["clean"])
    assert [text for text in shown if text in map(show_spaces, TOKENS)][: len(TOKENS)] == [
        show_spaces(token) for token in TOKENS
    ]
    assert set(TOKENS) <= set(panel.table()["text"])
    panel.views["A"].strips["clean"].selected = 0
    settle(panel)
    page = as_bytes(panel, "html").decode()
    for harm in ("<img", "<b onmouseover", "</script>", "<svg onload"):
        assert harm not in page
