"""The trainable tables of latent vectors: their initialisation, and how they enter the slots.

Knows the layout and vectors of width D; nothing of Transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latent_core.errors import SettingError
from latent_core.slots.layout import LatentLayout

__all__ = ["LatentTables", "initial_rows", "place_rows"]


class LatentTables(nn.Module):
    """One fp32 table per latent group (or one for all, when the layout ties them).

    Args:
        layout: gives the tables' names and sizes.
        rows: initial vectors by table name, each (count, D).
    """

    def __init__(self, layout: LatentLayout, rows: Mapping[str, Tensor], hidden_size: int) -> None:
        super().__init__()
        self.names = tuple(layout.table_sizes)
        self.hidden_size = hidden_size
        for name, count in layout.table_sizes.items():
            if tuple(rows[name].shape) != (count, hidden_size):
                raise ValueError(
                    f"table {name!r}: expected shape {(count, hidden_size)}, "
                    f"got {tuple(rows[name].shape)}"
                )
        # A ParameterList, because group names such as 'Before[.]' are no attribute names.
        self.tables = nn.ParameterList(
            nn.Parameter(rows[name].detach().to(torch.float32).clone()) for name in self.names
        )

    def rows(self) -> Tensor:
        """All latent vectors, (num_latents, D), in the order `Slot.row` counts them."""
        if not self.names:
            return torch.zeros(0, self.hidden_size)
        return torch.cat(list(self.tables))

    def named(self) -> dict[str, Tensor]:
        """The tables by name, detached copies on the CPU, each (count, D) fp32."""
        pairs = zip(self.names, self.tables, strict=True)
        return {name: table.detach().cpu().clone() for name, table in pairs}

    @torch.no_grad()
    def assign(self, rows: Mapping[str, Tensor]) -> None:
        """Overwrite every table in place with `rows`, by table name."""
        for name, table in zip(self.names, self.tables, strict=True):
            table.copy_(rows[name])

    def mix(self, inputs_embeds: Tensor, latent_rows: Tensor) -> Tensor:
        """Put the latents in their slots.

        Args:
            inputs_embeds: (B, T, D), embeddings of the verbal tokens.
            latent_rows: (B, T), a latent's row or -1.

        Returns:
            (B, T, D) in the dtype of `inputs_embeds`.
        """
        return place_rows(inputs_embeds, latent_rows, self.rows())


def place_rows(inputs_embeds: Tensor, latent_rows: Tensor, table: Tensor) -> Tensor:
    """Put rows of a table (M, D) in their slots; see `LatentTables.mix`."""
    if not len(table):
        return inputs_embeds
    latents = F.embedding(latent_rows.clamp(min=0), table.to(inputs_embeds.dtype))
    return torch.where((latent_rows >= 0).unsqueeze(-1), latents, inputs_embeds)


@torch.no_grad()
def initial_rows(
    layout: LatentLayout,
    embed: Callable[[Tensor], Tensor],
    vocabulary: Tensor,
    init: str = "vocab",
    seed: int = 0,
    encode: Callable[[str], Sequence[int]] | None = None,
) -> dict[str, Tensor]:
    """Initial vectors for every table of a layout.

    Args:
        layout: gives the tables' names and sizes.
        embed: ids (N,) -> embeddings (N, D); the embedding module, since some families scale.
        vocabulary: (V,) ids of ordinary tokens.
        init: `vocab`, embeddings of random vocabulary tokens (Lester et al. 2021); `mean`, the
            vocabulary's mean; `gaussian`, its mean and standard deviation per dimension;
            `text:WORDS`, the embeddings of those words' tokens, repeated as needed.
        seed: of the random choices.
        encode: text -> ids, needed for `text:`.

    Raises:
        SettingError: if `init` is none of these, or its words have no tokens.
    """
    generator = torch.Generator().manual_seed(seed)
    kind, _, words = init.partition(":")
    device = vocabulary.device

    def vectors(count: int) -> Tensor:
        match kind:
            case "vocab":
                chosen = torch.randint(len(vocabulary), (count,), generator=generator)
                return embed(vocabulary[chosen.to(device)]).float()
            case "mean":
                return embed(vocabulary).float().mean(0, keepdim=True).repeat(count, 1)
            case "gaussian":
                embeddings = embed(vocabulary).float()
                noise = torch.randn(count, embeddings.shape[1], generator=generator).to(device)
                return embeddings.mean(0) + noise * embeddings.std(0)
            case "text" if words and encode is not None:
                ids = torch.tensor(list(encode(words)), dtype=torch.long, device=device)
                if not len(ids):
                    raise SettingError(
                        f"initialisation {init!r}: the tokenizer has no tokens for {words!r}; "
                        "choose other words"
                    )
                return embed(ids[torch.arange(count, device=device) % len(ids)]).float()
        raise SettingError(
            f"unknown initialisation {init!r}; expected vocab, mean, gaussian or text:SOME WORDS"
        )

    return {name: vectors(count) for name, count in layout.table_sizes.items()}
