"""Figures of the report: axis ticks."""

from latent_core.hypotheses.report.figures import ticks


def test_axis_ticks_are_round_and_span() -> None:
    assert ticks(0.0, 1.0) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(-0.03, 0.21) == [-0.05, 0.0, 0.05, 0.1, 0.15, 0.2, 0.25]
    assert ticks(0.0, 0.0)[-1] > 0
