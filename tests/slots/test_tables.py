"""The tables: where their vectors start, and which slot gets which vector."""

import pytest
import torch

from latent_core.errors import SettingError
from latent_core.slots.layout import LatentLayout
from latent_core.slots.tables import LatentTables, initial_rows

D = 5
WEIGHT = torch.arange(7 * D, dtype=torch.float32).view(7, D) ** 1.5
"""(V=7, D=5): every number occurs once."""
ORDINARY = torch.tensor([2, 3, 4, 6])


def embed(ids: torch.Tensor) -> torch.Tensor:
    """An embedding module that scales, as Gemma's does."""
    return 10 * WEIGHT[ids]


def start(layout: str, init: str = "vocab", seed: int = 0) -> dict[str, torch.Tensor]:
    encode = {"two six": [2, 6], "": []}.get
    return initial_rows(LatentLayout.parse(layout), embed, ORDINARY, init, seed, encode)


def tables(layout: str, **init: object) -> LatentTables:
    return LatentTables(LatentLayout.parse(layout), start(layout, **init), D)


def test_vocab_starts_at_scaled_embeddings_of_ordinary_tokens() -> None:
    rows = start("Start_3+Comma_40")
    assert {name: tuple(table.shape) for name, table in rows.items()} == {
        "Start": (3, D),
        "Comma": (40, D),
    }
    drawn = {tuple(row) for table in rows.values() for row in table.tolist()}
    assert drawn == {tuple(row) for row in (10 * WEIGHT[ORDINARY]).tolist()}


@pytest.mark.parametrize("init", ["vocab", "gaussian"])
def test_the_seed_decides(init: str) -> None:
    first, same, other = (start("Start_6", init, seed)["Start"] for seed in (3, 3, 4))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_groups_do_not_start_alike() -> None:
    rows = start("Start_6+End_6", "gaussian")
    assert not torch.equal(rows["Start"], rows["End"])


def test_mean_and_gaussian_follow_the_ordinary_vocabulary() -> None:
    embeddings = embed(ORDINARY)
    assert torch.allclose(start("Start_2", "mean")["Start"], embeddings.mean(0).expand(2, D))
    many = start("Start_4000", "gaussian")["Start"]
    assert torch.allclose(many.mean(0), embeddings.mean(0), rtol=0.05)
    assert torch.allclose(many.std(0), embeddings.std(0), rtol=0.05)


def test_text_repeats_its_tokens() -> None:
    rows = start("Start_3", "text:two six")["Start"]
    assert torch.equal(rows, embed(torch.tensor([2, 6, 2])))


@pytest.mark.parametrize("init", ["zeros", "text:", "", "text"])
def test_an_unknown_start_is_refused(init: str) -> None:
    with pytest.raises(SettingError, match="expected vocab, mean, gaussian or text"):
        start("Start_1", init)


def test_words_without_tokens_are_refused() -> None:
    layout = LatentLayout.parse("Start_1")
    with pytest.raises(SettingError, match="no tokens for ' '"):
        initial_rows(layout, embed, ORDINARY, "text: ", encode=lambda text: [])


def test_latents_enter_their_slots_and_nothing_else_changes() -> None:
    module = tables("Start_2+Comma_1")
    verbal = -torch.arange(2 * 3 * D, dtype=torch.float32).view(2, 3, D) - 1
    latent_rows = torch.tensor([[0, -1, 2], [-1, 1, -1]])
    mixed = module.mix(verbal, latent_rows)
    table = module.rows()
    wanted = torch.stack(
        [
            torch.stack([table[0], verbal[0, 1], table[2]]),
            torch.stack([verbal[1, 0], table[1], verbal[1, 2]]),
        ]
    )
    assert torch.equal(mixed, wanted)


def test_gradients_reach_used_rows_only() -> None:
    module = tables("Start_2+Comma_1")
    weights = torch.arange(1.0, 4).view(1, 3, 1)
    mixed = module.mix(torch.zeros(1, 3, D), torch.tensor([[1, -1, 1]]))
    (mixed * weights).sum().backward()
    start_table, comma_table = module.tables
    assert start_table.grad.tolist() == [[0] * D, [1 + 3] * D]
    assert comma_table.grad.tolist() == [[0] * D]


def test_a_tied_table_serves_all_groups() -> None:
    module = tables("Start_1+Comma_3; tied")
    assert module.names == ("tied",)
    assert module.rows().shape == (3, D)


def test_tables_stay_fp32_beside_a_bf16_backbone() -> None:
    module = tables("Start_2")
    mixed = module.mix(torch.zeros(1, 2, D, dtype=torch.bfloat16), torch.tensor([[0, 1]]))
    assert mixed.dtype == torch.bfloat16
    mixed.sum().backward()
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    assert {p.grad.dtype for p in module.parameters()} == {torch.float32}


def test_assign_and_named_are_inverse_and_copy() -> None:
    module, other = tables("Start_2+End_1"), tables("Start_2+End_1", seed=8)
    parameters = list(module.parameters())
    module.assign(other.named())
    assert all(a is b for a, b in zip(parameters, module.parameters(), strict=True))
    for name, table in module.named().items():
        assert torch.equal(table, other.named()[name])
        table.zero_()
    assert module.rows().abs().sum() > 0


def test_no_groups_no_rows() -> None:
    module = tables("none")
    embeds = torch.ones(1, 2, D)
    assert module.rows().shape == (0, D)
    assert module.mix(embeds, torch.full((1, 2), -1)) is embeds


def test_rows_of_another_shape_are_refused() -> None:
    layout = LatentLayout.parse("Start_2")
    with pytest.raises(ValueError, match=r"'Start'.*\(2, 5\).*\(5, 2\)"):
        LatentTables(layout, {"Start": torch.zeros(D, 2)}, D)
