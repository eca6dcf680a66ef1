"""Gains of latents once more, by a mixed model, and the table of docs/hypotheses-lab.md about it.

    python experiments/mixed_model.py

The mixed model (statsmodels) has random effects of seeds and of examples, which are crossed. It
shares no code with `latent_core.statistics`. Its interval is normal, so it is narrower with few
seeds.
"""

from __future__ import annotations

import warnings
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from statsmodels.regression.mixed_linear_model import MixedLM
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import latent_core as lc
from experiments.readme import write_section

GAINS: Final = (
    ("smollm2-135m", "lookup", "ood-20", "Start_1+Comma_1", "Start_2"),
    ("smollm2-135m", "lookup", "ood-20", "Start_1+Comma_1", "End_2"),
    ("smollm2-135m", "lookup", "ood-50", "Start_1+Comma_1", "Start_2"),
    ("smollm2-135m", "lookup", "ood-50", "Start_1+Comma_1", "End_9"),
    ("tiny", "summation", "ood-50", "Comma_2", "Start_2"),
    ("tiny", "summation", "ood-50", "Comma_2", "End_2"),
)
"""Backbone, task, split, method, baseline: of shipped runs."""


class Estimate(NamedTuple):
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"

    @property
    def says(self) -> str:
        """What follows."""
        return "gain" if self.low > 0 else "loss" if self.high < 0 else "neither"


def differences(backbone: str, task: str, split: str, method: str, baseline: str) -> pd.DataFrame:
    """Paired differences: seed, example, difference."""
    runs = [f"shipped:{backbone}/{task}/{one}" for one in (method, baseline)]
    records = lc.load_runs(runs, records=True)
    both = records[records["split"] == split].pivot(
        index=["seed", "example"], columns="method", values="graded"
    )
    found = both.dropna().reset_index()
    return found.assign(difference=found[method] - found[baseline])


def ours(frame: pd.DataFrame) -> Estimate:
    """The interval of every verdict."""
    found = lc.paired_effect(frame["difference"], frame["seed"], frame["example"], exact=False)
    return Estimate(found.mean, found.low, found.high)


def mixed(frame: pd.DataFrame) -> Estimate:
    """The interval of the mixed model."""
    crossed = {"seed": "0 + C(seed)", "example": "0 + C(example)"}
    model = MixedLM.from_formula(
        "difference ~ 1", groups=np.ones(len(frame)), vc_formula=crossed, data=frame
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of a variance that is 0
        tried = [model.fit(reml=True, method=one) for one in ("lbfgs", "powell", "nm")]
    found = max(tried, key=lambda one: one.llf)
    low, high = found.conf_int().loc["Intercept"]
    return Estimate(float(found.params["Intercept"]), float(low), float(high))


def table() -> str:
    """The table of the page."""
    lines = [
        "| backbone, task | gain | seeds | this project | mixed model |",
        "|---|---|---|---|---|",
    ]
    for gain in GAINS:
        backbone, task, split, method, baseline = gain
        frame = differences(*gain)
        what = f"`{method}` over `{baseline}`, {split}"
        cells = (frame["seed"].nunique(), ours(frame), mixed(frame))
        lines.append(f"| {backbone}, {task} | {what} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the table."""
    write_section("mixed-model", table())


if __name__ == "__main__":
    main()
