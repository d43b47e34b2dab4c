"""`python -m neurontab.suite.train FOLDER --seed N`: one model of the embedded suite.

FOLDER holds the training text that `python -m neurontab.suite.prepare FOLDER` writes. The result
is a folder that transformers loads: float16 weights in safetensors, tokenizer, and `training.json`
with the losses. What is interrupted goes on from its last state in FOLDER and, on a CPU, ends with
the same bits.
"""

import argparse
import hashlib
import json
import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from neurontab.device import device_of
from neurontab.errors import CorpusError
from neurontab.suite import CORPUS, FOLDER
from neurontab.suite.prepare import TOKENIZER, TRAINING
from neurontab.suite.recipe import RECIPE, Recipe
from neurontab.suite.text import digest

PROBE = 128  # held-out sequences on which the loss curve is measured
PROBE_EVERY = 1_000  # steps; the state is kept as often


def train(
    seed: int, text: Path, folder: Path, device: torch.device, recipe: Recipe = RECIPE
) -> None:
    """Trains one seed and writes its folder.

    Raises CorpusError where the text is not that of the suite's other seeds.
    """
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32
    torch.manual_seed(seed)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(TOKENIZER)
    model = new_model(tokenizer.bos_token_id, recipe).to(device)
    rows = sequences(training_text(text / TRAINING), tokenizer, recipe.n_ctx)
    held_out = pl.read_parquet(CORPUS)["text"].to_list()
    probe = sequences(held_out, tokenizer, recipe.n_ctx)
    probe = probe[torch.randperm(len(probe), generator=torch.Generator().manual_seed(0))[:PROBE]]
    probe = probe.to(device)
    training = Training(model, seed, recipe)
    state = text / f"seed{seed}.pt"
    made_from = {
        "recipe": asdict(recipe),
        "tokens": digest_of_rows(rows),
        "device": device.type,
    }
    kept = torch.load(state, weights_only=True, map_location=device) if state.is_file() else {}
    if kept.get("made_from") == made_from:
        training.load(kept)
    else:
        training.curve.append({"step": 0, "loss": loss_of(model, probe)})
    for step in training.steps(rows.to(device)):
        if step % PROBE_EVERY == 0:
            training.curve.append({"step": step, "loss": loss_of(model, probe)})
            print(f"seed {seed} step {step} held-out loss {training.curve[-1]['loss']}", flush=True)
            torch.save(training.state() | {"made_from": made_from}, state.with_suffix(".part"))
            state.with_suffix(".part").replace(state)
    facts = {
        "seed": seed,
        "training_sequences": len(rows),
        "minutes": round(training.seconds / 60, 1),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "recipe": asdict(recipe),
        "held_out_loss": training.curve,
    }
    save(model, folder, facts)


