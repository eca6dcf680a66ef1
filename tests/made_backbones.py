"""Backbones made by hand for tests: one copies from a latent, the tokens of one would do harm.

The copying one is a Llama in which one head of one layer copies from one latent, and nothing else
acts. Head `HEAD` of layer `LAYER` looks for the latent `Comma.1`, which alone carries a flag, and
writes the character that this latent holds where the output head reads. Everything else is zero:
without that edge the next-token distribution is exactly uniform, and the likeliest token the first
one, which ends the response.
"""

from functools import cache
from pathlib import Path

import torch
import transformers as hf
from tokenizers import AddedToken

from latent_core.backbones.backbone import Backbone
from latent_core.models.latent import LatentModel
from tests.families import EOS, FAMILIES, VOCABULARY, character_tokenizer, random_from

LAYERS, HEADS, HEAD_WIDTH = 3, 4, 32
LAYER, HEAD = 1, 2
LAYOUT = "Start_1+Comma_2"
FLAG, VERBAL, OUTPUT, PAYLOAD, UNREAD = 40, 41, 42, 80, 120  # places in the D = 128 dimensions
SLOW = 15  # with so large a rotary base this dimension of a head does not turn at all
COPIED = "a"


def copying_backbone() -> Backbone:
    config = hf.LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=HEADS * HEAD_WIDTH, intermediate_size=8,
        num_hidden_layers=LAYERS, num_attention_heads=HEADS, num_key_value_heads=HEADS,
        max_position_embeddings=96, rope_parameters={"rope_type": "default", "rope_theta": 1e30},
        bos_token_id=None, eos_token_id=0, pad_token_id=None, tie_word_embeddings=False,
    )  # fmt: skip
    model = hf.LlamaForCausalLM(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.fill_(1.0 if "norm" in name else 0.0)
        attention = model.model.layers[LAYER].self_attn
        first = HEAD * HEAD_WIDTH
        attention.q_proj.weight[first + SLOW, VERBAL] = 2.0
        attention.k_proj.weight[first + SLOW, FLAG] = 2.0
        # Without the latent, the same head looks around by position and writes where nobody reads;
        # a backbone that position ids do not reach would be refused.
        attention.q_proj.weight[first, VERBAL] = attention.k_proj.weight[first, VERBAL] = 0.1
        attention.v_proj.weight[first, :VOCABULARY] = torch.arange(VOCABULARY) / VOCABULARY
        attention.o_proj.weight[UNREAD, first] = 1.0
        for token in range(VOCABULARY):
            model.model.embed_tokens.weight[token, token] = 1.0
            model.model.embed_tokens.weight[token, VERBAL] = 1.0
            model.lm_head.weight[token, OUTPUT + token] = 1.0
            if token > 0:
                attention.v_proj.weight[first + token, PAYLOAD + token] = 1.0
                attention.o_proj.weight[OUTPUT + token, first + token] = 3.0
    return Backbone("copying", model, character_tokenizer())


def holding(character: str, backbone: Backbone) -> torch.Tensor:
    """The vector of a latent that the head finds, and that holds a character."""
    (token,) = backbone.encode(character)
    vector = torch.zeros(HEADS * HEAD_WIDTH)
    vector[FLAG] = vector[PAYLOAD + token] = 1.0
    return vector


def copying_model(character: str = COPIED) -> LatentModel:
    """Answers any prompt with a comma by `character` again and again."""
    backbone = copying_backbone()
    model = LatentModel(backbone, LAYOUT)
    nothing = torch.zeros(HEADS * HEAD_WIDTH)
    nothing[0] = 1.0
    model.tables.assign(
        {
            "Start": nothing[None],
            "Comma": torch.stack([nothing, holding(character, backbone)]),
        }
    )
    return model


def remembering_model() -> LatentModel:
    """Answers by the character before the first comma, which only the latent there tells it.

    A head of the first layer writes what stands before the latent where the latents of
    `copying_model` hold what they have learned.
    """
    backbone = copying_backbone()
    attention = backbone.model.model.layers[0].self_attn
    first = (HEAD + 1) % HEADS * HEAD_WIDTH
    with torch.no_grad():
        for token in range(1, VOCABULARY):
            attention.v_proj.weight[first + token, token] = 1.0
            attention.o_proj.weight[PAYLOAD + token, first + token] = 1.0
    model = LatentModel(backbone, "Comma_1")
    flagged = torch.zeros(1, HEADS * HEAD_WIDTH)
    flagged[0, FLAG] = 1.0
    model.tables.assign({"Comma": flagged})
    return model


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
