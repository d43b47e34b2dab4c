"""The one door to transformer_lens: a model's activations, weights and facts.

Models run raw, as Hugging Face has them; nothing is folded but in the weights that are measured.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from tokenizers import Tokenizer
from torch import Tensor
from transformer_lens import TransformerBridge
from transformer_lens.model_bridge.exceptions import StopAtLayerException
from transformers import AutoTokenizer
from transformers.activations import NewGELUActivation
from transformers.utils import logging as transformers_logging

from neurontab.errors import ModelError
from neurontab.files import sha256_of
from neurontab.measure.mlp_inputs import Inputs, MlpInputs
from neurontab.measure.readout import Readout
from neurontab.measure.sources import ModelSource, folder_of, weight_files
from neurontab.measure.vocabulary import n_ids
from neurontab.measure.weights import HeadWeights, MlpWeights, Norm, fold

Activations = Float[Tensor, "sequence position neuron"]
Consume = Callable[[int, Activations, Activations], None]  # layer, pre, post
Hooks = list[tuple[str, Callable[[Tensor, Any], None]]]

# Blocks that read the stream through one norm before the MLP; each is held against Hugging Face and
# against transformer_lens' own folding in a test.
SUPPORTED = (
    "GPT2LMHeadModel",
    "GPTNeoXForCausalLM",
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "Qwen2ForCausalLM",
)


@dataclass(frozen=True)
class ModelFacts:
    """What a model is, as table `models` tells it."""

    model: str
    source: str
    revision: str | None
    architecture: str
    n_layers: int
    d_model: int
    d_mlp: int
    n_heads: int
    d_vocab: int
    n_ctx: int
    activation: str
    gated: bool
    tied: bool
    weight_processing: str
    sha256: str

    @property
    def spec(self) -> str:
        """What names the model in a config, wherever it is read."""
        at = f"@{self.revision}" if self.revision else ""
        return f"{self.model}={self.source}{at}"


class LanguageModel:
    """One loaded model of the family."""

    def __init__(self, source: ModelSource, device: torch.device) -> None:
        """Loads weights and tokenizer; never runs code that comes with the model.

        Raises ModelError when the files are missing, unsafe or not understood.
        """
        self.folder = folder_of(source)
        self.device = device
        _refuse_unsupported(self.folder)
        self.bridge = _boot(self.folder, device)
        _replace_slow_activations(self.bridge.original_model)
        if self.bridge.cfg.n_layers < 1 or self.bridge.cfg.d_mlp < 1:
            raise ModelError(f"{source.name} has no MLP neurons: its config.json says so.")
        self.tokenizer, self.bos, self.special_ids = load_tokenizer(self.folder)
        self.facts = self._facts(source)
        self.forget_inputs()
        if n_ids(self.tokenizer) > self.facts.d_vocab:
            raise ModelError(
                f"{source.name}: the tokenizer has {n_ids(self.tokenizer):,} tokens, the model "
                f"{self.facts.d_vocab:,}.\nGive the model the tokenizer it was trained with."
            )

    @property
    def name(self) -> str:
        """Name in the run."""
        return self.facts.model

    @property
    def identity(self) -> str:
        """Digest of everything that decides what the model computes."""
        return sha256_of(self.folder / "config.json", *weight_files(self.folder))

    @property
    def widths(self) -> list[int]:
        """Neurons of each layer."""
        return [self.facts.d_mlp] * self.facts.n_layers

    def keep_inputs(self, sequences: int, positions: int) -> None:
        """From now on keeps what its MLPs read, of so many sequences of so many positions.

        Forgets what was kept before.
        """
        self.forget_inputs()  # before there is memory for more
        self.inputs = self._inputs_of(sequences, positions)

    def forget_inputs(self) -> None:
        """Keeps nothing of what its MLPs read, neither what was kept nor from now on."""
        self.inputs = self._inputs_of(0, 0)

    def _inputs_of(self, sequences: int, positions: int) -> MlpInputs:
        layers, d_model = self.facts.n_layers, self.facts.d_model
        return MlpInputs(layers, sequences, positions, d_model, self.device)

    @torch.inference_mode()
    def run(self, tokens: Int[Tensor, "sequence position"], consume: Consume) -> None:
        """Runs the model and hands each layer's activations over as they come, then forgets them.

        Stops before the unembedding. Of tokens of which the inputs of MLPs are kept, MLPs alone
        run, with the same result, on a CPU to the last bit.
        """
        kept = self.inputs.of(tokens)
        if kept is not None:
            self._run_mlps(kept, consume)
            return
        room = self.inputs.room_for(tokens)
        last = self.facts.n_layers - 1
        hooks: Hooks = []
        for layer in range(self.facts.n_layers):
            if room is not None:
                hooks.append((f"blocks.{layer}.mlp.hook_in", _copies_into(room[layer])))
            hooks += _handing_over(layer, consume, stop=layer == last)
        self.bridge.run_with_hooks(tokens.to(self.device), fwd_hooks=hooks, return_type="logits")
        if room is not None:
            self.inputs.keep(tokens)

    def _run_mlps(self, inputs: Inputs, consume: Consume) -> None:
        """Each MLP from what it read, up to its neurons."""
        every = (_handing_over(layer, consume, stop=True) for layer in range(len(inputs)))
        with self.bridge.hooks(fwd_hooks=list(chain.from_iterable(every))):
            for layer, read in enumerate(inputs):
                with suppress(StopAtLayerException):
                    self.bridge.blocks[layer].mlp(read)

    @torch.inference_mode()
    def end(
        self, tokens: Int[Tensor, "sequence position"]
    ) -> tuple[Float[Tensor, "row neuron"], Float[Tensor, "row d_model"]]:
        """Post of the last layer, and the stream that the final norm reads, at all positions."""
        found: list[Tensor] = []

        def stop(stream: Tensor, hook: Any) -> None:
            found.append(stream)
            raise StopAtLayerException(stream)

        post = f"blocks.{self.facts.n_layers - 1}.mlp.hook_post"
        hooks = [(post, lambda values, hook: found.append(values)), ("ln_final.hook_in", stop)]
        self.bridge.run_with_hooks(tokens.to(self.device), fwd_hooks=hooks, return_type="logits")
        return found[0].flatten(0, 1), found[1].flatten(0, 1)

    def readout(self) -> Readout:
        """Final norm and unembedding."""
        unembed, bias = self.bridge.unembed, getattr(self.bridge.unembed, "b_U", None)
        return Readout.of(
            self._norm(self.bridge.ln_final),
            self.bridge.cfg.eps,
            unembed.W_U.detach().double().T,
            None if bias is None else bias.detach().double(),
        )

    def weights(self, layer: int) -> MlpWeights:
        """The weights of a layer's neurons, folded and centred as the architecture allows.

        Raises ModelError where one is not a finite number.
        """
        mlp = self.bridge.blocks[layer].mlp
        gate = mlp.W_gate if self.facts.gated else None
        bias = mlp.b_gate if self.facts.gated else mlp.b_in
        zero = torch.zeros(self.facts.d_mlp, dtype=torch.float64, device=self.device)
        raw = MlpWeights(
            w_in=mlp.W_in.detach().double().T,
            w_out=mlp.W_out.detach().double(),
            b_in=zero if bias is None else bias.detach().double(),
            w_gate=None if gate is None else gate.detach().double().T,
        )
        weights = fold(raw, self._norm(self.bridge.blocks[layer].ln2))
        parts = (weights.w_in, weights.w_out, weights.b_in, weights.w_gate)
        if not all(torch.isfinite(each).all() for each in parts if each is not None):
            raise ModelError(
                f"{self.name}: the MLP weights of layer {layer} are not all finite numbers.\n"
                "The model's files are damaged."
            )
        return weights

    def unembedding(self) -> Float[Tensor, "token d_model"]:
        """What each logit reads, through the final norm, less the mean over tokens."""
        read = self._norm(self.bridge.ln_final).read_by(self.bridge.unembed.W_U.detach().double().T)
        return read - read.mean(dim=0)

    def embedding(self) -> Float[Tensor, "token d_model"]:
        """What each token writes."""
        written = self.bridge.embed.W_E.detach().double()
        return self._norm(self.bridge.ln_final).written_by(written)

    @torch.inference_mode()
    def heads(self, layer: int) -> HeadWeights:
        """The weights of a layer's attention heads, folded as the neurons' are."""
        block = self.bridge.blocks[layer]
        norm, attention = self._norm(block.ln1), block.attn
        wide = [getattr(attention, name).detach().double() for name in ("W_Q", "W_K", "W_V")]
        read = [norm.read_by(each.transpose(1, 2)).transpose(1, 2) for each in wide]
        query, key, value = (_for_every_head(each, self.facts.n_heads) for each in read)
        found: list[Tensor] = []
        self.bridge.run_with_hooks(
            torch.tensor([[self.bos]], device=self.device),
            fwd_hooks=[(f"blocks.{layer}.attn.hook_k", lambda keys, hook: found.append(keys))],
        )
        at_bos = found[0].reshape(-1, self.bridge.cfg.d_head).double()
        return HeadWeights(
            query,
            key,
            value,
            out=norm.written_by(attention.W_O.detach().double()),
            key_at_bos=_for_every_head(at_bos, self.facts.n_heads),
            scale=float(attention.original_component.scaling),
        )

    @property
    def parallel(self) -> bool:
        """Whether attention and MLP of a layer read the same stream, so neither reads the other."""
        return bool(getattr(self.bridge.cfg, "parallel_attn_mlp", False))

    @property
    def centres(self) -> bool:
        """Whether the final norm subtracts the mean over d_model."""
        return self._norm(self.bridge.ln_final).centres

    def _norm(self, norm: Any) -> Norm:
        bias = getattr(norm, "b", None)
        return Norm(
            gain=norm.w.detach().double(),
            bias=None if bias is None else bias.detach().double(),
            centres=str(self.bridge.cfg.normalization_type).startswith("LN"),
        )

    def _facts(self, source: ModelSource) -> ModelFacts:
        config = self.bridge.cfg
        return ModelFacts(
            model=source.name,
            source=str(self.folder.resolve()) if source.is_folder else source.source,
            revision=None if source.is_folder else self.folder.name,  # the commit
            architecture=str(config.architecture),
            n_layers=config.n_layers,
            d_model=config.d_model,
            d_mlp=config.d_mlp,
            n_heads=config.n_heads,
            d_vocab=config.d_vocab,
            n_ctx=config.n_ctx,
            activation=str(config.act_fn),
            gated=bool(config.gated_mlp),
            tied=bool(self.bridge.original_model.config.tie_word_embeddings),
            weight_processing=self._norm(self.bridge.ln_final).description,
            sha256=sha256_of(*weight_files(self.folder)),
        )


def _handing_over(layer: int, consume: Consume, *, stop: bool) -> Hooks:
    """Hooks that hand a layer's activations over, and end the run then if they are to."""
    found: list[Activations] = []

    def hand(post: Activations, hook: Any) -> None:
        consume(layer, found.pop(), post)
        if stop:
            raise StopAtLayerException(post)

    return [
        (f"blocks.{layer}.mlp.hook_pre", lambda pre, hook: found.append(pre)),
        (f"blocks.{layer}.mlp.hook_post", hand),
    ]


