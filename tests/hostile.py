"""A backbone whose tokens would do harm if anything took them for more than text."""

from functools import cache
from pathlib import Path

import transformers as hf
from tokenizers import AddedToken

from latent_core.backbones.backbone import Backbone
from tests.families import EOS, FAMILIES, character_tokenizer, random_from

TOKENS = (
    "</script><script>top.pwned=1</script>",
    "<img src=x onerror=top.pwned=2>",
    "<b onmouseover=top.pwned=3>",
    "\"'`${top.pwned=4}",
    "--><svg onload=top.pwned=5>",
    "</iframe></textarea></style>",
    "&lt;i&gt;&#60;",
    "$x^2$\\frac",
    "שלום",
    "👩‍🔬",
    "\u2028\u2029",
)
"""One token each. Whatever shows one shows these characters; `top.pwned` stays undefined."""

PROMPT = "".join(TOKENS) + ","
RESPONSE = "a," + "".join(reversed(TOKENS))


def tokenizer() -> hf.PreTrainedTokenizerFast:
    made = character_tokenizer()
    made.add_tokens([AddedToken(token, normalized=False) for token in TOKENS])
    return made


@cache
def hostile_backbone() -> Backbone:
    """A random llama, four heads on two key-value heads; none may change it."""
    return Backbone("hostile", random_from(_config()), tokenizer())


def save_hostile(folder: Path) -> Path:
    """The same as a folder that `load_backbone` takes."""
    random_from(_config()).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def _config() -> hf.PreTrainedConfig:
    config = FAMILIES["llama"]()
    config.vocab_size, config.eos_token_id = len(tokenizer()), EOS
    config.max_position_embeddings = 256
    return config
