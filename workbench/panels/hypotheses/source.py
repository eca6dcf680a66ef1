"""The fields that choose what a claim is tested on, and the `Target` that they give.

Adapters that the session holds, that lie in run folders or ship with the package, or that are
trained for the test. Knows the session and the lab's sources; nothing of claims.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import Any, Final

import ipywidgets as widgets

from latent_core.archives.folders import is_folder, on_disk
from latent_core.errors import SettingError
from latent_core.hypotheses.lab import FULL_TEST, QUICK_TEST
from latent_core.hypotheses.studies.forms import methods_of
from latent_core.runs.find import find_runs
from latent_core.runs.shipped import SHIPPED, shipped_adapters
from workbench.adapters import runs_folder
from workbench.panels.base import Panel
from workbench.panels.code import backbone_code, model_code, path_code
from workbench.panels.hypotheses.work import Target
from workbench.session import NO_LATENTS

__all__ = ["SourceForm"]

_ROW: Final[dict[str, Any]] = {
    "flex_flow": "row wrap",
    "align_items": "center",
    "grid_gap": "4px 12px",
}


class SourceForm(widgets.VBox):
    """On what, how many seeds and examples, and where it is kept.

    Attributes:
        source: `train`, `shipped`, `a`, `b`, `both` or `runs`.
        fields: everything that can be set, to be disabled while a test runs.
    """

    def __init__(self, panel: Panel, changed: Callable[[], Any]) -> None:
        """`changed` is called whenever a field is."""
        super().__init__()
        self._panel, self._changed, self._setting = panel, changed, False
        self._known: tuple[Path | None, Mapping[str, Set[str]]] = (None, {})
        self.source = _field(widgets.Dropdown, "Test on", "400px")
        self.runs = _field(widgets.Text, "Runs in", "400px", continuous_update=False)
        self.runs.placeholder = "a folder of runs from `latent train`"
        number = widgets.BoundedIntText
        self.seeds = _field(number, "Seeds", "170px", value=QUICK_TEST["seeds"], min=1, max=1000)
        self.seeds.tooltip = "training seeds; with one seed, the verdict is about that adapter only"
        self.examples = _field(
            number, "Examples", "180px", value=QUICK_TEST["examples"], min=2, max=100_000
        )
        self.examples.tooltip = "examples per seed and split"
        self.steps = _field(number, "Steps", "180px", value=QUICK_TEST["steps"], min=1, max=10**6)
        self.steps.tooltip = "training steps of each adapter"
        self.folder = _field(
            widgets.Text, "Results in", "300px", value=_kept_in(), continuous_update=False
        )
        self.folder.tooltip = "folder for adapters, partial results, reports and the journal"
        first = panel.button(
            "Quick test (1 seed)",
            lambda: self._size(QUICK_TEST),
            "use these sizes; takes minutes on tiny",
        )
        full = panel.button(
            "Full test (5 seeds)",
            lambda: self._size(FULL_TEST),
            "use 5 seeds, 100 examples and 400 steps",
        )
        self.fields: tuple[Any, ...] = (
            *(self.source, self.runs, self.seeds, self.examples, self.steps, self.folder),
            *(first, full),
        )
        self.children = (
            widgets.HBox([self.source, self.runs, self.folder], layout=_ROW),
            widgets.HBox([self.seeds, self.examples, self.steps, first, full], layout=_ROW),
        )
        panel.follow(self._follow_models, "adapter_a", "adapter_b")
        self._show()
        panel.on(self.source, "value", lambda _: self._choose())
        for field in (self.runs, self.seeds, self.examples, self.steps, self.folder):
            panel.on(field, "value", lambda _: self._tell())

    @property
    def where(self) -> Path:
        """The folder that keeps everything."""
        return Path(self.folder.value.strip() or _kept_in()).expanduser()

    def target(self) -> Target:
        """What the fields say.

        Raises:
            SettingError: if they name nothing that could be tested.
        """
        session = self._panel.session
        name, kind = session.backbone.name, self.source.value
        if kind == "train":
            words = f"adapters trained here on {name}, {self.steps.value} steps each"
            training = {"steps": self.steps.value}
            return Target(words, session.backbone, backbone_code(session), training)
        if kind == "shipped":
            folder = SHIPPED / name
            words = f"the shipped adapters for {name}"
            return Target(words, [folder], f"[{path_code(folder)}]", {})
        if kind == "runs":
            folder = Path(on_disk(self.runs.value.strip())).expanduser()
            if not self.runs.value.strip() or not is_folder(folder):
                raise SettingError(
                    f"there is no folder {str(folder)!r} in {Path.cwd()}"
                    if self.runs.value.strip()
                    else "give a folder of runs"
                )
            return Target(f"the runs in {folder}", [folder], f"[{path_code(folder)}]", {})
        names = self._names()
        code = f"[{', '.join(model_code(session, one) for one in names)}]"
        return Target(" and ".join(names), [session.models[one] for one in names], code, {})

    def methods(self) -> Mapping[str, Set[str]]:
        """The methods of the runs that are chosen, by task; none where adapters are trained."""
        session, kind = self._panel.session, self.source.value
        if kind in ("a", "b", "both"):
            return {session.task.name: {session.models[name].method for name in self._names()}}
        if kind == "train" or (kind == "runs" and not self.runs.value.strip()):
            return {}
        folder = SHIPPED / session.backbone.name
        if kind == "runs":
            folder = Path(on_disk(self.runs.value.strip())).expanduser()
        if not is_folder(folder):
            return {}
        if self._known[0] != folder:
            self._known = (folder, methods_of(find_runs(folder)))
        return self._known[1]

    def _names(self) -> list[str]:
        """The adapters of the session that are chosen: A, B or both."""
        session = self._panel.session
        both = [session.adapter_a, session.adapter_b]
        chosen = {"a": both[:1], "b": both[1:]}.get(self.source.value, both)
        return list(dict.fromkeys(chosen))

    def _follow_models(self) -> None:
        session = self._panel.session
        options = [(f"adapters trained here on {session.backbone.name}", "train")]
        if any(a.backbone == session.backbone.name for a in shipped_adapters()):
            options.insert(0, (f"shipped adapters for {session.backbone.name}", "shipped"))
        if session.adapter_a != NO_LATENTS:
            options.append((f"adapter A: {session.adapter_a}", "a"))
        if session.adapter_b not in (NO_LATENTS, session.adapter_a):
            options.append((f"adapter B: {session.adapter_b}", "b"))
            options.append(("adapters A and B", "both"))
        options.append(("a folder of runs", "runs"))
        kept = self.source.value
        self._setting = True
        try:
            self.source.options = options
            self.source.value = kept if kept in dict(options).values() else options[0][1]
        finally:
            self._setting = False
        self._tell()

    def _choose(self) -> None:
        if self._setting:
            return
        if self.source.value in ("a", "b", "both", "shipped"):
            self._setting = True
            self.seeds.value = 1
            self._setting = False
        self._show()
        self._tell()

    def _show(self) -> None:
        self.runs.layout.display = "" if self.source.value == "runs" else "none"
        self.steps.layout.display = "" if self.source.value == "train" else "none"

    def _size(self, sizes: dict[str, int]) -> None:
        self._setting = True
        try:
            self.examples.value, self.steps.value = sizes["examples"], sizes["steps"]
            if self.source.value in ("train", "runs"):
                self.seeds.value = sizes["seeds"]
        finally:
            self._setting = False
        self._tell()

    def _tell(self) -> None:
        if not self._setting:
            self._changed()


def _kept_in() -> str:
    """Where tests are kept unless the user says otherwise: among the runs."""
    return str(runs_folder() / "hypotheses")


def _field(kind: Any, label: str, width: str, **settings: Any) -> Any:
    """A labelled input."""
    return kind(
        description=label,
        style={"description_width": "80px"},
        layout=widgets.Layout(width=width, margin="0"),
        **settings,
    )
