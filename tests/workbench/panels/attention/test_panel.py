"""The attention panel without a browser: what it captures, draws, and says, on `tiny`."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest

import latent_core as lc
from latent_core.errors import SettingError
from workbench.panels.attention.controls import ANSWER, DIFFERENCE, OWN
from workbench.panels.attention.measures import DIRECTIONS, MEASURES, Cell
from workbench.panels.attention.panel import AttentionPanel
from workbench.panels.exports import as_bytes
from workbench.pictures.slots import slot_text
from workbench.session import NO_LATENTS, Session

LAYOUT = "Start_1+Comma_1"
TEXT_TO_LATENT, LATENT_TO_TEXT, LATENT_TO_LATENT = DIRECTIONS


@pytest.fixture(scope="module")
def backbone() -> lc.Backbone:
    return lc.load_backbone("tiny")


@pytest.fixture
def panel(backbone: lc.Backbone) -> Iterator[AttentionPanel]:
    """Two adapters of one layout and one of another, untrained; nothing is captured yet."""
    layouts = {"one": LAYOUT, "two": LAYOUT, "three": "Start_2"}
    models = {n: lc.LatentModel(backbone, x, seed=i) for i, (n, x) in enumerate(layouts.items())}
    session = Session(backbone, models)
    session.draw("id", 2)  # three times, so two commas
    made = AttentionPanel(session)
    yield made
    assert made.errors == []


def taken(panel: AttentionPanel) -> AttentionPanel:
    """The panel once its captures are there."""
    if (job := panel.capture()) is not None:
        assert job.wait(60).state == "done", job.details
    return panel


def direct(panel: AttentionPanel, name: str = "one", **options: object) -> lc.AttentionRecord:
    example = panel.session.example
    assert example is not None
    model = panel.session.models[name]
    return lc.capture_attention(model, example.prompt, example.answer, **options)  # type: ignore[arg-type]


# --- when it captures -----------------------------------------------------------------------------


def test_nothing_is_captured_before_anybody_looks(panel: AttentionPanel) -> None:
    assert panel.session.jobs.active == []
    assert "when this panel comes into view" in panel.overview.note
    with pytest.raises(SettingError, match="nothing is captured yet"):
        panel.table()
    panel.chooser.layer.value = 0  # moving a control meanwhile is no error
    panel.visibility._hear(panel.visibility, {"view": "v", "seen": True}, [])
    assert panel._job is not None
    panel._job.wait(60)
    assert panel.heat.shown.values.size
    panel.visibility._hear(panel.visibility, {"view": "v", "seen": False}, [])
    assert not panel.visibility.seen


def test_a_capture_that_was_replaced_takes_nothing_away(backbone: lc.Backbone) -> None:
    """In a notebook, the end of the first job is heard when the cell is done."""

    async def cell() -> AttentionPanel:
        panel = AttentionPanel(Session(backbone, {"one": lc.LatentModel(backbone, LAYOUT)}))
        panel.session.draw("id", 2)
        await asyncio.sleep(0.3)  # the example has been followed
        panel.controls.response.value = OWN  # takes a while
        first = panel.capture()
        assert first is not None
        while panel.status.state != "running":
            await asyncio.sleep(0)
        panel.controls.response.value = ANSWER
        panel.prepare()
        await asyncio.sleep(0.05)
        return panel

    panel = asyncio.run(cell())
    assert panel.heat.shown.values.size, panel.overview.note


def test_it_follows_the_session_and_captures_no_more_than_it_must(panel: AttentionPanel) -> None:
    taken(panel)
    first = panel._find(panel.controls.request("A"))
    assert first is not None and panel._find(panel.controls.request("B")) is None, "B is not shown"
    panel.session.adapter_b = "three"
    assert panel._find(panel.controls.request("A")) is first
    panel.controls.side.value = "B"
    assert "nothing" not in taken(panel).heat.shown.title
    assert panel.heat.shown.title.startswith("B (three)")
    panel.controls.side.value = "A"
    assert panel.capture() is None, "A is still there"
    panel.session.draw("id", 3)
    assert panel._find(panel.controls.request("A")) is None
    assert len(taken(panel).strip.slots) > len(first.maps.record.slots)


def test_what_fails_is_said_where_the_map_would_be(panel: AttentionPanel) -> None:
    panel.session.prompt = "x" * 5000  # beyond tiny's window
    job = panel.capture()
    assert job is not None and job.wait(60).state == "failed"
    assert "No attention captured" in panel.overview.note
    assert panel.status.state == "failed"
    (error,) = panel.errors
    assert "shorten" in str(error)
    panel.errors.clear()


# --- what it draws --------------------------------------------------------------------------------


def test_overview_and_map_are_the_record_s_own_numbers(panel: AttentionPanel) -> None:
    record = direct(taken(panel))
    frame = record.mass().query("source == 'text' and target == 'latent'")
    mass = frame.pivot(index="head", columns="layer", values="mass").to_numpy()
    np.testing.assert_allclose(panel.overview.shown.values, mass, atol=1e-6)
    row, column = np.unravel_index(mass.argmax(), mass.shape)
    assert (panel.chooser.cell.layer, panel.chooser.cell.head) == (column, row), (
        "the strongest head is open"
    )

    panel.overview.selected = [1, 2]  # a click on head 1 of layer 2
    assert panel.chooser.cell == Cell(layer=2, head=1)
    assert (panel.heat.shown.columns.title, panel.heat.shown.rows.title) == ("query", "key"), (
        "the longer across"
    )
    queries = np.flatnonzero(~record.is_latent)
    assert panel.heat.shown.columns.places == queries.tolist()
    assert panel.heat.shown.rows.labels == ["Start.0 #1", "Comma.0 #1", "Comma.0 #2"]
    weights = record.weights[2, 1].numpy()[queries].T
    future = np.array(record.keys)[:, None] > queries[None, :]
    np.testing.assert_allclose(
        panel.heat.shown.values, np.where(future, np.nan, weights), atol=1e-6
    )


def test_every_direction_shows_its_own_edges(panel: AttentionPanel) -> None:
    full = direct(panel, of="all")
    latent = full.is_latent
    for name, (source, target, *_) in DIRECTIONS.items():
        panel.controls.direction.value = name
        taken(panel)
        queries = latent if source == "latent" else ~latent
        keys = latent if target == "latent" else ~latent
        wanted = full.weights.numpy()[:, :, queries][..., keys].sum(-1).mean(-1).T
        np.testing.assert_allclose(panel.overview.shown.values, wanted, atol=1e-6)
        assert panel.heat.shown.values.size == queries.sum() * keys.sum()


def test_one_group_s_edges_are_looked_at_alone(panel: AttentionPanel) -> None:
    full = direct(panel, of="all")
    mine = np.array([slot.group == "Comma" for slot in full.slots])
    panel.controls.latents.value = "Comma"
    for name, (source, target, *_) in DIRECTIONS.items():
        panel.controls.direction.value = name
        taken(panel)
        queries = ~mine & ~full.is_latent if source == "text" else full.is_latent
        queries, keys = (queries, mine) if target == "latent" else (mine, ~full.is_latent)
        wanted = full.weights.numpy()[:, :, queries][..., keys].sum(-1).mean(-1).T
        np.testing.assert_allclose(panel.overview.shown.values, wanted, atol=1e-6)
        assert panel.heat.shown.values.size == queries.sum() * keys.sum()
        assert (
            "Comma" in panel.overview.shown.title
            and "latent → latent" not in panel.overview.shown.title
        )
        assert panel.groups.shown.rows.labels == ["Comma"]
    panel.controls.latents.value, panel.controls.direction.value = "", TEXT_TO_LATENT
    panel.capture()
    job = panel.start_trace()
    assert job is not None and job.wait(60).state == "done", job.details
    effects = panel.effects.shown.values[panel.effects.shown.rows.labels.index("Comma")]
    panel.controls.latents.value = "Comma"
    assert panel.effects.shown.rows.labels == ["Comma"]
    np.testing.assert_array_equal(panel.effects.shown.values[0], effects)
    assert "over 4 cells" in panel.effects.note
    panel.open_strongest()
    best = np.unravel_index(panel.overview.shown.values.argmax(), panel.overview.shown.values.shape)
    assert (panel.chooser.cell.head, panel.chooser.cell.layer) == best

    assert [value for _, value in panel.controls.latents.options] == ["", "Start", "Comma"]
    panel.session.adapter_a = "two"
    assert panel.controls.latents.value == "Comma", "which it has, too"
    panel.session.adapter_a = "three"
    assert panel.controls.latents.value == ""
    assert [value for _, value in panel.controls.latents.options] == ["", "Start"]
    panel.session.adapter_a = "one"
    panel.controls.latents.value = "Comma"
    panel.session.draw("id", level=1)  # one equation, so no comma
    taken(panel)
    assert "places no latents of group Comma" in panel.overview.note


def test_every_measure_is_what_the_core_computes(panel: AttentionPanel) -> None:
    record = direct(panel, of="all", gradient="loss")
    wanted = {
        "raw": record.weights,
        "value-weighted": record.value_weighted(),
        "gradient x attention": record.gradient_weighted(),
    }
    panel.controls.all_slots.value = True
    for name in MEASURES:
        panel.controls.measure.value = name
        taken(panel).chooser.choose(3, 1)
        full = record.rollout()[3] if name == "rollout" else wanted[name][3, 1].numpy()
        shown = panel.heat.shown.values
        assert np.isnan(shown[np.triu_indices(len(shown), 1)]).all(), "no slot looks ahead"
        lower = np.tril_indices(len(shown))
        np.testing.assert_allclose(shown[lower], full[lower], atol=1e-6)
        assert panel.heat.shown.signed == (name == "gradient x attention")
        assert panel.overview.shown.rows.labels == (["all"] if name == "rollout" else list("0123"))


def test_difference_of_two_adapters_of_one_layout(panel: AttentionPanel) -> None:
    panel.controls.side.value = DIFFERENCE
    taken(panel).chooser.choose(1, 2)
    a, b = (direct(panel, name).weights[1, 2].numpy() for name in ("one", "two"))
    queries = panel.heat.shown.columns.places
    there = ~np.isnan(panel.heat.shown.values)
    np.testing.assert_allclose(panel.heat.shown.values[there], (a - b)[queries].T[there], atol=1e-6)
    assert panel.heat.shown.low == -panel.heat.shown.largest < 0
    assert "Choose A or B" in panel.groups.note


def test_difference_of_two_layouts_is_not_made_up(panel: AttentionPanel) -> None:
    panel.session.adapter_b = "three"
    panel.controls.side.value = DIFFERENCE
    taken(panel)
    assert panel.heat.shown.values.size == 0
    assert f"A places {LAYOUT}, B Start_2" in panel.heat.note
    assert panel.overview.shown.values.size, "a head's whole mass can still be compared"
    assert set(panel.table()["view"]) == {"overview"}


def test_no_latents_say_what_to_do_and_all_slots_does_it(panel: AttentionPanel) -> None:
    panel.session.adapter_a = NO_LATENTS
    taken(panel)
    assert "tick 'Show all slots'" in panel.overview.note
    assert panel.heat.note == "", "once is enough"
    panel.controls.all_slots.value = True
    taken(panel)
    record = direct(panel, NO_LATENTS, of="all")
    assert panel.heat.shown.values.shape == (len(record.slots),) * 2
    assert panel.code() and panel.picture() and len(panel.table())
    panel.controls.all_slots.value = False
    panel.session.adapter_a = "one"
    mass = taken(panel).overview.shown.values
    best = np.unravel_index(mass.argmax(), mass.shape)
    assert (panel.chooser.cell.head, panel.chooser.cell.layer) == best, (
        "the first that there is to open"
    )


# --- whose response, and what was done to it ------------------------------------------------------


def test_a_typed_prompt_is_answered_by_the_model_itself(panel: AttentionPanel) -> None:
    assert panel.controls.response.value == ANSWER and not panel.controls.response.disabled
    panel.session.prompt = "1+1="
    assert panel.controls.response.disabled
    taken(panel)
    (own,) = panel.session.model_a.generate("1+1=", max_new_tokens=128, return_details=True)
    assert [slot["text"] for slot in panel.strip.slots] == [slot_text(slot) for slot in own.slots]


def test_its_own_response_is_written_once(panel: AttentionPanel) -> None:
    panel.controls.response.value = OWN
    taken(panel)
    first = panel._find(panel.controls.request("A"))
    panel.controls.all_slots.value = True
    taken(panel)
    second = panel._find(panel.controls.request("A"))
    assert first is not None and second is not None
    assert first.response_ids == second.response_ids
    assert first.maps.record.slots == second.maps.record.slots


def test_states_of_other_examples_are_left_out_and_the_rest_acts(panel: AttentionPanel) -> None:
    panel.session.intervention = "scale(Start, 2) & patch(Comma, by=mean)"
    panel.controls.intervene.value = True
    taken(panel)
    assert "with scale(Start, 2)" in panel.heat.shown.title
    assert "patch(Comma, by=mean) is left out here: attention is of one" in panel.overview.note


def test_the_intervention_acts_only_where_it_is_switched_on(panel: AttentionPanel) -> None:
    assert panel.controls.intervene.disabled
    taken(panel)
    panel.session.intervention = "drop(Comma) & drop(Nowhere)"
    assert panel.capture() is None, "not switched on"
    panel.controls.intervene.value = True
    taken(panel)
    assert panel.heat.shown.rows.labels == ["Start.0 #1"]
    assert "with drop(Comma)" in panel.heat.shown.title
    assert "drop(Nowhere) is left out here" in panel.overview.note
    names: dict = {}
    exec(panel.code(), names)
    assert names["shown"].shape == panel.heat.shown.values.T.shape


@pytest.mark.parametrize("response", [ANSWER, OWN])
def test_the_clean_run_is_subtracted_slot_by_slot_and_token_by_token(
    panel: AttentionPanel, response: str
) -> None:
    controls, session, change = panel.controls, panel.session, "drop(Comma, after=1)"
    assert controls.minus_clean.disabled
    controls.response.value = response
    session.intervention = change
    controls.intervene.value = True
    assert not controls.minus_clean.disabled
    controls.minus_clean.value = True
    taken(panel)
    model, example = session.model_a, session.example
    assert example is not None
    answer = tuple(model.backbone.encode_response(example.answer))
    if response == OWN:  # both runs read what the clean one writes
        (own,) = model.generate(session.prompt, max_new_tokens=128, return_details=True)
        answer = own.response_ids
    clean = lc.capture_attention(model, session.prompt, answer, "latents")
    before = lc.token_probabilities(model, session.prompt, answer)["log_probability"]
    with lc.parse_intervention(change).on(model):
        changed = lc.capture_attention(model, session.prompt, answer, "latents")
        after = lc.token_probabilities(model, session.prompt, answer)["log_probability"]
    assert response == OWN or len(changed.slots) < len(clean.slots)
    names = [slot._replace(position_id=0) for slot in changed.slots]
    common = [n for n, s in enumerate(clean.slots) if s._replace(position_id=0) in names]
    columns = [m for m, key in enumerate(clean.keys) if key in common]
    layer, head = panel.chooser.cell
    wanted = changed.weights[layer, head] - clean.weights[layer, head][common][:, columns]
    verbal = [t for t, slot in enumerate(changed.slots) if slot.group is None]
    heat = panel.heat.shown
    values = heat.values if heat.rows.title == "query" else heat.values.T
    np.testing.assert_allclose(np.nan_to_num(values), wanted[verbal].numpy(), atol=1e-6)
    assert f"{change} - clean" in heat.title and heat.signed
    written = [slot["chance"] for slot in panel.strip.slots if slot["chance"]]
    assert [float(text) for text in written] == pytest.approx((after - before).tolist(), abs=0.051)
    assert "clean" in panel.strip.slots[-1]["words"]
    found: dict = {}
    exec(panel.code(), found)
    np.testing.assert_allclose(found["shown"], values, atol=1e-6)
    assert found["change"].tolist() == pytest.approx((after - before).tolist(), abs=1e-5)


# --- pointing -------------------------------------------------------------------------------------


def test_map_and_strip_point_at_one_another(panel: AttentionPanel) -> None:
    taken(panel)
    panel.heat.hovered = [1, 4]
    assert panel.strip.hovered == panel.heat.shown.columns.places[4]
    assert panel.heat.highlight == [-1, -1], "what is pointed at needs no other mark"
    panel.heat.hovered = [-1, -1]
    assert panel.strip.hovered == -1
    panel.strip.hovered = panel.heat.shown.rows.places[1]  # a latent: a key, but no query here
    assert panel.heat.highlight == [1, -1]
    panel.strip.hovered = panel.heat.shown.columns.places[3]
    assert panel.heat.highlight == [-1, 3]


# --- the causal effect ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("direction", "options"),
    [
        (TEXT_TO_LATENT, {"queries": "verbal", "groups": ["Comma"]}),
        (LATENT_TO_LATENT, {"queries": "latents", "groups": ["Comma"]}),
        (LATENT_TO_TEXT, {"queries": "Comma", "groups": ["verbal"]}),
    ],
)
def test_the_effect_is_that_of_the_same_edges(
    panel: AttentionPanel, direction: str, options: dict
) -> None:
    panel.controls.direction.value = direction
    taken(panel)
    job = panel.start_trace()
    assert job is not None and job.wait(60).state == "done", job.details
    wanted = lc.trace(panel.session.model_a, panel.session.example, progress=False, **options)
    row = panel.effects.shown.rows.labels.index("Comma")
    np.testing.assert_allclose(panel.effects.shown.values[row], wanted["effect"], atol=1e-4)
    assert panel.effects.shown.columns.labels == panel.groups.shown.columns.labels
    assert "not a test" in panel.effects.note
    assert set(panel.table()["view"]) == {"overview", "map", "effect"}
    panel.controls.measure.value = "value-weighted"
    assert panel.effects.shown.values.size, "another measure of the same edges leaves their effect"
    panel.session.draw("id", 3)
    taken(panel)
    assert panel.effects.shown.values.size == 0, "another example has another effect"


def test_the_correlation_is_the_core_s(panel: AttentionPanel) -> None:
    taken(panel)
    job = panel.start_trace()
    assert job is not None and job.wait(60).state == "done"
    effects = lc.trace(panel.session.model_a, panel.session.example, queries="verbal")
    rho = lc.attention_against_effect(direct(panel).by_group(), effects).rho
    assert f"{rho:+.2f} over 8 cells" in panel.effects.note


@pytest.mark.parametrize("group", ["", "Comma"])
@pytest.mark.parametrize("direction", [TEXT_TO_LATENT, LATENT_TO_LATENT, LATENT_TO_TEXT])
def test_the_code_gives_the_correlation_that_the_panel_shows(
    panel: AttentionPanel, direction: str, group: str
) -> None:
    panel.session.models = {
        name: lc.LatentModel(panel.session.backbone, model.layout)
        for name, model in panel.session.models.items()
    }
    panel.controls.direction.value, panel.controls.latents.value = direction, group
    taken(panel)
    job = panel.start_trace()
    assert job is not None and job.wait(60).state == "done", job.details
    names: dict = {}
    exec(panel.code(), names)
    agreement = names["agreement"]
    assert f"{agreement.rho:+.2f} over {agreement.edges} cells" in panel.effects.note
    shown = panel.view().of_group(panel.view().effects)
    np.testing.assert_allclose(names["effects"]["effect"], shown["effect"], atol=1e-4)


def test_cells_below_the_noise_floor_are_grey_and_counted(panel: AttentionPanel) -> None:
    taken(panel)
    (one,) = panel._found()
    frame = lc.trace(panel.session.model_a, panel.session.example, progress=False)
    noisy = frame.assign(noise=float(frame["effect"].abs().median()))
    direction = panel.controls.direction.value
    panel._captures.keep_effects(one.request, direction, noisy)
    panel._draw()
    assert panel.effects.map["floor"] == pytest.approx(noisy["noise"].max())
    below = int((noisy["effect"].abs() < noisy["noise"]).sum())
    assert f"{below} of {len(noisy)} cells are grey: their effect is below the noise floor" in (
        panel.effects.note
    )
    assert panel.picture()


# --- exports --------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", ["", "Comma"])
@pytest.mark.parametrize(
    ("measure", "side"), [*zip(MEASURES, ["A", "B", "A", "B"], strict=True), ("raw", DIFFERENCE)]
)
def test_the_code_makes_what_is_shown(
    panel: AttentionPanel, measure: str, side: str, group: str
) -> None:
    panel.session.models = {
        name: lc.LatentModel(panel.session.backbone, model.layout)
        for name, model in panel.session.models.items()
    }  # as the code makes them, which cannot know the vectors of a model that is in no file
    panel.controls.side.value, panel.controls.measure.value, panel.controls.latents.value = (
        side,
        measure,
        group,
    )
    panel.controls.direction.value = TEXT_TO_LATENT if side == "B" else LATENT_TO_TEXT
    taken(panel).chooser.choose(1, 3)
    names: dict = {}
    exec(panel.code(), names)
    shown, values = panel.heat.shown.values, np.asarray(names["shown"])
    shown = shown if shown.shape == values.shape else shown.T  # the longer side lies across
    there = ~np.isnan(shown)
    np.testing.assert_allclose(values[there], shown[there], atol=1e-6)


def test_table_and_files_hold_what_is_drawn(panel: AttentionPanel) -> None:
    taken(panel)
    frame = panel.table().query("view == 'map'")
    np.testing.assert_allclose(
        np.sort(frame["value"]),
        np.sort(panel.heat.shown.values[~np.isnan(panel.heat.shown.values)]),
    )
    assert set(frame["layer"]) == {str(panel.chooser.cell.layer)}
    assert (frame["key"] <= frame["query"]).all()
    page = as_bytes(panel, "html").decode()
    assert "Comma.0 #2" in page


def test_only_the_open_map_travels(panel: AttentionPanel) -> None:
    panel.controls.all_slots.value = True
    taken(panel)
    slots = len(panel.strip.slots)
    assert len(panel.heat.map["values"]) == 4 * slots**2
    assert len(panel.overview.map["values"]) == 4 * 16
