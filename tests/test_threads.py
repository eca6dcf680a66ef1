"""Threads follow the cores that other processes leave free; a fixed number is kept."""

import os
import subprocess
import sys
import threading

import pytest
import torch

import latent_core.threads as threads_module
from latent_core.errors import SettingError
from latent_core.threads import Counters, ThreadKeeper, fit_threads, fix_threads, read_counters


class Machine:
    """A simulated machine of 4 cores, on which others and this process compute."""

    def __init__(self) -> None:
        self.clock, self.busy, self.own = 100.0, 5000.0, 10.0
        self.others = self.ours = 0.0

    def passes(self, seconds: float) -> None:
        self.clock += seconds
        self.own += self.ours * seconds
        self.busy += (self.ours + self.others) * seconds

    def read(self) -> Counters:
        return Counters(self.clock, self.busy, self.own)


@pytest.fixture
def machine() -> Machine:
    return Machine()


def keeper(machine: Machine, most: int = 4, fixed: bool = False) -> ThreadKeeper:
    return ThreadKeeper(most, 4, fixed, machine.read, machine.passes)


@pytest.mark.parametrize(
    ("others", "threads"), [(0.0, 4), (0.4, 4), (0.9, 3), (2.0, 2), (3.2, 1), (4.0, 1)]
)
def test_other_processes_cost_as_many_threads_as_they_keep_cores_busy(
    machine: Machine, others: float, threads: int
) -> None:
    machine.others, machine.ours = others, 4 - others
    chooser = keeper(machine)
    machine.passes(2)
    choice = chooser.choose()
    assert choice.threads == threads
    assert choice.others == pytest.approx(others)
    assert f"{threads} of 4 threads" in str(choice) and f"{others:.1f} cores busy" in str(choice)


def test_the_first_look_waits_until_it_can_tell(machine: Machine) -> None:
    machine.others = 3.0
    assert keeper(machine).choose().threads == 1
    assert machine.clock == pytest.approx(100 + threads_module.FIRST)


def test_threads_follow_the_machine_in_both_directions(machine: Machine) -> None:
    chooser = keeper(machine)
    machine.passes(2)
    assert chooser.choose().threads == 4
    machine.others, machine.ours = 2.0, 2.0
    machine.passes(threads_module.INTERVAL / 2)
    assert chooser.choose().threads == 4  # too soon to tell
    machine.passes(threads_module.INTERVAL)
    assert chooser.choose().threads == 2
    machine.others, machine.ours = 0.0, 2.0
    machine.passes(2)
    assert chooser.choose().threads == 4


def test_a_worker_has_at_most_its_share(machine: Machine) -> None:
    chooser = keeper(machine)
    chooser.limit(2)
    machine.passes(2)
    assert chooser.choose().threads == 2
    machine.others = 3.4
    machine.passes(2)
    assert chooser.choose().threads == 1


def test_a_fixed_number_is_kept(machine: Machine) -> None:
    machine.others = 3.0
    fixed = keeper(machine, most=3, fixed=True)
    machine.passes(2)
    assert fixed.choose().threads == 3
    chooser = keeper(machine)
    chooser.fix(4)
    chooser.limit(2)
    machine.passes(2)
    assert str(chooser.choose()) == "4 threads"


def test_counters_count_what_this_process_computes() -> None:
    before = read_counters()
    while read_counters().own - before.own < 0.2:
        sum(range(10_000))
    after = read_counters()
    # The system counts in hundredths of a second.
    assert after.busy - before.busy > after.own - before.own - 0.05
    assert after.clock > before.clock


@pytest.fixture
def torch_threads(monkeypatch: pytest.MonkeyPatch, machine: Machine):
    """The process's own keeper, on the simulated machine; torch as before afterwards."""
    before = torch.get_num_threads()
    monkeypatch.setattr(threads_module, "KEEPER", keeper(machine))
    torch.set_num_threads(4)
    for given in (threads_module._GIVEN, threads_module._Given):
        monkeypatch.setattr(given, "threads", 4)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("torch_threads")
def test_torch_gets_what_is_free_in_every_thread_of_python(machine: Machine) -> None:
    machine.others = 2.0
    assert fit_threads().threads == torch.get_num_threads() == 2
    seen = []
    worker = threading.Thread(
        target=lambda: seen.append((fit_threads().threads, torch.get_num_threads()))
    )
    worker.start()
    worker.join()
    assert seen == [(2, 2)]
    machine.others = 0.0
    machine.passes(2)
    assert fit_threads().threads == torch.get_num_threads() == 4


@pytest.mark.usefixtures("torch_threads")
def test_what_the_user_told_torch_is_kept(machine: Machine) -> None:
    fit_threads()
    torch.set_num_threads(3)
    machine.others = 3.0
    machine.passes(2)
    assert fit_threads().threads == torch.get_num_threads() == 3


@pytest.mark.usefixtures("torch_threads")
def test_a_number_of_threads_can_be_fixed() -> None:
    fix_threads(3)
    assert fit_threads().threads == torch.get_num_threads() == 3
    with pytest.raises(SettingError, match="threads is 0; expected a whole number of at least 1"):
        fix_threads(0)
    assert torch.get_num_threads() == 3


def test_the_environment_fixes_it() -> None:
    code = (
        "import latent_core.threads as t\n"
        "t.KEEPER._read = None\n"  # reading would raise
        "print(t.fit_threads().threads)"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "2"


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads as Linux does")
def test_the_threads_of_finished_work_are_released() -> None:
    """Those of another of Python's threads stay: they are released where they computed."""
    code = (
        "import psutil, threading, time, torch\n"
        "from latent_core.threads import release_threads\n"
        "here = psutil.Process()\n"
        "def compute():\n"
        "    torch.set_num_threads(3)\n"
        "    torch.ones(900, 900).exp()\n"
        "compute(); busy = here.num_threads()\n"
        "other = threading.Thread(target=lambda: (compute(), release_threads()))\n"
        "other.start(); other.join()\n"
        "while other.native_id in [one.id for one in here.threads()]:\n"
        "    time.sleep(0.01)  # Linux ends a thread shortly after Python has joined it\n"
        "beside = here.num_threads()\n"
        "release_threads(); after = here.num_threads(); compute()\n"
        "print(busy - after, beside - after, here.num_threads() - after)\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["2", "2", "2"]
