"""Which models are taken and why others are not; triggers in several vocabularies, and in text."""

import dataclasses
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import transformers as hf
from huggingface_hub.errors import HTTPError
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch._subclasses import FakeTensorMode
from transformers import PreTrainedTokenizerFast

from latent_core.backbones.backbone import Backbone
from latent_core.backbones.known import BACKBONES
from latent_core.backbones.loading import load_backbone
from latent_core.errors import BackboneError, LayoutError, PromptError
from latent_core.models.latent import LatentModel
from latent_core.slots.layout import LatentLayout
from tests.families import (
    EOS,
    FAMILIES,
    PROMPTS,
    VOCABULARY,
    character_tokenizer,
    random_model,
    tiny_backbone,
)

# ---- which models are taken ----


@pytest.mark.parametrize("family", FAMILIES)
def test_the_head_on_single_slots_gives_the_models_own_logits(family: str) -> None:
    backbone = tiny_backbone(family)
    ids = torch.tensor([[5, 9, 3, 14, 7, 2]])
    mask = torch.ones_like(ids)
    positions = torch.tensor([[0, 1, 1, 2, 3, 3]])
    with torch.no_grad():
        own = backbone.model(input_ids=ids, attention_mask=mask, position_ids=positions).logits
        hidden = backbone.hidden_states(backbone.embed(ids), mask, positions)
        ours = backbone.logits(hidden[:, [1, 4]])
    assert own.std() > 0.1  # else everything would be close
    torch.testing.assert_close(ours, own[:, [1, 4]], rtol=1e-5, atol=1e-5)


def test_a_cap_on_logits_is_applied() -> None:
    hidden = torch.randn(4, 32, generator=torch.Generator().manual_seed(0)) * 50
    assert tiny_backbone("gemma2").logits(hidden).abs().max() <= 3.0
    assert tiny_backbone("gemma3").logits(hidden).abs().max() > 3.0


def test_what_other_devices_compute_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers and head may lie on other GPUs; these here are make-believe."""
    backbone = Backbone("llama", random_model("llama"), character_tokenizer())

    def far(**slots: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(last_hidden_state=slots["inputs_embeds"].to("cuda:1"))

    monkeypatch.setattr(Backbone, "trunk", property(lambda self: far))
    monkeypatch.setattr(
        backbone.model, "get_output_embeddings", lambda: lambda hidden: hidden.to("cuda:1")
    )
    with FakeTensorMode():
        embeds, mask = torch.zeros(2, 3, 32, device="cuda:0"), torch.ones(2, 3, device="cuda:0")
        assert far(inputs_embeds=embeds).last_hidden_state.device.index == 1
        hidden = backbone.hidden_states(embeds, mask, mask.long())
        assert hidden.device == backbone.logits(hidden).device == embeds.device


@pytest.mark.parametrize("family", FAMILIES)
def test_which_families_count_slots(family: str) -> None:
    windowed = {"mistral", "gemma3", "gemma2", "gpt_neo", "gpt_oss", "olmo3", "cohere2"}
    assert tiny_backbone(family).has_sliding_window == (family in windowed)


def test_a_backbone_is_frozen_and_in_evaluation_mode() -> None:
    model = random_model("gpt2").train()
    backbone = Backbone("gpt2", model, character_tokenizer())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not any(module.training for module in model.modules())
    with pytest.raises(dataclasses.FrozenInstanceError):
        backbone.name = "other"


# ---- loading ----


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A llama with its tokenizer in a folder."""
    folder = tmp_path_factory.mktemp("saved") / "llama"
    tiny_backbone("llama").model.save_pretrained(folder)
    tiny_backbone("llama").tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def test_a_directory_is_a_backbone(saved: Path) -> None:
    loaded, kept = load_backbone(saved), tiny_backbone("llama")
    assert loaded.name == str(saved)
    assert loaded.fingerprint == kept.fingerprint
    assert loaded.context_length == 96
    assert (loaded.hidden_size, loaded.vocabulary_size) == (32, VOCABULARY)
    ours, theirs = (LatentModel(b, "Start_2+Comma_1", seed=4) for b in (loaded, kept))
    assert ours.generate(PROMPTS, 9) == theirs.generate(PROMPTS, 9)


def test_a_backbone_passes_through() -> None:
    backbone = tiny_backbone("llama")
    assert load_backbone(backbone) is backbone


