"""The lab: one place plans, runs and judges, for one claim or many."""

import pandas as pd
import pytest

from latent_core.errors import SettingError
from latent_core.hypotheses import lab
from latent_core.progress import Progress, listening
from tests.copying import copying_backbone, copying_model
from tests.hypotheses.made_up import CUT, MIXED, records


def test_the_plan_says_what_it_takes(commas) -> None:
    plan = lab.plan(commas, seeds=5, examples=100, target=[copying_model()] * 5)
    assert plan.seconds is not None and plan.seconds > 0
    assert f"{CUT} within replace(latents, random)" in "\n".join(plan.steps)
    assert "assumed, not measured" in plan.summary()
    assert lab.plan(commas, 10, 100).power > plan.power
    assert lab.plan(commas, 5, 100, effect=0.8).power > plan.power
    assert lab.plan(commas, 5, 100, tests=8).power < plan.power


def test_a_stopped_test_goes_on_where_it_was(commas, tmp_path) -> None:
    plan = lab.plan(commas, seeds=2, examples=3)
    models = [copying_model(), copying_model("b")]

    def stop(progress: Progress | None) -> None:
        if progress is not None and progress.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), listening(stop):
        lab.run(commas, models, plan, tmp_path)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "records").iterdir()}
    assert len(kept) == 3
    verdict = lab.run(commas, models, plan, tmp_path, progress=False)
    assert verdict.evidence.seeds == (0, 1)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(list((tmp_path / "records").iterdir())) > 3


def test_a_plan_that_the_target_cannot_fill_is_refused(commas, gain, tmp_path) -> None:
    with pytest.raises(SettingError, match=r"plan needs 2 training seeds, and .* have 1 in common"):
        lab.run(commas, copying_model(), lab.plan(commas, 2, 5), tmp_path)
    table = pd.concat([records(MIXED, 0.3), records("Start_2", 0.0)])
    with pytest.raises(SettingError, match="needs 6 training seeds, and the records have 5"):
        lab.run(gain, table, lab.plan(gain, 6, 20), tmp_path)
    with pytest.raises(SettingError, match="needs 30 examples per seed and split"):
        lab.run(gain, table, lab.plan(gain, 5, 30), tmp_path)
    with pytest.raises(SettingError, match="the plan is for another hypothesis"):
        lab.run(gain, table, lab.plan(commas, 5, 20), tmp_path)
    with pytest.raises(SettingError, match="below the smallest that would matter"):
        lab.plan(gain, 5, 20, effect=0.01)
    with pytest.raises(SettingError, match=r"no adapter of method .* there are Start_1\+Comma_2"):
        lab.run(gain, copying_model(), lab.plan(gain, 1, 5), tmp_path)
    with pytest.raises(SettingError, match="the contrast names no method"):
        lab.run(commas, copying_backbone(), lab.plan(commas, 1, 5), tmp_path)
