"""Decoders of many families, tiny and random, over one character tokenizer.

Weights are drawn far wider than any real initialisation, so that a wrong slot, mask or position
changes what is decoded instead of drowning in rounding.
"""

from collections.abc import Callable
from functools import cache

import torch
import transformers as hf
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from latent_core.backbones.backbone import Backbone

CHARACTERS = "abcdefghijklmnop0123456789,= \n"
EOS = 0
VOCABULARY = 2 + len(CHARACTERS)
WINDOW = 7
"""Slots that the families with a sliding window look back on; fewer than any test decodes."""

PROMPTS = ("ab,cd=", "12,3", "a,b,c,dddddd,e", "x")
"""Ragged on purpose; the last is one token, and not in the vocabulary."""

LAYOUTS = (
    "Start_2",
    "End_2",
    "Comma_2",
    "3_2",
    "Before[,|a|b|c|d|1|2|3|=| ]_2",
    "After[,|a|b|c|d|1|2|3|=| ]_2",
    "After[=|3|e|a|5|j|9|o]_1@verbal+End_2@verbal",
    "Start_2+Before[,|a|c|j|1|8|=]_1+4_1; tied",
    "Start_1+2_1@verbal+Comma_2; positions=sequential",
)
"""Every kind of place and option; the long trigger lists make sure that responses have some."""

COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 96,
    "initializer_range": 0.4,
    "bos_token_id": None,
    "eos_token_id": EOS,
    "pad_token_id": None,
    "tie_word_embeddings": False,
}
_PLAIN = {name: value for name, value in COMMON.items() if name != "num_key_value_heads"}
_GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 96} | {
    name: COMMON[name]
    for name in ("initializer_range", "eos_token_id", "bos_token_id", "tie_word_embeddings")
}
_ALTERNATING = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": WINDOW}

FAMILIES: dict[str, Callable[[], hf.PreTrainedConfig]] = {
    "llama": lambda: hf.LlamaConfig(**COMMON),
    "qwen2": lambda: hf.Qwen2Config(**COMMON),
    # More embeddings than tokens, as real checkpoints often have.
    "gpt2": lambda: hf.GPT2Config(vocab_size=VOCABULARY + 5, **_GPT),
    "mistral": lambda: hf.MistralConfig(**COMMON, sliding_window=WINDOW),
    "gemma3": lambda: hf.Gemma3TextConfig(**COMMON, head_dim=8, **_ALTERNATING),
    "gemma": lambda: hf.GemmaConfig(**COMMON, head_dim=8),
    "gemma2": lambda: hf.Gemma2Config(
        **COMMON, head_dim=8, final_logit_softcapping=3.0, **_ALTERNATING
    ),
    "qwen3": lambda: hf.Qwen3Config(**COMMON, head_dim=8),
    "smollm3": lambda: hf.SmolLM3Config(**COMMON, no_rope_layer_interval=2),
    "gpt_oss": lambda: hf.GptOssConfig(
        **COMMON, head_dim=8, num_local_experts=2, num_experts_per_tok=1, **_ALTERNATING
    ),
    "gpt_neox": lambda: hf.GPTNeoXConfig(**_PLAIN),
    "gpt_neo": lambda: hf.GPTNeoConfig(
        **{k: v for k, v in _PLAIN.items() if k != "num_attention_heads"},
        num_heads=4,
        num_layers=2,
        attention_types=[[["global", "local"], 1]],
        window_size=WINDOW,
    ),
    "gptj": lambda: hf.GPTJConfig(vocab_size=VOCABULARY, rotary_dim=4, **_GPT),
    "gpt_bigcode": lambda: hf.GPTBigCodeConfig(vocab_size=VOCABULARY, **_GPT),
    "opt": lambda: hf.OPTConfig(**_PLAIN, ffn_dim=40, word_embed_proj_dim=32, init_std=0.4),
    "falcon": lambda: hf.FalconConfig(**_PLAIN, hidden_dropout=0.1),
    "phi": lambda: hf.PhiConfig(**COMMON),
    "phi3": lambda: hf.Phi3Config(**COMMON),
    "persimmon": lambda: hf.PersimmonConfig(**COMMON),
    "olmo2": lambda: hf.Olmo2Config(**COMMON),
    "olmo3": lambda: hf.Olmo3Config(**COMMON, **_ALTERNATING),
    "stablelm": lambda: hf.StableLmConfig(**COMMON),
    "starcoder2": lambda: hf.Starcoder2Config(**COMMON),
    "granite": lambda: hf.GraniteConfig(**COMMON, logits_scaling=4.0, embedding_multiplier=3.0),
    "cohere": lambda: hf.CohereConfig(**COMMON, logit_scale=0.25),
    "cohere2": lambda: hf.Cohere2Config(**COMMON, **_ALTERNATING),
    "glm4": lambda: hf.Glm4Config(**COMMON),
    # Keys and values of different widths, from one low-rank projection.
    "deepseek_v3": lambda: hf.DeepseekV3Config(
        **COMMON | {"num_key_value_heads": 4},
        q_lora_rank=8,
        kv_lora_rank=8,
        qk_rope_head_dim=4,
        qk_nope_head_dim=4,
        v_head_dim=12,
        n_routed_experts=4,
        n_group=1,
        topk_group=1,
        num_experts_per_tok=2,
        moe_intermediate_size=16,
    ),
}

