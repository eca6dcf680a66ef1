"""Grids under kill -9 of driver, worker or node: nothing lost, doubled or half-written.

Each kill comes while a run is in the middle of its training: it has a checkpoint and no adapter.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import yaml

import latent_core as lc
from latent_core import runs
from latent_core.experiments import Grid, LocalEngine, RayEngine, run_grid, state_of
from tests.test_grid import Here

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
]  # processes of their own, on a busy machine

STEPS = 40
WORDS = {
    "backbones": ["tiny"],
    "tasks": ["repetition"],
    "methods": ["Start_2"],
    "seeds": 2,
    "training": {"steps": STEPS, "batch_size": 2},
    "evaluation": {"splits": ["id"], "examples": 2},
}
GRID = Grid(**WORDS)


def wait_for(condition: Callable[[], object], what: str, seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)


def in_training(folder: Path) -> bool:
    return runs.last_checkpoint(folder) is not None and not (folder / "log.csv").exists()


def check_whole(root: Path, seeds: int) -> None:
    """Every run is finished and there once, with every record once, and nothing else is there."""
    assert not list(root.rglob(".*.part")) and not list(root.rglob("checkpoints"))
    folders = sorted(path.parent.name for path in root.rglob("run.json"))
    assert len(folders) == seeds
    records = lc.load_runs(root, records=True)
    assert sorted(records["seed"].unique()) == list(range(seeds))
    assert (records.groupby(["run", "split", "example"]).size() == 1).all()
    assert (records.groupby("run").size() == 2).all()
    for path in root.rglob("log.csv"):
        assert path.read_text().count("\n") == STEPS + 1


def test_a_killed_driver_takes_its_worker_along_and_the_next_call_goes_on(tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(WORDS | {"seeds": 3}))
    root, asked = tmp_path / "runs", Grid(**WORDS | {"seeds": 3})
    command = [sys.executable, "-m", "latent_core", "grid", str(tmp_path / "grid.yaml")]
    driver = subprocess.Popen([*command, "--out", str(root), "--workers", "1"])
    try:
        second = root / asked.specs()[1].folder
        wait_for(lambda: in_training(second), "the second run")
        workers = psutil.Process(driver.pid).children(recursive=True)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    psutil.wait_procs(workers, timeout=30)
    assert not any(worker.is_running() for worker in workers)
    states = [state_of(spec, root) for spec in asked.specs()]
    assert states == ["finished", "begun", "missing"]
    first = root / asked.specs()[0].folder
    before = {path.name: path.read_bytes() for path in first.iterdir()}
    outcomes = run_grid(asked, root, Here())
    assert [(o.spec.seed, o.status) for o in outcomes] == [(1, "finished"), (2, "finished")]
    assert {path.name: path.read_bytes() for path in first.iterdir()} == before
    check_whole(root, 3)


def test_a_killed_worker_costs_its_run_alone(tmp_path: Path) -> None:
    """Killed once, a run goes on; killed again, it counts as failed until it is tried again."""
    folders = [tmp_path / spec.folder for spec in GRID.specs()]
    killed: list[int] = []

    def kill_twice() -> None:
        for _ in range(2):
            wait_for(
                lambda: in_training(folders[0]) and set(worker_pids()) - set(killed), "a worker"
            )
            pid = next(pid for pid in worker_pids() if pid not in killed)
            killed.append(pid)
            os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_twice)
    killer.start()
    outcomes = run_grid(GRID, tmp_path, LocalEngine(1))
    killer.join()
    assert len(killed) == 2
    assert {o.spec.seed: o.status for o in outcomes} == {0: "failed", 1: "finished"}
    assert "died 2 times (exit code -9)" in outcomes[0].error
    assert runs.read_run(folders[0])["status"] == "failed"
    assert run_grid(GRID, tmp_path, Here()) == []
    (again,) = run_grid(GRID, tmp_path, Here(retry_failed=True))
    assert again.status == "finished"
    check_whole(tmp_path, 2)


def worker_pids() -> list[int]:
    """Worker processes of this one; spawning starts a resource tracker too."""
    return [
        child.pid
        for child in psutil.Process().children()
        if "multiprocessing.spawn" in " ".join(child.cmdline())
    ]


def test_a_killed_node_of_a_ray_cluster_costs_nothing(tmp_path: Path, monkeypatch) -> None:
    """Of two nodes, the one that is at work dies; its run goes on on the other."""
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "300")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **_SMALL})
    try:
        node = cluster.add_node(num_cpus=1, **_SMALL)
        cluster.wait_for_nodes()
        ray.init(address=cluster.address, log_to_driver=False)
        first = tmp_path / GRID.specs()[0].folder

        def kill_the_node() -> None:
            wait_for(lambda: in_training(first), "the first run")
            cluster.add_node(num_cpus=1, **_SMALL)
            cluster.remove_node(node, allow_graceful=False)

        killer = threading.Thread(target=kill_the_node)
        killer.start()
        outcomes = run_grid(GRID, tmp_path, RayEngine(cluster.address, gpus=0))
        killer.join()
        assert [(o.spec.seed, o.status) for o in outcomes] == [(0, "finished"), (1, "finished")]
        alive = [entry["NodeID"] for entry in ray.nodes() if entry["Alive"]]
        assert len(alive) == 2 and node.node_id not in alive  # the head and the other
        check_whole(tmp_path, 2)
        assert run_grid(GRID, tmp_path, RayEngine(cluster.address, gpus=0)) == []
    finally:
        ray.shutdown()
        cluster.shutdown()


# Ray's store of objects, of which runs need none.
_SMALL = {"object_store_memory": 80 * 2**20, "include_dashboard": False}
