"""Interventions: what latents do, found by changing one thing.

    with parse_intervention("drop(Comma, after=3) & scale(Start, 0.5)").on(model):
        model.generate("...")

| text form                                   | what it does                                      |
|---------------------------------------------|---------------------------------------------------|
| `drop(Comma.1)`, `drop(Comma, after=3)`     | leaves latents out                                |
| `drop(Comma, nearest=1)`                    | hides all but the nearest occurrence              |
| `replace(Comma, random, seed=1)`            | other vectors: zero, random, another group's, ... |
| `shuffle(Comma, of=occurrences)`            | deals the vectors out anew                        |
| `swap(Start, Comma)`                        | two groups exchange their vectors                 |
| `scale(Start, 0.5)`                         | longer or shorter vectors                         |
| `recount(Comma, 1)`                         | fewer or more latents per occurrence              |
| `move(Comma, 8)`                            | the same vectors elsewhere                        |
| `positions(sequential)`                     | other position ids                                |
| `knock_out(verbal -> Comma, layers=0-3)`    | cuts attention edges                              |
| `patch(Comma, source="knock_out(Start)")`   | hidden states of another run                      |
| `patch(Start, prompt="Repeat 2 times: ")`   | hidden states of another prompt                   |

Each takes `from_step=n`: only from n response tokens on. Which slots a word such as `Comma.1@2`
means is in `latent_core.slots.selection`.
"""

from typing import Final

from latent_core.errors import SettingError
from latent_core.interventions.base import Combined, Intervention
from latent_core.interventions.flow import KnockOut
from latent_core.interventions.patching import Patch
from latent_core.interventions.places import Drop, Move, Positions, Recount
from latent_core.interventions.running import InterventionWarning
from latent_core.interventions.vectors import Replace, Scale, Shuffle, Swap
from latent_core.slots.notation import pieces
from latent_core.wording import did_you_mean

__all__ = [
    "VERBS",
    "Combined",
    "Drop",
    "Intervention",
    "InterventionWarning",
    "KnockOut",
    "Move",
    "Patch",
    "Positions",
    "Recount",
    "Replace",
    "Scale",
    "Shuffle",
    "Swap",
    "parse_intervention",
]

VERBS: Final[dict[str, type[Intervention]]] = {
    "drop": Drop,
    "replace": Replace,
    "shuffle": Shuffle,
    "swap": Swap,
    "scale": Scale,
    "recount": Recount,
    "move": Move,
    "positions": Positions,
    "knock_out": KnockOut,
    "patch": Patch,
}


def parse_intervention(text: str | Intervention) -> Intervention:
    """Read the one-line text form; `none` is no change. An intervention is returned as it is.

    Raises:
        SettingError: with the piece that could not be read, and what was expected.
    """
    if isinstance(text, Intervention):
        return text
    found: list[Intervention] = []
    for piece in pieces(text):
        if piece.verb not in VERBS:
            raise SettingError(
                f"unknown intervention {piece.verb!r} in {text!r}"
                f"{did_you_mean(piece.verb, VERBS)} Expected one of {', '.join(VERBS)}"
            )
        found.append(VERBS[piece.verb].from_piece(piece))
    return found[0] if len(found) == 1 else Combined(tuple(found))
