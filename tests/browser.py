"""A Chromium that may reach this machine alone, and a JupyterLab for it to open.

`watched` gives a page in which nothing goes unseen: every request to anywhere else is refused and
noted, and so is every error; leaving the block fails if there was one. `Jupyter` is a server with a
folder of its own; `Notebook` is one of its notebooks, open in such a page.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import nbformat
from playwright.sync_api import Browser, Page, sync_playwright

TOKEN = "t"
HERE = {"127.0.0.1", "localhost"}
INLINE = {"data", "blob", "about", "file"}
PATIENCE = 120_000
"""Milliseconds that anything may take on two busy cores; waiting ends as soon as it can."""

PATIENT_WIDGETS = """
    const timeout = AbortSignal.timeout.bind(AbortSignal);
    AbortSignal.timeout = (after) => timeout(30 * after);
"""
"""For a page's start. A widget of anywidget whose script has not run within two seconds never hears
from Python again; on a machine that runs tests on every core that is too soon."""

_SETTINGS = {
    "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
    "docmanager-extension/plugin": '{"autosave": false}',
}
_HARMLESS = re.compile(
    r"^Failed to load resource.*/api/(workspaces|kernels|sessions|contents)/"  # 404 before they are
    r"|favicon"
)
#: Notebook 7.6 raises it while its own settings load; no frame of the trace is anyone else's.
_NOTEBOOKS_OWN = re.compile(r"reading 'schema'\)(?s:.*)/static/notebook/notebook_core")


@contextlib.contextmanager
def chromium_browser(path: str) -> Iterator[Browser]:
    """A headless Chromium.

    Inside the block Playwright's event loop counts as running in this thread, so what looks for
    one, such as `Jobs`, should not be made here.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        try:
            yield browser
        finally:
            browser.close()


@dataclass(frozen=True)
class Watch:
    """A page, and what happened in it that should not have.

    Attributes:
        page: the page.
        seen: requests to other machines, which were refused, and errors, since the last `check`.
    """

    page: Page
    seen: list[str]

    def check(self) -> None:
        """Fail if anything was seen."""
        found = "\n".join(self.seen)
        self.seen.clear()
        assert not found, found


@contextlib.contextmanager
def watched(browser: Browser, **options: Any) -> Iterator[Watch]:
    """A page that reaches this machine alone. Fails on leaving if it tried more, or on an error.

    Args:
        browser: from `chromium_browser`.
        options: of Playwright's `new_context`, such as `color_scheme`.
    """
    options = {"viewport": {"width": 1400, "height": 1000}, "accept_downloads": True} | options
    # A click of Playwright's while the page scrolls smoothly reaches no element.
    options.setdefault("reduced_motion", "reduce")
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE)
    seen: list[str] = []

    def guard(route: Any) -> None:
        url = urlsplit(route.request.url)
        if url.scheme in INLINE or url.hostname in HERE:
            route.fallback()
        else:
            seen.append(f"request to {route.request.url}")
            route.abort()

    def guard_socket(channel: Any) -> None:
        if urlsplit(channel.url).hostname in HERE:
            channel.connect_to_server()
        else:
            seen.append(f"socket to {channel.url}")
            channel.close()

    def hear(message: Any) -> None:
        text = f"{message.text} {message.location.get('url', '')}"
        if message.type == "error" and not _HARMLESS.search(text):
            seen.append(f"console: {text}")

    def hear_error(error: Any) -> None:
        text = f"error: {error}\n{error.stack}"
        if not _NOTEBOOKS_OWN.search(text):
            seen.append(text)

    context.add_init_script(PATIENT_WIDGETS)
    context.route("**/*", guard)
    context.route_web_socket("**/*", guard_socket)
    page = context.new_page()
    page.on("pageerror", hear_error)
    page.on("console", hear)
    try:
        watch = Watch(page, seen)
        yield watch
        watch.check()
    finally:
        context.close()


@dataclass(frozen=True)
class Jupyter:
    """A running server.

    Attributes:
        port: on 127.0.0.1.
        root: the folder it serves.
        app: `lab`, or `notebook` for Notebook 7.
    """

    port: int
    root: Path
    app: Literal["lab", "notebook"] = "lab"

    @contextlib.contextmanager
    def notebook(
        self, browser: Browser, name: str, cells: Sequence[str] | Path, **options: Any
    ) -> Iterator[Notebook]:
        """Code cells, or a copy of a notebook, open in a watched page; nothing has run yet."""
        path = self.root / f"{name}.ipynb"
        if isinstance(cells, Path):
            shutil.copy(cells, path)
        else:
            made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
            made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
            nbformat.write(made, path)
        tree = "lab/tree" if self.app == "lab" else "notebooks"
        with watched(browser, **options) as watch:
            page = watch.page
            # Without `reset` the page would also open what was open before.
            page.goto(f"http://127.0.0.1:{self.port}/{tree}/{path.name}?token={TOKEN}&reset")
            page.wait_for_function(
                """name => {
                    const open = window.jupyterapp?.shell.currentWidget;
                    const kernel = open?.sessionContext?.session?.kernel;
                    return open?.context?.path === name && kernel?.connectionStatus === "connected"
                        && kernel.status === "idle";
                }""",
                arg=path.name,
            )
            yield Notebook(watch, path)
            page.evaluate("jupyterapp.shell.currentWidget.sessionContext.session?.shutdown()")


