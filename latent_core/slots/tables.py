"""The vectors of latents and the fillers of computed ones: their start, and how they enter slots.

Knows the layout and vectors of width D; nothing of Transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latent_core.errors import SettingError
from latent_core.slots.fillers import Filler, HiddenMap, Vocabulary, fill
from latent_core.slots.layout import LatentLayout

__all__ = ["LatentTables", "fillers_at", "initial_rows", "place_rows"]


class LatentTables(nn.Module):
    """One fp32 table per learned group (or one for all, when the layout ties them), and the rest.

    Args:
        layout: gives the tables' names and sizes.
        rows: initial vectors by name: of each table and each group that text fills, (count, D);
            and the two matrices of each trained map.
        hidden_size: D.
        vocabulary: the decoder's, which computed groups need.
    """

    kept: Tensor

    def __init__(
        self,
        layout: LatentLayout,
        rows: Mapping[str, Tensor],
        hidden_size: int,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        super().__init__()
        self.names = tuple(layout.table_sizes)
        self.hidden_size = hidden_size
        for name, shape in layout.weight_shapes(hidden_size).items():
            if tuple(rows[name].shape) != shape:
                raise ValueError(
                    f"table {name!r}: expected shape {shape}, got {tuple(rows[name].shape)}"
                )
        # A ParameterList, because group names such as 'Before[.]' are no attribute names.
        self.tables = nn.ParameterList(
            nn.Parameter(rows[name].detach().to(torch.float32).clone()) for name in self.names
        )
        others = [torch.zeros(0, hidden_size)]
        fillers: list[Filler] = []
        numbers = {-1: -1}
        for number, group in enumerate(layout.groups):
            if group.name in layout.texts:
                others.append(rows[group.name].detach().float().cpu())
            elif group.computed:
                others.append(torch.zeros(group.count, hidden_size))
                assert vocabulary is not None, "a computed group needs the decoder's vocabulary"
                parts = [rows[f"{group.name}.{end}"] for end in ("down", "up") if group.map_rank]
                numbers[number] = len(fillers)
                fillers.append(Filler(group, vocabulary, HiddenMap(*parts) if parts else None))
        self.fillers = nn.ModuleList(fillers)
        self.register_buffer("kept", torch.cat(others), persistent=False)
        of_row = torch.tensor([numbers[n] for n in layout.computing_groups], dtype=torch.long)
        self.register_buffer("_fillers_of_row", of_row, persistent=False)

    @property
    def computes(self) -> bool:
        """Whether some latent depends on the slot before it."""
        return len(self.fillers) > 0

    @property
    def fillers_of_row(self) -> Tensor:
        """For each row, the number of the filler that computes it; -1 for a vector that is kept."""
        found = self._fillers_of_row
        assert isinstance(found, Tensor)
        return found

    def rows(self) -> Tensor:
        """All latent vectors, (N, D), in the order `Slot.row` counts them; zero where computed."""
        if not len(self.kept):
            return torch.cat(list(self.tables)) if self.names else self.kept
        return torch.cat([*self.tables, self.kept])

    def named(self) -> dict[str, Tensor]:
        """What trains, by name, detached copies on the CPU in fp32: tables (count, D), and maps."""
        return {name: weight.detach().cpu().clone() for name, weight in self._weights().items()}

    @torch.no_grad()
    def assign(self, rows: Mapping[str, Tensor]) -> None:
        """Overwrite what trains in place with `rows`, by name."""
        for name, weight in self._weights().items():
            weight.copy_(rows[name])

    def _weights(self) -> dict[str, nn.Parameter]:
        found = dict(zip(self.names, self.tables, strict=True))
        for filler in self.fillers:
            assert isinstance(filler, Filler)
            if filler.hidden_map is not None:
                found[f"{filler.group.name}.down"] = filler.hidden_map.down
                found[f"{filler.group.name}.up"] = filler.hidden_map.up
        return found

    def mix(self, inputs_embeds: Tensor, latent_rows: Tensor) -> Tensor:
        """Put the latents in their slots.

        Args:
            inputs_embeds: (B, T, D), embeddings of the verbal tokens.
            latent_rows: (B, T), a latent's row or -1.

        Returns:
            (B, T, D) in the dtype of `inputs_embeds`.
        """
        return place_rows(inputs_embeds, latent_rows, self.rows())

    def fillers_at(self, latent_rows: Tensor) -> Tensor:
        """For each slot (B, T), the number of the filler that computes it; -1 for any other."""
        return fillers_at(latent_rows, self.fillers_of_row)

    def fill(self, inputs_embeds: Tensor, numbers: Tensor, states: Tensor) -> Tensor:
        """Fill computed slots, one a row at most; see `latent_core.slots.fillers.fill`."""
        return fill(inputs_embeds, numbers, states, list(self.fillers))


def place_rows(inputs_embeds: Tensor, latent_rows: Tensor, table: Tensor) -> Tensor:
    """Put rows of a table (M, D) in their slots; see `LatentTables.mix`."""
    if not len(table):
        return inputs_embeds
    latents = F.embedding(latent_rows.clamp(min=0), table.to(inputs_embeds.dtype))
    return torch.where((latent_rows >= 0).unsqueeze(-1), latents, inputs_embeds)


def fillers_at(latent_rows: Tensor, fillers_of_row: Tensor) -> Tensor:
    """The fillers of slots, by those of rows; see `LatentTables.fillers_at`."""
    return torch.where(latent_rows >= 0, fillers_of_row[latent_rows.clamp(min=0)], -1)


@torch.no_grad()
def initial_rows(
    layout: LatentLayout,
    embed: Callable[[Tensor], Tensor],
    vocabulary: Tensor,
    init: str = "vocab",
    seed: int = 0,
    encode: Callable[[str], Sequence[int]] | None = None,
) -> dict[str, Tensor]:
    """Initial vectors for every table of a layout, every text, and every trained map.

    Args:
        layout: gives the tables' names and sizes.
        embed: ids (N,) -> embeddings (N, D); the embedding module, since some families scale.
        vocabulary: (V,) ids of ordinary tokens.
        init: `vocab`, embeddings of random vocabulary tokens (Lester et al. 2021); `mean`, the
            vocabulary's mean; `gaussian`, its mean and standard deviation per dimension;
            `text:WORDS`, the embeddings of those words' tokens, repeated as needed. Of the trained
            maps, one matrix is random and the other is zero.
        seed: of the random choices.
        encode: text -> ids, needed for `text:`.

    Raises:
        SettingError: if `init` is none of these, or its words have no tokens.
    """
    generator = torch.Generator().manual_seed(seed)
    device = vocabulary.device

    def vectors(count: int, init: str) -> Tensor:
        kind, _, words = init.partition(":")
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

    found = {name: vectors(count, init) for name, count in layout.table_sizes.items()}
    for name, words in layout.texts.items():
        found[name] = vectors(layout.group(name).count, f"text:{words}")
    hidden_size = embed(vocabulary[:1]).shape[-1]
    for name, shape in layout.weight_shapes(hidden_size).items():
        if name.endswith(".up"):
            found[name] = torch.zeros(shape)
        elif name.endswith(".down"):
            found[name] = torch.randn(shape, generator=generator) / hidden_size**0.5
    return found
