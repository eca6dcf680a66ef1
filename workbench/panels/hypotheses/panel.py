"""The hypotheses panel: state a claim, plan its test, run it, read the verdict.

The lab is `latent_core.hypotheses.lab`, as behind `latent test`. The fields are in `form` and
`source`, and `work` calls the lab.
"""

from __future__ import annotations

import base64
from html import escape
from typing import Final

import ipywidgets as widgets
import pandas as pd
from matplotlib.figure import Figure

from latent_core.errors import LatentError, SettingError
from latent_core.hypotheses.journal import Journal
from workbench.jobs import Job
from workbench.panels.base import Panel
from workbench.panels.hypotheses.examples import VerdictExamples
from workbench.panels.hypotheses.form import ClaimForm
from workbench.panels.hypotheses.source import SourceForm
from workbench.panels.hypotheses.view import (
    effects_html,
    effects_picture,
    journal_html,
    outcome_html,
    plan_html,
    verdict_html,
)
from workbench.panels.hypotheses.work import Asked, Planned, Result, make_plans, run_plans
from workbench.session import Session
from workbench.widgets.text_line import error_html
from workbench.widgets.visibility import Visibility

__all__ = ["HypothesesPanel"]

_FIRST: Final = (
    "Choose a claim and what to test it on. Then press <b>Plan test</b>. The plan shows the steps, "
    "the power and the time of the test. Then press <b>Run test</b>."
)
_AGAIN: Final = "The fields have changed. Press <b>Plan test</b> to plan this test."


