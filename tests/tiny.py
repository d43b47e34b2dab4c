"""Tiny models with known weights, their tokenizer and their text; saved as any model is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

Model = Any  # a GPT2LMHeadModel, whose parts torch's types do not know
WORDS = tuple(f"w{number}" for number in range(60))
BOS = "<bos>"
CONTEXT = 32


def tokenizer(words: tuple[str, ...] = WORDS) -> PreTrainedTokenizerFast:
    """A word a token; id 0 begins every sequence."""
    vocabulary = {word: number for number, word in enumerate((BOS, "<unk>", *words))}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token=BOS, unk_token="<unk>")


def model(
    seed: int = 0,
    *,
    d_mlp: int = 24,
    d_model: int = 16,
    n_layers: int = 2,
    activation: str = "gelu_new",
    words: int = len(WORDS),
    context: int = CONTEXT,
) -> Model:
    """A GPT-2 with random weights."""
    torch.manual_seed(seed)
    config = GPT2Config(
        n_layer=n_layers,
        n_embd=d_model,
        n_inner=d_mlp,
        n_head=2,
        n_positions=context,
        vocab_size=words + 2,
        activation_function=activation,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.2,
    )
    return GPT2LMHeadModel(config).eval()


SHAPES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_layer": 2, "n_embd": 16, "n_inner": 24, "n_head": 2, "n_positions": 32},
    "gpt2-biasless": {"n_layer": 2, "n_embd": 16, "n_inner": 24, "n_head": 2, "n_positions": 32},
    "gpt_neox": {"num_hidden_layers": 2, "hidden_size": 16, "intermediate_size": 24},
    "llama": {"num_hidden_layers": 2, "hidden_size": 16, "intermediate_size": 24},
    "llama-biased": {
        "num_hidden_layers": 2,
        "hidden_size": 16,
        "intermediate_size": 24,
        "mlp_bias": True,
    },
    "mistral": {"num_hidden_layers": 2, "hidden_size": 16, "intermediate_size": 24},
    "qwen2": {"num_hidden_layers": 2, "hidden_size": 16, "intermediate_size": 24},
}


def of_kind(kind: str, *, tied: bool = False) -> Model:
    """A random model of an architecture, no norm or bias of which is at its initial value."""
    settings: dict[str, Any] = {"vocab_size": 64, "bos_token_id": 0, "eos_token_id": 0}
    settings["tie_word_embeddings"] = tied
    if not kind.startswith("gpt2"):
        settings |= {"num_attention_heads": 2, "max_position_embeddings": 32}
    if kind.startswith(("llama", "mistral", "qwen2")):
        settings |= {"num_key_value_heads": 1}
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind.partition("-")[0], **SHAPES[kind], **settings)
    made = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if kind.endswith("-biasless") and "bias" in name:
                parameter.zero_()  # as models trained without biases are saved
            elif "norm" in name or "ln_" in name or "bias" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return made.eval()


def save(made: Model, folder: Path, words: tuple[str, ...] = WORDS) -> Path:
    """A folder that holds the model and its tokenizer."""
    made.save_pretrained(folder)
    tokenizer(words).save_pretrained(folder)
    return folder


def write_text(
    path: Path, tokens: int = 3_000, seed: int = 0, words: tuple[str, ...] = WORDS
) -> Path:
    """A text of random words, the early ones frequent."""
    random = np.random.default_rng(seed)
    weight = 1 / np.arange(1, len(words) + 1)
    drawn = random.choice(words, size=tokens, p=weight / weight.sum())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(" ".join(drawn.tolist()), "utf-8")
    return path


def mlps(made: Model) -> list[Any]:
    """The MLPs, layer by layer: `c_fc.weight` is [d_model, neuron], `c_proj.weight` its mirror."""
    return [block.mlp for block in made.transformer.h]


def copied(made: Model, change: Callable[[Model], object]) -> Model:
    """A changed copy."""
    copy = GPT2LMHeadModel(made.config).eval()
    copy.load_state_dict(made.state_dict())
    with torch.no_grad():
        change(copy)
    return copy


def with_candidate(made: Model) -> Model:
    """The same model with a neuron in the last layer that writes where nothing is read."""

    def write(copy: Model) -> None:
        width = copy.config.n_embd
        unread = torch.zeros(width)
        unread[:2] = torch.tensor([1.0, -1.0]) / 2**0.5
        tokens = copy.transformer.wte.weight
        tokens.sub_(torch.outer(tokens @ unread, unread))
        mlps(copy)[-1].c_proj.weight[5] = 4 * unread

    return copied(made, write)


def lookup(made: Model) -> Model:
    """The same model without attention and positions: activations depend on the token alone."""

    def silence(copy: Model) -> None:
        copy.transformer.wpe.weight.zero_()
        for block in copy.transformer.h:
            block.attn.c_proj.weight.zero_()
            block.attn.c_proj.bias.zero_()

    return copied(made, silence)
