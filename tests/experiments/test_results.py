"""The results page says what the records say, and no more than they bear."""

import re
from pathlib import Path

import pandas as pd
import pytest

import latent_core as lc
from experiments.computed import computed_against_learned
from experiments.results import results_page
from latent_core.errors import SettingError
from latent_core.grids.grid import read_grid
from latent_core.runs import folder as runs
from latent_core.runs.evaluation_file import write_records
from latent_core.tasks import load_task

ROOT = Path(__file__).resolve().parents[2]


def add(root: Path, method: str, seed: int, far: float, near: float = 0.95, trainable: int = 9):
    """A run with graded accuracy `near` in distribution and `far` in ood-15, but for its seed."""
    rows = [
        {"task": "repetition", "backbone": "tiny", "layout": "none", "method": method}
        | {"seed": seed, "split": split, "level": level, "example": number, "key": f"{number}"}
        | {"exact": False, "graded": mean + (number - 29.5) / 600 + seed / 1000}
        | {"latent_slots": 2, "trainable": trainable, "seconds": 0.1}
        for split, level, mean in (("ood-15", 15, far), ("id", 3, near))
        for number in range(60)
    ]
    folder = root / f"{method}-{seed}"
    settings = {"task": "repetition", "backbone": "tiny", "seed": seed}
    settings |= {"steps": 30, "learning_rate": 0.1 if seed else 0.03} if trainable else {}
    runs.open_run(folder, settings, {})
    runs.close_run(folder, "finished", settings, {"method": method}, trainable=trainable)
    write_records(folder, pd.DataFrame(rows))


def page(root: Path) -> str:
    return results_page([root], root / "docs" / "results.md")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for seed in range(5):
        add(tmp_path, "Start_2", seed, 0.2)
        add(tmp_path, "Start_1+Comma_1", seed, 0.5)
    add(tmp_path, "zero-shot", 0, 0.1, near=0.1, trainable=0)
    return tmp_path


def test_a_gain_is_reported_beside_the_papers(root: Path) -> None:
    text = page(root)
    assert (
        "| repetition | `Start_1+Comma_1` | +220% | tiny | `Start_1+Comma_1` | `Start_2` | +149% "
        "| a gain | `Start_2` | +149% | a gain |"
    ) in text
    assert "adjusted for all 2 differences (Holm)" in text
    row = next(line for line in text.splitlines() if line.startswith("| `Start_1+Comma_1` |"))
    assert row.split(" | ")[1].startswith("**0.95** [") and "**0.50** [" in row.split(" | ")[2]
    assert "Calibration" in text and "met; the best has 0.95 and 0.50" in text
    assert (
        "Graded: right equations before the first wrong one / n, or the number written if larger."
        in text
    )
    exact = text.partition("Exact: the equation exactly n times")[2].splitlines()
    assert "| `Start_2` | 0.00 | 0.00 |" in exact
    assert "`Start_2` 0.03 (30), 0.1 (30)" in text
    (picture,) = (root / "docs").glob("*.svg")
    assert picture.name in text and "<svg" in picture.read_text()
    drawn = picture.read_bytes()
    page(root)
    assert picture.read_bytes() == drawn, "the same records, another file"


def test_what_does_not_reproduce_is_said(root: Path) -> None:
    for seed in range(5):
        add(root, "prefix-2", seed, 0.8)
    text = page(root)
    assert "| `prefix-2` | -37% | a loss | `Start_2` | +149% | a gain |" in text


def test_where_the_paper_s_gain_would_lead_beyond_one_there_is_no_room(root: Path) -> None:
    for seed in range(5):
        add(root, "prefix-2", seed, 0.5 - 0.1 * (seed - 2))
    assert "| `prefix-2` | +0% | no room (0.50 +220% is beyond 1) |" in page(root)


def test_a_method_without_training_counts_for_every_seed(root: Path) -> None:
    """Else it could not be paired with the others."""
    for seed in range(5):
        for method in ("Start_2",):
            add(root, method, seed, 0.05)
    assert "`zero-shot` (0.50 against 0.10)" in page(root) and "5 seeds" in page(root)


def test_the_page_compares_at_equal_size_too(root: Path) -> None:
    for seed in range(5):
        add(root, "Start_9", seed, 0.4, trainable=45)
    text = page(root)
    assert "| `Start_9` | +25% | a gain | `Start_2` | +149% | a gain |" in text
    assert (
        "with no more trained parameters, `Start_2` (0.50 against 0.20): +149%; difference" in text
    )


