"""Grids under kill -9 of driver, worker or node: nothing lost, doubled or half-written.

Each kill comes while a run is in the middle of its training: it has a checkpoint and no adapter.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

import latent_core as lc
from latent_core.backbones.known import BACKBONES
from latent_core.grids.engines import LocalEngine, RayEngine
from latent_core.grids.grid import Grid
from latent_core.grids.run import run_grid
from latent_core.grids.work import state_of
from latent_core.runs import folder as runs
from latent_core.runs.checkpoints import last_checkpoint
from tests.grids.engine import Here

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


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 600) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.1)
    return found


def in_training(folder: Path) -> bool:
    return last_checkpoint(folder) is not None and not (folder / "log.csv").exists()


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

    with ThreadPoolExecutor(1) as pool:
        killing = pool.submit(kill_twice)
        outcomes = run_grid(GRID, tmp_path, LocalEngine(1))
        killing.result()
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
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):  # one that ended in between
            if "multiprocessing.spawn" in " ".join(child.cmdline()):
                found.append(child.pid)
    return found


def test_a_killed_node_of_a_ray_cluster_costs_nothing(tmp_path: Path, monkeypatch) -> None:
    """Two nodes, a run on each; one dies in the middle of its run, which goes on on the other."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.chdir(tmp_path)  # where Ray's processes are not
    Path("my-tiny").symlink_to(BACKBONES["tiny"].locate())
    grid, root = Grid(**WORDS | {"backbones": ["my-tiny"]}), tmp_path / "runs"
    cluster = Cluster(initialize_head=True, head_node_args=small_node(0))
    try:
        nodes = [cluster.add_node(**small_node(1)) for _ in range(2)]
        cluster.wait_for_nodes()
        ray.init(address=cluster.address, log_to_driver=False)
        folders = [root / spec.folder for spec in grid.specs()]

        def node_in_training() -> Any:
            found = [node for node in nodes for folder in folders if at_work(node, folder)]
            return found[0] if found else None

        def kill_a_node() -> Any:
            node = wait_for(node_in_training, "a run on a node")
            cluster.remove_node(node, allow_graceful=False)
            return node.node_id

        with ThreadPoolExecutor(1) as pool:
            killing = pool.submit(kill_a_node)
            outcomes = run_grid(grid, root, RayEngine(cluster.address, gpus=0))
            killed = killing.result()
        assert sorted((o.spec.seed, o.status) for o in outcomes) == [
            (0, "finished"),
            (1, "finished"),
        ]
        wait_for(lambda: not is_alive(killed), "word of the node's death", 60)
        check_whole(root, 2)
        assert run_grid(grid, root, RayEngine(cluster.address, gpus=0)) == []
    finally:
        ray.shutdown()
        cluster.shutdown()


def is_alive(node_id: str) -> bool:
    """Whether Ray's list of nodes, which follows a death with a delay, counts a node."""
    import ray

    return any(entry["Alive"] for entry in ray.nodes() if entry["NodeID"] == node_id)


def at_work(node: Any, folder: Path) -> bool:
    """Whether a process of a Ray node holds a run's lock and is training it."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    for worker in raylet.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if str(folder / ".lock") in {file.path for file in worker.open_files()}:
                return in_training(folder)
    return False


def small_node(cpus: int) -> dict[str, Any]:
    """Settings of a node that starts on a busy machine too.

    Ray gives its helpers 15 seconds to choose their ports, unless they are told which.
    """
    names = ("metrics_agent_port", "runtime_env_agent_port", "metrics_export_port")
    names += ("dashboard_agent_listen_port",)
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in names]
        for free in sockets:
            free.bind(("127.0.0.1", 0))
        ports = {n: free.getsockname()[1] for n, free in zip(names, sockets, strict=True)}
    common = {"object_store_memory": 80 * 2**20, "include_dashboard": False}
    return {"num_cpus": cpus, "include_log_monitor": False, **common, **ports}
