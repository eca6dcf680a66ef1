"""The built-in studies stand, and can be asked of other layouts."""

import pytest

import latent_core as lc
from latent_core.errors import SettingError
from latent_core.hypotheses.studies.table import STUDIES, load_study
from latent_core.hypotheses.study import Study
from latent_core.hypotheses.targets import resolved


def test_the_built_in_studies_stand() -> None:
    keys = [study.key for study in STUDIES]
    assert keys[:3] == ["H1", "H2", "H3"] and len(set(keys)) == len(keys) == 12
    for study in STUDIES:
        assert all(h.family == study.key for h in study.hypotheses.values())
        assert len(study.explanation) > 40 and study.prediction.startswith("If so")


def test_a_study_can_be_asked_of_another_layout() -> None:
    tiny = lc.load_backbone("tiny")
    study = load_study("H1", "Start_2+Comma_3")
    parts = {name: resolved(part, tiny).contrast for name, part in study.parts.items()}
    assert set(parts) == set(load_study("H1").parts)
    assert (parts["gain over Start"].treatment, parts["gain over Start"].control) == (
        "Start_2+Comma_3",
        "Start_5",
    )
    assert "Start_4" not in "".join(map(str, parts.values()))
    assert study.hypotheses["gain over End"].family == "H1"
    with pytest.raises(SettingError, match="H1 is about latents, and 'zero-shot' has none"):
        load_study("H1", "zero-shot")
    with pytest.raises(SettingError, match="its layout and task cannot be changed"):
        Study("own", "?", "claim", "prediction", "words", study.parts).about("Start_2")
