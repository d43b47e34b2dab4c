"""What the parts of measuring and matching cost on a random model of GPT-2's shapes."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from neurontab.measure.finals import ListedSums
from neurontab.measure.hashing import Hashing
from neurontab.measure.models import LanguageModel
from neurontab.measure.pairs import PairSums
from neurontab.measure.precision import DTYPES
from neurontab.measure.sketch import Sketch
from neurontab.measure.sketch_plan import REPLICATES
from neurontab.measure.turned import Layout, Turned

PIECE = 233  # positions of a group of documents that follow each other, on average in the suite
PUBLISHED_BATCH = 12_288  # tokens


@dataclass(frozen=True)
class Shape:
    """Of a model."""

    n_layers: int
    d_model: int
    n_heads: int

    @property
    def d_mlp(self) -> int:
        """Neurons of a layer."""
        return 4 * self.d_model


SMALL, MEDIUM = Shape(12, 768, 12), Shape(24, 1_024, 16)


@dataclass(frozen=True)
class Parts:
    """Seconds a token: of one model, or as said; products are of two layers."""

    run: float
    sketching: float
    turning: float
    listing: float  # of one model with another
    product: float  # in float32
    rounded_product: float  # in bfloat16
    published_product: float
    published_rotation: float  # of one layer


def parts_of(model: LanguageModel, shape: Shape, *, batch: int, buckets: int, listed: int) -> Parts:
    """All of them over one batch of tokens, on the model's device.

    So many pairs are listed of a neuron with another model, both directions together.
    """
    device, d_mlp = model.device, shape.d_mlp
    ids = torch.randint(1, model.facts.d_vocab, (batch // 512, 512))
    x, y = (torch.randn(batch, d_mlp, device=device) for _ in range(2))
    rows = torch.arange(batch)
    one, other = (torch.randn(PUBLISHED_BATCH, d_mlp, device=device).half() for _ in range(2))
    total = torch.zeros(d_mlp, d_mlp, dtype=torch.float64)  # on the host, as was published
    rotation, whole = torch.randn(d_mlp, d_mlp, device=device), one.float()
    sums = PairSums(d_mlp, d_mlp, device)
    hashing = Hashing(REPLICATES, buckets, 0)
    sketch = Sketch(REPLICATES, buckets, torch.zeros(1, d_mlp, device=device))
    hashed = hashing.bucket_and_sign(rows)
    n_units, groups = shape.n_layers * d_mlp, batch // PIECE + 1
    turned = Turned(n_units, batch, groups, device)
    turned.begin(Layout.of([rows // PIECE]))
    shift = torch.zeros(d_mlp, device=device)
    units = torch.arange(n_units).repeat_interleave(listed)
    others = torch.randint(0, n_units, (n_units, listed)).sort(dim=1).values.ravel()
    sums_of_pairs = ListedSums(units, others, (n_units, n_units), groups, device)
    half = DTYPES["bfloat16"]

    def published_product() -> None:
        total.add_((one.float().T @ other.float()).cpu().double())

    def turn() -> None:
        for layer in range(shape.n_layers):
            turned.add(x, rows, shift, first_unit=layer * d_mlp, batch=0)

    def each(work: Callable[[], object]) -> float:
        return seconds_of(work, device) / batch

    return Parts(
        run=each(lambda: model.run(ids, lambda layer, pre, post: None)),
        sketching=shape.n_layers * each(lambda: sketch.add(x, rows, rows * 0, *hashed)),
        turning=each(turn),
        listing=each(lambda: sums_of_pairs.add(turned, turned)),
        product=each(lambda: sums.add(x, y)),
        rounded_product=each(lambda: sums.add(x.to(half), y.to(half))),
        published_product=seconds_of(published_product, device) / PUBLISHED_BATCH,
        published_rotation=seconds_of(lambda: whole @ rotation, device) / PUBLISHED_BATCH,
    )


def random_gpt2(folder: Path, shape: Shape) -> None:
    """A model with random weights, its tokenizer, and text with every token of the vocabulary."""
    config = GPT2Config(
        bos_token_id=0,
        eos_token_id=0,
        n_layer=shape.n_layers,
        n_embd=shape.d_model,
        n_head=shape.n_heads,
    )
    GPT2LMHeadModel(config).save_pretrained(folder / "m")
    words = ["<bos>", "<unk>", *(f"w{number}" for number in range(config.vocab_size - 2))]
    ids = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<bos>", unk_token="<unk>")
    fast.save_pretrained(folder / "m")
    (folder / "text.txt").write_text(" ".join(words[2:]))


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Median of five, after one to warm up."""
    found = []
    for _ in range(6):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - started)
    return median(found[1:])
