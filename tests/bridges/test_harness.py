"""lm-evaluation-harness: its numbers are ours, and a local JSONL task runs with and without."""

import json
from pathlib import Path

import pytest
import torch
from lm_eval.api.instance import Instance
from torch.nn import functional as F

from latent_core.bridges.harness import HarnessModel
from latent_core.errors import SettingError
from latent_core.models.build import build_model
from latent_core.models.latent import LatentModel
from latent_core.models.steered import SteeredModel
from latent_core.slots.placement import IGNORE
from tests.families import PROMPTS, tiny_backbone

PAIRS = [("ab,cd=", "a,b"), ("x", "dddddd,e"), ("12,3", "9"), ("a,b,c,dddddd,e", "ab")]


def requests(kind: str, *arguments: tuple) -> list[Instance]:
    return [Instance(kind, {}, pair, number) for number, pair in enumerate(arguments)]


def model(method: str = "Start_2+Comma_1", family: str = "llama") -> SteeredModel:
    return build_model(tiny_backbone(family), method, seed=2)


def harness(steered: SteeredModel, batch_size: int = 3) -> HarnessModel:
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
    starts = [0, 95, 190]
    for start in starts:
        piece = ids[start : start + 95]
        if start == starts[-1]:  # the last window is filled up with context from before
            context = ids[start - 95 + len(piece) - 1 : start]
        else:
            context = [ids[start - 1]] if start else [first]
        batch = steered.batch([steered.place(context, piece)])
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
    pairs = [("ab" * 100, "c"), ("ab" * 47, "c")]  # 95 of 96 positions are left for the context
    long, short = harness(steered).loglikelihood(requests("loglikelihood", *pairs))
    fitted, _ = harness(steered).loglikelihood(
        requests("loglikelihood", (("ab" * 100)[-95:], "c"), pairs[1])
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
