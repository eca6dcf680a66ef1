"""The fields in which a claim is chosen or stated.

They give a study or a hypothesis, and do not know what it is tested on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from html import escape
from typing import Any, Final

import ipywidgets as widgets

from latent_core.errors import LatentError, SettingError
from latent_core.hypotheses.claim import CONTROLS, METRICS, Hypothesis
from latent_core.hypotheses.conditions import Contrast
from latent_core.hypotheses.studies.forms import fitted
from latent_core.hypotheses.studies.table import STUDIES, load_study
from latent_core.hypotheses.study import Study
from latent_core.slots.methods import EXAMPLE_LAYOUTS
from latent_core.tasks.base import Task
from latent_core.tasks.table import TASKS, load_task
from workbench.panels.base import Panel
from workbench.panels.code import task_source
from workbench.panels.controls import ROW, Controls
from workbench.panels.hypotheses.work import own_code
from workbench.session import Proposal
from workbench.widgets.combo_box import ComboBox

__all__ = ["OWN", "ClaimForm"]

OWN: Final = "own"
ALL: Final = "all"
_MIXED: Final = "Start_1+Comma_1"
_CONDITIONS: Final = (
    "none",
    "drop(Comma, after=3)",
    "knock_out(response -> Comma)",
    "replace(latents, random)",
    f"{_MIXED} under drop(Comma, after=3)",
    f"matched({_MIXED}, parameters, start)",
    f"matched({_MIXED}, compute, start)",
    f"filler({_MIXED})",
)


class ClaimForm(widgets.VBox):
    """A built-in study, one part of it, or a claim of one's own.

    Attributes:
        study, part: what is chosen of the built-in ones; `study` is `OWN` for one's own claim.
        about: the layout that a built-in study asks about.
        fields: everything that can be set, to be disabled while a test runs.
    """

    def __init__(self, panel: Panel, changed: Callable[[], Any]) -> None:
        """`changed` is called whenever the claim is another one."""
        super().__init__()
        self._panel, self._changed = panel, changed
        self._runs: Mapping[str, Set[str]] = {}
        self._form: Study | None = None
        self._task: Task = panel.session.task  # that of a claim of one's own
        self._followed: Task = panel.session.task
        self._wrong = ""
        self.study = _field(
            widgets.Dropdown,
            "Claim",
            "560px",
            options=[
                *((f"{study.key}: {study.title}", study.key) for study in STUDIES),
                ("A claim of your own", OWN),
            ],
        )
        self.part = _field(widgets.Dropdown, "Part", "400px", options=[("all parts", ALL)])
        self.about = _field(ComboBox, "Layout", "240px")
        self.about.tooltip = "the layout that the study tests"
        self.make_own = panel.button(
            "Copy to own claim", self._copy, "edit this part as a claim of your own"
        )
        self.show_task = panel.button(
            "Show task in every panel",
            lambda: setattr(panel.session, "task", self._task),
            "make it the task of all panels",
        )
        self.words = widgets.HTML()
        self.claim = _field(
            widgets.Text,
            "Statement",
            "min(972px, 100%)",
            value="Comma latents keep the rule alive in long outputs",
            placeholder="one sentence that can be false",
        )
        self.task = _field(widgets.Dropdown, "Task", "230px")
        self.split = _field(widgets.Dropdown, "Split", "200px")
        self.split.tooltip = "ood is the mean of all out-of-distribution levels"
        self.less = _field(widgets.Dropdown, "Minus split", "220px", options=["", "id"])
        self.less.tooltip = (
            "subtract the difference on this split; tests whether the effect is larger on the other"
        )
        self.metric = _field(widgets.Dropdown, "Metric", "200px", options=list(METRICS))
        conditions = {"options": self._conditions()}
        self.treatment = _field(
            ComboBox,
            "Treatment",
            "480px",
            value=f"{_MIXED} under drop(Comma, after=3)",
            placeholder="a layout or an intervention",
            **conditions,
        )
        self.control = _field(
            ComboBox,
            "Control",
            "480px",
            value=_MIXED,
            placeholder="the condition to compare with",
            **conditions,
        )
        self.direction = widgets.ToggleButtons(
            options=[("scores less", "less"), ("scores more", "greater")],
            tooltips=[
                f"the treatment should score {word} than the control" for word in ("less", "more")
            ],
            style={"button_width": "100px"},
        )
        self.least = _field(
            widgets.BoundedFloatText, "by at least", "180px", value=0.1, step=0.05, min=0.0, max=1.0
        )
        self.stand_ins = [
            widgets.Checkbox(value=True, description=name, indent=False, layout={"width": "auto"})
            for name in CONTROLS
        ]
        self.own = widgets.VBox(
            [
                self.claim,
                widgets.HBox([self.task, self.split, self.metric, self.less], layout=ROW),
                widgets.HBox([self.treatment, self.control], layout=ROW),
                widgets.HBox(
                    [
                        widgets.Label("Treatment"),
                        self.direction,
                        self.least,
                        widgets.Label("Controls: latents that are"),
                        *self.stand_ins,
                    ],
                    layout=ROW,
                ),
            ],
            layout={"grid_gap": "4px"},
        )
        self.fields: tuple[Any, ...] = (
            *(self.study, self.part, self.about, self.make_own, self.claim, self.task, self.split),
            self.show_task,
            *(self.less, self.metric, self.treatment, self.control, self.direction, self.least),
            *self.stand_ins,
        )
        self.children = (
            widgets.HBox([self.study, self.part, self.about, self.make_own], layout=ROW),
            self.words,
            self.show_task,
            self.own,
        )
        self._controls = Controls(panel)
        self._controls.on(lambda _: self._choose_study(), self.study)
        self._controls.on(self._choose_layout, self.about)
        self._controls.on(self._choose_task, self.task)
        rest = (self.part, self.claim, self.split, self.less, self.metric, self.treatment)
        rest += (self.control, self.direction, self.least, *self.stand_ins)
        self._controls.on(lambda _: self._tell(), *rest)
        panel.follow(self._follow_task, "task")
        panel.follow(self._follow_models, "adapter_a", "adapter_b", "intervention")
        self._choose_study()

    # --- what it says -----------------------------------------------------------------------------

    @property
    def title(self) -> str:
        """The question, or the claim."""
        study = self._form
        if study is None:
            return self.claim.value.strip()
        one = "" if self.part.value == ALL else f" ({self.part.value})"
        return f"{study.key}: {study.title}{one}"

    @property
    def key(self) -> str:
        """A short name."""
        study = self._form
        if study is None:
            return self.claim.value.strip()
        return study.key if self.part.value == ALL else f"{study.key} {self.part.value}"

    @property
    def part_name(self) -> str:
        """The name of the chosen part of a study; empty if all parts are chosen."""
        return "" if self._form is None or self.part.value == ALL else self.part.value

    def chosen(self) -> Hypothesis | Study:
        """The study, the part of a study, or your own claim.

        Raises:
            LatentError: if the fields make no sense.
        """
        study = self._form
        if study is None:
            return self.own_claim()
        if self._wrong:
            raise SettingError(self._wrong)
        return study.hypotheses[self.part_name] if self.part_name else study

    def own_claim(self) -> Hypothesis:
        """What the fields of one's own claim say.

        Raises:
            LatentError: if they make no sense.
        """
        if self.split.value is None:
            name = self._task.name
            raise SettingError(f"task {name!r} has no split to test on; expected id or ood-N")
        return Hypothesis(
            claim=self.claim.value.strip(),
            task=self._task,
            contrast=Contrast(
                self.treatment.value.strip() or "none",
                self.control.value.strip() or "none",
                self.less.value or None,
            ),
            direction=self.direction.value,
            smallest_effect=self.least.value,
            split=self.split.value,
            metric=self.metric.value,
            controls=tuple(box.description for box in self.stand_ins if box.value),
        )

    def propose(self, proposal: Proposal) -> None:
        """Fill the fields of a claim of one's own."""
        self._show_task(self._panel.session.task)
        with self._controls.unheard():
            self.claim.value, self.less.value = proposal.claim, ""
            self.split.value, self.direction.value = proposal.split, proposal.direction
            self.treatment.value, self.control.value = proposal.treatment, proposal.control
        self.study.value = OWN
        self._tell()

    def code(self) -> str:
        """Python that ends with `claim`."""
        study = self._form
        if study is None:
            return own_code(self.own_claim(), repr(task_source(self._task)))
        layout = "" if study.layout == load_study(study.key).layout else f", {study.layout!r}"
        code = f"claim = lc.load_study({study.key!r}{layout})"
        return code if self.part.value == ALL else f"{code}.hypotheses[{self.part.value!r}]"

    def take_runs(self, methods: Mapping[str, Set[str]]) -> None:
        """Ask built-in studies in the form that these runs can answer; methods by task."""
        if methods != self._runs:
            self._runs = methods
            self._fit()
        self._tell()

    # --- what changes it --------------------------------------------------------------------------

    def _fit(self) -> None:
        """The chosen study, in the form that most of the runs can answer, if there are any."""
        form = None if self.study.value == OWN else load_study(self.study.value)
        if form is not None and self._runs:
            form = fitted(form, self._runs, self._panel.session.backbone).study
        self._form, self._wrong = form, ""
        with self._controls.unheard():
            if form is not None:
                there = sorted(self._runs.get(form.task, ()))
                self.about.options = tuple(dict.fromkeys([*form.layouts.values(), *there]))
            self.about.value = "" if form is None else form.layout

    def _choose_layout(self, layout: str) -> None:
        if self._form is None:
            return
        try:
            self._form, self._wrong = self._form.about(layout), ""
        except LatentError as error:
            self._wrong = str(error)
        self._tell()

    def _choose_study(self) -> None:
        self._fit()
        study = self._form
        with self._controls.unheard():
            names = [] if study is None else list(study.parts)
            every = (
                [(f"all {len(names)} parts", ALL)] if len(names) != 1 else [("the only part", ALL)]
            )
            self.part.options = every + [(n, n) for n in names] * (len(names) > 1)
            self.part.value = ALL
        self.own.layout.display = "" if study is None else "none"
        for widget in (self.part, self.about, self.make_own):
            widget.layout.display = "none" if study is None else ""
        self._tell()

    def _copy(self) -> None:
        """The chosen part (or the first) becomes the start of a claim of one's own."""
        study = self._form
        if study is None:
            return
        names = list(study.parts)
        part = study.parts[names[0] if self.part.value == ALL else self.part.value]
        if part.loaded_task.name != self._task.name:
            self._show_task(part.loaded_task)
        with self._controls.unheard():
            self.claim.value = part.claim
            self.split.value, self.metric.value = part.split, part.metric
            self.less.value = part.contrast.minus_split or ""
            self.treatment.value, self.control.value = (
                part.contrast.treatment,
                part.contrast.control,
            )
            self.direction.value, self.least.value = part.direction, part.smallest_effect
            for box in self.stand_ins:
                box.value = box.description in part.controls
        self.study.value = OWN

    def _choose_task(self, name: str | None) -> None:
        if name is not None and name != self._task.name:
            own = self._panel.session.task
            self._show_task(own if own.name == name else load_task(name))
            self._tell()

    def _follow_task(self) -> None:
        """Follow the session, unless the claim is about a task of its own."""
        if self._task is self._followed:
            self._show_task(self._panel.session.task)
        self._followed = self._panel.session.task
        self._tell()

    def _show_task(self, task: Task) -> None:
        """Take a task for a claim of one's own; the session keeps its task."""
        self._task = task
        tested = [name for name in task.splits if name not in ("train", "validation")]
        far = ["ood"] if any(name.startswith("ood-") for name in tested) else []
        with self._controls.unheard():
            known = [*TASKS, self._panel.session.task.name, task.name]
            self.task.options = list(dict.fromkeys(known))
            self.task.value = task.name
            for field, names in ((self.split, [*far, *tested]), (self.less, ["", *tested])):
                kept = field.value
                field.options = names
                if names:
                    field.value = kept if kept in names else names[0]

    def _follow_models(self) -> None:
        for box in (self.treatment, self.control):
            box.options = self._conditions()

    def _conditions(self) -> list[str]:
        session = self._panel.session
        own = [session.model_a.method, session.model_b.method, session.intervention]
        return list(dict.fromkeys([*own, *_CONDITIONS, *EXAMPLE_LAYOUTS]))

    def _other_task(self) -> str:
        """A sentence where the claim is about another task than that of the panels."""
        here = self._panel.session.task.name
        if self._task.name == here:
            return ""
        self.show_task.layout.display = ""
        name = self._task.name
        self.show_task.description = f"Show {name} in every panel"
        return f" This claim is about {escape(name)}; the other panels show {escape(here)}."

    def _tell(self) -> None:
        study = self._form
        self.show_task.layout.display = "none"
        if study is None:
            text = "<b>Your own claim.</b> The treatment is compared with the control on the same "
            text += "examples. Both can be a layout, an intervention, or a layout under an "
            text += "intervention."
            text += self._other_task()
        else:
            part = None if self.part.value == ALL else study.parts[self.part.value]
            lines = [
                f"On {escape(study.task)}. <b>{escape(study.claim)}</b>",
                escape(study.prediction),
            ]
            lines.append(
                escape(study.explanation)
                if part is None
                else f"This part: {escape(part.claim)}. <code>{escape(str(part.contrast))}</code>"
            )
            text = " ".join(lines)
        self.words.value = (
            f'<div style="line-height: 1.45; max-width: 980px; margin: 2px 0 4px">{text}</div>'
        )
        self._changed()


def _field(kind: Any, label: str, width: str, **settings: Any) -> Any:
    """A labelled input."""
    return kind(
        description=label,
        style={"description_width": "initial" if label.islower() else "80px"},
        layout=widgets.Layout(width=width, margin="0"),
        **settings,
    )
