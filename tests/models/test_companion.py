"""LoRA and prefixes beside latents: every invariant of both parts, over layouts and families."""

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from torch import Tensor
from torch.nn import functional as F

import latent_core as lc
from latent_core.adapters.digest import saved_digest
from latent_core.adapters.saved import read_latents
from latent_core.backbones.backbone import Backbone
from latent_core.bridges.export import export_model
from latent_core.errors import AdapterError, LayoutError, PromptError, SettingError
from latent_core.interventions.kinds import parse_intervention
from latent_core.models.build import build_model, load_model
from latent_core.models.latent import LatentModel
from latent_core.runs.archive import pack_runs
from latent_core.runs.own_files import delete_run
from latent_core.sharing import model_card
from latent_core.slots.methods import Method
from latent_core.slots.placement import IGNORE
from tests.families import PROMPTS, character_tokenizer, random_model, tiny_backbone
from tests.models.test_passes import EXAMPLES, MIXED, batch_of, calm

LAYOUTS = ("Start_2", "Comma_1+End_1=text(.)", "End_2=hidden", MIXED)
COMPANIONS = ("lora-r3", "prefix-3")
CASES = [(layout, companion, "llama") for layout in LAYOUTS for companion in COMPANIONS]
CASES += [
    (MIXED, companion, family)
    for companion in COMPANIONS
    for family in ("mistral", "gemma", "gemma3", "gpt2", "gpt_neox", "phi")
]
ALL = pytest.mark.parametrize(("layout", "companion", "family"), CASES)
HERE = pytest.mark.parametrize(("layout", "companion"), [case[:2] for case in CASES[:8]])


def both(layout: str, companion: str, backbone: Backbone | str = "llama") -> LatentModel:
    """A model of two parts whose numbers are far from where they started."""
    on = calm(backbone) if isinstance(backbone, str) else backbone
    model = build_model(on, f"{layout} & {companion}", seed=1)
    assert isinstance(model, LatentModel)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight += 0.2 * torch.randn(weight.shape, generator=generator)
    return model


def rewritten(model: LatentModel, example: tuple[str, str]) -> tuple[Tensor, Tensor]:
    """Logits and labels of an example: slot by slot, all from the start, without any cache."""
    batch = model.batch([model.insert(*example)])
    numbers = model.tables.fillers_at(batch.latent_rows)[0].tolist()
    static = model.tables.mix(model.backbone.embed(batch.input_ids), batch.latent_rows)[0]
    inputs: list[Tensor] = []
    states: list[Tensor] = []
    for slot, number in enumerate(numbers):
        filled = model.tables.fillers[number](states[-1][None])[0] if number >= 0 else static[slot]
        inputs.append(filled.to(static.dtype))
        until = slice(0, slot + 1)
        hidden = model.run_slots(
            torch.stack(inputs)[None], batch.attention_mask[:, until], batch.position_ids[:, until]
        )
        states.append(hidden[0, -1])
    labelled = batch.labels[0] != IGNORE
    return model.backbone.logits(torch.stack(states))[labelled], batch.labels[0][labelled]


@ALL
def test_a_batch_is_each_row_alone_and_from_scratch(
    layout: str, companion: str, family: str
) -> None:
    model = both(layout, companion, family)
    batch = batch_of(model)
    with torch.no_grad():
        together = model.logits(batch)
        for row, example in enumerate(EXAMPLES):
            wanted, _ = rewritten(model, example)
            found = together[row][batch.labels[row] != IGNORE]
            torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


@ALL
def test_decoding_is_each_row_alone_and_as_trained(
    layout: str, companion: str, family: str
) -> None:
    model = both(layout, companion, family)
    together = model.generate(list(PROMPTS), 8, return_details=True)
    alone = [model.generate(prompt, 8, return_details=True)[0] for prompt in PROMPTS]
    assert [row.response_ids for row in together] == [row.response_ids for row in alone]
    for row in together:
        batch = model.batch([model.place(row.prompt_ids, row.response_ids)])
        chosen = model.logits(batch)[batch.labels != IGNORE].argmax(-1)
        assert chosen.tolist() == list(row.response_ids)


