"""Jobs: one at a time, stopped at once, and nothing that goes wrong is lost."""

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

import latent_core as lc
from latent_core.progress import heartbeat, progress_bar
from workbench.jobs import CancelledError, Job, Jobs

pytestmark = pytest.mark.timed

SOON = 10.0


def report(done: int, total: int) -> None:
    with progress_bar(total, "counting", "sheep") as bar:
        bar.update(done)


class Gate:
    """Work that waits for `open`, listening for a cancel meanwhile."""

    def __init__(self, result: object = None) -> None:
        self.entered, self.opened, self.result = threading.Event(), threading.Event(), result

    def __call__(self) -> object:
        self.entered.set()
        while not self.opened.wait(0.005):
            heartbeat()
        return self.result


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


def test_a_result_goes_to_then_before_the_job_counts_as_ended(jobs: Jobs) -> None:
    got: list[object] = []

    def then(result: object) -> None:
        time.sleep(0.05)
        got.append(result)

    job = jobs.start("sum", lambda: 2 + 3, then).wait(SOON)
    assert (got, job.result, job.state, job.active) == ([5], 5, "done", False)
    assert 0.05 <= job.seconds < SOON


def test_jobs_run_one_at_a_time_in_order(jobs: Jobs) -> None:
    running, most, order = 0, 0, []

    def work(name: str) -> Callable[[], None]:
        def run() -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            time.sleep(0.01)
            order.append(name)
            running -= 1

        return run

    for job in [jobs.start(name, work(name)) for name in "abcde"]:
        job.wait(SOON)
    assert (order, most) == (list("abcde"), 1)


def test_a_queued_job_hears_how_the_one_ahead_gets_on(jobs: Jobs) -> None:
    queued = threading.Event()
    seen: list[int | None] = []

    def ahead() -> None:
        queued.wait(SOON)
        report(1, 3)
        report(2, 3)

    def watch(job: Job) -> None:
        if job.state == "queued":
            assert job.ahead is first
            seen.append(None if first.progress is None else first.progress.done)

    first = jobs.start("train", ahead)
    second = jobs.start("draw", lambda: None, watch=watch)
    queued.set()
    assert second.wait(SOON).state == "done"
    assert seen[0] is None and {1, 2} <= set(seen)


def test_two_clicks_do_not_start_two_jobs(jobs: Jobs) -> None:
    gate = Gate()
    first = jobs.start("train", gate)
    assert jobs.start("train", gate) is first
    other = jobs.start("draw", lambda: None)
    assert jobs.start("draw", lambda: None) is other  # queued counts too
    assert jobs.active == [first, other]
    gate.opened.set()
    assert other.wait(SOON).state == "done"
    assert jobs.start("train", lambda: 1).wait(SOON) is not first


def test_replacing_cancels_the_old_job_and_runs_the_new_one(jobs: Jobs) -> None:
    got: list[object] = []
    old = jobs.start("show", Gate("old"), got.append)
    queued = jobs.start("show", lambda: "queued", got.append, replace=True)
    new = jobs.start("show", lambda: "new", got.append, replace=True)
    new.wait(SOON)
    assert [job.state for job in (old, queued, new)] == ["cancelled", "cancelled", "done"]
    assert got == ["new"]


def test_cancel_by_key_ends_work_at_its_next_report(jobs: Jobs) -> None:
    gate, got = Gate(), []
    job = jobs.start("train", gate, got.append)
    assert gate.entered.wait(SOON)
    jobs.cancel("another")
    assert job.active and jobs.active == [job]
    started = time.monotonic()
    jobs.cancel("train")
    assert jobs.active == []
    assert job.wait(SOON).state == "cancelled"
    assert time.monotonic() - started < 1.0
    assert (got, job.error) == ([], None)


def test_a_result_that_came_after_the_cancel_is_not_shown(jobs: Jobs) -> None:
    gate, got = threading.Event(), []
    job = jobs.start("deaf", lambda: gate.wait(SOON), got.append)  # it reports nothing
    job.cancel()
    gate.set()
    assert job.wait(SOON).state == "cancelled"
    assert got == []


def test_a_failure_keeps_its_error_and_traceback_and_the_next_job_runs(jobs: Jobs) -> None:
    def boom() -> None:
        raise KeyError("</script>")

    got, states = [], []
    job = jobs.start("boom", boom, got.append, lambda job: states.append(job.state)).wait(SOON)
    assert isinstance(job.error, KeyError)
    assert "in boom" in job.details and "</script>" in job.details
    assert (got, states) == ([], ["queued", "running", "failed"])
    assert jobs.start("next", lambda: "fine").wait(SOON).result == "fine"


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_not_even_an_exit_ends_the_worker(jobs: Jobs, error: BaseException) -> None:
    def leave() -> None:
        raise error

    assert jobs.start("leave", leave).wait(SOON).error is error
    assert jobs.start("next", lambda: "fine").wait(SOON).result == "fine"