def _copies_into(room: Tensor) -> Callable[[Tensor, Any], None]:
    """A hook that keeps what it sees."""

    def copy(values: Tensor, hook: Any) -> None:
        room.copy_(values)

    return copy


def _for_every_head(grouped: Tensor, heads: int) -> Tensor:
    """Grouped heads share keys and values: each as often as there are heads that use it."""
    return grouped.repeat_interleave(heads // len(grouped), dim=0)


def load_tokenizer(folder: Path) -> tuple[Tokenizer, int, list[int]]:
    """The fast tokenizer, the id that begins every sequence, and all special ids.

    Raises ModelError when there is none that can be used.
    """
    try:
        loaded = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"The tokenizer in {folder} cannot be loaded: {error}") from error
    begin = loaded.bos_token_id if loaded.bos_token_id is not None else loaded.eos_token_id
    if not getattr(loaded, "is_fast", False) or len(loaded) < 2 or begin is None:
        raise ModelError(
            f"The tokenizer in {folder} cannot be used: it needs a tokenizer.json with a token "
            "that begins a sequence (bos_token or eos_token)."
        )
    return loaded.backend_tokenizer, begin, sorted(set(loaded.all_special_ids))


def _refuse_unsupported(folder: Path) -> None:
    """Raises ModelError for an architecture whose neurons nobody has checked."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        found = config.get("architectures")
    except (ValueError, AttributeError, RecursionError) as error:
        raise ModelError(f"{folder / 'config.json'} cannot be loaded: {error}") from error
    if not isinstance(found, list) or len(found) != 1 or found[0] not in SUPPORTED:
        raise ModelError(
            f"{folder}: its config.json names the architecture {found}.\n"
            f"Supported are {', '.join(SUPPORTED)}."
        )
    if found == ["GPTNeoXForCausalLM"] and config.get("attention_bias") is False:
        raise ModelError(
            f"{folder}: its attention has no biases, and transformer_lens needs them here.\n"
            "Save it with attention_bias true and all of those biases zero: the same model."
        )


def _boot(folder: Path, device: torch.device) -> Any:
    transformers_logging.disable_progress_bar()
    try:
        return TransformerBridge.boot_transformers(
            str(folder), device=str(device), dtype=torch.float32, trust_remote_code=False
        )
    except Exception as error:  # whatever transformers and torch raise for files that are not right
        raise ModelError(
            f"The model in {folder} cannot be loaded: {type(error).__name__}: {error}\n"
            "It must be a complete model of a supported architecture; code that comes with a model "
            "and unrestricted pickles are never run."
        ) from error


def _replace_slow_activations(module: torch.nn.Module) -> None:
    """GPT-2's activation as one operation instead of eight: the same but for rounding."""
    for name, child in module.named_children():
        if isinstance(child, NewGELUActivation):
            setattr(module, name, torch.nn.GELU(approximate="tanh"))
        else:
            _replace_slow_activations(child)
