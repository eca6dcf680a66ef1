"""The built-in studies: the paper's three hypotheses, and the questions its readers ask.

Their words are in `latent_core.hypotheses.studies.outlines`, their parts in
`latent_core.hypotheses.studies.claims`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from latent_core.errors import SettingError
from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.studies import carrier, claims, computed
from latent_core.hypotheses.studies.outlines import OUTLINES, other_keys
from latent_core.hypotheses.study import Study

__all__ = ["STUDIES", "load_study"]

_PARTS: Final[Mapping[str, Callable[[str, str], Mapping[str, Hypothesis]]]] = {
    "paper": claims.paper,
    "computation": claims.computation,
    "placement": claims.placement,
    "specialisation": claims.specialisation,
    "positions": claims.positions,
    "prediction": claims.prediction,
    "attention": claims.attention,
    "reach": claims.reach,
    "computed": computed.computed,
    "carry": carrier.carry,
}

STUDIES: Final[tuple[Study, ...]] = tuple(
    Study.asking(
        *outline[:6],
        _PARTS[outline.parts],
        carrier.conclude if outline.parts == "carry" else None,
    )
    for outline in OUTLINES
)
"""The built-in studies.

Example:
    >>> import latent_core as lc
    >>> [study.key for study in lc.STUDIES[:3]]
    ['H1', 'H2', 'H3']
"""


def load_study(key: str, layout: str = "", group: str = "") -> Study:
    """Return a built-in study.

    Args:
        key: its name; `reach-repetition` asks the question `reach` of another task.
        layout: the latents to ask about; empty for those of the table.
        group: the group of the layout to ask about; empty for the last.

    Raises:
        SettingError: if there is no such study, with those there are; if it is not about one group.
        LayoutError: if the layout cannot be read, or lacks the group.

    Example:
        >>> import latent_core as lc
        >>> lc.load_study("reach-repetition").layout
        'Start_1+Comma_1'
    """
    for study in STUDIES:
        for task in study.layouts:
            if study.key_on(task).lower() == key.lower():
                return study.about(layout, task, group)
    raise SettingError(
        f"no hypothesis {key!r}; expected one of {', '.join(study.key for study in STUDIES)}; or "
        f"{', '.join(other_keys())}"
    )