MAIN_FAMILIES = ("llama", "qwen2", "gpt2", "mistral", "gemma3")
OTHER_FAMILIES = tuple(name for name in FAMILIES if name not in MAIN_FAMILIES)
FULL_ATTENTION = ("llama", "qwen2", "gpt2")


def character_tokenizer(characters: str = CHARACTERS) -> hf.PreTrainedTokenizerFast:
    """One token a character; id 0 ends a response, id 1 stands for every other character."""
    vocabulary = {token: i for i, token in enumerate(["<eos>", "<unk>", *characters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<eos>", unk_token="<unk>"
    )


def random_model(family: str, seed: int = 0, **changes: object) -> hf.PreTrainedModel:
    """A fresh model of a family; `changes` go into its config."""
    config = FAMILIES[family]()
    for name, value in changes.items():
        setattr(config, name, value)
    return random_from(config, seed)


def random_from(config: hf.PreTrainedConfig, seed: int = 0) -> hf.PreTrainedModel:
    """A fresh model of a config, whatever its family."""
    torch.manual_seed(seed)
    model = hf.AutoModelForCausalLM.from_config(config)
    for name, weight in model.named_parameters():
        if weight.dim() == 1 and "norm" not in name and "ln_" not in name:
            torch.nn.init.normal_(weight, std=0.2)  # biases start at 0, which would hide them
    return model


@cache
def tiny_backbone(family: str) -> Backbone:
    """A backbone that all tests share; none may change it."""
    seed = 3 if family == "gpt_bigcode" else 0  # with 0 it ends most responses at once
    return Backbone(family, random_model(family, seed), character_tokenizer())


#: Trims contents, as many templates do, and ends turns with a token of its own.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<{{ m.role[0] }}>{{ m.content | trim }}<turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<a>{% endif %}"
)
CHAT_TOKENS = ("<begin>", "<s>", "<u>", "<a>", "<turn>")


def talking_backbone(
    template: str = CHAT_TEMPLATE, ends: tuple[str, ...] = ("<eos>", "<turn>")
) -> Backbone:
    """A backbone with a chat template, whose tokenizer begins every text with a token."""
    tokenizer = character_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<begin>"})
    tokenizer.add_tokens(list(CHAT_TOKENS[1:]), special_tokens=True)
    tokenizer.chat_template = template
    model = random_model("llama", vocab_size=len(tokenizer))
    model.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids(list(ends))
    return Backbone("talking", model, tokenizer)
