"""Mean attention is the average of captures, edge by edge; roles are where the text has them."""

import numpy as np
import pandas as pd
import pytest

import latent_core as lc
from latent_core.analysis.mean_attention import DIRECTIONS, attention_masses, mean_attention
from latent_core.errors import SettingError, TaskError

LAYOUT = "Start_1+Comma_2"
TEXT, BACK, AMONG = DIRECTIONS


@pytest.fixture(scope="module")
def model() -> lc.LatentModel:
    return lc.LatentModel("tiny", LAYOUT, seed=3)


@pytest.fixture(scope="module")
def task() -> lc.Task:
    return lc.load_task("summation")


@pytest.fixture(scope="module")
def masses(model: lc.LatentModel, task: lc.Task) -> lc.AttentionMasses:
    return attention_masses(model, task, "id", 3, progress=False)


def slow(record: lc.AttentionRecord, queries: list[int], keys_of: dict[int, list[int]]) -> float:
    """The weight of layer 1, head 2, edge by edge."""
    weights = record.weights[1, 2].numpy()
    sums = [sum(weights[q, record.keys.index(k)] for k in keys_of[q]) for q in queries]
    return float(np.mean(sums))


@pytest.mark.parametrize("role", ["all", "first", "last", "nearest", "asked", "others"])
def test_every_role_is_the_sum_over_its_edges(
    model: lc.LatentModel, task: lc.Task, masses: lc.AttentionMasses, role: str
) -> None:
    found = masses.of(1, 2, "Comma", role, TEXT)
    for example, mass in zip(masses.examples, found, strict=True):
        record = lc.capture_attention(model, example.prompt, example.answer)
        commas = [t for t, slot in enumerate(record.slots) if slot.group == "Comma"]
        number = {t: record.slots[t].occurrence for t in commas}
        entries = example.prompt.split("\n")[0].split(",")
        wanted = [entries.index(e) for e in entries if e[0] in example.prompt.split("\n")[1]]
        in_prompt = [t for t in commas if t < record.prompt_length]
        chosen = {
            "all": commas,
            "nearest": commas,
            "first": [t for t in commas if number[t] == 0],
            "last": [t for t in commas if number[t] == max(number[p] for p in in_prompt)],
            "asked": [t for t in in_prompt if number[t] in wanted],
            "others": [t for t in in_prompt if number[t] not in wanted],
        }[role]
        verbal = [t for t, slot in enumerate(record.slots) if slot.group is None]
        queries = [t for t in verbal if t >= min(chosen)]
        keys = {q: [k for k in chosen if k <= q] for q in queries}
        if role == "nearest":
            keys = {q: [k for k in ks if number[k] == number[ks[-1]]] for q, ks in keys.items()}
        assert mass == pytest.approx(slow(record, queries, keys), abs=1e-6)


def test_the_other_directions_are_those_of_the_record(
    model: lc.LatentModel, masses: lc.AttentionMasses
) -> None:
    example = masses.examples[1]
    record = lc.capture_attention(model, example.prompt, example.answer)
    latents = [t for t, slot in enumerate(record.slots) if slot.group is not None]
    start = {q: [k for k in latents if record.slots[k].group == "Start"] for q in latents}
    among = masses.of(1, 2, "Start", "all", AMONG)[1]
    assert among == pytest.approx(slow(record, latents, start), abs=1e-6)
    firsts = [t for t in latents if record.slots[t][1:3] == ("Comma", 0)]
    onto = record.totals[1, 2].numpy() - record.weights[1, 2].numpy().sum(axis=-1)
    back = masses.of(1, 2, "Comma", "first", BACK)[1]
    assert back == pytest.approx(float(onto[firsts].mean()), abs=1e-6)