@dataclass(frozen=True)
class Notebook:
    """An open notebook.

    Attributes:
        watch: the page in which it is open, and what went wrong there.
        path: where it lies.
    """

    watch: Watch
    path: Path

    @property
    def page(self) -> Page:
        """The page in which it is open."""
        return self.watch.page

    def command(self, name: str, **arguments: Any) -> None:
        """Run one of the application's commands, as its menus do."""
        self.page.evaluate(
            "([name, args]) => jupyterapp.commands.execute(name, args)", [name, arguments]
        )

    def run_all(self) -> None:
        """Run all cells; returns when the last has ended, and fails if one raised."""
        self.command("notebook:run-all-cells")
        assert self.errors() == ""

    def errors(self) -> str:
        """Tracebacks under the cells."""
        found = self.page.evaluate(
            """() => jupyterapp.shell.currentWidget.content.model.sharedModel.toJSON().cells
                .flatMap((cell) => cell.outputs ?? [])
                .filter((output) => output.output_type === "error")
                .map((output) => output.traceback.join("\\n"))"""
        )
        return "\n".join(found)

    def run(self, source: str) -> str:
        """Run code in the notebook's kernel, beside its cells; returns what it prints.

        Fails if the code raises.
        """
        printed, error = self.page.evaluate(
            """async (code) => {
                const { kernel } = jupyterapp.shell.currentWidget.sessionContext.session;
                const future = kernel.requestExecute({ code, store_history: false });
                let printed = "";
                future.onIOPub = ({ content }) => (printed += content.text ?? "");
                const { content } = await future.done;
                return [printed, content.status === "ok" ? "" : content.traceback.join("\\n")];
            }""",
            source,
        )
        assert not error, error
        return printed

    def theme(self, mode: Literal["Light", "Dark"]) -> None:
        """Switch JupyterLab's theme, and wait for it."""
        self.command("apputils:change-theme", theme=f"JupyterLab {mode}")
        self.page.wait_for_function(
            "light => document.body.dataset.jpThemeLight === light",
            arg=str(mode == "Light").lower(),
        )

    def save(self) -> dict[str, Any]:
        """Save it, and give what the file holds."""
        self.command("docmanager:save")
        return dict(nbformat.read(self.path, as_version=4))


@contextlib.contextmanager
def jupyter(
    root: Path, repository: Path, app: Literal["lab", "notebook"] = "lab"
) -> Iterator[Jupyter]:
    """A server of its own settings in `root`, whose kernels import the repository's code."""
    port = free_port()
    served = root / "served"
    served.mkdir(parents=True)
    environment = own_settings(root / "own") | {"PYTHONPATH": str(repository)}
    log = (root / "log.txt").open("wb")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "jupyterlab" if app == "lab" else "notebook"),
            *("--no-browser", "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}"),
            *(f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={served}"),
            *("--allow-root", "--ServerApp.port_retries=0", "--expose-app-in-browser"),
            "--LabApp.extension_manager=readonly",
        ],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        wait_for_server(f"http://127.0.0.1:{port}/api", process, root / "log.txt")
        yield Jupyter(port, served, app)
    finally:
        end_server(process)
        log.close()


def free_port() -> int:
    """A port of this machine that nothing listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def own_settings(own: Path) -> dict[str, str]:
    """The environment of a server that keeps all settings in a folder, and saves no notebook."""
    for name, text in _SETTINGS.items():
        path = own / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {k: v for k, v in os.environ.items() if not k.startswith("JUPYTER")} | {
        "JUPYTER_CONFIG_DIR": str(own / "config"),
        "JUPYTER_DATA_DIR": str(own / "data"),
        "JUPYTERLAB_SETTINGS_DIR": str(own / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(own / "workspaces"),
    }


def end_server(process: subprocess.Popen[bytes]) -> None:
    """End a server that leads a session of its own, and with it its kernels."""
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)


def wait_for_server(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a server answers; fail with its log if it ends before."""
    deadline = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"the server did not start:\n{log.read_text()}")
