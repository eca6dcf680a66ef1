"""Latents where the model is not sure: decoding, teacher forcing, and what they cost."""

from pathlib import Path

import pytest
import torch

import latent_core as lc
from latent_core.backbones.backbone import Backbone
from latent_core.bridges.export import export_model
from latent_core.errors import LayoutError, SettingError
from latent_core.generation.decoding import best_of, decoding_passes
from latent_core.interventions.kinds import parse_intervention
from latent_core.models.build import build_model, load_model
from latent_core.models.hesitation import best_probabilities
from latent_core.models.latent import LatentModel
from latent_core.slots.placement import IGNORE
from tests.families import PROMPTS
from tests.models.test_passes import calm, count_passes, made

LAYOUTS = (
    "Unsure[P]_2",
    "Start_1+Unsure[P]_2=hidden",
    "Comma_1=mix+Unsure[P]_1+End_1=hidden(norm)",
    "Unsure[P]_1=fused(0.5, proj=2)+Unsure[Q]_1; positions=sequential",
)


def with_thresholds(backbone: Backbone, layout: str) -> str:
    """A layout with thresholds of which the model is below now and then."""
    plain = LatentModel(backbone, "none")
    found: list[float] = []
    for row in plain.generate(list(PROMPTS), 9, return_details=True):
        batch = plain.batch([plain.place(row.prompt_ids, row.response_ids)])
        found += best_of(plain.logits(batch)[batch.labels != IGNORE])
    few, half = (sorted(found)[len(found) * n // 10] for n in (2, 5))
    return layout.replace("[P]", f"[{half:.4f}]").replace("[Q]", f"[{few:.4f}]")


def hesitant(family: str, layout: str) -> LatentModel:
    backbone = calm(family)
    return made(family, with_thresholds(backbone, layout), backbone)


def unsure(model: LatentModel, row: lc.Generation) -> int:
    """Latents at `Unsure` in what was fed."""
    return sum(bool(slot.group) and slot.group.startswith("Unsure") for slot in row.slots)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("family", ["llama", "mistral", "gemma3", "gpt2"])
def test_decoding_is_each_row_alone_and_as_teacher_forced(family: str, layout: str) -> None:
    model = hesitant(family, layout)
    together = model.generate(list(PROMPTS), 9, return_details=True)
    alone = [model.generate(prompt, 9, return_details=True)[0] for prompt in PROMPTS]
    assert [row.response_ids for row in together] == [row.response_ids for row in alone]
    assert [row.slots for row in together] == [row.slots for row in alone]
    placed = 0
    for row in together:
        slots = model.place(row.prompt_ids, row.response_ids)
        batch = model.batch([slots])
        chosen = model.logits(batch)[batch.labels != IGNORE].argmax(-1)
        assert chosen.tolist() == list(row.response_ids)
        names = [model.layout.groups[s.group].name if s.is_latent else None for s in slots.slots]
        assert names == [slot.group for slot in row.slots]
        placed += unsure(model, row)
        best = best_probabilities(model, row.prompt_ids, row.response_ids)
        passes = decoding_passes(model.placement, row.prompt_ids, row.response_ids, best)
        assert alone[together.index(row)].decode_steps == passes
    assert placed >= 3


def test_they_stand_before_tokens_that_the_slots_so_far_are_not_sure_of() -> None:
    model = hesitant("llama", "Unsure[P]_2=hidden")
    (threshold,) = model.placement.thresholds
    (row,) = model.generate("ab,cd=", 24, return_details=True)
    slots = model.place(row.prompt_ids, row.response_ids).slots
    batch = model.batch([model.place(row.prompt_ids, row.response_ids)])
    probabilities = model.logits(batch)[0].softmax(-1).amax(-1).tolist()
    last = None  # the verbal slot before
    seen = {True: 0, False: 0}
    for place, slot in enumerate(slots):
        if slot.is_latent:
            continue
        if last is not None and slot.verbal_index >= len(row.prompt_ids):
            hesitates = place - last > 1
            assert hesitates == (probabilities[last] < threshold)
            assert place - last in (1, 3)
            seen[hesitates] += 1
        last = place
    assert seen[True] and seen[False]


def test_a_place_costs_a_pass_and_says_so() -> None:
    for layout, each in (("Unsure[P]_2", 1), ("Unsure[P]_2=hidden", 2)):
        model = hesitant("llama", layout)
        (threshold,) = model.placement.thresholds
        rows: list[lc.Generation] = []
        passes = count_passes(
            model, lambda m=model, r=rows: r.extend(m.generate("ab,c", 8, return_details=True))
        )
        places = unsure(model, rows[0]) // 2
        assert places and len(passes) == rows[0].decode_steps
        assert rows[0].decode_steps == len(rows[0].response_ids) + each * places
        found = best_probabilities(model, rows[0].prompt_ids, rows[0].response_ids)
        assert sum(best < threshold for best in found) == places


def test_a_model_that_is_sure_is_the_backbone_and_one_that_never_is_has_one_before_each() -> None:
    backbone = calm("llama")
    plain = LatentModel(backbone, "none").generate(list(PROMPTS), 6)
    assert LatentModel(backbone, "Unsure[1e-9]_2").generate(list(PROMPTS), 6) == plain
    always = LatentModel(backbone, "Unsure[1]_1")
    for row in always.generate(list(PROMPTS), 6, return_details=True):
        assert unsure(always, row) == len(row.response_ids)
        # Nothing is known of a prompt that has no response.
    assert always.insert("ab").num_latents == 0


def test_gradients_reach_them_and_a_run_trains_and_loads(tmp_path: Path) -> None:
    model = build_model("tiny", "Unsure[0.9]_1+Start_1 & lora-r2")
    before = model.trainable_weights()
    result = lc.train(model, "hops", 4, 2, output_dir=tmp_path / "a", progress=False)
    assert 1 < result.occurrences["Unsure[0.9]"] <= 3  # tokens of an answer, with its end
    after = model.trainable_weights()
    assert all(not torch.equal(before[n], after[n]) for n in after if n.startswith("tables"))
    loaded = load_model(tmp_path / "a")
    assert loaded.method == "Unsure[0.9]_1+Start_1 & lora-r2"
    assert loaded.generate("a=7\na?\n", 4) == model.generate("a=7\na?\n", 4)


def test_interventions_and_attention_find_them() -> None:
    model = hesitant("llama", "Start_1+Unsure[P]_1=hidden")
    name = model.layout.groups[1].name
    record = lc.capture_attention(model, "ab,c", max_new_tokens=8, of=name)
    (row,) = model.generate("ab,c", 8, return_details=True)
    assert len(record.keys) == unsure(model, row) > 0
    with parse_intervention(f"drop({name})").on(model):
        dropped = model.generate("ab,c", 8, return_details=True)[0]
    other = LatentModel(model.backbone, "Start_1")
    other.tables.assign({"Start": model.tables.named()["Start"]})
    assert dropped.response_ids == other.generate("ab,c", 8, return_details=True)[0].response_ids
    assert unsure(model, dropped) == 0


@pytest.mark.parametrize("text", ["Unsure[0]_1", "Unsure[1.1]_1", "Unsure[x]_1", "Unsure[nan]_1"])
def test_a_threshold_that_is_no_probability_is_refused(text: str) -> None:
    with pytest.raises(LayoutError, match="expected a probability above 0, and at most 1"):
        LatentModel("tiny", text)


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="cannot use '@verbal'"):
        LatentModel("tiny", "Unsure[0.5]_1@verbal")
    with pytest.raises(SettingError, match="Unsure stands where the model is not sure"):
        export_model(LatentModel("tiny", "Unsure[0.5]_1"), tmp_path / "out")
