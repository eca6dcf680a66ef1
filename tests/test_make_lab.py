"""`make lab` as a newcomer runs it: the server that it starts, and what that serves to whom."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

NOTEBOOK = "notebooks/01_start_here.ipynb"
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/\S*\?token=[0-9a-f]+")

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Lab:
    url: str  # as printed
    port: int

    @property
    def token(self) -> str:
        return parse_qs(urlsplit(self.url).query)["token"][0]

    def get(self, path: str, token: str | None = None) -> tuple[int, bytes]:
        headers = {"Authorization": f"token {token}"} if token else {}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


@pytest.fixture(scope="module")
def lab(repository: Path, require, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    require(Path(sys.prefix) == repository / ".venv", "not run by `make test`")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # A newcomer's Jupyter: no settings of its own, and nothing passed on from an outer `make`.
    passed_on = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "JUPYTER"))}
    process = subprocess.Popen(
        ["make", "lab", "BROWSER=0", f"PORT={port}"],
        cwd=repository,
        env={**passed_on, "JUPYTER_CONFIG_DIR": str(tmp_path_factory.mktemp("jupyter"))},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    # A server that never says its address is ended, which ends the loop below.
    impatience = threading.Timer(120, os.killpg, (process.pid, signal.SIGTERM))
    impatience.start()
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            if found := ADDRESS.search(line):
                break
        else:
            pytest.fail("`make lab` ended without an address:\n" + "".join(said))
        impatience.cancel()
        # Its log must be read on, or the server blocks when the pipe is full.
        threading.Thread(target=process.stdout.read, daemon=True).start()
        wait_until_it_answers(port)
        yield Lab(found.group(), port)
    finally:
        impatience.cancel()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def wait_until_it_answers(port: int) -> None:
    """The address is printed a moment before the port is open."""
    for attempt in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except ConnectionRefusedError:
            if attempt == 99:
                raise
            time.sleep(0.1)


def test_the_printed_address_opens_the_notebook(lab: Lab) -> None:
    assert urlsplit(lab.url).port == lab.port
    assert urlsplit(lab.url).path == f"/lab/tree/{NOTEBOOK}"
    status, page = lab.get(f"{urlsplit(lab.url).path}?token={lab.token}")
    assert status == 200
    assert b"jupyter-config-data" in page


def test_nothing_is_served_without_the_token(lab: Lab) -> None:
    assert lab.get("/api/status")[0] == 403
    assert lab.get(f"/api/contents/{NOTEBOOK}", token="0" * len(lab.token))[0] == 403
    assert lab.get("/api/status", token=lab.token)[0] == 200


def test_the_notebook_is_served_with_its_kernel(lab: Lab) -> None:
    status, body = lab.get(f"/api/contents/{NOTEBOOK}", token=lab.token)
    assert status == 200
    notebook = json.loads(body)["content"]
    assert notebook["cells"]
    kernels = json.loads(lab.get("/api/kernelspecs", token=lab.token)[1])
    assert notebook["metadata"]["kernelspec"]["name"] in kernels["kernelspecs"]


def test_it_listens_on_this_machine_alone(lab: Lab) -> None:
    """All of 127/8 is this machine; a server on every interface would answer on 127.0.0.2 too."""
    socket.create_connection(("127.0.0.1", lab.port), timeout=5).close()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.2", lab.port), timeout=5)


def test_jupyterlab_does_not_ask_about_news(lab: Lab) -> None:
    _, body = lab.get("/lab/api/settings/@jupyterlab/apputils-extension:notification", lab.token)
    settings = json.loads(body)
    assert settings["schema"]["properties"]["fetchNews"]["default"] == "false"
    assert settings["schema"]["properties"]["checkForUpdates"]["default"] is False