@ALL
def test_gradients_reach_both_parts_and_are_those_of_an_unrolled_loop(
    layout: str, companion: str, family: str
) -> None:
    model = both(layout, companion, family)
    parts = [rewritten(model, example) for example in EXAMPLES]
    logits, labels = (torch.cat(pieces) for pieces in zip(*parts, strict=True))
    F.cross_entropy(logits.float(), labels).backward()
    wanted = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    model.train()
    model(**batch_of(model).as_dict())["loss"].backward()
    found = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert set(found) == set(wanted) == set(model.trainable_weights())
    assert any(name.startswith("tables") for name in found) == model.layout.trains
    assert any("lora" in name or "prompt_encoder" in name for name in found)
    for name, grad in wanted.items():
        scale = grad.abs().max()
        assert scale > 1e-5, name
        torch.testing.assert_close(found[name] / scale, grad / scale, rtol=1e-3, atol=1e-3)


@HERE
def test_the_backbone_is_left_as_it_was(layout: str, companion: str) -> None:
    backbone = Backbone("mine", random_model("llama"), character_tokenizer())
    weights = {name: weight.clone() for name, weight in backbone.model.state_dict().items()}
    modules = [(name, type(module)) for name, module in backbone.model.named_modules()]
    other = LatentModel(backbone, "Comma_2")
    before = other.generate(list(PROMPTS), 6)
    model = both(layout, companion, backbone)
    model.train()
    optimizer = torch.optim.SGD([w for w in model.parameters() if w.requires_grad], lr=0.5)
    model(**batch_of(model).as_dict())["loss"].backward()
    optimizer.step()
    assert other.generate(list(PROMPTS), 6) == before
    after = backbone.model.state_dict()
    assert all(torch.equal(after[name], weight) for name, weight in weights.items())
    assert [(name, type(module)) for name, module in backbone.model.named_modules()] == modules
    assert not any(w.requires_grad or w.grad is not None for w in backbone.model.parameters())
    shared = {weight.data_ptr() for weight in backbone.model.parameters()}
    assert shared <= {weight.data_ptr() for weight in model.backbone.model.parameters()}


@HERE
def test_saved_and_loaded_bit_by_bit(layout: str, companion: str, tmp_path: Path) -> None:
    model = both(layout, companion, tiny_backbone("llama"))
    model.save_pretrained(tmp_path, task="echo")
    loaded = load_model(tmp_path, tiny_backbone("llama"))
    assert isinstance(loaded, LatentModel) and loaded.method == model.method
    pairs = zip(loaded.trainable_weights().items(), model.trainable_weights().items(), strict=True)
    assert all(a[0] == b[0] and torch.equal(a[1], b[1]) for a, b in pairs)
    assert torch.equal(loaded.logits(batch_of(loaded)), model.logits(batch_of(model)))
    assert json.loads((tmp_path / "baseline.json").read_text())["notes"]["task"] == "echo"
    config, places, tables = read_latents(tmp_path)
    assert str(places) == layout and config.notes["method"] == model.method
    assert set(tables) == set(model.tables.named())


@pytest.mark.parametrize("companion", COMPANIONS)
def test_peft_loads_its_part_from_the_very_folder(companion: str, tmp_path: Path) -> None:
    model = both("Start_1+End_1=hidden", companion, tiny_backbone("llama"))
    model.save_pretrained(tmp_path)
    fresh = PeftModel.from_pretrained(random_model("llama").eval(), tmp_path)
    ids = torch.tensor([model.backbone.encode("ab,cd")])
    with torch.no_grad(), model.detached():
        theirs = fresh(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        ours = model.logits(model.batch([model.insert("ab,cd")]))
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-4)


def test_lora_recomputes_activations_and_a_prefix_refuses_to() -> None:
    plain, again = both(MIXED, "lora-r3"), both(MIXED, "lora-r3")
    again.activation_checkpointing_enable()
    grads = []
    for model in (plain, again):
        model.train()
        model(**batch_of(model).as_dict())["loss"].backward()
        grads.append([w.grad for w in model.parameters() if w.grad is not None])
    assert again.recomputes
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    with pytest.raises(SettingError, match="cannot recompute activations"):
        both("Start_2", "prefix-3").activation_checkpointing_enable()


def test_a_prefix_takes_up_the_window_of_latents_too() -> None:
    model = build_model(tiny_backbone("gpt2"), "End_2 & prefix-3")
    model.insert("a" * 91, "b")
    with pytest.raises(PromptError, match="with 3 virtual tokens before it"):
        model.insert("a" * 92, "b")


# ---- training ----


