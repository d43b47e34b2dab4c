"""A loaded model held against Hugging Face's own: are these its neurons, is this its function?"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import AutoModelForCausalLM

from neurontab.errors import ModelError
from neurontab.measure.models import LanguageModel

TOLERANCE = 1e-4  # of the largest value, in float32


@torch.inference_mode()
def check_basis(model: LanguageModel, tokens: Int[Tensor, "sequence position"]) -> None:
    """Compares width of the hidden layer, `post @ W_out + b_out` with the MLP's output, and logits.

    Raises ModelError when activations would not be what the tables say they are, or weights are
    missing from the model's files.
    """
    posts: dict[int, Tensor] = {}
    outputs: dict[int, Tensor] = {}
    hooks: list[tuple[str, Callable[[Tensor, Any], None]]] = []
    for layer in range(model.facts.n_layers):
        hooks.append((f"blocks.{layer}.mlp.hook_post", _saver(posts, layer)))
        hooks.append((f"blocks.{layer}.mlp.hook_out", _saver(outputs, layer)))
    here = tokens.to(model.device)
    logits = model.bridge.run_with_hooks(here, fwd_hooks=hooks)
    for layer in range(model.facts.n_layers):
        _check_layer(model, layer, posts.get(layer), outputs.get(layer))
    _check_equal(model, "logits", logits, _original(model)(here).logits)


def _check_layer(
    model: LanguageModel, layer: int, post: Tensor | None, output: Tensor | None
) -> None:
    if post is None or output is None or post.shape[-1] != model.facts.d_mlp:
        found = "nothing" if post is None else f"width {post.shape[-1]}"
        raise ModelError(
            f"{model.name}: layer {layer} has no MLP neurons that can be read: found {found}, "
            f"expected width {model.facts.d_mlp}.\nIts architecture is not supported."
        )
    mlp = model.bridge.blocks[layer].mlp
    bias = 0 if mlp.b_out is None else mlp.b_out
    _check_equal(model, f"layer {layer}: MLP output", post @ mlp.W_out + bias, output)


def _check_equal(model: LanguageModel, what: str, found: Tensor, expected: Tensor) -> None:
    if not torch.isfinite(expected).all():
        return  # Not a matter of the basis; the stream names model, layer and token.
    error = ((found - expected).abs().max() / expected.abs().max().clamp_min(1e-30)).item()
    if not error <= TOLERANCE:
        raise ModelError(
            f"{model.name}: {what} differs from Hugging Face's by {error:.1e} of the largest "
            f"value, more than {TOLERANCE:.0e}.\n"
            "Its architecture is not supported by this version of transformer_lens."
        )


def _original(model: LanguageModel) -> Any:
    """The model as Hugging Face loads it."""
    answer: Any = AutoModelForCausalLM.from_pretrained(
        model.folder,
        dtype=torch.float32,
        trust_remote_code=False,
        weights_only=True,
        output_loading_info=True,
    )
    original, report = answer
    missing = sorted({*report["missing_keys"], *map(str, report["mismatched_keys"])})
    if missing:
        raise ModelError(
            f"{model.name}: the weight files lack {', '.join(missing[:3])}"
            f"{' and others' if missing[3:] else ''}.\nSave the whole model again."
        )
    return original.eval().to(model.device)


def _saver(into: dict[int, Tensor], layer: int) -> Callable[[Tensor, Any], None]:
    return lambda values, hook: into.__setitem__(layer, values)
