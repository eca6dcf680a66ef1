"""The reference of the public names, docs/reference.md, made from their docstrings.

Write it with `make reference`; a test says when it is out of date.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import griffe

import latent_core as lc
import workbench

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "reference.md"
NAMESPACES: Final = ("lab", "interventions", "layouts", "tasks", "errors")
WIDTH: Final = 100
HEADINGS: Final = {
    "backbones": "Backbones",
    "models": "Models",
    "tasks": "Tasks",
    "training": "Training",
    "evaluation": "Evaluation",
    "generation": "Generation",
    "interventions": "Interventions",
    "attention": "Attention",
    "analysis": "Analysis",
    "runs": "Runs",
    "statistics": "Statistics",
    "hypotheses": "Claims and studies",
    "lab": "The lab",
    "grids": "Grids",
    "layouts": "Layouts",
    "slots": "Slots and methods",
    "bridges": "Other tools",
    "invariants": "Invariants",
    "errors": "Errors",
    "workbench": "Workbench",
}
"""Package or namespace -> the section of the page that its names stand in."""

HEAD: Final = """\
# Reference

Every public name, made from the docstrings by `make reference`. A test runs each example. `lc` is
`latent_core`. Axes: B rows, T slots, L layers, H heads, D width, V vocabulary, M latents.
"""


def public_objects() -> dict[str, griffe.Object]:
    """Public name, such as `lc.train`, -> where it is defined: each once, by its shortest name."""
    core, panels = map(_loaded, ("latent_core", "workbench"))
    spaces = [(f"lc.{name}", getattr(lc, name), core[name]) for name in NAMESPACES]
    found: dict[str, griffe.Object] = {}
    for name, running, module in [("lc", lc, core), *spaces, ("workbench", workbench, panels)]:
        for member in module.members.values():
            if member.name not in running.__all__:
                continue
            target = member.final_target if member.is_alias else member
            if not target.is_module and target not in found.values():
                found[f"{name}.{member.name}"] = target
    return found


def _loaded(package: str) -> griffe.Object | griffe.Alias:
    """A package as its source and its stub have it, not as it runs."""
    return griffe.load(
        package, search_paths=[ROOT], docstring_parser="google", allow_inspection=False
    )


def page() -> str:
    """The page's text."""
    sections: dict[str, dict[str, griffe.Object]] = {heading: {} for heading in HEADINGS.values()}
    for name, target in public_objects().items():
        sections[_heading(name, target)][name] = target
    parts = [HEAD, "\n"]
    for heading, entries in sections.items():
        links = (f"[`{name}`](#{name.lower().replace('.', '')})" for name in entries)
        parts.append(f"- {heading}: {', '.join(links)}\n")
    for heading, entries in sections.items():
        parts.append(f"\n## {heading}\n")
        for name, target in entries.items():
            parts.append(f"\n### `{name}`\n")
            parts += _entry(name.rpartition(".")[2], target)
    return "".join(parts)


def _heading(name: str, target: griffe.Object) -> str:
    """By the namespace of a name, or else by the package that defines it."""
    space = name.rpartition(".")[0].removeprefix("lc").lstrip(".")
    return HEADINGS[space or target.module.path.split(".")[1]]


def _entry(name: str, target: griffe.Object) -> Iterator[str]:
    assert target.docstring is not None, f"{target.path} has no docstring"
    signature = _signature(name, target)
    if signature:
        yield f"\n```text\n{signature}\n```\n"
    for section in target.docstring.parse("google", warnings=False):
        yield from _section(section)
    methods = list(_methods(target))
    if methods:
        yield "\nMethods and properties:\n\n" + "".join(methods)


def _signature(name: str, target: griffe.Object) -> str:
    """The call, broken into lines; empty for what nobody calls."""
    if isinstance(target, griffe.Class):
        error = name.endswith(("Error", "Warning"))
        called = not error and not {"ABC", "Protocol"} & set(map(str, target.bases))
    else:
        called = isinstance(target, griffe.Function)
    if not called:
        return ""
    assert isinstance(target, griffe.Class | griffe.Function)
    return textwrap.fill(
        target.signature(), WIDTH, subsequent_indent="    ", break_long_words=False
    )


def _section(section: griffe.DocstringSection) -> Iterator[str]:
    """A section of a docstring, such as its text, its arguments or its example."""
    value: Any = section.value
    match section.kind:
        case griffe.DocstringSectionKind.text:
            yield f"\n{value}\n"
        case griffe.DocstringSectionKind.parameters | griffe.DocstringSectionKind.attributes:
            yield "\n"
            for item in value:
                names = ", ".join(f"`{name}`" for name in names_of(item))
                yield f"- {names}: {_line(item.description)}\n"
        case griffe.DocstringSectionKind.returns:
            yield f"\nReturns {_line(' '.join(item.description for item in value))}\n"
        case griffe.DocstringSectionKind.raises | griffe.DocstringSectionKind.warns:
            verb = section.kind.value.capitalize()
            yield "\n" + "".join(
                f"{verb} `{item.annotation}` {_line(item.description)}\n" for item in value
            )
        case griffe.DocstringSectionKind.admonition if value.kind == "example":
            yield f"\n```pycon\n{value.contents}\n```\n"
        case kind:
            raise ValueError(f"no form for a section {kind.value!r}; write one in docs/api.py")


def names_of(item: griffe.DocstringParameter | griffe.DocstringAttribute) -> list[str]:
    """The names that one line describes: of `low, high: ...` the parser takes `high` for a type."""
    written = f"{item.name} {item.annotation}" if item.name.endswith(",") else item.name
    return [name.strip().lstrip("*") for name in written.split(",")]


def _line(text: str) -> str:
    return " ".join(text.split())


def _methods(target: griffe.Object) -> Iterator[str]:
    """A line for each public method and property of a class, the inherited ones included."""
    if not isinstance(target, griffe.Class):
        return
    for name, member in target.all_members.items():
        member = member.final_target if member.is_alias else member
        if name.startswith("_") or member.docstring is None:
            continue
        first = member.docstring.value.partition("\n\n")[0]
        called = "()" if isinstance(member, griffe.Function) else ""
        yield f"- `{name}{called}`: {_line(first)}\n"


if __name__ == "__main__":
    PAGE.write_text(page())
