"""Matching five models of GPT-2 small's shape: costs of parts, measured and put together."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from neurontab.measure.document_groups import GROUPS
from neurontab.measure.finals import ListedSums
from neurontab.measure.hashing import Hashing
from neurontab.measure.models import LanguageModel
from neurontab.measure.sketch import Sketch
from neurontab.measure.sources import parse_source
from neurontab.measure.turned import Layout, Turned

CPU = torch.device("cpu")
LAYERS, D_MLP = 12, 3_072
TOKENS, BATCH, MODELS = 10_000_000, 2_048, 5
BUCKETS, REPLICATES = 4_096, 10  # what 64 GiB hold of five models
LISTED = 48  # pairs of a neuron with another model, both directions together, as on the suite


def random_gpt2_small(folder: Path) -> None:
    """A model with random weights, its tokenizer, and text with every token of the vocabulary."""
    config = GPT2Config(bos_token_id=0, eos_token_id=0)
    GPT2LMHeadModel(config).save_pretrained(folder / "m")
    words = ["<bos>", "<unk>", *(f"w{number}" for number in range(config.vocab_size - 2))]
    ids = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<bos>", unk_token="<unk>")
    fast.save_pretrained(folder / "m")
    (folder / "text.txt").write_text(" ".join(words[2:]))


def small_gpt2_figures(tile_seconds: float) -> tuple[dict[str, float], dict[str, Any]]:
    """What was published over ours, at 10 million tokens; all of it extrapolated from parts.

    `tile_seconds` are those of the tile engine on two layers, with sketches of 10,240 rows.
    """
    with tempfile.TemporaryDirectory() as name:
        random_gpt2_small(Path(name))
        model = LanguageModel(parse_source(str(Path(name) / "m")), CPU)
        ids = torch.randint(1, model.facts.d_vocab, (BATCH // 512, 512))
        run = seconds_of(lambda: model.run(ids, lambda layer, pre, post: None)) / BATCH
    x, y = (torch.randn(BATCH, D_MLP) for _ in range(2))
    rows, product = torch.arange(BATCH), torch.zeros(D_MLP, D_MLP, dtype=torch.float64)

    def published_product() -> None:
        product.add_((x.half().float().T @ y.half().float()).double())

    pair = LAYERS**2 * seconds_of(published_product) / BATCH
    hashing = Hashing(REPLICATES, BUCKETS, 0)
    sketch = Sketch(REPLICATES, BUCKETS, torch.zeros(1, D_MLP))
    hashed = hashing.bucket_and_sign(rows)
    adding = LAYERS * seconds_of(lambda: sketch.add(x, rows, rows * 0, *hashed)) / BATCH
    turned = Turned(D_MLP, BATCH, CPU)
    turned.begin(Layout.of([rows % GROUPS]))
    shift = torch.zeros(D_MLP)
    turning = LAYERS * seconds_of(lambda: turned.add(x, rows, shift, first_unit=0, batch=0)) / BATCH
    units = torch.arange(D_MLP).repeat_interleave(LISTED)
    listed = ListedSums(units, torch.randint(0, D_MLP, units.shape), D_MLP, GROUPS, CPU)
    listing = LAYERS * seconds_of(lambda: listed.add(turned, turned)) / BATCH
    speed = 2 * 1_024**3 / seconds_of(lambda: torch.ones(1_024, 1_024) @ torch.ones(1_024, 1_024))
    more = 2 * D_MLP**2 * REPLICATES * (BUCKETS - 1_024) / speed
    pairs, tiles = MODELS * (MODELS - 1) / 2, MODELS * LAYERS * (MODELS * LAYERS + 1) / 2
    published = 2 * pairs * (2 * run + pair) * TOKENS
    each = MODELS * (2 * run + adding + turning) + (pairs + MODELS / 2) * listing
    ours = each * TOKENS + tiles * (tile_seconds + more)
    hours = {
        "published": published,
        "ours": ours,
        "ours_runs": 2 * MODELS * run * TOKENS,
        "ours_sketches": MODELS * adding * TOKENS,
        "ours_tiles": tiles * (tile_seconds + more),
        "ours_listed": (pairs + MODELS / 2) * listing * TOKENS + MODELS * turning * TOKENS,
    }
    return {"vs_published_gpt2_small": round(published / ours, 1)}, {
        "gpt2_small_hours_extrapolated": {n: round(s / 3_600, 1) for n, s in hours.items()}
    }


def seconds_of(work: Callable[[], object]) -> float:
    """Median of five, after one to warm up."""
    found = []
    for _ in range(6):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return median(found[1:])