def test_precision_on_request(saved: Path) -> None:
    loaded = load_backbone(saved, dtype="bfloat16")
    assert loaded.dtype == torch.bfloat16
    assert loaded.fingerprint == tiny_backbone("llama").fingerprint


@pytest.mark.parametrize(
    ("fast", "dtype"), [(True, torch.bfloat16), (False, torch.float32)], ids=["fast", "slow"]
)
def test_bf16_is_kept_where_the_processor_has_it(copy: Path, monkeypatch, fast, dtype) -> None:
    load_backbone(copy, dtype="bfloat16").model.save_pretrained(copy)
    capabilities = {"architecture": "x86_64", "avx512_bf16": fast, "amx_bf16": False}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert load_backbone(copy, device="cpu").dtype == dtype


def test_a_name_that_leads_nowhere_lists_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"cannot load backbone .*tiny, smollm2-135m"):
        load_backbone(tmp_path / "nothing")
    with pytest.raises(BackboneError, match="cannot load backbone 'no-such/model'"):
        load_backbone("no-such/model")


@pytest.mark.parametrize(("name", "meant"), [("smolm2", "smollm2-135m"), ("Tiny", "tiny")])
def test_a_misspelt_short_name_is_refused_without_asking_the_hub(monkeypatch, name, meant) -> None:
    monkeypatch.setattr("latent_core.backbones.loading.snapshot_download", None)
    hint = f"cannot load backbone '{name}'; did you mean '{meant}'"
    with pytest.raises(BackboneError, match=re.escape(hint)):
        load_backbone(name)


@pytest.mark.parametrize("error", [HTTPError("no route"), OSError("no\nroute")])
def test_a_hub_out_of_reach_is_one_sentence_without_its_clients_frames(monkeypatch, error) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("latent_core.backbones.loading.snapshot_download", refuse)
    for name in ("owner/tiny", "gpt2"):
        with pytest.raises(BackboneError, match=r"that can be reached; no route$") as raised:
            load_backbone(name)
        assert raised.value.__suppress_context__


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_damaged_file_is_one_clear_error(copy: Path, name: str) -> None:
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(BackboneError, match="cannot load backbone"):
        load_backbone(copy)


def test_code_of_a_checkpoint_does_not_run_unasked(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Config"}}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "own.py").write_text("raise SystemExit('the code of the checkpoint ran')")
    with pytest.raises(BackboneError, match="trust_remote_code"):
        load_backbone(copy)


def test_short_names_are_known() -> None:
    assert list(BACKBONES) == ["tiny", "smollm2-135m"]


# ---- fingerprints ----


def test_a_fingerprint_tells_weights_apart() -> None:
    base = tiny_backbone("llama")
    same = Backbone("again", random_model("llama"), character_tokenizer())
    other = Backbone("other", random_model("llama", seed=1), character_tokenizer())
    smaller = Backbone("smaller", random_model("llama", vocab_size=33), character_tokenizer())
    assert same.fingerprint == base.fingerprint
    assert len({b.fingerprint for b in (base, other, smaller)}) == 3


def test_a_fingerprint_does_not_hang_on_precision() -> None:
    model = random_model("llama").to(torch.bfloat16)
    low = Backbone("low", model, character_tokenizer()).fingerprint
    high = Backbone("high", model.float(), character_tokenizer()).fingerprint
    assert low == high


# ---- text and ids ----


def test_a_prompt_has_a_beginning_and_an_end() -> None:
    backbone = tiny_backbone("llama")
    assert backbone.encode("ab,") == [2, 3, 28]
    with pytest.raises(PromptError, match="the prompt is empty"):
        backbone.encode("")
    assert len(backbone.encode("a" * 95)) == 95
    with pytest.raises(PromptError, match=r"has 96 tokens, but llama has a context window of 96"):
        backbone.encode("a" * 96)


def test_a_response_ends_in_the_end_of_sequence_token_if_it_ends() -> None:
    backbone = tiny_backbone("llama")
    assert backbone.encode_response("1,2") == [19, 28, 20, EOS]
    assert backbone.encode_response("1,2", end=False) == [19, 28, 20]
    assert backbone.decode([19, 28, 20, EOS]) == "1,2"


def test_every_end_of_sequence_token_of_model_and_tokenizer_counts() -> None:
    model = random_model("llama")
    model.generation_config.eos_token_id = [5, 7]
    assert Backbone("llama", model, character_tokenizer()).eos_ids == {EOS, 5, 7}
    model.generation_config.eos_token_id = None
    assert Backbone("llama", model, character_tokenizer()).eos_ids == {EOS}


def test_a_beginning_that_the_tokenizer_adds_stays_with_the_prompt() -> None:
    tokenizer = character_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<bos>"})
    from tokenizers.processors import TemplateProcessing

    bos = tokenizer.bos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", bos)]
    )
    model = random_model("llama", vocab_size=VOCABULARY + 1)
    backbone = Backbone("llama", model, tokenizer)
    assert backbone.encode("ab") == [bos, 2, 3]
    assert backbone.encode_response("ab") == [2, 3, EOS]
    (row,) = LatentModel(backbone, "none").generate("ab", 6, return_details=True)
    ids = torch.tensor([[bos, 2, 3]])
    plain = model.generate(ids, max_new_tokens=6, do_sample=False, pad_token_id=EOS)
    assert list(row.response_ids) == plain[0, 3:].tolist()
    assert [slot.position_id for slot in row.slots[:3]] == [0, 1, 2]


