"""The hypothesis lab: a claim about latent tokens, the evidence it takes, and its verdict.

Each file imports only files that stand above it here; import-linter checks it:

| file                                | concept                                                    |
|-------------------------------------|------------------------------------------------------------|
| `conditions`, `claim`, `study`      | values: the conditions, the claim, the question            |
| `pairs`                             | paired records                                             |
| `answers`, `sources`, `targets`     | an adapter and its answers, and where adapters come from   |
| `costs`                             | the time of the work                                       |
| `plan`                              | the plan of a test, and its power                          |
| `evidence`                          | estimates from adapters or records                         |
| `verdict`, `study_verdict`          | the judgement                                              |
| `journal`, `report`                 | the record of all tests, and the page for readers          |
| `execution`, `lab`                  | many tests run and judged together                         |
| `studies`                           | the built-in studies                                       |

`lab` is the public module, `lc.lab`. It is imported on first use, because it loads torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