class Training:
    """A model, its optimizers, and how far they are."""

    def __init__(self, model: Any, seed: int, recipe: Recipe) -> None:
        self.model, self.seed, self.recipe = model, seed, recipe
        self.optimizers = optimizers(model, recipe)
        self.rates = [[group["lr"] for group in each.param_groups] for each in self.optimizers]
        self.step = 0
        self.seconds = 0.0
        self.curve: list[dict[str, float]] = []

    def steps(self, rows: Tensor) -> Iterator[int]:
        """Trains step by step on rows [sequence, position]; yields each finished step's number."""
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(self.seed))
        order = order.to(rows.device)
        batch = self.recipe.batch
        while self.step < self.recipe.steps:
            started = time.monotonic()
            taken = torch.arange(self.step * batch, (self.step + 1) * batch, device=rows.device)
            self.step += 1
            for optimizer, rates in zip(self.optimizers, self.rates, strict=True):
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * share_of_rate(self.step, self.recipe)
            self._improve(rows[order[taken % len(rows)]])
            self.seconds += time.monotonic() - started
            yield self.step

    def _improve(self, batch: Tensor) -> None:
        self.model(batch, labels=batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()

    def state(self) -> dict[str, Any]:
        """All of it, in tensors and plain values."""
        return {
            "model": self.model.state_dict(),
            "optimizers": [each.state_dict() for each in self.optimizers],
            "step": self.step,
            "seconds": self.seconds,
            "curve": self.curve,
            "random": self._random.get_state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Takes a state up."""
        self.model.load_state_dict(state["model"])
        for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        self.step, self.seconds, self.curve = state["step"], state["seconds"], state["curve"]
        self._random.set_state(state["random"].cpu())

    @property
    def _random(self) -> torch.Generator:
        """The generator that dropout draws from."""
        if self.model.device.type == "cuda":
            return torch.cuda.default_generators[self.model.device.index or 0]
        return torch.default_generator


def training_text(path: Path) -> list[str]:
    """The training documents; raises CorpusError for other text than `text.json` describes."""
    if not path.is_file():
        raise CorpusError(
            f"No training text at {path}.\n"
            f"Make it with: python -m neurontab.suite.prepare {path.parent}"
        )
    table = pl.read_parquet(path)
    facts = json.loads((FOLDER / "text.json").read_text("utf-8"))
    found = digest(zip(table["path"], table["text"], strict=True))
    if found != facts["training"]["sha256"]:
        raise CorpusError(
            f"{path} has the digest {found[:12]}, the suite was trained on "
            f"{facts['training']['sha256'][:12]}.\n"
            f"Make it with: python -m neurontab.suite.prepare {path.parent}"
        )
    return table["text"].to_list()


def new_model(bos: int, recipe: Recipe) -> Any:
    """A GPT-2 with random weights from the global generator, as the recipe shapes it."""
    config = GPT2Config(
        n_layer=recipe.n_layers,
        n_embd=recipe.d_model,
        n_inner=recipe.d_mlp,
        n_head=recipe.n_heads,
        n_positions=recipe.n_ctx,
        vocab_size=recipe.d_vocab,
        activation_function="gelu_pytorch_tanh",  # GPT-2's own, in one operation
        bos_token_id=bos,
        eos_token_id=bos,
        resid_pdrop=recipe.dropout,
        embd_pdrop=recipe.dropout,
        attn_pdrop=0.0,
    )
    model: Any = GPT2LMHeadModel(config)
    for block in model.transformer.h:
        torch.nn.init.normal_(block.mlp.c_fc.weight, std=recipe.w_in_deviation)
        torch.nn.init.constant_(block.mlp.c_fc.bias, recipe.input_bias)
    return model


def optimizers(model: Any, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of attention, AdamW for everything else."""
    attention: list[Tensor] = []
    embeddings: list[Tensor] = []
    others: list[Tensor] = []
    for name, parameter in model.named_parameters():
        matrix = parameter.ndim == 2
        kind = attention if ".attn." in name and matrix else embeddings if ".wt" in name else others
        kind.append(parameter)
    adam = [
        {"params": embeddings, "lr": recipe.embedding_rate},
        {"params": others, "lr": recipe.learning_rate},
    ]
    decay = recipe.weight_decay
    return [
        torch.optim.AdamW(adam, betas=recipe.betas, weight_decay=decay, fused=True),
        torch.optim.Muon(attention, lr=recipe.attention_rate, weight_decay=decay),
    ]


def sequences(texts: list[str], tokenizer: PreTrainedTokenizerFast, context: int) -> Tensor:
    """Documents end to end, cut into rows [sequence, position] that begin with BOS."""
    encoded = tokenizer.backend_tokenizer.encode_batch(texts)
    stream = torch.tensor([token for document in encoded for token in document.ids])
    stream = stream[: len(stream) // (context - 1) * (context - 1)].view(-1, context - 1)
    start = torch.full((len(stream), 1), tokenizer.bos_token_id)
    return torch.cat([start, stream], dim=1)


def digest_of_rows(rows: Tensor) -> str:
    """Identifies what a model is trained on, rows [sequence, position]."""
    return hashlib.sha256(rows.numpy().tobytes()).hexdigest()


def share_of_rate(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then a cosine down to the final share."""
    if step < recipe.warm_up:
        return step / recipe.warm_up
    done = (step - recipe.warm_up) / (recipe.steps - recipe.warm_up)
    cosine = (1 + math.cos(math.pi * done)) / 2
    return recipe.final_share + (1 - recipe.final_share) * cosine


@torch.inference_mode()
def loss_of(model: Any, rows: Tensor) -> float:
    """Mean loss over rows [sequence, position] in nats a token, without dropout."""
    model.eval()
    losses: list[float] = [model(part, labels=part).loss.item() for part in rows.split(32)]
    model.train()
    return round(sum(losses) / len(losses), 4)


def save(model: Any, folder: Path, facts: dict[str, object]) -> None:
    """Writes the folder as transformers reads it, weights in float16."""
    model.config.activation_function = "gelu_new"  # as GPT-2 calls it
    model.half().save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(TOKENIZER / name, folder / name)
    (folder / "training.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")


def main() -> None:
    """Reads the command line and trains."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=Path, help="the folder with the training text")
    parser.add_argument("--seed", type=int, required=True, help="of weights and of text order")
    parser.add_argument("--output", type=Path, help="default: this package's folder seedN")
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto (default)")
    chosen = parser.parse_args()
    folder = chosen.output or FOLDER / f"seed{chosen.seed}"
    train(chosen.seed, chosen.text, folder, device_of(chosen.device))


if __name__ == "__main__":
    main()