@pytest.mark.parametrize("companion", COMPANIONS)
@pytest.mark.parametrize("layout", ["Start_2", "End_2=hidden", "Comma_1+End_2=hidden(proj=2)"])
def test_a_run_trains_both_resumes_and_is_loaded(
    layout: str, companion: str, tmp_path: Path
) -> None:
    method = f"{layout} & {companion}"

    def trained(folder: Path, until: int) -> LatentModel:
        for stop in (until, 4):
            model = build_model("tiny", method, seed=3)
            lc.train(
                *(model, "repetition", 4, 2, 3, folder),
                resume=True,
                progress=False,
                on_step=lambda step, loss, stop=stop: step == stop,
                save_steps=1,
            )
        return model

    once, resumed = trained(tmp_path / "a", 4), trained(tmp_path / "b", 2)
    start = build_model("tiny", method, seed=3).trainable_weights()
    for name, weight in once.trainable_weights().items():
        assert torch.equal(weight, resumed.trainable_weights()[name])
        assert not torch.equal(weight, start[name]) or "lora_A" in name or ".down" in name
    loaded = load_model(tmp_path / "b")
    assert loaded.method == method
    again = build_model("tiny", method, seed=3)
    assert lc.train(
        *(again, "repetition", 4, 2, 3, tmp_path / "a"), resume=True, progress=False, save_steps=1
    ).loaded
    for name, weight in once.trainable_weights().items():
        assert torch.equal(weight, loaded.trainable_weights()[name])
        assert torch.equal(weight, again.trainable_weights()[name])


def test_each_part_has_its_learning_rate(tmp_path: Path) -> None:
    start = build_model("tiny", "Start_2 & lora-r2").trainable_weights()

    def moved(**rates: float) -> dict[str, float]:
        """The largest change of a number, by part; Adam's first step is about the rate."""
        model = build_model("tiny", "Start_2 & lora-r2")
        lc.train(model, "repetition", 1, 2, progress=False, warmup_steps=0, **rates)
        changes = {
            n: float((w - start[n]).abs().max()) for n, w in model.trainable_weights().items()
        }
        return {"tables" if n.startswith("tables") else n[-20:]: c for n, c in changes.items()}

    given = moved(learning_rate=0.5, learning_rate_beside=0.03)
    assert given.pop("tables") == pytest.approx(0.5, rel=1e-3)
    assert max(given.values()) == pytest.approx(0.03, rel=1e-3)
    default = moved()
    assert default.pop("tables") == pytest.approx(0.5 * 0.396, rel=0.01)
    assert max(default.values()) == pytest.approx(1e-3, rel=1e-3)


def test_the_one_part_that_trains_takes_the_one_rate(tmp_path: Path) -> None:
    model = build_model("tiny", "End_2=hidden & lora-r2")
    lc.train(model, "repetition", 1, 2, output_dir=tmp_path / "a", progress=False)
    settings = json.loads((tmp_path / "a" / "run.json").read_text())["settings"]
    assert settings["learning_rate"] == 1e-3 and "learning_rate_beside" not in settings
    with pytest.raises(SettingError, match="trains one part alone"):
        lc.train(model, "repetition", 1, 2, progress=False, learning_rate_beside=0.1)


# ---- beside the rest ----


def test_a_run_of_both_is_packed_read_and_deleted_whole(tmp_path: Path) -> None:
    model = build_model("tiny", "Start_1 & lora-r2")
    lc.train(model, "repetition", 1, 2, output_dir=tmp_path / "runs" / "a", progress=False)
    packed = pack_runs(tmp_path / "runs", tmp_path / "packed")
    assert packed.runs == 1 and not packed.left_out
    loaded = load_model(tmp_path / "packed" / "a")
    for name, weight in model.trainable_weights().items():
        assert torch.equal(weight, loaded.trainable_weights()[name])
    assert saved_digest(tmp_path / "packed" / "a") == saved_digest(tmp_path / "runs" / "a")
    (tmp_path / "runs" / "a" / "mine.txt").write_text("a note")
    assert delete_run(tmp_path / "runs" / "a") == ["mine.txt"]


@pytest.mark.parametrize("companion", COMPANIONS)
@pytest.mark.parametrize(
    ("change", "same_as"),
    [("drop(End)", "Start_1"), ("replace(End, Start)", "Start_1+End_1")],
)
def test_interventions_change_the_latents_and_leave_the_companion(
    companion: str, change: str, same_as: str
) -> None:
    backbone = tiny_backbone("llama")
    model, other = both("Start_1+End_1", companion, backbone), both(same_as, companion, backbone)
    kept = model.trainable_weights()
    start = next(weight for name, weight in kept.items() if name.startswith("tables"))
    theirs = {n: kept.get(n, start) for n in other.trainable_weights()}
    other.assign(theirs | {n: start for n in theirs if n.startswith("tables")})
    with parse_intervention(change).on(model):
        found = model.logits(batch_of(model))
    torch.testing.assert_close(found, other.logits(batch_of(other)), rtol=1e-4, atol=1e-4)


