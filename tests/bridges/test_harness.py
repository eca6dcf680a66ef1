"""lm-evaluation-harness: its numbers are ours, and a local JSONL task runs with and without."""

import json
import random
from pathlib import Path

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from tokenizers.processors import TemplateProcessing
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast

from latent_core.backbones.backbone import Backbone
from latent_core.bridges.harness import HarnessModel
from latent_core.errors import SettingError
from latent_core.models.build import build_model
from latent_core.models.latent import LatentModel
from latent_core.models.steered import SteeredModel
from latent_core.slots.placement import IGNORE
from tests.families import PROMPTS, character_tokenizer, random_model, tiny_backbone

PAIRS = [("ab,cd=", "a,b"), ("x", "dddddd,e"), ("12,3", "9"), ("a,b,c,dddddd,e", "ab")]


def requests(kind: str, *arguments: tuple) -> list[Instance]:
    return [Instance(kind, {}, pair, number) for number, pair in enumerate(arguments)]


def model(method: str = "Start_2+Comma_1", family: str = "llama") -> SteeredModel:
    return build_model(tiny_backbone(family), method, seed=2)


def harness(steered: SteeredModel, batch_size: int | str = 3) -> HarnessModel:
    return HarnessModel(steered, batch_size, progress=False)


@pytest.mark.parametrize("method", ["zero-shot", "Start_2+Comma_1", "End_2", "prefix-2"])
def test_log_likelihoods_are_those_of_the_slots(method: str) -> None:
    steered = model(method)
    found = harness(steered).loglikelihood(requests("loglikelihood", *PAIRS))
    for (context, continuation), (score, greedy) in zip(PAIRS, found, strict=True):
        prompt = steered.backbone.encode(context)
        response = steered.backbone.encode_response(continuation, end=False)
        batch = steered.batch([steered.place(prompt, response)])
        logits = steered.logits(batch)[batch.labels != IGNORE]
        wanted = -F.cross_entropy(logits, torch.tensor(response), reduction="sum")
        assert score == pytest.approx(float(wanted), abs=1e-3)
        assert greedy is (logits.argmax(-1).tolist() == response)


def test_what_greedy_decoding_gives_is_called_greedy() -> None:
    steered = model()
    answers = [(prompt, steered.generate(prompt, 3)[0]) for prompt in PROMPTS]
    kept = [(prompt, text) for prompt, text in answers if len(text) == 3]  # no special token
    assert kept
    found = harness(steered).loglikelihood(requests("loglikelihood", *kept))
    assert all(greedy for _, greedy in found)


def test_an_empty_context_is_the_end_of_a_sequence() -> None:
    steered = model()
    ((score, _),) = harness(steered).loglikelihood(requests("loglikelihood", ("", "ab")))
    ids = steered.backbone.encode_response("ab", end=False)
    batch = steered.batch([steered.place([steered.backbone.tokenizer.eos_token_id], ids)])
    with torch.no_grad():
        wanted = -steered(**batch.as_dict())["token_losses"].sum()
    assert score == pytest.approx(float(wanted), abs=1e-4)


def test_rolling_sums_over_windows_and_each_token_counts_once() -> None:
    steered = model("zero-shot")
    text = "ab,cd=" * 40  # 240 tokens for a window of 96
    (whole,) = harness(steered).loglikelihood_rolling(requests("r", (text,)))
    ids = steered.backbone.encode_response(text, end=False)
    assert len(ids) == 240
    total, first = 0.0, steered.backbone.tokenizer.eos_token_id
    starts = [0, 96, 192]
    for start in starts:
        piece = ids[start : start + 96]
        if start == starts[-1]:  # the last window is filled up with context from before
            context = ids[start - 96 + len(piece) - 1 : start]
        else:
            context = [ids[start - 1]] if start else [first]
        batch = steered.batch([steered.placement.insert(context, piece)])
        with torch.no_grad():
            total -= float(steered(**batch.as_dict())["token_losses"].sum())
    assert whole == pytest.approx(total, rel=1e-4)


def test_generation_stops_at_the_first_stop_string() -> None:
    steered = model()
    free = [steered.generate(prompt, 8)[0] for prompt in PROMPTS]
    stop = free[0][2]
    settings = {"until": [stop, "\n\n"], "max_gen_toks": 8, "temperature": 0.0, "do_sample": False}
    pairs = [(prompt, settings) for prompt in PROMPTS]
    found = harness(steered).generate_until(requests("generate_until", *pairs))
    assert found == [text.split(stop)[0].split("\n\n")[0] for text in free]
    assert found[0] == free[0][: free[0].index(stop)]


def test_settings_that_would_be_unheeded_are_refused() -> None:
    pair = ("ab", {"until": ["x"], "num_beams": 4})
    with pytest.raises(SettingError, match="num_beams of the task are not available"):
        harness(model()).generate_until(requests("generate_until", pair))


def test_examples_of_another_task_are_not_left_out_in_silence() -> None:
    with pytest.raises(SettingError, match=r"few-shot-3 puts .* run zero-shot with 3"):
        harness(model("few-shot-3"))


