"""Pages that people read: their code runs, their links lead somewhere, the README is short."""

import re
import shlex
from pathlib import Path

import pytest

from tests.forked import run_latent, run_python

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
    commands = [
        shlex.split(quick(line), comments=True)
        for block in blocks(readme, "sh")
        for line in block.splitlines()
        if line and not line.startswith((*NOT_RUN, "#"))
    ]
    assert len(commands) > 3, "the README shows no command that a test can run"
    for program, *arguments in commands:
        assert program == "latent"
        ended = run_latent(tmp_path, *arguments)
        assert ended.returncode == 0, f"{arguments}\n{ended.stdout[-2000:]}\n{ended.stderr}"


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
