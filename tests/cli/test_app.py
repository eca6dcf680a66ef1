"""The command line, as a newcomer types it."""

import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from latent_core.cli import app, main
from latent_core.cli.app import COMMANDS
from latent_core.models.latent import LatentModel
from latent_core.tasks.metrics import METRICS
from tests.forked import run_latent


def latent(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "latent_core", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture
def refusal(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Calls the command in this process, which spares a start, and gives what it says to stderr."""

    def called(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["latent", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        said = capfd.readouterr().err
        assert said.startswith("latent: ")
        _, *pointing = said.splitlines()
        assert [line[:4] for line in pointing] in ([], ["    "] * 2), "one sentence, and where"
        return said

    return called


@pytest.fixture
def answered(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[str, str]]:
    """What `latent generate` says, to stdout and to stderr, with an adapter as it begins."""
    LatentModel("tiny", "Start_1+Equals_1").save_pretrained(tmp_path)

    def called(*arguments: str) -> tuple[str, str]:
        command = ["latent", "generate", str(tmp_path), "--prompt", "1+1=", *arguments]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
        return capfd.readouterr()

    return called


def test_the_version_is_that_of_the_package() -> None:
    assert latent("--version").stdout == f"latent {version('latent-workbench')}\n"


def test_help_names_every_command_and_where_to_start() -> None:
    text = latent("--help").stdout
    listed = re.findall(r"^│ (\w+) ", text.split("Commands")[1], re.MULTILINE)
    assert listed == list(COMMANDS)
    assert "Start here" in text


@pytest.mark.parametrize("command", ["", *COMMANDS, "runs prune", "runs list"])
def test_help_shows_flags_as_they_are_typed(command: str) -> None:
    said = CliRunner().invoke(app, [*command.split(), "--help"])
    assert said.exit_code == 0
    assert "--help" in said.stdout and "<bool>" not in said.stdout
    if command == "train":
        assert re.search(r"--resume +Continue an unfinished run", said.stdout)
        assert re.search(r"--steps +<int>", said.stdout), "other options keep their type"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--method", "Comma_x"), "got 'x'\n    Comma_x\n          ^ expected a count"),
        (("--method", "Start_0"), "the count of 'Start' is '0' at column 7"),
        (("--method", "Before[🦉]_1"), "no token of tiny's vocabulary contains '🦉'"),
        (("--method", "Start_1", "--steps", "0"), "steps is 0; expected at least 1"),
        (("--method", "Start_1", "--batch-size", "0"), "batch_size is 0"),
        (("--method", "Start_1", "--seed", "-1"), "seed is -1"),
        (("--method", "Start_1", "--backbone", "nowhere"), "cannot load backbone 'nowhere'"),
        (("--method", "Start_1", "--task", "nothing"), "unknown task 'nothing'"),
        (("--method", "Start_1", "--task", "repitition"), "did you mean 'repetition'?"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    arguments: tuple[str, ...], said: str, refusal: Callable[..., str], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert said in refusal("train", "--task", "repetition", "--out", str(out), *arguments)
    assert not out.exists()


def test_broken_jsonl_line_is_named(refusal: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"prompt": "a=", "answer": "1"}\n{"prompt": "b=", \n')
    out = tmp_path / "r"
    said = refusal("train", "--task", str(path), "--method", "Start_1", "--out", str(out))
    assert "mine.jsonl, line 2: not valid JSON" in said
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--prompt", ""), "the prompt is empty"),
        (("--prompt", "1" * 1100), "has 1100 tokens, but tiny has a context window of 1024"),
        (("--prompt", "1", "--temperature", "-1"), "temperature"),
        (("--prompt", "1", "--max-new-tokens", "0"), "max_new_tokens is 0"),
        (("--prompt", "1", "-i", "drop(Comma"), "expected ',' or ')' at column 11, got the end"),
        (("--prompt", "1", "-i", "dorp(Start)"), "'dorp' at column 1; did you mean 'drop'?"),
        (("--prompt", "1", "-i", "drop(Comma)"), "'Comma'"),
    ],
)
def test_bad_prompts_are_one_sentence_and_exit_code_2(
    arguments: tuple[str, ...], said: str, refusal: Callable[..., str], tmp_path: Path
) -> None:
    LatentModel("tiny", "Start_1").save_pretrained(tmp_path)
    assert said in refusal("generate", str(tmp_path), *arguments)


def test_a_plain_adapter_answers_without_peft_scipys_statistics_and_pandas(tmp_path: Path) -> None:
    """Transformers itself imports SciPy, but not its statistics."""
    LatentModel("tiny", "Start_1").save_pretrained(tmp_path)
    heavy = {"peft", "scipy.stats", "statsmodels", "pandas"}
    code = (
        "import sys; from latent_core.cli import main; sys.argv[0] = 'latent'\n"
        f"try: main()\nfinally: print(sorted({heavy} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, "generate", str(tmp_path), "--prompt", "1+1="]
    command += ["-i", "scale(Start, 2)"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    said = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert said[0].startswith("[Start.0]1+1=") and said[-1] == "[]"


def test_a_cut_answer_says_so_beside_it(answered: Callable[..., tuple[str, str]]) -> None:
    said, aside = answered("--max-new-tokens", "3")
    assert said.startswith("[Start.0]1+1[Equals.0]=")
    assert aside == "stopped after 3 tokens (--max-new-tokens)\n"
    _, aside = answered("--max-new-tokens", "400")
    assert aside == ""


def test_answers_under_an_intervention(answered: Callable[..., tuple[str, str]]) -> None:
    said, _ = answered("--max-new-tokens", "3", "--intervention", "drop(Equals)")
    assert said.startswith("[Start.0]1+1=")
    said, aside = answered("--max-new-tokens", "3", "-i", "drop(Equals, after=50)")
    assert said.startswith("[Start.0]1+1[Equals.0]=")
    assert "drop(Equals, after=50) changed nothing" in aside


def test_tasks_says_what_a_file_of_ones_own_holds() -> None:
    said = CliRunner().invoke(app, ["tasks"]).stdout
    assert all(name in said for name in ('"prompt"', '"answer"', '"split"', '"level"', "50"))
    assert '"demand": self-prompting, retrieval or instruction' in said
    assert said.count("retrieval") == 5  # four tasks, and the form of a file
    assert all(metric in said for metric in METRICS)


def test_fetching_a_misspelt_backbone(refusal: Callable[..., str]) -> None:
    assert "did you mean 'smollm2-135m'?" in refusal("fetch", "smolm2")


def test_evaluating_what_is_no_run(refusal: Callable[..., str], tmp_path: Path) -> None:
    assert "no finished run in" in refusal("evaluate", str(tmp_path))


def test_a_program_on_its_own_ends_in_exit_code_2_too(tmp_path: Path) -> None:
    result = latent("evaluate", str(tmp_path))
    assert result.returncode == 2
    assert result.stderr.startswith("latent: no finished run in")


def test_train_evaluate_generate(tmp_path: Path) -> None:
    """One user's path: their own task, a layout and a baseline, one table, one answer."""
    task = tmp_path / "mine.jsonl"
    lines = [f'{{"prompt": "{a}+1=", "answer": "{a + 1}"}}' for a in range(10, 60)]
    task.write_text("\n".join(lines) + "\n")
    layout, baseline = tmp_path / "layout", tmp_path / "baseline"
    common = ("train", "--task", str(task), "--backbone", "tiny", "--steps", "2")
    trained = run_latent(tmp_path, *common, "--method", "Start_1+Equals_1", "--out", str(layout))
    assert trained.returncode == 0, trained.stderr
    assert (
        run_latent(tmp_path, *common, "--method", "few-shot-2", "--out", str(baseline)).returncode
        == 0
    )

    result = run_latent(tmp_path, "evaluate", str(layout), str(baseline), "--examples", "3")
    assert result.returncode == 0, result.stderr
    assert "Start_1+Equals_1" in result.stdout and "few-shot-2" in result.stdout
    records = pd.read_parquet(baseline / "records.parquet")
    assert len(records) == 3
    assert records["prompt"].nunique() == 3
    assert set(records["shots"]) == {2}

    answer = run_latent(
        tmp_path, "generate", str(layout), "--prompt", "10+1=", "--max-new-tokens", "2"
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("[Start.0]10+1[Equals.0]=")

    again = run_latent(tmp_path, *common, "--method", "Start_1+Equals_1", "--out", str(layout))
    assert again.returncode == 2
    assert "already holds a run" in again.stderr