def test_long_contexts_lose_their_beginning() -> None:
    steered = model("Start_1")
    pairs = [("ab" * 100, "c"), ("ab" * 47, "c")]  # all 96 positions are left for the context
    long, short = harness(steered).loglikelihood(requests("loglikelihood", *pairs))
    fitted, _ = harness(steered).loglikelihood(
        requests("loglikelihood", (("ab" * 100)[-96:], "c"), pairs[1])
    )
    assert long == pytest.approx(fitted) and long != short
    (text,) = harness(steered).generate_until(
        requests("generate_until", ("ab" * 100, {"until": [], "max_gen_toks": 4}))
    )
    assert len(text) <= 4


def test_the_harness_makes_it_of_strings(tmp_path: Path) -> None:
    from lm_eval.api.registry import get_model

    LatentModel("tiny", "Start_2", seed=1).save_pretrained(tmp_path)
    made = get_model("latent").create_from_arg_string(
        f"model={tmp_path}", {"batch_size": 3, "device": "cpu", "max_batch_size": None}
    )
    assert isinstance(made, HarnessModel)
    assert (made.model.method, made.batch_size) == ("Start_2", 3)


@pytest.fixture(scope="module")
def local_tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task of one's own: a JSONL file and a YAML file beside it."""
    folder = tmp_path_factory.mktemp("tasks")
    lines = [{"q": f"{a}{a},", "a": a * 2, "choices": [a * 2, "b,"]} for a in "acdefg"]
    (folder / "doubles.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    common = (
        "dataset_path: json\n"
        f"dataset_kwargs:\n  data_files: {{test: {folder / 'doubles.jsonl'}}}\n"
        'test_split: test\ndoc_to_text: "{{q}}"\ntarget_delimiter: ""\n'
    )
    (folder / "choose.yaml").write_text(
        f"task: doubles_choose\noutput_type: multiple_choice\n{common}"
        'doc_to_choice: "{{choices}}"\ndoc_to_target: 0\nmetric_list:\n  - metric: acc\n'
    )
    (folder / "write.yaml").write_text(
        f'task: doubles_write\noutput_type: generate_until\n{common}doc_to_target: "{{{{a}}}}"\n'
        'generation_kwargs: {until: [","], max_gen_toks: 4}\n'
        "metric_list:\n  - metric: exact_match\n"
    )
    return folder


@pytest.mark.slow
def test_a_local_jsonl_task_runs_with_and_without_latents(
    local_tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lm_eval
    from lm_eval.tasks import TaskManager

    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    manager = TaskManager(include_path=str(local_tasks), include_defaults=False)
    with_latents = LatentModel("tiny", "Start_2", seed=1)
    found = {}
    for steered in (with_latents, build_model("tiny", "zero-shot")):
        results = lm_eval.simple_evaluate(
            harness(steered),
            tasks=["doubles_choose", "doubles_write"],
            task_manager=manager,
            bootstrap_iters=0,
        )["results"]
        choices = [(f"{a}{a},", text) for a in "acdefg" for text in (a * 2, "b,")]
        scores = harness(steered).loglikelihood(requests("loglikelihood", *choices))
        right = [scores[i][0] > scores[i + 1][0] for i in range(0, 12, 2)]
        assert results["doubles_choose"]["acc,none"] == pytest.approx(sum(right) / 6)
        written = steered.generate([f"{a}{a}," for a in "acdefg"], 4)
        exact = [text.split(",")[0] == a * 2 for a, text in zip("acdefg", written, strict=True)]
        assert results["doubles_write"]["exact_match,none"] == pytest.approx(sum(exact) / 6)
        found[steered.method] = scores
    assert found["Start_2"] != found["zero-shot"]


# ---- the same numbers as the harness's own `hf` model on a backbone without latents ----


def with_bos() -> PreTrainedTokenizerFast:
    """The tests' tokenizer, with a beginning-of-sequence token that it puts before every text."""
    tokenizer = character_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "!"})
    begin = tokenizer.convert_tokens_to_ids("!")
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="! $A", special_tokens=[("!", begin)]
    )
    return tokenizer


@pytest.fixture(scope="module", params=["no BOS", "BOS"])
def both(request: pytest.FixtureRequest) -> tuple[HFLM, HarnessModel]:
    tokenizer = with_bos() if request.param == "BOS" else character_tokenizer()
    backbone = Backbone("llama", random_model("llama", vocab_size=len(tokenizer)), tokenizer)
    ours = HarnessModel(build_model(backbone, "zero-shot"), 5, progress=False)
    return HFLM(pretrained=backbone.model, tokenizer=tokenizer, batch_size=4), ours


def texts(*lengths: int) -> list[str]:
    draw = random.Random(len(lengths))
    return ["".join(draw.choice("abcdefgh,=123") for _ in range(length)) for length in lengths]


