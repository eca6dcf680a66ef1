"""Pairs: records that do not belong together are refused."""

import re

import pandas as pd
import pytest

from latent_core.errors import SettingError
from tests.hypotheses.made_up import MIXED, records, verdict_of


def test_records_that_do_not_pair_are_refused(gain, tmp_path) -> None:
    ours, theirs = records(MIXED, 0.3), records("Start_2", 0.0)
    other_seed = theirs.assign(seed=theirs["seed"] + 1)
    other_examples = theirs.assign(key=theirs["key"] + "'")
    for control, says in (
        (other_seed, "treatment has seeds"),
        (other_examples, "400 of 400 examples were not answered by both"),
        (theirs[theirs["example"] < 19], "20 of 400 examples were not"),
        (theirs.assign(backbone="other"), "expected one backbone"),
        (theirs.assign(task="summation"), "are of task 'summation'; expected 'repetition'"),
        (theirs.drop(columns="graded").assign(exact=True), "have no graded"),
        (pd.concat([theirs, theirs]), "hold an example of one seed twice"),
        (theirs.iloc[:0], "no records of 'Start_2'"),
    ):
        with pytest.raises(SettingError, match=re.escape(says)):
            verdict_of(gain, pd.concat([ours, control]), tmp_path)
