"""The status line says how a job stands, stops it, and shows what went wrong as text."""

import threading

import pytest

from latent_core.errors import SettingError
from latent_core.evaluation.timing import Pace
from latent_core.progress import Progress, heartbeat
from workbench.jobs import Job, Jobs
from workbench.widgets.status_line import StatusLine


def new_job(state: str, progress: Progress | None = None, seconds: float = 0.0) -> Job:
    job = Job("work", lambda: None, None, None)
    job.state, job.progress = state, progress
    job._started, job._stopped = 1.0, 1.0 + seconds
    if progress is not None and progress.done:
        job._pace = Pace(progress.total, planned=seconds / progress.done)
        job._pace.done = progress.done
    return job


def waiting_for(ahead: Job) -> Job:
    job = new_job("queued")
    job.ahead = ahead
    return job


@pytest.mark.parametrize(
    ("job", "message", "fraction"),
    [
        (new_job("queued"), "waiting", -1.0),
        (waiting_for(new_job("running")), "waiting for work (running)", -1.0),
        (
            waiting_for(new_job("running", Progress("train", 2, 8, "step"), 10)),
            "waiting for work (train: 2 of 8 steps, 30 s left)",
            -1.0,
        ),
        (new_job("running"), "running", -1.0),
        (new_job("running", Progress("train", 0, 8, "step"), 3), "train: 0 of 8 steps", 0.0),
        (
            new_job("running", Progress("train", 2, 8, "step"), 10),
            "train: 2 of 8 steps, 30 s left",
            0.25,
        ),
        (
            new_job("running", Progress("train", 1, 100, "step"), 6),
            "train: 1 of 100 steps, 10 min left",
            0.01,
        ),
        (new_job("running", Progress("draw", 0, 0, "row"), 1), "draw: 0 of 0 rows", 0.0),
        (new_job("done", Progress("train", 8, 8, "step"), 2.34), "done in 2.3 s", -1.0),
        (new_job("cancelled", Progress("train", 2, 8, "step"), 4), "cancelled after 4 s", -1.0),
    ],
)
def test_it_says_how_a_job_stands(job: Job, message: str, fraction: float) -> None:
    line = StatusLine()
    line.watch(job)
    assert (line.state, line.message, line.fraction) == (job.state, message, fraction)
    assert line.details == ""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (SettingError("no such\n  thing"), "no such thing"),
        (KeyError("<img src=x>"), "KeyError: '<img src=x>'"),
        (RuntimeError(), "RuntimeError"),
        (ValueError(), "ValueError"),
    ],
)
def test_an_error_shows_its_message_and_its_traceback(error: Exception, message: str) -> None:
    def fail() -> None:
        raise error

    line, jobs = StatusLine(), Jobs()
    jobs.start("fail", fail, watch=line.watch).wait(10)
    assert (line.state, line.message) == ("failed", message)
    assert "in fail" in line.details

    by_callback = StatusLine()
    by_callback.show_error(error)
    assert (by_callback.state, by_callback.message) == ("failed", message)
    assert "in fail" in by_callback.details
    by_callback.say("better")
    assert (by_callback.state, by_callback.message, by_callback.details) == ("idle", "better", "")


def test_a_replaced_job_does_not_hide_the_one_that_replaced_it() -> None:
    line, old, new = StatusLine(), new_job("running"), new_job("running")
    line.watch(old)
    line.watch(new)
    old.state = "cancelled"
    line.watch(old)
    assert (line.state, line.message) == ("running", "running")
    new.state = "cancelled"
    line.watch(new)
    assert line.state == "cancelled"


def test_what_waits_leaves_the_line_to_what_runs_and_to_errors() -> None:
    line, running, queued = StatusLine(), new_job("running"), waiting_for(new_job("running"))
    line.watch(running)
    line.watch(queued)
    assert line.message == "running", "so Cancel is of what runs"
    running.state = "done"
    line.watch(running)
    line.watch(queued)
    assert line.message == "waiting for work (running)"
    line.show_error(ValueError("that was no number"))
    line.watch(queued)
    assert line.message == "that was no number"
    queued.state = "running"
    line.watch(queued)
    assert line.message == "running"


def test_what_then_says_is_not_hidden_by_the_end_of_the_job() -> None:
    line, jobs = StatusLine(), Jobs()
    jobs.start("list", lambda: 3, lambda n: line.say(f"{n} examples, below"), line.watch).wait(10)
    assert (line.state, line.message) == ("idle", "3 examples, below")
    jobs.start("list", lambda: KeyError(3), line.show_error, line.watch).wait(10)
    assert (line.state, line.message) == ("failed", "KeyError: 3")
    jobs.start("list", lambda: 3, watch=line.watch).wait(10)
    assert line.state == "done" and line.message.startswith("done in")


def hear(line: StatusLine, kind: str) -> None:
    """As a message from the page arrives."""
    line._handle_custom_msg({"kind": kind}, [])


@pytest.mark.parametrize(
    ("messages", "stopped"),
    [
        (["opened", "cancel"], True),
        (["opened", "closed"], True),
        (["opened", "opened", "closed"], False),
        (["opened", "opened", "closed", "closed"], True),
        (["opened", "what"], False),
    ],
)
def test_cancel_and_closing_the_last_view_stop_the_job(messages: list[str], stopped: bool) -> None:
    line, jobs, finish = StatusLine(), Jobs(), threading.Event()

    def work() -> None:
        while not finish.wait(0.005):
            heartbeat()

    for message in messages[:-1]:
        hear(line, message)
    job = jobs.start("work", work, watch=line.watch)
    hear(line, messages[-1])
    assert job._cancel.is_set() == stopped
    finish.set()
    assert job.wait(10).state == ("cancelled" if stopped else "done")
    hear(line, "cancel")  # of an ended job: nothing happens
    assert job.state == ("cancelled" if stopped else "done")