# ---- triggers ----

CORPUS = [
    'He said "no", then (yes), and {"a",1,22,333}.',
    "x=1,y=2;z=3\nf(x),g(y), h\n",
    'lists: [1,2,3], "a","b"; 4,5',
] * 20
SPECIAL = ["<s>", "</s>", "<a,b>"]
"""The last has a comma in its name, and is still no comma."""


def byte_level_bpe() -> hf.PreTrainedTokenizerFast:
    """As GPT-2's, but words are not split at punctuation, so that tokens such as `",` arise."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")


def unigram() -> hf.PreTrainedTokenizerFast:
    """As SentencePiece's: a metaspace for the blank."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.train_from_iterator(
        CORPUS,
        trainers.UnigramTrainer(
            vocab_size=120,
            special_tokens=[*SPECIAL, "<unk>"],
            unk_token="<unk>",
            show_progress=False,
        ),
    )
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>"
    )


def byte_fallback() -> hf.PreTrainedTokenizerFast:
    """As Llama 2's: characters outside the vocabulary are bytes, here the comma itself too."""
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, "<unk>", "▁", "a", "1", "),"])}
    vocabulary |= {f"<0x{byte:02X}>": len(vocabulary) + byte for byte in range(256)}
    tokenizer = Tokenizer(
        models.BPE(vocabulary, [], unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>"
    )


TOKENIZERS = {
    "byte-level": (byte_level_bpe, [",", '",', "),", "],"]),
    "unigram": (unigram, [",", '",']),
    "byte-fallback": (byte_fallback, [",", "),"]),
}


def with_tokenizer(tokenizer: hf.PreTrainedTokenizerFast) -> Backbone:
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL[2:]})
    return Backbone("llama", random_model("llama", vocab_size=len(tokenizer) + 3), tokenizer)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_every_token_with_a_comma_is_a_comma(kind: str) -> None:
    make, known = TOKENIZERS[kind]
    backbone = with_tokenizer(make())
    found = backbone.trigger_ids([","])
    assert set(known) <= {backbone.token_texts[token_id].strip() for token_id in found}
    assert not found & set(range(3))  # special tokens
    # The scan looks at ids; text, tokenized whole, must agree: a comma in the text, a trigger.
    for text in ('("b",2,1), [3]', "g(x),y=1,4,5 then", ",,a, 1"):
        ids = backbone.encode(text)
        fired = [token_id for token_id in ids if token_id in found]
        assert len(fired) >= 3
        rest = backbone.decode(token_id for token_id in ids if token_id not in found)
        assert "," not in rest


def test_a_trigger_may_be_a_longer_text() -> None:
    backbone = with_tokenizer(byte_level_bpe())
    narrow, wide = backbone.trigger_ids(['",']), backbone.trigger_ids([","])
    assert narrow and narrow < wide
    assert all('",' in backbone.token_texts[token_id] for token_id in narrow)
    assert backbone.trigger_ids([",", "="]) == wide | backbone.trigger_ids(["="])


def test_ids_that_only_the_model_has_are_no_triggers() -> None:
    backbone = tiny_backbone("gpt2")
    assert backbone.vocabulary_size == VOCABULARY + 5
    assert backbone.token_texts[VOCABULARY:] == ("",) * 5
    assert backbone.token_texts[:4] == ("", "", "a", "b")


