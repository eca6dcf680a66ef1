"""The carrier study: its parts, the rule for the word, and models of which the word is known."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

import latent_core as lc
from experiments import carrier_errors
from experiments.carrier_errors import SEEDS, TRUTHS, words
from latent_core.errors import LayoutError, SettingError
from latent_core.hypotheses import lab
from latent_core.hypotheses.studies.carrier import (
    ALONE,
    DONOR,
    DROPPED,
    FILLER,
    MEAN,
    NOISE,
    PREVIOUS,
    RESTORE,
    TAKEN,
    UNREAD,
    WORDS,
    carry,
    conclude,
)
from latent_core.hypotheses.study import Study
from latent_core.hypotheses.study_verdict import StudyVerdict
from latent_core.tasks import Example, Score, Task
from tests.made_backbones import remembering_model

DECIDING = (DROPPED, UNREAD, NOISE, DONOR, MEAN, FILLER)
OUTCOMES = {True: "supported", False: "refuted", None: "inconclusive"}


def known_word(dropped, unread, noise, donor, mean, filler) -> str:  # type: ignore[no-untyped-def]
    """The table of docs/carrier.md, read from left to right."""
    if not dropped:
        return "mixed" if unread else "unused"
    if not noise:
        return "sink"
    if not donor:
        return "mark"
    if not mean:
        return "mixed"
    return "memory" if filler else "buffer"


def test_the_word_is_that_of_the_table_whatever_is_still_open() -> None:
    """An open part leaves the word undecided if, and only if, it could change it."""
    seen = set()
    for harms in itertools.product((True, False, None), repeat=len(DECIDING)):
        completions = itertools.product(
            *[(True, False) if harm is None else (harm,) for harm in harms]
        )
        possible = {known_word(*whole) for whole in completions}
        wanted = possible.pop() if len(possible) == 1 else "undecided"
        outcomes = {part: OUTCOMES[harm] for part, harm in zip(DECIDING, harms, strict=True)}
        found = conclude(outcomes)
        assert found.word == wanted, outcomes
        expected = {"memory": "supported", "undecided": "inconclusive"}.get(wanted, "refuted")
        assert found.outcome == expected
        seen.add(found.word)
    assert seen == set(WORDS)


def test_what_is_left_out_by_construction_does_no_harm_and_what_could_not_run_is_open() -> None:
    harm = dict.fromkeys((DROPPED, UNREAD, NOISE, FILLER), "supported")
    assert conclude(harm).word == "mark"
    found = conclude(harm, not_run=[DONOR])
    assert found.word == "undecided" and DONOR in found.reason


@pytest.mark.parametrize(
    ("layout", "left_out"),
    [
        ("Start_1+Comma_2", []),
        ("Comma_2", [RESTORE]),
        ("Start_1+End_2", [PREVIOUS]),
        ("8_2", [RESTORE]),
        ("Start_2", [DONOR, MEAN, ALONE, TAKEN, PREVIOUS, RESTORE]),
    ],
)
def test_parts_that_could_not_fail_are_left_out(layout: str, left_out: list[str]) -> None:
    every = [*DECIDING, ALONE, TAKEN, PREVIOUS, RESTORE]
    assert set(every) - set(carry("lookup", layout)) == set(left_out)


def test_the_study_can_be_about_any_group() -> None:
    study = lc.load_study("carry-lookup", "Start_1+Comma_2", "Start")
    assert study.group == "Start" and DONOR not in study.parts and RESTORE not in study.parts
    assert study.parts[DROPPED].contrast.treatment == "Start_1+Comma_2 under drop(Start)"
    assert study.about() != study and study.about(group="Start", layout=study.layout) is study
    with pytest.raises(LayoutError, match="no group 'End'"):
        lc.load_study("carry", "Comma_2", "End")
    with pytest.raises(SettingError, match="reach is about all groups of a layout together"):
        lc.load_study("reach", "Start_1+Comma_2", "Start")
    paper = lc.load_study("H2-lookup", "Start_1+Comma_1", "Start")
    assert "drop(Start)" in paper.parts["dropping them breaks it"].contrast.treatment


def test_responses_are_compared_with_the_donors_whose_states_were_given() -> None:
    def claim(*conditions: str) -> lc.Hypothesis:
        return lc.Hypothesis(
            "a", "lookup", lc.Contrast(*conditions), "greater", 0.1, "id", "donor", controls=()
        )

    assert claim("patch(Comma, by=example, seed=4)").donor_seed == 4
    assert claim("drop(Start) & patch(Comma, by=example)").donor_seed == 1
    for conditions in (
        ["drop(Comma)"],
        ["patch(Comma, by=mean)"],
        ["patch(Comma, by=example)", "patch(Comma, by=example, seed=2)"],
    ):
        with pytest.raises(SettingError, match="draws of other examples; expected one"):
            claim(*conditions)


def test_computed_latents_have_a_study_of_their_own() -> None:
    with pytest.raises(SettingError, match=r"End_4=hidden has computed latents.* study computed"):
        carry("hops", "End_4=hidden")


class FirstLetter(Task):
    """Say the letter before the comma four times."""

    name = "first-letter"
    id_levels, ood_levels = (1,), (2, 3)
    open_ended = True

    def examples(self, split: str, count: int, seed: int) -> list[Example]:
        self.check_request(split, count)
        letters = [("abc" * count)[(i + seed) % 3] for i in range(count)]
        return [
            Example(f"{letter},{'x' * (4 + i % 4)}", letter * 4, split, 1, f"{split}{seed}-{i}")
            for i, letter in enumerate(letters)
        ]

    def score(self, example: Example, response: str) -> Score:
        right = sum(a == b for a, b in zip(response, example.answer, strict=False))
        return Score(right == 4, right / 4, ())


def word_of(study: Study, target: object, folder: Path, examples: int) -> StudyVerdict:
    plans = lab.plan(study, 1, examples, target=target, measure=False)
    return lab.run(study, target, plans, folder, progress=False)


def test_a_latent_that_holds_what_the_prompt_says_is_a_memory(tmp_path: Path) -> None:
    model, task = remembering_model(), FirstLetter()
    parts = {}
    for name, part in carry("lookup", "Comma_1").items():
        change = part.contrast.treatment.removeprefix("Comma_1 under ")
        own = {"task": task, "split": "id", "controls": (), "contrast": lc.Contrast(change)}
        parts[name] = replace(part, **own)
    study = Study("carry", "?", "memory", "", "", parts, conclude=conclude)
    found = word_of(study, model, tmp_path, 16)
    assert found.title == "MEMORY (ONE SEED)" and found.outcome == "supported"
    taken = found.parts[TAKEN]
    assert taken.means().loc["id"].tolist() == [1.0, 0.0], "the other example's answer, each time"
    assert found.parts[DONOR].means().loc["id"].tolist() == [0.0, 1.0]
    assert found.parts[ALONE].means().loc["id", "treatment"] == 0.0
    assert found.parts[PREVIOUS].outcome != "supported", "there is one comma"
    assert "MEMORY (ONE SEED): their states hold" in found.summary()
    page = lab.report(found, tmp_path / "page.html").read_text()
    assert "MEMORY (ONE SEED)" in page


@pytest.mark.slow
def test_commas_of_tiny_are_marks_in_a_list_that_is_summed(tmp_path: Path) -> None:
    study = lc.load_study("carry", "Comma_2")
    parts = {name: study.parts[name] for name in (DROPPED, UNREAD, NOISE, DONOR, TAKEN)}
    study = Study("carry", "?", "memory", "", "", parts, conclude=conclude)
    found = word_of(study, ["shipped:tiny/summation/Comma_2"], tmp_path, 80)
    assert found.title == "MARK (ONE SEED)", found.summary()
    assert found.parts[DROPPED].effect.mean < -0.8 < -0.1 < found.parts[DONOR].effect.low


@pytest.mark.slow
@pytest.mark.parametrize(
    "truth", [t for t in TRUTHS if "states just" in t.about], ids=lambda t: t.about
)
def test_at_most_five_per_cent_of_words_are_wrong(truth) -> None:  # type: ignore[no-untyped-def]
    """Where wrong words are likeliest; experiments/carrier_errors.py simulates every kind."""
    studies = 40
    counts = words(truth, 5, studies, 40)
    right = sum(counts[word] for word in truth.right)
    wrong = studies - right - counts["undecided"]
    assert wrong <= 6, f"{counts}; 7 of 40 have a chance of 0.3 % where 5 % are wrong"


def test_the_table_of_wrong_words_counts_what_is_not_undecided() -> None:
    counts = Counter({"memory": 60, "undecided": 30, "mark": 10})
    table = carrier_errors._table({(t.about, n): counts for t in TRUTHS for n in SEEDS}, 100)
    rows = {line.split(" | ")[0].strip("| "): line for line in table.splitlines()[2:]}
    assert "10 wrong, 60 right" in rows["everything matters"]
    assert "60 wrong, 10 right" in rows["the example does not matter"]
