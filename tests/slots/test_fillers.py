"""Fillers: what they compute from a hidden state, with a vocabulary that can be checked by hand."""

import pytest
import torch
from torch import Tensor

from latent_core.slots.fillers import Filler, HiddenMap, fill, token_weights
from latent_core.slots.filling import Mix
from latent_core.slots.layout import LatentLayout

EMBEDDINGS = torch.tensor([[1.0, 0.0], [0.0, 4.0], [3.0, 4.0]])
"""(V=3, D=2); their norms are 1, 4 and 5."""


class ByHand:
    """Logits are the state's first number times 0, 1, 2; embeddings are doubled, as Gemma's are."""

    embedding_norm = 8.0

    def logits(self, hidden_states: Tensor) -> Tensor:
        return hidden_states[..., :1] * torch.tensor([0.0, 1.0, 2.0])

    def mean_embedding(self, weights: Tensor) -> Tensor:
        return weights @ EMBEDDINGS * 2


def filler(filling: str, hidden_map: HiddenMap | None = None) -> Filler:
    (group,) = LatentLayout.parse(f"End_1={filling}").groups
    return Filler(group, ByHand(), hidden_map)


STATES = torch.tensor([[3.0, 4.0], [0.0, 2.0]])


def test_hidden_states_raw_and_at_the_vocabulary_s_norm() -> None:
    assert torch.equal(filler("hidden")(STATES), STATES)
    torch.testing.assert_close(
        filler("hidden(norm)")(STATES), torch.tensor([[4.8, 6.4], [0.0, 8.0]])
    )


def test_a_map_is_added_and_starts_at_zero() -> None:
    down = torch.tensor([[1.0, 2.0]])
    start = HiddenMap(down, torch.zeros(2, 1))
    assert torch.equal(filler("hidden(proj=1)", start)(STATES), STATES)
    moved = HiddenMap(down, torch.tensor([[0.5], [-1.0]]))
    wanted = torch.tensor([[3 + 5.5, 4 - 11.0], [0 + 2.0, 2 - 4.0]])
    torch.testing.assert_close(filler("hidden(proj=1)", moved)(STATES), wanted)


def test_a_mixture_is_the_mean_embedding_by_probability() -> None:
    weights = torch.tensor([0.0, 3.0, 6.0]).softmax(0)
    torch.testing.assert_close(filler("mix")(STATES)[0], weights @ EMBEDDINGS * 2)
    torch.testing.assert_close(filler("mix")(STATES)[1], EMBEDDINGS.mean(0) * 2)


def test_fused_is_the_weighted_sum_of_both() -> None:
    mixed = filler("mix(temperature=2)")(STATES)
    torch.testing.assert_close(
        filler("fused(0.25, norm, temperature=2)")(STATES),
        0.25 * filler("hidden(norm)")(STATES) + 0.75 * mixed,
    )


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.3, [3]), (0.45, [3, 1]), (0.71, [3, 1, 0]), (1.0, [0, 1, 2, 3])]
)
def test_top_p_keeps_the_fewest_tokens_that_reach_it(top_p: float, kept: list[int]) -> None:
    probabilities = torch.tensor([[0.2, 0.3, 0.1, 0.4]])
    weights = token_weights(probabilities.log(), Mix(top_p))
    assert weights[0].nonzero().flatten().tolist() == sorted(kept)
    wanted = probabilities[0, sorted(kept)] / probabilities[0, kept].sum()
    torch.testing.assert_close(weights[0, sorted(kept)], wanted)


def test_temperature_sharpens() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0]])
    torch.testing.assert_close(
        token_weights(logits, Mix(temperature=0.5)), (2 * logits).softmax(-1)
    )


def test_only_computed_slots_are_filled_each_by_its_own_filler() -> None:
    embeds = torch.arange(12.0).reshape(2, 3, 2)
    numbers = torch.tensor([[-1, 1, -1], [0, -1, -1]])
    filled = fill(embeds, numbers, STATES, [filler("hidden"), filler("mix")])
    wanted = embeds.clone()
    wanted[0, 1] = filler("mix")(STATES[:1])[0]
    wanted[1, 0] = STATES[1]
    torch.testing.assert_close(filled, wanted)
