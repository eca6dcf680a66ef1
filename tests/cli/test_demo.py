"""`latent demo` starts JupyterLab at a notebook that it writes once."""

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

from latent_core.cli.app import app
from latent_core.cli.demo import lab_command, write_notebook


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
