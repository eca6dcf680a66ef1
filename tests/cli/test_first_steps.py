"""`latent demo` starts JupyterLab at its notebook; `latent doctor` says what is there."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

from latent_core.cli import first_steps
from latent_core.cli.app import app
from latent_core.cli.first_steps import Finding, lab_command, of_packages, write_notebook


def test_the_notebook_is_written_once_and_keeps_your_changes(tmp_path: Path) -> None:
    path = write_notebook("tiny", tmp_path / "demo")
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[1].source.endswith('Workbench("tiny")')
    path.write_text(path.read_text().replace("tiny", "mine"))
    assert write_notebook("tiny", tmp_path / "demo") == path and "mine" in path.read_text()


def test_a_backbone_without_adapters_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["demo", "-b", "tyni", "--folder", str(tmp_path / "demo")])
    assert "Expected one of tiny, smollm2-135m" in str(done.exception)
    assert not list(tmp_path.iterdir())


def test_the_server_is_for_this_machine_alone(tmp_path: Path) -> None:
    command = lab_command(tmp_path / "one.ipynb", browser=False, port=8900)
    assert "--ServerApp.ip=127.0.0.1" in command and "--no-browser" in command
    assert (
        "--ServerApp.port=8900" in command and "--LabApp.default_url=/lab/tree/one.ipynb" in command
    )


@pytest.mark.slow
def test_jupyterlab_serves_the_notebook(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "latent_core", "demo", "--no-browser", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--folder", str(tmp_path)],
        env=os.environ | {"JUPYTER_TOKEN": "secret"},
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = f"http://127.0.0.1:{port}/files/workbench-tiny.ipynb?token=secret"
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(address, timeout=10) as answer:
                    assert b"Workbench" in answer.read()
                break
            except (urllib.error.URLError, ConnectionError):
                assert time.monotonic() < deadline and process.poll() is None
                time.sleep(0.2)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


REQUIRED = [
    "torch<3,>=2.13",
    "pandas<4,>=3.1",
    'ray<3,>=2.60; extra == "ray"',
    'pytest>=9; extra == "dev"',
    'latent-workbench[ray]; extra == "dev"',
]


def test_here_nothing_is_a_problem() -> None:
    found = list(first_steps.findings())
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

    monkeypatch.setitem(first_steps.CHECKS, "device", broken)
    done = CliRunner().invoke(app, ["doctor"], env={"COLUMNS": "200"})
    assert done.exit_code == 1
    assert "ImportError: libcudart.so.13 not found" in done.stdout and "threads" in done.stdout


def test_weights_that_are_not_there_yet_are_a_note(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("LATENT_CACHE", str(tmp_path / "new" / "cache"))
    done = CliRunner().invoke(app, ["doctor"], env={"COLUMNS": "200"})
    assert done.exit_code == 0 and "latent fetch smollm2-135m" in done.stdout
    assert not (tmp_path / "new").exists(), "looking writes nothing"
