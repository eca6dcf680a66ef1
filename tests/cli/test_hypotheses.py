"""`latent hypotheses | test`: claims are listed, explained and tested."""

import json
import re

import pytest

from latent_core.cli import main
from latent_core.cli.hypotheses import _target
from latent_core.errors import SettingError


def test_the_command_line_lists_and_explains(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for arguments in (["hypotheses"], ["hypotheses", "H2"]):
        monkeypatch.setattr("sys.argv", ["latent", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code in (0, None)
    shown = capsys.readouterr().out
    assert "specialisation" in shown and "their states carry it" in shown


def test_the_command_line_runs_a_test(capsys, monkeypatch, tmp_path) -> None:
    size = ["--seeds", "1", "--examples", "2", "--steps", "1"]
    arguments = ["latent", "test", "prediction", *size, "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code in (0, None)
    shown = capsys.readouterr().out
    assert "train       End_2, End_2@verbal, unless already trained (steps 1," in shown
    assert "power to support the part" in shown and "of 1 part, 1 inconclusive" in shown
    assert (tmp_path / "prediction.html").is_file()
    assert json.loads((tmp_path / "journal.jsonl").read_text().splitlines()[0])["kind"] == "plan"


def test_the_command_line_takes_what_ships_or_says_what_is_missing() -> None:
    study, source, why = _target(("reach", "", ""), "smollm2-135m", None, False)
    assert study.key == "reach-repetition" and "nothing is trained" in why
    assert source.adapter("Start_1+Comma_1", 0).folder is not None
    with pytest.raises(
        SettingError, match=r"shipped adapters for smollm2-360m: no part of H3 can .*--tr"
    ):
        _target(("H3", "", ""), "smollm2-360m", None, False)
    with pytest.raises(SettingError, match="no hypothesis 'H9'; expected one of H1, H2"):
        _target(("H9", "", ""), "tiny", None, True)
    study, source, why = _target(("H3", "", ""), "tiny", None, False)  # --shipped
    assert study.layout == "Start_4+Comma_2" and source.seeds([study.layout], 10)


@pytest.mark.slow
def test_the_command_line_says_what_a_group_carries(capsys, monkeypatch, tmp_path) -> None:
    form = ["--shipped", "--layout", "Comma_2", "--group", "Comma"]
    size = ["--seeds", "1", "--examples", "4", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["latent", "test", "carry", *form, *size])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code in (0, None)
    shown = capsys.readouterr().out
    assert re.search(r"^(UNDECIDED|MARK) \(ONE SEED\): ", shown, re.MULTILINE)
    assert "-- another example's states --" in shown
    assert "(ONE SEED)" in (tmp_path / "carry.html").read_text()