def test_each_method_has_the_seeds_it_has_and_pairs_those_in_common(root: Path) -> None:
    for seed in (5, 6):
        add(root, "Start_1+Comma_1", seed, 0.9)
    text = page(root)
    row = next(line for line in text.splitlines() if line.startswith("| `Start_1+Comma_1` |"))
    assert row.split(" | ")[3] == "7" and "**0.62** [" in row
    assert "`Start_2` (0.50 against 0.20): +149%" in text and "5 seeds" in text


def test_a_few_seeds_decide_nothing(tmp_path: Path) -> None:
    add(tmp_path, "Start_2", 0, 0.2)
    add(tmp_path, "Comma_1", 0, 0.5)
    assert "inconclusive (1 seed)" in page(tmp_path)
    for seed in (1, 2, 3):
        add(tmp_path, "Start_2", seed, 0.2)
        add(tmp_path, "Comma_1", seed, 0.5)
    assert "inconclusive (4 seeds)" in page(tmp_path)


def test_computed_latents_are_held_against_learned_ones_and_against_none(tmp_path: Path) -> None:
    for seed in range(2):
        add(tmp_path, "End_2=hidden & lora-r2", seed, 0.5)
        add(tmp_path, "End_2 & lora-r2", seed, 0.3)
    rows = lc.load_runs(tmp_path, records=True)
    assert computed_against_learned(rows[rows["method"] == "End_2 & lora-r2"], "graded") == ""
    for seed in range(2):
        add(tmp_path, "lora-r2", seed, 0.6)
    said = computed_against_learned(lc.load_runs(tmp_path, records=True), "graded")
    lines = [re.sub(r" \[[^]]*\]", "", line) for line in said.splitlines() if line[:1] == "-"]
    assert lines == [
        "- `End_2=hidden & lora-r2` minus `End_2 & lora-r2`: id +0.00; ood-15 +0.20",
        "- `End_2=hidden & lora-r2` minus `lora-r2`: id +0.00; ood-15 -0.10",
    ]


def test_two_runs_of_one_seed_are_refused(root: Path) -> None:
    add(root / "again", "Start_2", 0, 0.25)
    with pytest.raises(SettingError, match="are of the same method and seed; expected one"):
        page(root)


def test_unfinished_runs_are_no_results(root: Path, tmp_path: Path) -> None:
    add(root, "Comma_2", 0, 0.9)
    runs.fail_run(root / "Comma_2-0", {}, {}, "it broke")
    assert "Comma_2" not in page(root)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingError, match="no finished runs in"):
        page(tmp_path / "empty")


@pytest.mark.parametrize(
    ("name", "tasks", "least", "seeds"),
    [
        ("paper-tiny", {"generation", "summation", "repetition"}, 9, 10),
        ("paper-smollm2", {"counting", "lookup"}, 11, 5),
    ],
)
def test_the_papers_grids_can_be_read(name: str, tasks: set[str], least: int, seeds: int) -> None:
    specs = read_grid(ROOT / "experiments" / f"{name}.yaml").specs()
    assert {spec.task for spec in specs} == tasks
    for task in tasks:
        of_task = [spec for spec in specs if spec.task == task]
        assert len({spec.method for spec in of_task}) >= least
        trained = [spec for spec in of_task if spec.training]
        assert {spec.seed for spec in trained} == set(range(seeds))
        assert len(trained) % seeds == 0
        assert all(spec.evaluation.splits == ["id", *_ood(task)] for spec in of_task)
        assert all(
            trial.evaluation.splits == ["validation"] for s in trained for trial in s.trials()
        )
    assert any(spec.method == "8_2" for spec in specs)


@pytest.mark.parametrize(
    "name", ["smollm2-repetition", "why-tiny", "hops", "hops-steps", "hops-frozen"]
)
def test_the_other_grids_can_be_read(name: str) -> None:
    grid = read_grid(ROOT / "experiments" / f"{name}.yaml")
    assert {spec.method for spec in grid.specs()} == set(grid.methods)


def _ood(task: str) -> list[str]:
    return [f"ood-{level}" for level in load_task(task).ood_levels]
