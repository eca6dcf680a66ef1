"""The paper's experiment at the paper's size: its grid, its cost, and the page about both."""

import re
from pathlib import Path

import pytest
import transformers as hf
from typer.testing import CliRunner

import latent_core as lc
from experiments import paper_cost
from experiments.paper_cost import DEVICES, GRID, LLAMA_1B, SHAPES, Shape
from latent_core.cli import app
from latent_core.grids.estimate import RunCost, count_work
from latent_core.grids.grid import read_grid

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def small_llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Random, with the layers and heads of Llama-3.2-1B, and a sixty-fourth of its width."""
    folder = tmp_path_factory.mktemp("llama")
    tokenizer = lc.load_backbone("tiny").tokenizer
    config = hf.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=LLAMA_1B.width // 64,
        num_hidden_layers=LLAMA_1B.layers,
        intermediate_size=LLAMA_1B.inner // 64,
        num_attention_heads=16,
        num_key_value_heads=4,
        max_position_embeddings=131_072,
        tie_word_embeddings=True,
    )
    hf.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_the_shape_has_as_many_weights_as_the_model() -> None:
    """1.2358 billion, as its page on the hub says; norms are 67,584 of them."""
    assert LLAMA_1B.all_weights == pytest.approx(1_235_814_400, rel=1e-4)


def test_the_grid_has_what_the_page_says() -> None:
    grid = read_grid(GRID)
    assert grid.backbones == ["meta-llama/Llama-3.2-1B"] and grid.dtype == "bfloat16"
    specs = grid.specs()
    assert {spec.task for spec in specs} >= {"generation", "summation", "repetition"}
    assert {"Comma_2", "8_2", "Start_1+Comma_1", "Start_2", "End_2"} <= {s.method for s in specs}
    assert {spec.seed for spec in specs} == set(range(5))
    runs = paper_cost.runs_of()
    page = (ROOT / "docs" / "paper.md").read_text()
    assert f"the {len(runs)} runs and\ntrials" in page


@pytest.mark.slow
def test_a_dry_run_on_a_llama_of_that_shape(small_llama: str, tmp_path: Path) -> None:
    text = GRID.read_text().replace("meta-llama/Llama-3.2-1B", small_llama)
    text = re.sub(r"^tasks: .*$", "tasks: [summation]", text, flags=re.M)
    grid = tmp_path / "grid.yaml"
    grid.write_text(text)
    asked = ["grid", str(grid), "--dry-run", "--out", str(tmp_path / "o")]
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert "prefix-9; init=task" in done.output and "53 runs and 50 trials" in done.output
    assert not list(tmp_path.glob("o/**/run.json"))


@pytest.mark.slow
def test_the_page_has_the_hours_of_the_model(smollm2_dir: Path) -> None:
    costs = count_work(paper_cost.runs_of())
    page = (ROOT / "docs" / "paper.md").read_text()
    for device in DEVICES:
        assert f"| {device.name} | {paper_cost.gpu_hours(costs, device):.0f} |" in page


def test_hours_grow_with_the_work_and_fall_with_the_device() -> None:
    work, double = RunCost(10**9, 10**6, 10**4), RunCost(2 * 10**9, 2 * 10**6, 2 * 10**4)
    hours = [paper_cost.gpu_hours([work], device) for device in DEVICES]
    assert hours == sorted(hours, reverse=True)
    assert paper_cost.gpu_hours([double], DEVICES[0]) == pytest.approx(2 * hours[0])
    wider = LLAMA_1B._replace(inner=2 * LLAMA_1B.inner)
    assert paper_cost.gpu_hours([work], DEVICES[0], wider) > 1.5 * hours[0]


def test_the_fit_finds_what_made_the_seconds() -> None:
    rate, layer = 1e-11, 0.02
    seconds = [2048 * 4 * one.weights * rate + one.layers * layer for one in SHAPES]
    assert paper_cost.fit(SHAPES, seconds) == pytest.approx([rate, layer])
    assert paper_cost.left_out(SHAPES, seconds) == pytest.approx([1.0] * len(SHAPES))
    odd = [*seconds[:-1], 2 * seconds[-1]]
    assert paper_cost.left_out(SHAPES, odd)[-1] == pytest.approx(0.5)


def test_a_random_llama_is_timed() -> None:
    assert paper_cost.timed(Shape(128, 1, 256, 64, 0), 128) > 0
