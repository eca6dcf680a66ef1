"""Latents take hidden states of other examples, of their mean, of noise, of another occurrence."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor

import latent_core as lc
from latent_core.backbones.layers import decoder_layers, hidden_output
from latent_core.errors import SettingError
from latent_core.interventions.borrowing import EXAMPLES
from latent_core.slots.placement import Slots
from latent_core.tasks.donors import answering, donor_of, other_examples
from tests.families import talking_backbone

LAYER = 1
TASK = lc.load_task("lookup")


@pytest.fixture(scope="module")
def model() -> lc.LatentModel:
    """Untrained latents, large enough that what they hold depends on the text."""
    found = lc.LatentModel(lc.load_backbone("tiny"), "Start_1+Comma_2", seed=0)
    sizes = {name: vectors.shape for name, vectors in found.tables.named().items()}
    drawn = torch.Generator().manual_seed(4)  # whatever tests ran before
    found.tables.assign(
        {name: 3 * torch.randn(size, generator=drawn) for name, size in sizes.items()}
    )
    return found


@contextmanager
def recorded(model: lc.LatentModel, layer: int) -> Iterator[list[Tensor]]:
    """Hidden states (B, T, D) after a layer, of every pass; earlier hooks have acted."""
    seen: list[Tensor] = []
    hook = decoder_layers(model.backbone)[layer].register_forward_hook(
        lambda module, args, output: seen.append(hidden_output(output))
    )
    try:
        yield seen
    finally:
        hook.remove()


def states_of(model: lc.LatentModel, slots: list[Slots]) -> Tensor:
    """States after the layer in the last pass, which is the main run's."""
    with recorded(model, LAYER) as seen, torch.no_grad():
        model.logits(model.batch(slots))
    return seen[-1]


def insert(model: lc.LatentModel, example: lc.Example) -> Slots:
    backbone = model.backbone
    return model.placement.insert(
        backbone.encode(example.prompt), backbone.encode_response(example.answer)
    )


def by_name(slots: Slots, states: Tensor) -> dict[tuple[int, int, int], Tensor]:
    return {
        (slot.group, slot.member, slot.occurrence): states[place]
        for place, slot in enumerate(slots.slots)
        if slot.is_latent
    }


def test_each_row_takes_the_states_of_its_own_donor(model: lc.LatentModel) -> None:
    examples = TASK.examples("id", 3, seed=1)
    clean = [insert(model, donor_of(TASK, example, 4)) for example in examples]
    theirs = [by_name(one, states_of(model, [one])[0]) for one in clean]
    with (
        answering(TASK, examples),
        lc.parse_intervention(f"patch(Comma, {LAYER}, by=example, seed=4)").on(model),
    ):
        ours = [insert(model, example) for example in examples]
        states = states_of(model, ours)
    taken = 0
    for row, slots in enumerate(ours):
        for name, state in by_name(slots, states[row]).items():
            if name[0] == 1 and name in theirs[row]:
                assert torch.allclose(state, theirs[row][name], atol=1e-4)
                taken += 1
    assert taken >= 2 * (3 + 4 + 5 - 3), "a list has a comma after every variable but the last"


@pytest.mark.parametrize("text", ["by=example", "by=mean", "by=noise", "by=previous"])
def test_responses_do_not_depend_on_the_batch(text: str, model: lc.LatentModel) -> None:
    with lc.parse_intervention(f"patch(Comma, {text})").on(model):
        frames = [
            lc.evaluate(model, TASK, ["id", "ood-20"], 5, batch_size=size, progress=False)
            for size in (1, 3, 32)
        ]
    plain = lc.evaluate(model, TASK, ["id", "ood-20"], 5, progress=False)
    assert frames[0]["response"].tolist() == frames[1]["response"].tolist()
    assert frames[0]["response"].tolist() == frames[2]["response"].tolist()
    differs = frames[0]["response"].tolist() != plain["response"].tolist()
    assert differs or text == "by=previous", "untrained latents at commas are much alike"


def test_a_mean_is_that_of_the_examples_one_by_one(model: lc.LatentModel) -> None:
    (example,) = TASK.examples("ood-20", 1, seed=1)
    sums: dict[tuple[int, int, int], list[Tensor]] = {}
    for other in other_examples(TASK, "ood-20", EXAMPLES, 1):
        slots = insert(model, other)
        for name, state in by_name(slots, states_of(model, [slots])[0]).items():
            sums.setdefault(name, []).append(state)
    change = lc.parse_intervention(f"patch(Comma, {LAYER}, by=mean)")
    with answering(TASK, [example]), change.on(model):
        slots = insert(model, example)
        found = by_name(slots, states_of(model, [slots])[0])
    commas = [name for name in found if name[0] == 1]
    assert len(commas) >= 2 * 19
    for name in commas:
        assert torch.allclose(found[name], torch.stack(sums[name]).mean(dim=0), atol=1e-4)