@pytest.mark.parametrize("layout", ["Start_2+Comma_1", "Comma_1"])
def test_without_the_first_slot_its_weight_counts_nowhere(task: lc.Task, layout: str) -> None:
    model = lc.LatentModel("tiny", layout, seed=3)
    whole = attention_masses(model, task, "id", 2, progress=False)
    without = attention_masses(model, task, "id", 2, without_first=True, progress=False)
    example = without.examples[1]
    record = lc.capture_attention(model, example.prompt, example.answer, of="all")
    weights = record.weights[1, 2].numpy()
    latents = [t for t, slot in enumerate(record.slots) if slot.group is not None]
    text = [t for t, slot in enumerate(record.slots) if slot.group is None and t > 0]
    commas = [t for t in latents if record.slots[t].group == "Comma"]
    wanted = weights[np.ix_(commas, text)].sum(axis=1).mean()
    assert without.of(1, 2, "Comma", "all", BACK)[1] == pytest.approx(wanted, abs=1e-6)
    for direction in (TEXT, AMONG):
        cell = (1, 2, "Comma", "nearest", direction)
        assert without.of(*cell).tolist() == whole.of(*cell).tolist()
    if "Start" not in layout:
        return
    second = weights[np.ix_(text, [1])].mean()
    assert without.of(1, 2, "Start", "all", TEXT)[1] == pytest.approx(second, abs=1e-6)
    alone = attention_masses(
        lc.LatentModel("tiny", "Start_1+Comma_1"), task, "id", 1, without_first=True, progress=False
    ).cells
    assert set(alone.query("group == 'Start'")["direction"]) == {BACK}


def test_a_group_that_occurs_once_has_one_role(masses: lc.AttentionMasses) -> None:
    start = masses.cells.query("group == 'Start'")
    assert set(start["occurrence_role"]) == {"all"}
    assert set(start["direction"]) == set(DIRECTIONS)


def test_by_group_averages_over_layers_and_heads_before_the_examples(
    masses: lc.AttentionMasses,
) -> None:
    frame = masses.by_group(AMONG)
    assert frame["group"].tolist() == ["Start", "Comma"]
    each = [
        [masses.of(layer, head, "Comma", "all", AMONG) for head in range(4)] for layer in range(4)
    ]
    comma = frame.set_index("group").loc["Comma"]
    per_example = np.mean(each, axis=(0, 1))
    assert comma["mean"] == pytest.approx(per_example.mean())
    half = 4.302652729911275 * per_example.std(ddof=1) / np.sqrt(3)  # Student's t, 2 degrees
    assert comma["high"] - comma["mean"] == pytest.approx(half)
    with pytest.raises(SettingError, match="text -> latent"):
        masses.by_group("text")


def test_the_frame_averages_over_examples_and_has_every_cell_once(
    model: lc.LatentModel, task: lc.Task, masses: lc.AttentionMasses
) -> None:
    frame = mean_attention(model, task, "id", 3, progress=False)
    pd.testing.assert_frame_equal(frame, masses.frame())
    cell = ["layer", "head", "group", "occurrence_role", "direction"]
    assert list(frame) == [*cell, "mean", "low", "high", "examples"]
    assert not frame.duplicated(cell).any()
    row = frame.query("layer == 1 and head == 2 and group == 'Comma'").iloc[0]
    values = masses.of(1, 2, "Comma", row["occurrence_role"], row["direction"])
    assert row["mean"] == pytest.approx(values.mean())
    assert row["low"] < row["mean"] < row["high"] and row["examples"] == 3


def test_two_splits_are_subtracted_where_both_have_the_cell(
    model: lc.LatentModel, task: lc.Task, masses: lc.AttentionMasses
) -> None:
    far = attention_masses(model, task, "ood-20", 2, progress=False)
    gap = far.minus(masses)
    row = gap.iloc[5]
    cell = [row[name] for name in ("layer", "head", "group", "occurrence_role", "direction")]
    assert row["mean"] == pytest.approx(far.of(*cell).mean() - masses.of(*cell).mean())
    assert len(gap) == len(masses.cells) == len(far.cells)


def test_an_intervention_around_it_is_seen(model: lc.LatentModel, task: lc.Task) -> None:
    with lc.parse_intervention("drop(Comma)").on(model):
        frame = mean_attention(model, task, "id", 2, progress=False)
    assert set(frame["group"]) == {"Start"}


def test_other_numbers_of_examples_and_models_without_latents_are_refused(
    model: lc.LatentModel, task: lc.Task
) -> None:
    with pytest.raises(SettingError, match="examples is 0"):
        mean_attention(model, task, "id", 0)
    with pytest.raises(SettingError, match="no latents"):
        mean_attention(lc.build_model(model.backbone, "zero-shot"), task, "id", 1)
    with pytest.raises(TaskError, match="no split 'far'"):
        mean_attention(model, task, "far", 1)
    with pytest.raises(SettingError, match="no cell"):
        attention_masses(model, task, "id", 1, progress=False).of(9, 9, "x", "all", TEXT)