def test_log_likelihoods_equal_those_of_hf(both: tuple[HFLM, HarnessModel]) -> None:
    hf, ours = both
    window = ours.max_length
    contexts = texts(*range(1, 90), 3 * window, 2 * window)
    pairs = list(zip(contexts, texts(*([3] * 40), *([7] * 50), window // 2), strict=True))
    pairs += [("", "abc"), ("ab ", "cd"), ("!ab", "cd")]
    asked = requests("loglikelihood", *pairs)
    wanted = hf.loglikelihood(asked, disable_tqdm=True)
    found = ours.loglikelihood(asked)
    assert [score for score, _ in found] == pytest.approx([s for s, _ in wanted], abs=1e-4)
    assert [greedy for _, greedy in found] == [bool(greedy) for _, greedy in wanted]


def test_rolling_log_likelihoods_equal_those_of_hf(both: tuple[HFLM, HarnessModel]) -> None:
    hf, ours = both
    window = ours.max_length
    lengths = (1, 5, window - 2, window - 1, window, window + 1, 2 * window, 3 * window + 7)
    asked = requests("loglikelihood_rolling", *((text,) for text in texts(*lengths)))
    wanted = hf.loglikelihood_rolling(asked, disable_tqdm=True)
    assert ours.loglikelihood_rolling(asked) == pytest.approx(wanted, abs=1e-4)


def test_generated_texts_equal_those_of_hf(both: tuple[HFLM, HarnessModel]) -> None:
    hf, ours = both
    settings = {"until": ["3", "\n\n"], "max_gen_toks": 8, "do_sample": False}
    free = texts(*range(1, 90, 3), 3 * ours.max_length)
    begun = ["!ab,", "!12=", "!a"]  # apart: hf asks the first text of a batch whether it has a BOS
    for prompts in (free, begun):
        asked = requests("generate_until", *((prompt, dict(settings)) for prompt in prompts))
        assert ours.generate_until(asked) == hf.generate_until(asked, disable_tqdm=True)


def test_a_window_that_the_response_fills_is_one_clear_error() -> None:
    pair = ("ab", {"until": [], "max_gen_toks": 96})
    with pytest.raises(SettingError, match=r"asks for 96 tokens.*window of 96"):
        harness(model()).generate_until(requests("generate_until", pair))


def test_a_continuation_longer_than_the_window_counts_whole() -> None:
    """As the sum of pieces, each after what stands before it."""
    steered = model("zero-shot")
    ours = harness(steered)
    (text,) = texts(250)
    ((score, _),) = ours.loglikelihood(requests("loglikelihood", ("ab", text)))
    pieces = [text[start : start + 48] for start in range(0, 250, 48)]
    before = ["ab" + text[:start] for start in range(0, 250, 48)]
    found = ours.loglikelihood(requests("loglikelihood", *zip(before, pieces, strict=True)))
    assert score == pytest.approx(sum(part for part, _ in found), abs=1e-3)


def test_sequential_positions_leave_room_for_latents() -> None:
    """Where they count, less context fits, and a long request is answered all the same."""
    ours = harness(model("Start_2+Comma_1; positions=sequential"))
    found = ours.loglikelihood(requests("loglikelihood", ("ab,cd," * 60, "ef"), ("ab,", "ef")))
    assert all(score < 0 for score, _ in found)


# ---- settings of requests ----


def sampled(prompts: list[str], batch_size: int, **settings) -> list[str]:
    given = {"until": [], "max_gen_toks": 12, "temperature": 1.5} | settings
    asked = requests("generate_until", *((prompt, dict(given)) for prompt in prompts))
    return harness(model(), batch_size).generate_until(asked)


@pytest.mark.parametrize("batch_size", [1, 5])
def test_repeats_of_a_request_are_different_draws(batch_size: int) -> None:
    found = sampled(["ab,"] * 20, batch_size)
    assert len(set(found)) >= 18
    assert found == sampled(["ab,"] * 20, batch_size), "a second evaluation draws the same"


def test_a_temperature_alone_samples() -> None:
    greedy = sampled(["ab,"], 1, temperature=0.0)
    assert greedy == sampled(["ab,"], 1, do_sample=False)
    assert sampled(["ab,"], 1) != greedy


@pytest.mark.parametrize(
    ("given", "read"), [(3, 3), ("8", 8), ("auto", 16), ("auto:4", 16)], ids=str
)
def test_batch_sizes_are_read_as_the_harness_writes_them(given: int | str, read: int) -> None:
    assert harness(model(), given).batch_size == read
    assert HarnessModel(model(), "auto", progress=False, max_batch_size=4).batch_size == 4


@pytest.mark.parametrize("given", [0, -1, "many", 2.5, True])
def test_other_batch_sizes_are_refused(given: object) -> None:
    with pytest.raises(SettingError, match=r"batch_size is .*; expected a whole number"):
        harness(model(), given)


@pytest.mark.slow
def test_a_continuation_that_merges_with_its_context_has_a_probability(smollm2_dir: Path) -> None:
    """`hello wor` + `ld`: the tokenizer writes ` world` as one token."""
    ours = HarnessModel(build_model("smollm2-135m", "zero-shot"), progress=False)
    ((score, _),) = ours.loglikelihood(requests("loglikelihood", ("hello wor", "ld")))
    assert score < -0.1
