"""Mean effects are the averages of traces, with intervals over examples."""

import pytest
from scipy import stats

import latent_core as lc
from latent_core.analysis.mean_effect import mean_effect, single_latents
from latent_core.errors import LayoutError, SettingError


@pytest.fixture(scope="module")
def model() -> lc.LatentModel:
    return lc.LatentModel("tiny", "Start_1+Comma_2", seed=3)


@pytest.fixture(scope="module")
def task() -> lc.Task:
    return lc.load_task("repetition")


def test_each_cell_is_the_mean_of_the_examples_that_have_the_edges(
    model: lc.LatentModel, task: lc.Task
) -> None:
    found = mean_effect(model, task, "id", 4, layers=[1, 2], heads="each", progress=False)
    examples = task.examples("id", 4, 1)
    frame = lc.trace(model, examples, layers=[1, 2], heads="each", progress=False)
    for row in found.itertuples():
        same = (frame["layer"] == row.layer) & (frame["head"] == row.head)
        effects = frame[same & (frame["group"] == row.group) & (frame["edges"] > 0)]["effect"]
        assert row.mean == pytest.approx(effects.mean())
        assert row.examples == len(effects)
        ends = stats.t.interval(0.95, len(effects) - 1, effects.mean(), stats.sem(effects))
        assert (row.low, row.high) == pytest.approx(ends)
    assert len(found) == 2 * 2 * 4
    assert set(found.query("group == 'Comma'")["examples"]) == {3}, "one repeat has no comma"


def test_single_latents_are_cut_one_at_a_time(model: lc.LatentModel, task: lc.Task) -> None:
    names = single_latents(model)
    assert names == ["Start.0", "Comma.0", "Comma.1"]
    found = mean_effect(model, task, "id", 2, groups=names, layers=1, progress=False)
    assert found["group"].tolist() == names and found["head"].isna().all()


def test_what_does_not_exist_is_refused(model: lc.LatentModel, task: lc.Task) -> None:
    with pytest.raises(LayoutError, match="Newline"):
        mean_effect(model, task, "id", 1, groups="Newline", progress=False)
    with pytest.raises(SettingError, match="examples is 0"):
        mean_effect(model, task, "id", 0)
