"""Generated bad inputs: each ends in one of `lc.errors` or is read, and nothing is written.

A generator draws a valid text of one kind and damages it, or takes something hostile instead. What
is damaged may still be valid; that is fine. What counts as a failure is any other exception, a
message too long to read, and a file that was not there before.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from typer.testing import CliRunner

from latent_core.cli import app
from latent_core.errors import LatentError, whole_number
from latent_core.grids.grid import read_grid
from latent_core.hypotheses.conditions import Condition
from latent_core.interventions.kinds import parse_intervention
from latent_core.slots.layout import LatentLayout
from latent_core.slots.methods import Method
from latent_core.slots.selection import Selection
from latent_core.statistics.inference import paired_effect
from latent_core.statistics.means import mean_interval
from latent_core.tasks.table import load_task
from tests.torture.world import Report

__all__ = ["KINDS", "run", "torture"]

COUNT: Final = 10_000
SAMPLE: Final = 600
#: Longest message that a person reads; errors with a pointer repeat the line that they point into.
MOST_CHARACTERS: Final = 3_000

HOSTILE: Final = (
    *("", " ", "\0", "\n", "\ud800", "\U0001f600", "\u202e", "\ufeff", "\x1b[2J", "\\", "'", '"'),
    *(
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        "[/]",
        "[bold]",
        "%s",
        "{0}",
        "../..",
        "~",
        "-",
        "--",
        "@",
        ";",
    ),
    *("0", "-1", "1e309", "nan", "inf", "1_000", "٣", "²", "9" * 25, "9" * 5000, "0x10", "1.5"),
    *("(" * 3000, "[" * 3000, "+".join(["Start_1"] * 400), "x" * 20_000, "None", "true", "&", "*a"),
)
LAYOUTS: Final = (
    "Start_1",
    "End_2",
    "Start_1+Comma_2",
    "8_2",
    "Before[=|1]_1",
    "none",
    "Comma_1@x",
)
LAYOUT: Final = LatentLayout.parse("Start_1+Comma_2")
METHODS: Final = (*LAYOUTS, "zero-shot", "few-shot-2", "lora-r4", "lora-768p", "prefix-2", "full")
SELECTIONS: Final = ("Comma", "Comma.0", "Comma.1@2", "Start+verbal", "prompt", "response", "3")
INTERVENTIONS: Final = (
    *("none", "drop(Comma)", "drop(Comma, after=3)", "scale(Start, 2) & drop(Comma)"),
    *("swap(Start, Comma)", "replace(Start, by=zero)", "knock_out(verbal -> Comma, layers=0-3)"),
)
CONDITIONS: Final = (
    "Start_2 under drop(Comma)",
    "matched(Start_1+Comma_1, compute, end)",
    "chance",
)
NUMBERS: Final[tuple[Any, ...]] = (
    *(0, -1, 1, 10**18, 10**5000, -(10**5000), 1.5, float("nan"), float("inf"), True, None, "3"),
    *(b"3", [], {}, object(), 2**32, 2**63, complex(1, 2)),
)
LINE: Final = {"prompt": "a=1,", "answer": "1", "split": "train", "level": 3, "demand": "retrieval"}
GRID: Final = {
    "backbones": ["tiny"],
    "tasks": ["repetition"],
    "methods": ["Start_2", "zero-shot"],
    "seeds": 2,
    "training": {"steps": 3, "learning_rate": [0.1, 0.2]},
    "evaluation": {"splits": ["id"], "examples": 2},
}
COMMANDS: Final = (
    *(["--version"], ["tasks"], ["methods"], ["backbones"], ["hypotheses"], ["shipped"]),
    *(["train", "--task", "repetition", "--method", "Start_1", "--out", "OUT", "--steps", "0"],),
    *(["compare", "nowhere"], ["runs", "list", "nowhere"], ["runs", "prune", "nowhere", "--yes"]),
    *(["grid", "FILE"], ["generate", "nowhere", "--prompt", "x"], ["evaluate", "nowhere"]),
    *(["runs", "show", "nowhere"], ["runs", "export", "nowhere", "--out", "x.txt"]),
)


def damaged(rng: random.Random, text: str) -> str:
    """A text with one or two places cut, doubled, exchanged, or filled with something hostile."""
    for _ in range(rng.randint(1, 2)):
        at = rng.randint(0, len(text))
        end = min(len(text), at + rng.randint(0, 3))
        text = rng.choice(
            (
                text[:at] + text[end:],
                text[:at] + rng.choice(HOSTILE) + text[end:],
                text[:end] + text[at:],
                text[:at] + chr(rng.randrange(1, 0x3000)) + text[end:],
                rng.choice(HOSTILE),
            )
        )
    return text


def value(rng: random.Random, depth: int = 0) -> Any:
    """Something that JSON and YAML can hold."""
    plain = (None, True, -1, 0, 1.5, 10**20, "", rng.choice(HOSTILE[:36]), [], {})
    if depth > 2 or rng.random() < 0.7:
        return rng.choice(plain)
    parts = [value(rng, depth + 1) for _ in range(rng.randint(0, 3))]
    return parts if rng.random() < 0.5 else {str(n): part for n, part in enumerate(parts)}


def changed(rng: random.Random, mapping: dict[str, Any]) -> dict[str, Any]:
    """A mapping with one value exchanged, one key lost or one added."""
    made = json.loads(json.dumps(mapping))
    key = rng.choice(list(made))
    match rng.randrange(3):
        case 0:
            made[key] = value(rng)
        case 1:
            del made[key]
        case _:
            made[damaged(rng, key)] = value(rng)
    return dict(made)


def text_of(read: Callable[[str], Any], valid: tuple[str, ...]) -> Callable[..., None]:
    return lambda rng, folder: read(damaged(rng, rng.choice(valid)))


def jsonl(rng: random.Random, folder: Path) -> None:
    lines = [json.dumps(LINE), json.dumps(changed(rng, LINE))]
    if rng.random() < 0.5:
        lines[1] = damaged(rng, lines[1])
    content = "\n".join(lines).encode("utf-8", "surrogatepass")
    if rng.random() < 0.1:
        content = content[: rng.randrange(len(content))] + b"\xff\xfe" + content
    path = folder / "task.jsonl"
    path.write_bytes(content)
    task = load_task(path)
    for split in task.splits:
        task.examples(split, 2, 0)
    assert task.fingerprint


def yaml_grid(rng: random.Random, folder: Path) -> None:
    text = json.dumps(changed(rng, GRID))
    if rng.random() < 0.5:
        text = damaged(rng, text)
    path = folder / "grid.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    read_grid(path)


def numbers(rng: random.Random, folder: Path) -> None:
    number = rng.choice(NUMBERS)
    match rng.randrange(3):
        case 0:
            whole_number("seed", number, 0, 2**32 - 1)
        case 1:
            mean_interval([0.5, 0.6], [0, 1], confidence=number if _is_real(number) else 0.95)
        case _:
            values = [rng.choice((0.0, 1.0, 0.5)) for _ in range(rng.randint(0, 3))]
            paired_effect(values, [0] * len(values), list(range(len(values))), resamples=20)


def _is_real(number: Any) -> bool:
    return isinstance(number, int | float) and abs(number) < 10**300


def command(rng: random.Random, folder: Path) -> None:
    """A command line with an argument damaged, in this process; exit codes are 0, 1 or 2."""
    path = folder / "grid.yaml"
    path.write_text(damaged(rng, json.dumps(GRID)), errors="surrogatepass")
    places = {"OUT": str(folder / "out"), "FILE": str(path)}
    arguments = [places.get(one, one) for one in rng.choice(COMMANDS)]
    at = rng.randrange(len(arguments))
    if arguments[at] not in places.values() and arguments[0] != "--version":
        arguments[at] = damaged(rng, arguments[at]).replace("\0", "")[:500]
    result = CliRunner().invoke(app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code in (0, 1, 2)


#: What is tried, by kind, and its share of all inputs.
KINDS: Final[dict[str, tuple[Callable[[random.Random, Path], None], int]]] = {
    "layouts": (text_of(LatentLayout.parse, LAYOUTS), 20),
    "methods": (text_of(Method.parse, METHODS), 15),
    "selections": (text_of(lambda text: Selection.parse(text, LAYOUT), SELECTIONS), 12),
    "interventions": (text_of(parse_intervention, INTERVENTIONS), 15),
    "conditions": (text_of(Condition.parse, CONDITIONS), 10),
    "JSONL lines": (jsonl, 14),
    "YAML grids": (yaml_grid, 8),
    "numbers": (numbers, 5),
    "command lines": (command, 1),
}


def run(count: int, seed: int = 0) -> Report:
    """Try so many generated inputs, always the same for a seed."""
    kinds = [kind for kind, (_, share) in KINDS.items() for _ in range(share)]
    report = Report()
    for number in range(count):
        kind = kinds[number % len(kinds)]
        report.count(f"bad {kind}")
        with tempfile.TemporaryDirectory(prefix="latent-torture-") as name:
            folder = Path(name)
            try:
                KINDS[kind][0](random.Random(f"{seed}|{number}"), folder)
            except LatentError as error:
                report.count("refused")
                length = len(str(error))
                report.check(
                    length <= MOST_CHARACTERS, f"{kind} {number}: a message of {length} characters"
                )
            except Exception as error:  # which is what is looked for
                said = f"{type(error).__name__}: {error!s:.200}"
                report.check(False, f"{kind} {number}: {said}")
            written = {path.name for path in folder.iterdir()} - {"task.jsonl", "grid.yaml"}
            report.check(not written, f"{kind} {number}: wrote {', '.join(sorted(written))}")
    return report


def torture(sample: bool) -> Report:
    """Try all inputs, or a sample."""
    return run(SAMPLE if sample else COUNT)