def test_looking_inside_works_beside_lora_and_is_refused_beside_a_prefix() -> None:
    model = both("Start_1+Comma_1=hidden", "lora-r3")
    record = lc.capture_attention(model, "ab,c", "1,2", of="all")
    assert record.weights.sum(-1).sub(1).abs().max() < 1e-4
    own = model.logits(batch_of(model))
    with parse_intervention("knock_out(Start)").on(model):
        assert (model.logits(batch_of(model)) - own).abs().max() > 1e-3
    prefixed = both("Start_1+Comma_1", "prefix-3")
    with pytest.raises(SettingError, match="cannot be captured: its prefix has keys"):
        lc.capture_attention(prefixed, "ab,c", "1,2")
    with (
        pytest.raises(SettingError, match="cannot run beside the prefix of Start_1"),
        parse_intervention("knock_out(Start)").on(prefixed),
    ):
        pass


def test_the_wrong_door_says_which_is_right(tmp_path: Path) -> None:
    model = both("Start_1", "lora-r3", tiny_backbone("llama"))
    model.save_pretrained(tmp_path / "both")
    with pytest.raises(AdapterError, match=r"lc\.load_model"):
        LatentModel.from_pretrained(tmp_path / "both", model.backbone)
    with pytest.raises(SettingError, match="lora-r3 changes the backbone"):
        export_model(model, tmp_path / "out")
    other = both("Start_2", "lora-r3", tiny_backbone("llama"))
    with pytest.raises(AdapterError, match="holds Start_1 & lora-r3; expected Start_2 & lora-r3"):
        other.load_weights(tmp_path / "both")
    build_model(tiny_backbone("llama"), "lora-r3").save_pretrained(tmp_path / "lora")
    with pytest.raises(AdapterError, match="holds lora-r3, which has no latents"):
        read_latents(tmp_path / "lora")
    damaged = tmp_path / "both" / "latent_tables.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    with pytest.raises(AdapterError, match=r"latent_tables\.safetensors is damaged"):
        load_model(tmp_path / "both", tiny_backbone("llama"))


def test_the_card_says_what_lies_in_the_folder(tmp_path: Path) -> None:
    both("Start_1", "lora-r3", tiny_backbone("llama")).save_pretrained(tmp_path)
    card = model_card(tmp_path)
    assert "what trained beside them in the backbone: `Start_1 & lora-r3`" in card
    assert "PEFT can load its part of the files" in card and "- latent-tokens" in card


def test_vectors_of_both_can_replace_others(tmp_path: Path) -> None:
    model = both("Start_1", "lora-r3", tiny_backbone("llama"))
    model.save_pretrained(tmp_path)
    vectors = model.tables.named()["Start"]
    alone = LatentModel(tiny_backbone("llama"), "Start_1")
    with parse_intervention(f"replace(Start, adapter:{tmp_path})").on(alone):
        found = alone.logits(batch_of(alone))
    alone.tables.assign({"Start": vectors})
    assert torch.equal(found, alone.logits(batch_of(alone)))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (" Start_2&lora-r08 ", "Start_2 & lora-r8"),
        ("End_6 = hidden & lora", "End_6=hidden & lora-r4"),
        ("Comma_1; tied & prefix-4", "Comma_1; tied & prefix-4"),
        ("8_2 & lora-384p", "8_2 & lora-384p"),
    ],
)
def test_a_method_of_two_parts_has_one_name(text: str, name: str) -> None:
    method = Method.parse(text)
    assert method.name == name and Method.parse(name) == method
    assert method.trained and method.companion is not None
    assert name == f"{method.layout} & {method.companion}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("none & lora-r4", "write lora-r4 alone"),
        ("Start_2 & full", "expected lora-rR or prefix-M"),
        ("Start_2 & pause-2", "pause-2 cannot train beside a layout"),
        ("Start_2 & Comma_2", "expected"),
        ("lora-r4 & Start_2", "expected"),
        ("Start_2 & lora-r4 & prefix-2", "expected"),
        ("Start_2 &", "expected"),
    ],
)
def test_what_cannot_train_beside_a_layout_is_refused(text: str, said: str) -> None:
    with pytest.raises(LayoutError, match=said):
        Method.parse(text)
