"""Measures along training: those of the vectors that the model had at each step."""

from pathlib import Path

import pytest
import torch

import latent_core as lc
from latent_core.errors import SettingError

SETTINGS = {"steps": 4, "batch_size": 2, "snapshots": 2, "progress": False, "learning_rate": 1.0}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two training seeds with the vectors that they had after every step."""
    folder = tmp_path_factory.mktemp("along")
    for seed in (0, 1):
        model = lc.build_model("tiny", "Start_1+Comma_1", seed=seed)
        lc.train(model, "repetition", output_dir=folder / str(seed), seed=seed, **SETTINGS)
    return [folder / "0", folder / "1"]


def test_each_snapshot_is_measured_with_its_own_vectors(runs: list[Path]) -> None:
    task = lc.load_task("repetition")

    def measure(model: lc.SteeredModel):
        return lc.evaluate(model, task, ["id", "ood-6"], examples=3, progress=False)

    frame = lc.along(runs, measure, progress=False)
    assert frame.groupby(["seed", "step"]).size().to_dict() == {
        (seed, step): 6 for seed in (0, 1) for step in (0, 2, 4)
    }
    assert set(frame["method"]) == {"Start_1+Comma_1"}
    for step in (0, 2, 4):
        model = lc.load_model(runs[1], step=step)
        alone = measure(model)["response"].tolist()
        here = frame[(frame["seed"] == 1) & (frame["step"] == step)]
        assert here["response"].tolist() == alone
    # Intervals over seeds.
    assert set(lc.summarise(frame, ("step", "split"))["seeds"]) == {2}


def test_any_measure_and_any_steps_will_do(runs: list[Path]) -> None:
    frame = lc.along(runs[0], lc.latent_norms, steps=[4, 0], progress=False)
    assert frame["step"].tolist() == [0, 0, 4, 4]
    last = lc.latent_norms(lc.load_model(runs[0]))["norm"].tolist()
    assert frame[frame["step"] == 4]["norm"].tolist() == last
    with pytest.raises(SettingError, match=r"no snapshot of the steps 3; expected some of 0, 2, 4"):
        lc.along(runs[0], lc.latent_norms, steps=[3])


def test_a_model_is_loaded_as_it_was_at_a_step(runs: list[Path]) -> None:
    start, end = lc.load_model(runs[0], step=0), lc.load_model(runs[0], step=4)
    made = lc.build_model("tiny", "Start_1+Comma_1", seed=0)
    assert torch.equal(start.tables.rows(), made.tables.rows())
    assert torch.equal(end.tables.rows(), lc.load_model(runs[0]).tables.rows())
    with pytest.raises(SettingError, match="no snapshot of step 3"):
        lc.load_model(runs[0], step=3)


def test_distances_are_from_the_first_snapshot(runs: list[Path]) -> None:
    snapshots = lc.load_snapshots(runs[0])
    frame = snapshots.distances().set_index(["step", "name"])
    for (step, name), row in frame.iterrows():
        moved = (snapshots[step][name] - snapshots[0][name]).norm()
        assert row["moved"] == pytest.approx(float(moved))
        assert row["norm"] == pytest.approx(float(snapshots[step][name].norm()))
    assert (frame.loc[0, "moved"] == 0).all() and (frame.loc[4, "moved"] > 0).all()
