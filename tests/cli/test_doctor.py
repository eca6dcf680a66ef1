"""`latent doctor` says what is there, and what to do about the rest."""

import pytest
from typer.testing import CliRunner

from latent_core.cli import doctor
from latent_core.cli.app import app
from latent_core.cli.doctor import Finding, of_packages

REQUIRED = [
    "torch<3,>=2.13",
    "pandas<4,>=3.1",
    'ray<3,>=2.60; extra == "ray"',
    'pytest>=9; extra == "dev"',
    'latent-workbench[ray]; extra == "dev"',
]


def test_here_nothing_is_a_problem() -> None:
    found = list(doctor.findings())
    subjects = {one.subject for one in found}
    assert {"Python", "packages", "extra [workbench]", "device", "dtype", "threads"} <= subjects
    assert not [one for one in found if one.state == "problem"]
    assert all(one.remedy for one in found if one.state != "ok")


def test_what_is_missing_is_named_with_the_command_that_installs_it() -> None:
    there = {"torch": "2.9.1", "pandas": "3.1.2"}
    base, ray = of_packages(REQUIRED, there.get)
    assert base == Finding(
        "packages",
        "note",
        "torch 2.9.1 (tested: <3,>=2.13)",
        "pip install 'latent-workbench', in its own environment",
    )
    assert ray.state == "note" and ray.found == "missing: ray"
    assert ray.remedy == "pip install 'latent-workbench[ray]'"
    (lost, *_) = of_packages(REQUIRED, {"torch": "2.13.0"}.get)
    assert (lost.state, lost.found) == ("problem", "missing: pandas")


def test_a_check_that_fails_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken():
        raise ImportError("libcudart.so.13 not found")
        yield

    monkeypatch.setitem(doctor.CHECKS, "device", broken)
    done = CliRunner().invoke(app, ["doctor"], env={"COLUMNS": "200"})
    assert done.exit_code == 1
    assert "ImportError: libcudart.so.13 not found" in done.stdout and "threads" in done.stdout


def test_weights_that_are_not_there_yet_are_a_note(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("LATENT_CACHE", str(tmp_path / "new" / "cache"))
    done = CliRunner().invoke(app, ["doctor"], env={"COLUMNS": "200"})
    assert done.exit_code == 0 and "latent fetch smollm2-135m" in done.stdout
    assert not (tmp_path / "new").exists(), "looking writes nothing"