def test_a_trigger_the_tokenizer_lacks_is_named() -> None:
    backbone = tiny_backbone("llama")
    layout = LatentLayout.parse("Start_1+Before[,|;]_1")
    with pytest.raises(LayoutError, match=r"'Before\[,\|;\]'.*llama's vocabulary contains ';'"):
        backbone.place(layout)
    with pytest.raises(LayoutError, match="'ab'"):
        backbone.place(LatentLayout.parse("After[ab]_1"))  # two tokens are no trigger


def test_triggers_by_group() -> None:
    layout = LatentLayout.parse("Comma_1+After[=|1]_2+End_1")
    assert tiny_backbone("llama").place(layout).triggers == {"Comma": {28}, "After[=|1]": {29, 19}}


def test_the_vocabulary_is_scanned_once_for_each_text() -> None:
    scans = []

    class Counted(tuple):
        def __iter__(self):
            scans.append(len(self))
            return super().__iter__()

    backbone = Backbone("llama", random_model("llama"), character_tokenizer())
    backbone.__dict__["token_texts"] = Counted(backbone.token_texts)  # its cache
    for _ in range(2):
        backbone.place(LatentLayout.parse("Comma_1+After[=|1|,]_2+Before[=]_1"))
    assert scans == [VOCABULARY] * 3


OWL = "🦉"


def byte_level(merges: list[tuple[str, str]], *whole: str) -> Backbone:
    """A byte-level BPE with `merges`; the texts of `whole` are tokens that no merge leads to."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bytes_of = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    written = ["".join(piece for piece, _ in bytes_of.pre_tokenize_str(text)) for text in whole]
    tokens = ["<eos>", *alphabet, *("".join(pair) for pair in merges), *written]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = bytes_of
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>")
    return Backbone("made-up", random_model("llama", vocab_size=len(tokens)), fast)


@pytest.mark.parametrize("place", ["Before", "After"])
def test_a_token_that_the_tokenizer_never_writes_is_no_trigger(place: str) -> None:
    backbone = byte_level([], OWL)
    assert len(backbone.trigger_ids([OWL])) == 1, "the vocabulary has it"
    assert len(backbone.encode(OWL)) == 4, "text does not"
    with pytest.raises(LayoutError) as raised:
        backbone.place(LatentLayout.parse(f"Start_1+{place}[,|{OWL}]_1"))
    said = str(raised.value)
    assert f"group '{place}[,|{OWL}]': made-up has tokens that contain {OWL!r} ({OWL!r})" in said
    assert "writes none of them" in said and f"'a {OWL} b' (after a space), whose tokens" in said
    assert said.endswith("Choose another trigger text")


def test_a_character_that_is_a_token_in_some_places_only_is_named() -> None:
    """The bytes of an accented letter are joined after a space only."""
    backbone = byte_level([("Ġ", "Ã"), ("ĠÃ", "ī")])
    with pytest.warns(
        UserWarning, match=r"'É' fires only where .* \(' É'\), not in 'aÉb' \(after a"
    ):
        placement = backbone.place(LatentLayout.parse("Before[É]_1"))
    assert placement.triggers["Before[É]"] == backbone.trigger_ids([" É"])


def test_a_piece_of_a_word_may_occur_in_that_word_only() -> None:
    backbone = byte_level([("x", "y"), ("xy", "z")])
    layout = LatentLayout.parse("Before[yz]_1")
    assert backbone.place(layout).triggers["Before[yz]"] == backbone.trigger_ids(["xyz"])


def test_bytes_that_are_no_character_are_no_trigger() -> None:
    with pytest.raises(LayoutError, match="stands for bytes that are no whole character"):
        byte_level([]).place(LatentLayout.parse("Before[\ufffd]_1"))


@pytest.mark.slow
def test_triggers_of_smollm2() -> None:
    backbone = load_backbone("smollm2-135m")
    for layout in ("Comma_1", "Newline_1", "Equals_1", "Sentence_1", "After[);|ing|→|中]_1"):
        backbone.place(LatentLayout.parse(layout))
    with pytest.raises(LayoutError, match="no token of smollm2-135m's vocabulary contains"):
        backbone.place(LatentLayout.parse(f"Before[{OWL}]_1"))
    with pytest.warns(UserWarning, match="'Á' fires only where smollm2-135m writes a token"):
        backbone.place(LatentLayout.parse("Before[Á]_1"))
