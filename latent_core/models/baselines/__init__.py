"""What latents are compared with: LoRA, prefix and prompt tuning through PEFT, full fine-tuning.

Each is a `SteeredModel`, so that it trains, decodes and is judged as latents are. None of them
changes the backbone it is given.
"""

from latent_core.models.baselines.adapted import PeftBaseline
from latent_core.models.baselines.full import FullModel
from latent_core.models.baselines.lora import LoraModel
from latent_core.models.baselines.prefix import PrefixModel
from latent_core.models.baselines.prompt import PromptModel

__all__ = ["FullModel", "LoraModel", "PeftBaseline", "PrefixModel", "PromptModel"]
