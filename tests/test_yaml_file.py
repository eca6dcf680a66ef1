"""YAML within limits: bombs are refused, and a file that is no grid is not repeated."""

from pathlib import Path

import pytest

from latent_core.errors import SettingError
from latent_core.grids.grid import read_grid
from latent_core.yaml_file import MOST_VALUES, read_yaml
from tests.grids.engine import WORDS, written


def file(folder: Path, text: str | bytes) -> Path:
    path = folder / "grid.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join([*lines, f"backbones: *a{levels - 1}"])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (bomb(9), rf"stands for [\d,]+ values, .*expected at most {MOST_VALUES:,}"),
        ("a: &a [*a]", "nested too deep, or one holds itself"),
        ("[" * 5000 + "]" * 5000, "nested too deep"),
        ("x: " + "1" * 5000, "a value cannot be read as its type"),
        ("x: 2020-99-99", "a value cannot be read as its type"),
        ("x: !!bool maybe", "a value cannot be read as its type"),
        ("x: [1, 2", "is not valid YAML: line 1, column"),
        (b"\xff\xfex", "not UTF-8"),
        ("#" * 1_000_001, "larger than 1,000,000 bytes"),
    ],
)
def test_what_is_beyond_a_limit_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(SettingError, match=reason) as raised:
        read_yaml(file(tmp_path, text))
    assert len(str(raised.value)) < 400


def test_a_file_that_is_no_grid_is_not_repeated(tmp_path: Path) -> None:
    for text in ("root:x:0:0:root:/root:/bin/bash\nsecret:y:1:1", "- secret\n- more", "secret"):
        with pytest.raises(SettingError, match="expected settings by name") as raised:
            read_grid(file(tmp_path, text))
        assert "secret" not in str(raised.value)


def test_aliases_and_a_byte_order_mark_within_the_limits_are_read(tmp_path: Path) -> None:
    text = "\ufeffbackbones: [tiny]\ntasks: [repetition]\nmethods: &m [Start_2]\n"
    text += "per_task: {repetition: {methods: [End_2]}}\n"
    assert [spec.method for spec in read_grid(file(tmp_path, text)).specs()] == ["Start_2", "End_2"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"seeds": 1_000_000_000}, "seeds is 1000000000; expected a whole number from 1 to"),
        (
            {"training": {"steps": list(range(1, 400)), "batch_size": list(range(1, 400))}},
            r"the grid has [\d,]+ runs; expected at most 100,000",
        ),
        (
            {"search": {"learning_rates": [0.1] * 200, "steps": list(range(1, 200))}},
            r"the search has [\d,]+ trials for a method; expected at most 10,000",
        ),
        ({"backbones": [["tiny"] * 99]}, "backbones has .'tiny', .*; expected names"),
    ],
)
def test_a_grid_has_a_limit(tmp_path: Path, changes: dict, reason: str) -> None:
    with pytest.raises(SettingError, match=reason) as raised:
        read_grid(written(tmp_path, WORDS | changes))
    assert len(str(raised.value)) < 400