class HypothesesPanel(Panel):
    """A panel that tests claims about latent tokens.

    Attributes:
        claim: the fields of the claim.
        source: the fields of its target.
        planned: the plans for the fields as they are, or None.
        result: the last verdict, or None.
        examples: those behind the verdict.
    """

    title = "Hypotheses"
    chooses = "adapters"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.planned: Planned | None = None
        self.result: Result | None = None
        self._job: Job | None = None
        self._ready = False
        self.plan_button = self.button(
            "Plan test", self.plan, "show steps, power and time; nothing is run"
        )
        self.run_button = self.button(
            "Run test", self.run, "run the planned test in the background", button_style="primary"
        )
        self.hint = widgets.HTML()
        self.plan_view = widgets.HTML()
        self.view = widgets.HTML()
        self.verdict = widgets.HTML()
        self.examples = VerdictExamples(self)
        self.report = widgets.HTML()
        self.journal = widgets.HTML()
        self.visibility = Visibility()
        self.claim = ClaimForm(self, self._explain)
        self.source = SourceForm(self, self._follow_source)
        self.build(
            self.visibility,
            self.claim,
            self.source,
            widgets.HBox([self.plan_button, self.run_button]),
            self.hint,
            self.plan_view,
            self.view,
            self.verdict,
            self.examples,
            self.report,
            self.journal,
        )
        self.on(self.visibility, "seen", lambda seen: self._read_journal() if seen else None)
        self.on(self.source.folder, "value", lambda _: self._read_journal())
        self._ready = True
        self.follow(self._take_proposal, "proposal")
        self._follow_source()
        self._show()

    # --- what the user does -----------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether a plan or a test of this panel is queued or under way."""
        return self._job is not None and self._job.active

    def asked(self) -> Asked:
        """What the fields say.

        Raises:
            LatentError: if they make no sense.
        """
        return Asked(
            self.claim.title,
            self.claim.key,
            self.claim.chosen(),
            self.source.target(),
            self.source.seeds.value,
            self.source.examples.value,
            self.source.where,
            self.claim.code(),
            self.claim.part_name,
        )

    def plan(self) -> Job | None:
        """Find out what the test that the fields describe would take; `planned` is set then."""
        if self.running:
            return self._job
        asked = self.asked()
        self._job = self.start(lambda: make_plans(asked), self._take_plan, watch=self._watch)
        self._lock()
        return self._job

    def run(self) -> Job | None:
        """Run what was planned; `result` is set then."""
        if self.running:
            return self._job
        if self.planned is None:
            raise SettingError("no test is planned yet; press Plan test first")
        planned = self.planned
        self._hint("")
        self._job = self.start(lambda: run_plans(planned), self._take, watch=self._watch)
        self._lock()
        return self._job

    def prepare(self) -> None:
        """Wait for what is under way."""
        if self._job is not None and self._job.active:
            self.session.jobs.settle(self._job)

    # --- what comes of it -------------------------------------------------------------------------

    def _take_plan(self, planned: Planned) -> None:
        self.planned = planned
        self.plan_view.value = plan_html(planned)
        self._hint("Nothing is run yet. Press <b>Run test</b> to run the test.")
        self.reveal(self.plan_view)

    def _take(self, result: Result) -> None:
        self.result = result
        self._hint("")
        self._show()
        self._read_journal()
        self.reveal(self.view)

    def _watch(self, job: Job) -> None:
        if job is self._job or self._job is None:
            self._lock(running=job.active)
        if job.state == "cancelled" and self.planned is not None:
            self._hint("Stopped. Finished parts are kept; press <b>Run test</b> to continue.")
        if not job.active:
            self._read_journal()

    def _show(self) -> None:
        result = self.result
        self.examples.show({} if result is None else result.parts)
        for part in (self.verdict, self.view, self.report):
            part.layout.display = "none" if result is None else ""
        if result is None:
            return
        self.verdict.value = verdict_html(result)
        self.view.value = outcome_html(result) + effects_html(result.parts)
        page = base64.b64encode(result.report.read_bytes()).decode()
        name = escape(result.report.name, quote=True)
        self.report.value = (
            f"<p>Report, with every figure: <code>{escape(str(result.report))}</code>, or "
            f'<a download="{name}" href="data:text/html;base64,{page}" '
            'style="color: var(--jp-content-link-color, #0b57d0)">download it</a></p>'
        )

    def _take_proposal(self) -> None:
        """Show a claim that another panel asks to test, on the model that it was seen in."""
        proposal = self.session.proposal
        if proposal is not None:
            self.claim.propose(proposal)
            self.source.source.value = proposal.side

    def _follow_source(self) -> None:
        """Built-in studies ask about what the chosen runs have."""
        if self._ready:
            self.claim.take_runs(self.source.methods())

    def _explain(self) -> None:
        """Whatever was planned is for other fields than these."""
        if not self._ready:
            return
        before, self.planned = self.planned, None
        self.plan_view.value = ""
        try:
            self.asked()
        except LatentError as error:
            self._lock(wrong=True)
            self._hint(error_html(error), wrong=True)
            return
        self._lock()
        self._hint(_AGAIN if before is not None or self.result is not None else _FIRST)

    def _lock(self, running: bool | None = None, wrong: bool = False) -> None:
        """What can be pressed: nothing while a job runs, Run only after Plan."""
        running = self.running if running is None else running
        for field in (*self.claim.fields, *self.source.fields):
            field.disabled = running
        self.plan_button.disabled = running or wrong
        self.run_button.disabled = running or self.planned is None

    def _hint(self, text: str, wrong: bool = False) -> None:
        sign = "<b>Cannot plan this test:</b> " if wrong else ""
        style = "line-height: 1.45; max-width: 980px"
        style += "; color: var(--jp-error-color1, #d32f2f)" * wrong
        self.hint.value = f'<div role="status" style="{style}">{sign}{text}</div>'
        self.hint.layout.display = "" if text else "none"

    def _read_journal(self) -> None:
        folder = self.source.where
        try:
            entries = Journal(folder).entries()
        except LatentError as error:
            self.journal.value = f"<div><b>Journal:</b> {error_html(error)}</div>"
            return
        self.journal.value = journal_html(entries, str(folder))

    # --- what it shows ----------------------------------------------------------------------------

    def table(self) -> pd.DataFrame:
        """One row per part and control; see `Result.table`."""
        return self._shown().table()

    def readable(self) -> dict[str, pd.DataFrame]:
        """See `Panel.readable`: one row per part."""
        return {"Verdicts": self._shown().summary()}

    def picture(self) -> Figure:
        """Effects, intervals and verdicts."""
        result = self._shown()
        outcome = f"{result.outcome}: " if result.outcome else ""
        return effects_picture(result.parts, f"{outcome}{result.planned.asked.title}")

    def code(self) -> str:
        """The test that is shown, or else the one that the fields describe."""
        asked = self.asked() if self.result is None else self.result.planned.asked
        return asked.python()

    def _shown(self) -> Result:
        if self.result is None:
            raise SettingError("no test was run here yet; press Plan test, then Run test")
        return self.result
