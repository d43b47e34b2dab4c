"""`python -m neurontab.suite.train --seed N`: one model of the embedded suite, in minutes.

Needs the tokenizer that `python -m neurontab.suite.prepare` writes. The result is a folder that
transformers loads: float16 weights in safetensors, tokenizer, and `training.json` with the losses.
"""

import argparse
import json
import math
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from neurontab.errors import CorpusError
from neurontab.suite import FOLDER
from neurontab.suite.prepare import TOKENIZER
from neurontab.suite.recipe import RECIPE, Recipe
from neurontab.suite.text import Document, digest, documents

PROBE = 256  # held-out sequences on which the loss curve is measured
PROBE_EVERY = 400  # steps


def train(seed: int, folder: Path, recipe: Recipe = RECIPE) -> None:
    """Trains one seed and writes its folder.

    Raises CorpusError where this Python's library is not the text of the suite's other seeds.
    """
    torch.manual_seed(seed)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(TOKENIZER)
    model = new_model(tokenizer.bos_token_id, recipe)
    texts = documents()
    refuse_other_text(texts)
    rows = sequences([d for d in texts if not d.held_out], tokenizer, recipe.n_ctx)
    probe = sequences([d for d in texts if d.held_out], tokenizer, recipe.n_ctx)[:PROBE]
    started = time.monotonic()
    curve = [{"step": 0, "loss": loss_of(model, probe)}]
    for step in steps(model, rows, seed, recipe):
        if step % PROBE_EVERY == 0:
            curve.append({"step": step, "loss": loss_of(model, probe)})
            print(f"seed {seed} step {step} held-out loss {curve[-1]['loss']:.3f}", flush=True)
    facts = {
        "seed": seed,
        "training_sequences": len(rows),
        "minutes": round((time.monotonic() - started) / 60, 1),
        "held_out_loss": curve,
    }
    save(model, folder, facts)


def refuse_other_text(texts: list[Document]) -> None:
    """Raises CorpusError for text that is not what `text.json` tells the digest of."""
    facts = json.loads((FOLDER / "text.json").read_text("utf-8"))
    found = digest([document for document in texts if not document.held_out])
    if found != facts["training"]["sha256"]:
        raise CorpusError(
            f"This Python's library has the digest {found[:12]}, the suite was trained on "
            f"{facts['training']['sha256'][:12]}.\n"
            "Use the Python that the suite's README names, or make a new suite with "
            "python -m neurontab.suite.prepare."
        )


def new_model(bos: int, recipe: Recipe) -> Any:
    """A GPT-2 with random weights from the global generator, as the recipe shapes it."""
    config = GPT2Config(
        n_layer=recipe.n_layers,
        n_embd=recipe.d_model,
        n_inner=recipe.d_mlp,
        n_head=recipe.n_heads,
        n_positions=recipe.n_ctx,
        vocab_size=recipe.d_vocab,
        bos_token_id=bos,
        eos_token_id=bos,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    model: Any = GPT2LMHeadModel(config)
    for block in model.transformer.h:
        torch.nn.init.normal_(block.mlp.c_fc.weight, std=recipe.w_in_deviation)
    return model


def sequences(texts: list[Document], tokenizer: PreTrainedTokenizerFast, context: int) -> Tensor:
    """Documents end to end, cut into rows [sequence, position] that begin with BOS."""
    encoded = tokenizer.backend_tokenizer.encode_batch([document.text for document in texts])
    stream = torch.tensor([token for document in encoded for token in document.ids])
    stream = stream[: len(stream) // (context - 1) * (context - 1)].view(-1, context - 1)
    start = torch.full((len(stream), 1), tokenizer.bos_token_id)
    return torch.cat([start, stream], dim=1)


def steps(model: Any, rows: Tensor, seed: int, recipe: Recipe) -> Iterator[int]:
    """Trains step by step and yields the number of each finished step."""
    optimizer = torch.optim.AdamW(
        model.parameters(), betas=recipe.betas, weight_decay=recipe.weight_decay, fused=True
    )
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    for step in range(1, recipe.steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, recipe)
        taken = torch.arange((step - 1) * recipe.batch, step * recipe.batch) % len(rows)
        batch = rows[order[taken]]
        loss = model(batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        optimizer.zero_grad()
        yield step


def learning_rate(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then a cosine down to the final share."""
    if step < recipe.warm_up:
        return recipe.learning_rate * step / recipe.warm_up
    done = (step - recipe.warm_up) / (recipe.steps - recipe.warm_up)
    cosine = (1 + math.cos(math.pi * done)) / 2
    return recipe.learning_rate * (recipe.final_share + (1 - recipe.final_share) * cosine)


@torch.inference_mode()
def loss_of(model: Any, rows: Tensor) -> float:
    """Mean loss in nats a token."""
    losses: list[float] = [model(part, labels=part).loss.item() for part in rows.split(32)]
    return round(sum(losses) / len(losses), 4)


def save(model: Any, folder: Path, facts: dict[str, object]) -> None:
    """Writes the folder as transformers reads it, weights in float16."""
    model.half().save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(TOKENIZER / name, folder / name)
    (folder / "training.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")


def main() -> None:
    """Reads the command line and trains."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, required=True, help="of weights and of text order")
    parser.add_argument("--output", type=Path, help="default: this package's folder seedN")
    chosen = parser.parse_args()
    train(chosen.seed, chosen.output or FOLDER / f"seed{chosen.seed}")


if __name__ == "__main__":
    main()
