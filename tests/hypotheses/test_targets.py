"""Targets: matched controls are found for their backbone."""

from dataclasses import replace

from latent_core.hypotheses.conditions import Contrast
from latent_core.hypotheses.targets import resolved
from tests.copying import copying_backbone


def test_a_matched_control_is_found_for_the_backbone(commas) -> None:
    matched = Contrast("Comma_2", "matched(Comma_2, parameters, end)")
    found = resolved(replace(commas, contrast=matched), copying_backbone())
    assert found.contrast == Contrast("Comma_2", "End_2")