def test_noise_keeps_the_length_and_nothing_else(model: lc.LatentModel) -> None:
    slots = model.insert("a,b,c,")
    with lc.parse_intervention(f"patch(latents, {LAYER}, by=noise)").on(model):
        noisy = model.insert("a,b,c,")
        changed = by_name(noisy, states_of(model, [noisy])[0])
    clean = by_name(slots, states_of(model, [slots])[0])
    assert clean.keys() == changed.keys() and len(clean) == 7
    for name, state in changed.items():
        assert state.norm().item() == pytest.approx(clean[name].norm().item(), rel=1e-4)
        assert abs(torch.cosine_similarity(state, clean[name], dim=0).item()) < 0.5


def test_previous_is_the_occurrence_before_and_the_first_stays(model: lc.LatentModel) -> None:
    clean = model.insert("a,b,c,")
    theirs = by_name(clean, states_of(model, [clean])[0])
    with lc.parse_intervention(f"patch(Comma, {LAYER}, by=previous)").on(model):
        slots = model.insert("a,b,c,")
        ours = by_name(slots, states_of(model, [slots])[0])
    for (group, member, occurrence), state in ours.items():
        before = (group, member, max(0, occurrence - (group == 1)))
        assert torch.allclose(state, theirs[before], atol=1e-4)
    assert not torch.allclose(ours[1, 0, 2], theirs[1, 0, 2], atol=1e-2)


def test_a_text_that_is_no_example_is_refused(model: lc.LatentModel) -> None:
    with (
        pytest.raises(SettingError, match=r"by=mean\) needs other examples .* lc.evaluate"),
        lc.parse_intervention("patch(Comma, by=mean)").on(model),
    ):
        model.generate("a,b,c", max_new_tokens=1)


def test_another_number_of_texts_than_examples_is_refused(model: lc.LatentModel) -> None:
    with (
        pytest.raises(SettingError, match="met 2 texts while 1 examples are answered"),
        answering(TASK, TASK.examples("id", 1, seed=1)),
        lc.parse_intervention("patch(Comma, by=example)").on(model),
    ):
        model.generate(["a,b,c", "a,b"], max_new_tokens=1)


def test_a_mean_is_over_one_split(model: lc.LatentModel) -> None:
    examples = [TASK.examples(split, 1, seed=1)[0] for split in ("id", "ood-20")]
    with (
        pytest.raises(SettingError, match="examples of id and ood-20 in one batch"),
        answering(TASK, examples),
        lc.parse_intervention("patch(Comma, by=mean)").on(model),
    ):
        model.generate([example.prompt for example in examples], max_new_tokens=1)


@pytest.mark.parametrize("shots", [0, 2])
def test_donors_read_as_many_solved_examples(
    shots: int, model: lc.LatentModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else their latents would stand elsewhere, and fewer of them."""
    encoded: list[str] = []
    encode: Callable[..., list[int]] = type(model.backbone).encode

    def spy(backbone: lc.Backbone, text: str) -> list[int]:
        encoded.append(text)
        return encode(backbone, text)

    monkeypatch.setattr(type(model.backbone), "encode", spy)
    with lc.parse_intervention("patch(Comma, by=example)").on(model):
        lc.evaluate(model, TASK, "id", 1, shots=shots, progress=False)
    (example,) = TASK.examples("id", 1, seed=1)
    donor = donor_of(TASK, example)
    front = TASK.few_shot(donor, shots, 1)
    assert front in encoded and front.count("\n\n") >= shots


@pytest.mark.parametrize("by", ["by=example", "by=mean", 'prompt="a,b"'])
def test_places_that_the_model_finds_as_it_answers_have_no_counterparts(by: str) -> None:
    """A text that is given has none of them, so nothing would change, and that would look sound."""
    model = lc.LatentModel("tiny", "Start_1+Unsure[0.9]_1")
    with (
        pytest.raises(SettingError, match=r"where Unsure\[0.9\] stands.*or by=noise"),
        lc.parse_intervention(f"patch(latents, {by})").on(model),
    ):
        pass


def test_a_donor_of_a_conversation_ends_as_its_turns_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = talking_backbone()
    model = lc.LatentModel(backbone, "End_1")
    lines = [
        {"messages": [{"role": "user", "content": asked}], "answer": answer, "split": "id"}
        for asked, answer in (("a,b", "c"), ("b,a", "d"), ("c,a", "a"))
    ]
    (tmp_path / "talks.jsonl").write_text("\n".join(map(json.dumps, lines)))
    task = lc.load_task(str(tmp_path / "talks.jsonl"))
    ended: list[list[int]] = []
    encode = type(backbone).encode_response

    def spy(own: lc.Backbone, *given: object, **named: object) -> list[int]:
        ended.append(encode(own, *given, **named))  # type: ignore[arg-type]
        return ended[-1]

    (example,) = task.examples("id", 1, seed=1)
    closing = backbone.encode_response(example.answer, True, example.prompt)[-1]
    assert closing != backbone.encode_response(example.answer)[-1]
    monkeypatch.setattr(type(backbone), "encode_response", spy)
    change = lc.parse_intervention("patch(End, by=example)")
    with answering(task, [example]), change.on(model):
        model.generate([example.prompt], max_new_tokens=1)
    assert ended and all(ids[-1] == closing for ids in ended)
