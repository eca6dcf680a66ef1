"""Interventions: what latents do, found by changing one thing.

    with parse_intervention("drop(Comma, after=3) & scale(Start, 0.5)").on(model):
        model.generate("...")

| text form                                   | what it does                                      |
|---------------------------------------------|---------------------------------------------------|
| `drop(Comma.1)`, `drop(Comma, after=3)`     | leaves latents out                                |
| `drop(Comma, nearest=1)`                    | hides all but the nearest occurrence              |
| `replace(Comma, random, seed=1)`            | other vectors: zero, random, another group's, ... |
| `shuffle(Comma, of=occurrences)`            | deals the vectors out anew                        |
| `replace(End, data:hops)`                    | what computed latents hold on average over a task |
| `replace(End, prompt:"2+2=")`               | what computed latents hold in another prompt      |
| `freeze(End, 2)`                            | latents after the second hold what it holds       |
| `swap(Start, Comma)`                        | two groups exchange their vectors                 |
| `scale(Start, 0.5)`                         | longer or shorter vectors                         |
| `recount(Comma, 1)`                         | fewer or more latents per occurrence              |
| `move(Comma, 8)`                            | the same vectors elsewhere                        |
| `positions(sequential)`                     | other position ids                                |
| `knock_out(verbal -> Comma, layers=0-3)`    | cuts attention edges                              |
| `patch(Comma, source="knock_out(Start)")`   | hidden states of another run                      |
| `patch(End, prompt="Repeat 2 times: ")`     | hidden states of another prompt                   |

Each takes `from_step=n`: only from n response tokens on. Which slots a word such as `Comma.1@2`
means is in `latent_core.slots.selection`.

The public names are in `__init__.pyi`; each is loaded when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
