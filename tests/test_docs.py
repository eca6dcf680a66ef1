"""Pages that people read: their code runs, their links lead somewhere, the README is short."""

import os
import re
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "AGENTS.md", *ROOT.glob("docs/*.md")]
#: Commands that need a GPU, a cluster, another installer, or a window of JupyterLab.
NOT_RUN = ("accelerate", "conda", "git", "make", "pip", "python -m venv", ". .venv")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


#: What the code of a page takes long for, and what its test makes of it.
QUICK = {
    r"(--steps |\bsteps=)\d+": "3",
    r"(--examples |\bexamples=|\b(?:examples|count)\.value = )\d+": "4",
    r"(--seeds |\bseeds=)(?:[3-9]|\d{2,})\b": "2",
    r"(LatentModel.from_pretrained\(.*dtype=)\"float32\"": '"bfloat16"',
    r"(--max-new-tokens |\bmax_new_tokens=)\d{2,}": "8",
}


def quick(code: str) -> str:
    """The same code with few steps, examples, seeds and new tokens."""
    for pattern, few in QUICK.items():
        code = re.sub(pattern, rf"\g<1>{few}", code)
    return code


def has(page: Path, language: str) -> bool:
    return page.is_file() and bool(blocks(page, language))


ENVIRONMENT = os.environ | {
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "PYTHONPATH": str(ROOT),
    "HF_HUB_OFFLINE": "1",
    "MPLBACKEND": "agg",
}


def run(command: list[str], folder: Path, text: str) -> None:
    done = subprocess.run(
        command, input=text, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


def run_python(folder: Path, code: str) -> None:
    """Run a script in a fork of this process, which has imported torch already."""
    import latent_core.models.latent
    import latent_core.training.train  # noqa: F401 for the fork

    output = folder / "output.txt"
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with output.open("w") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
            sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
            os.chdir(folder)
            os.environ.update(ENVIRONMENT)
            exec(compile(code, "page", "exec"), {"__name__": "__main__"})
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    code_of = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code_of == 0, f"{code}\n{output.read_text()[-4000:]}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if has(page, "python")], ids=lambda page: page.stem
)
def test_the_python_of_a_page_runs_from_top_to_bottom(page: Path, tmp_path: Path) -> None:
    run_python(tmp_path, quick("\n".join(blocks(page, "python"))))


@pytest.mark.slow
def test_the_commands_of_the_readme_run(tmp_path: Path) -> None:
    """Its Python first, since its commands use what that has trained."""
    readme = ROOT / "README.md"
    run_python(tmp_path, quick(blocks(readme, "python")[0]))
    lines = [
        line
        for block in blocks(readme, "sh")
        for line in block.splitlines()
        if line and not line.startswith(NOT_RUN)
    ]
    assert lines, "the README shows no command that a test can run"
    run(["bash", "-eu"], tmp_path, quick("\n".join(lines)))


@pytest.mark.parametrize("page", [p for p in PAGES if p.is_file()], ids=lambda page: page.stem)
def test_links_of_a_page_lead_to_files(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text) + re.findall(
        r'(?:src|srcset)="([^"]+)"', text
    )
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 250
