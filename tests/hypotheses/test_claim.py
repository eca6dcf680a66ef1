"""Claims: a value that makes no sense is refused, and what is compared keeps its digest."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

import latent_core as lc
from latent_core.errors import LayoutError, SettingError, TaskError
from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.conditions import Contrast
from latent_core.hypotheses.journal import JOURNAL_FILE, Journal


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"metric": "bleu"}, SettingError, "'repetition' has no metric 'bleu'; expected graded"),
        ({"metric": "follows"}, SettingError, "has no edits that change an answer"),
        ({"smallest_effect": -0.1}, SettingError, "expected a size above 0"),
        ({"direction": "up"}, SettingError, "direction is 'up'"),
        ({"split": "ood-5"}, TaskError, "no split 'ood-5'"),
        ({"claim": " "}, SettingError, "the claim is empty"),
        ({"controls": ("noise",)}, SettingError, "no control noise"),
        ({"metric": "donor"}, SettingError, "has 0 draws of other examples; expected one"),
        (
            {
                "metric": "donor",
                "contrast": ("patch(End, by=example)", "patch(End, by=example, seed=2)"),
            },
            SettingError,
            "has 2 draws of other examples; expected one",
        ),
        ({"contrast": ("Start_2", "chance")}, SettingError, "only by the metric agreement"),
        ({"contrast": ("Start_2", "End_2", "ood-8")}, SettingError, "no example in common"),
        ({"contrast": ("drop(Comma)", "drop(Comma)")}, SettingError, "expected two conditions"),
        ({"contrast": ("lora-r0", "Start_2")}, LayoutError, "the size is '0' at column 7"),
        ({"contrast": ("matched(Start_2, luck)", "End_2")}, SettingError, "cannot match by 'luck'"),
    ],
)
def test_a_hypothesis_that_makes_no_sense_is_refused(gain, change, error, says) -> None:
    with pytest.raises(error, match=re.escape(says)):
        changed = {k: Contrast(*v) if k == "contrast" else v for k, v in change.items()}
        replace(gain, **changed)


def test_it_is_all_there_by_its_public_name() -> None:
    assert lc.Hypothesis is Hypothesis and lc.Contrast is Contrast


def test_what_was_typed_before_is_told_where_it_went(gain) -> None:
    with pytest.raises(AttributeError, match=r"Hypothesis\.test has moved; use lc\.lab\.run\("):
        gain.test("tiny")
    with pytest.raises(AttributeError, match=r"Study\.plan has moved; use lc\.lab\.plan\("):
        lc.load_study("H1").plan()
    assert not hasattr(lc.Verdict, "report")


#: Digests by study and part, as journals hold them since the first version.
DIGESTS = {
    "H1/gain over Start": "3e3f1892e4685976",
    "H1/gain over End": "755b264176f60a0c",
    "H1/gain at equal computation": "6b1330528fc51511",
    "H1/gain grows out of distribution": "0c052d2a1625dd1a",
    "H1/dropping them breaks it": "4f1577e88b73370b",
    "H1/they are looked at": "d38f8dcca3a261c8",
    "H1/their states carry it": "c90f646822f86c0d",
    "H2/gain over Start": "d6faa1247d355d65",
    "H2/gain over End": "c8c72b8f8395f92c",
    "H2/gain at equal computation": "c48a55d06e65e38a",
    "H2/gain grows out of distribution": "b68b9de2582b1ed1",
    "H2/dropping them breaks it": "5c29641e7ffcce64",
    "H2/they are looked at": "0cd95ce978235bb1",
    "H2/their states carry it": "51842bbbff02ac04",
    "H2-lookup/gain over Start": "2c634124174f6d7e",
    "H2-lookup/gain over End": "3e293d1add962672",
    "H2-lookup/gain at equal computation": "827e7bce03c4aee9",
    "H2-lookup/gain grows out of distribution": "c0d44bff5b234fcd",
    "H2-lookup/dropping them breaks it": "56770ff66fa23888",
    "H2-lookup/they are looked at": "18bd6239cfc512e0",
    "H2-lookup/their states carry it": "878b63b17cce4763",
    "H3/gain over Start": "91dbe7e01c6fab3d",
    "H3/gain over End": "dfec365ee11b0cae",
    "H3/gain at equal computation": "bf67901940e26804",
    "H3/gain grows out of distribution": "6e045e6744220a5f",
    "H3/dropping them breaks it": "13759db6a8789a03",
    "H3/they are looked at": "16d0d1091fd9a8d6",
    "H3/their states carry it": "626beff0ab396cf8",
    "placement/moved": "7e1b6374b4574a92",
    "placement/trained elsewhere": "6167734570816b69",
    "specialisation/swapped": "bc43f9ca9851532f",
    "specialisation/tied": "fb17cda289e59a46",
    "prediction/latent or verbal": "0b0dbda3b4dcf4a2",
    "attention/mass against effect": "73293514a2e651bc",
    "reach-repetition/nearest only": "56e6eedc7c3347b7",
    "reach-repetition/nearest three": "386ce2d45f6090b6",
}


@pytest.mark.parametrize("name", DIGESTS)
def test_a_comparison_keeps_the_digest_that_journals_know_it_by(name: str) -> None:
    study, part = name.split("/")
    assert lc.load_study(study).parts[part].digest == DIGESTS[name]


@pytest.mark.parametrize("task", ["", "_lookup"])
def test_journals_of_earlier_versions_are_read(repository: Path, tmp_path: Path, task: str) -> None:
    """Every line is intact, and its claim still has the digest under which it stands there."""
    kept = repository / "experiments" / "records" / f"hypotheses_journal{task}.jsonl"
    (tmp_path / JOURNAL_FILE).write_bytes(kept.read_bytes())
    entries = Journal(tmp_path).entries()
    assert len(entries) == len(kept.read_text().splitlines()) > 20
    for entry in entries:
        fields = entry["hypothesis"]
        contrast = Contrast(**fields["contrast"])
        claim = Hypothesis(**fields | {"contrast": contrast, "controls": tuple(fields["controls"])})
        assert claim.digest == entry["digest"]
        assert json.loads(json.dumps(claim.to_dict())) == fields
