"""Rebuild every page and notebook that is made by a program, and report what changed.

    python experiments/rebuild.py                     # all of it: about two hours on two cores
    python experiments/rebuild.py results reference   # these parts
    python experiments/rebuild.py --list

The exit code is 1 if a rebuilt file differs from the file that was there. The new file stays, so
that `git diff` shows the difference. Dates and pictures are not compared.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LOOKUP = "H2-lookup:Start_1+Comma_1"
CARRY = "carry-lookup:Start_1+Comma_1 carry-lookup:Comma_2"
COMPUTED = "'computed:End_2=hidden & lora-r8'"


class Part(NamedTuple):
    """What one command makes: the arguments of Python, and patterns of the files it writes."""

    command: str
    outputs: tuple[str, ...]


#: Later parts read what earlier parts make.
PARTS: dict[str, Part] = {
    "reference": Part("-m docs.api", ("docs/reference.md",)),
    "families": Part("experiments/families.py", ("docs/backbones.md",)),
    "verified": Part("experiments/verified.py", ("docs/backbones.md",)),
    "carrier-errors": Part("experiments/carrier_errors.py", ("docs/carrier.md",)),
    "mixed-model": Part("experiments/mixed_model.py", ("docs/hypotheses-lab.md",)),
    "rates": Part("experiments/rate_ranks.py", ("docs/methods.md",)),
    "confirmed": Part("experiments/confirm.py", ("docs/confirmed.md", "docs/confirmed-*.svg")),
    "confirmed-gains": Part(
        "experiments/confirm_gains.py",
        ("docs/confirmed-gains.md", "docs/gains-*.svg", "docs/lookup-by-length.svg"),
    ),
    "results": Part("experiments/results.py", ("docs/results.md", "docs/results-*.svg")),
    "tiny": Part("experiments/tiny_comparison.py", ("docs/tiny.md",)),
    "verdicts-lookup": Part(
        "experiments/hypotheses_page.py --shipped --backbone smollm2-135m --examples 24 "
        f"--only {LOOKUP} --page docs/hypotheses-lookup.md",
        ("docs/hypotheses-lookup.md",),
    ),
    "verdicts-smollm2": Part(
        "experiments/hypotheses_page.py --shipped --backbone smollm2-135m --seeds 1 "
        "--examples 16 --page docs/hypotheses-smollm2.md",
        ("docs/hypotheses-smollm2.md",),
    ),
    "verdicts-computed": Part(
        f"experiments/hypotheses_page.py --shipped --examples 100 --only {COMPUTED} "
        "--page docs/hypotheses-computed.md",
        ("docs/hypotheses-computed.md",),
    ),
    "verdicts-carry": Part(
        f"experiments/hypotheses_page.py --shipped --backbone smollm2-135m --examples 32 "
        f"--only {CARRY} --page docs/hypotheses-carry-smollm2.md",
        ("docs/hypotheses-carry-smollm2.md",),
    ),
    "verdicts-tiny": Part("experiments/hypotheses_page.py", ("docs/hypotheses.md",)),
    "notebooks": Part("experiments/run_notebooks.py", ("notebooks/*.ipynb",)),
    "screenshots": Part("docs/screenshots.py", ("docs/images/*.png",)),
}


def main() -> None:
    """Rebuild the parts asked for; exit with 1 if one of their files changed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help="default: all")
    parser.add_argument("--list", action="store_true", help="name the parts, and stop")
    options = parser.parse_args()
    if options.list:
        for name, part in PARTS.items():
            print(f"{name:18} {', '.join(part.outputs)}")
        return
    if unknown := [name for name in options.parts if name not in PARTS]:
        parser.error(f"there is no part {', '.join(unknown)}; expected one of {', '.join(PARTS)}")
    changed = [path for name in options.parts or PARTS for path in rebuild(name, PARTS[name])]
    if changed:
        sys.exit(f"{len(changed)} files changed: {', '.join(map(str, changed))}")
    print("every rebuilt file is as it was")


def rebuild(name: str, part: Part, root: Path = ROOT) -> list[Path]:
    """Run the command of one part; give the files that then have another content.

    Raises:
        subprocess.CalledProcessError: if the command fails.
    """
    before = contents(part, root)
    started = time.perf_counter()
    print(f"{name}: python {part.command}", flush=True)
    subprocess.run([sys.executable, *shlex.split(part.command)], cwd=root, check=True)
    after = contents(part, root)
    changed = sorted(path for path in before | after if before.get(path) != after.get(path))
    says = ", ".join(map(str, changed)) or "nothing"
    print(f"{name}: {time.perf_counter() - started:.0f} s, {says} changed", flush=True)
    return changed


def contents(part: Part, root: Path) -> dict[Path, str]:
    """What is compared of each file of a part, by its path below `root`."""
    paths = [path for pattern in part.outputs for path in root.glob(pattern)]
    return {path.relative_to(root): content(path) for path in paths}


def content(path: Path) -> str:
    """The text of a file that has to come out the same.

    A page has no dates. A notebook is its sources and its printed results, without times. Of a
    picture, it is enough that it is there.
    """
    if path.suffix == ".png":
        return "a picture"
    if path.suffix == ".ipynb":
        return "\n".join(_cells(json.loads(path.read_text())["cells"]))
    return re.sub(r"\d{4}-\d{2}-\d{2}", "DATE", path.read_text())


def _cells(cells: list[dict]) -> list[str]:
    lines = []
    for cell in cells:
        lines.append("".join(cell["source"]))
        for output in cell.get("outputs", ()):
            shown = output.get("text") or output.get("data", {}).get("text/plain", ())
            lines.append(re.sub(r"0x[0-9a-f]+|[\d.]+ (s|min|seconds|kB)\b", "", "".join(shown)))
    return lines


if __name__ == "__main__":
    main()
