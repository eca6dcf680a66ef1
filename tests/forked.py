"""A program of a user, run in a fork of this process, which has imported torch already."""

import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, NoReturn

ROOT = Path(__file__).resolve().parent.parent

#: Where a program finds this project, whatever its folder is.
ENVIRONMENT = {
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "PYTHONPATH": str(ROOT),
    "HF_HUB_OFFLINE": "1",
    "MPLBACKEND": "agg",
}


class Ended(NamedTuple):
    """How a program ended, and what it said."""

    returncode: int
    stdout: str
    stderr: str


def forked(program: Callable[[], object], folder: Path) -> Ended:
    """Run a program in a folder, and wait for its end; the import of torch costs seconds else."""
    import latent_core.models.latent
    import latent_core.training.train  # noqa: F401 for the fork

    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        child = os.fork()
        if child == 0:
            _become(program, folder, (output.fileno(), errors.fileno()))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        output.seek(0)
        errors.seek(0)
        return Ended(code, output.read(), errors.read())


def _become(program: Callable[[], object], folder: Path, files: tuple[int, int]) -> NoReturn:
    """Be the program in this process, whose output goes into two files, and end."""
    status = 1
    try:
        for number, file in enumerate(files, 1):
            os.dup2(file, number)
        sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
        os.environ.update(ENVIRONMENT)
        os.chdir(folder)
        program()
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def run_python(folder: Path, code: str) -> str:
    """Run a script, which has to succeed.

    Returns:
        what it printed.
    """
    module = {"__name__": "__main__", "__file__": str(folder / "script.py")}
    ended = forked(lambda: exec(compile(code, "script", "exec"), module), folder)
    assert ended.returncode == 0, f"{code}\n{ended.stdout[-2000:]}\n{ended.stderr[-4000:]}"
    return ended.stdout


def run_latent(folder: Path, *arguments: str) -> Ended:
    """Run the `latent` command."""

    def called() -> None:
        from latent_core.cli import main

        sys.argv = ["latent", *arguments]
        main()

    return forked(called, folder)
