"""Sources: adapters are trained once, given ones belong together, and controls match theirs."""

from dataclasses import replace
from functools import partial

import pytest

import latent_core as lc
from latent_core.errors import SettingError
from latent_core.hypotheses import lab
from latent_core.hypotheses.answers import SeedAdapter
from latent_core.hypotheses.conditions import Contrast
from latent_core.hypotheses.sources import Given
from latent_core.hypotheses.studies.table import load_study
from latent_core.hypotheses.targets import resolved
from tests.made_backbones import copying_backbone, copying_model


def test_adapters_are_trained_once_and_kept(commas, tmp_path) -> None:
    latents = replace(
        commas, contrast=Contrast("Comma_1", "filler(Comma_1)"), controls=(), direction="greater"
    )
    plan = lab.plan(latents, seeds=2, examples=3)
    options = {"training": {"steps": 1}, "progress": False}
    run = partial(lab.run, latents, plan=plan, folder=tmp_path, **options)
    backbone = copying_backbone()
    verdict = run(backbone)
    assert verdict.effect.seeds == 2
    adapters = {p: p.stat().st_mtime_ns for p in tmp_path.glob("adapters/*/*/*/adapter_model*")}
    assert len(adapters) == 2
    run(backbone)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.glob("adapters/*/*/*/adapter_model*")} == (
        adapters
    )


def test_given_runs_need_none_of_what_is_not_trained(tmp_path) -> None:
    model = lc.build_model("tiny", "Start_1+Comma_1", 0)
    study = load_study("computation-repetition")
    verdict = lab.run(study, [model], lab.plan(study, 1, 2, target=[model]), tmp_path)
    assert "against filler" in verdict.parts
    assert "no adapter of method 'Start_" in verdict.not_run["against as many latents at the start"]


def test_runs_of_different_versions_are_refused() -> None:
    def run(seed: int, torch: str) -> SeedAdapter:
        return SeedAdapter("Start_2", seed, copying_model, None, (("torch", torch),))

    Given([run(0, "2.13.0"), run(1, "2.13.0")])
    also = SeedAdapter("Start_2", 2, copying_model, None, (("torch", "2.13.0"), ("numpy", "2.4.0")))
    Given([run(0, "2.13.0"), also])  # what one of them did not note is no difference
    with pytest.raises(SettingError, match=r"made by different versions \(torch 2.12.0; torch 2"):
        Given([run(0, "2.13.0"), run(1, "2.12.0")])
    with pytest.raises(SettingError, match="two adapters of Start_2, seed 0"):
        Given([run(0, "2.13.0"), run(0, "2.13.0")])


def test_a_matched_control_is_found_for_the_backbone(commas) -> None:
    matched = Contrast("Comma_2", "matched(Comma_2, parameters, end)")
    found = resolved(replace(commas, contrast=matched), copying_backbone())
    assert found.contrast == Contrast("Comma_2", "End_2")