def test_what_then_raises_fails_the_job(jobs: Jobs) -> None:
    def then(result: object) -> None:
        raise ZeroDivisionError("in then")

    job = jobs.start("show", lambda: 1, then).wait(SOON)
    assert job.state == "failed" and "in then" in job.details
    assert jobs.start("show", lambda: 2).wait(SOON).result == 2


def test_what_watch_raises_is_kept_and_does_not_stop_the_work(jobs: Jobs) -> None:
    def watch(job: Job) -> None:
        raise ZeroDivisionError("in watch")

    job = jobs.start("show", lambda: 1, watch=watch).wait(SOON)
    assert (job.result, job.state) == (1, "failed")
    assert "in watch" in job.details
    assert jobs.start("next", lambda: "fine").wait(SOON).result == "fine"


def test_progress_and_time_left(jobs: Jobs) -> None:
    told: list[tuple[int, bool]] = []

    def work() -> None:
        time.sleep(0.02)
        report(1, 4)

    def watch(job: Job) -> None:
        if job.progress is not None and job.state == "running" and job.progress.done:
            left = job.seconds_left
            told.append((job.progress.done, left is not None and left >= 0.02 * 3))

    job = jobs.start("count", work, watch=watch)
    assert job.wait(SOON).progress == ("counting", 1, 4, "sheep")
    assert told == [(1, True)]
    nothing_known = Job("new", lambda: None, None, None)
    assert (nothing_known.seconds, nothing_known.seconds_left) == (0.0, None)


def test_waiting_too_short_says_how_it_stands(jobs: Jobs) -> None:
    gate = Gate()
    job = jobs.start("slow", gate)
    assert gate.entered.wait(SOON)
    with pytest.raises(TimeoutError, match=r"slow has not ended within 0\.01 s; it is running"):
        job.wait(0.01)
    gate.opened.set()
    job.wait(SOON)


def test_a_call_from_a_cell_gets_its_result_or_its_error(jobs: Jobs) -> None:
    gate = Gate()
    before = jobs.start("before", gate)
    threading.Timer(0.02, gate.opened.set).start()
    assert jobs.run("call", lambda: before.result or "after") == "after"
    with pytest.raises(KeyError, match="mine"):
        jobs.run("call", lambda: {}["mine"])
    assert jobs.run("outer", lambda: jobs.run("inner", lambda: 7)) == 7

    def cancelled() -> None:
        jobs.cancel("call")
        heartbeat()

    with pytest.raises(CancelledError):
        jobs.run("call", cancelled)


def test_in_a_running_loop_callbacks_come_on_its_thread() -> None:
    """As in a kernel, where widgets may be touched on the main thread alone."""
    threads: dict[str, set[threading.Thread]] = {"work": set(), "then": set(), "watch": set()}

    def note(where: str) -> None:
        threads[where].add(threading.current_thread())

    async def main() -> tuple[str, int]:
        jobs = Jobs()
        job = jobs.start(
            "job", lambda: note("work"), lambda _: note("then"), lambda _: note("watch")
        )
        inline = jobs.run("call", lambda: 5)  # blocks this thread, whose loop then cannot turn
        while job.active:
            await asyncio.sleep(0.005)
        job.wait(SOON)
        return job.state, inline

    assert asyncio.run(main()) == ("done", 5)
    here = threading.current_thread()
    assert threads["then"] == threads["watch"] == {here}
    assert here not in threads["work"]


def test_a_real_generation_stops_within_a_second() -> None:
    model = lc.LatentModel(lc.load_backbone("tiny"), "Comma_2", seed=0)
    jobs, moved = Jobs(), threading.Event()
    job = jobs.start(
        "generate",
        lambda: model.generate(["1,2,"] * 8, min_new_tokens=900, max_new_tokens=900),
        watch=lambda job: moved.set() if job.state == "running" else None,
    )
    assert moved.wait(SOON)
    time.sleep(0.05)
    started = time.monotonic()
    job.cancel()
    assert job.wait(SOON).state == "cancelled", job.details
    assert time.monotonic() - started < 1.0
    assert len(model.generate("1,2,", max_new_tokens=3)) == 1  # and the model is fit for more


def test_a_cell_settles_a_job_whose_result_would_come_by_the_loop_it_blocks() -> None:
    got: list[object] = []

    def boom() -> None:
        raise KeyError("mine")

    async def cell() -> tuple[Job, Job]:
        jobs = Jobs()
        job = jobs.start("show", lambda: 5, got.append)
        jobs.settle(job)
        assert (got, job.state) == ([5], "done")
        failing = jobs.start("fail", boom)
        with pytest.raises(KeyError, match="mine"):
            jobs.settle(failing)
        left = jobs.start("leave", heartbeat)
        left.cancel()
        with pytest.raises(CancelledError):
            jobs.settle(left)
        await asyncio.sleep(0.05)  # now the loop brings the result, too
        return job, failing

    job, failing = asyncio.run(cell())
    assert (got, job.state, failing.state) == ([5], "done", "failed")
