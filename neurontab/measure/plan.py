"""What a build will cost, before it runs: numbers of things, FLOP, memory, disk, time."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from neurontab.errors import RunError
from neurontab.loops import KEPT, WINDOW
from neurontab.measure.models import ModelFacts
from neurontab.measure.sums import SUM_BYTES, grouped
from neurontab.measure.survey import BYTES_A_GROUP, OFFSETS, groups_within
from neurontab.measure.tile import place_pairs

FREE_SHARE = 0.6  # of what is free is used, unless told otherwise
PROCESS = 1_700 * 2**20  # bytes of the program itself, with torch and what its allocator keeps
KEPT_BYTES = 3 * KEPT * WINDOW * 4 + 800  # a neuron: contexts, histograms, power sums
TABLE_BYTES = 16_000  # a neuron: its rows in tables that do not grow with the family
TILES_AT_ONCE = 8  # of the widest layers, in float64, while they are read
RUN_EFFICIENCY = 0.25  # of a matrix product's speed, that running a small model reaches


@dataclass(frozen=True)
class Plan:
    """The size of a build; bytes and FLOP are estimates from its shapes."""

    neurons: dict[str, int]
    pairs: int
    tokens: int
    run_flop: float
    match_flop: float
    passes: int  # over the tokens, in which products are summed
    room: int  # bytes for the products of one pass
    memory: int
    budget: int  # bytes that may be used
    disk: int
    seconds: float

    def lines(self) -> list[str]:
        """The plan as a person reads it."""
        each = ", ".join(f"{name} {n:,}" for name, n in self.neurons.items())
        return [
            f"neurons  {sum(self.neurons.values()):,} ({each})",
            f"pairs    {self.pairs} of models, matched in both directions",
            f"tokens   {self.tokens:,} counted",
            f"FLOP     {self.run_flop:.1e} to run the models once, {self.match_flop:.1e} to match",
            f"passes   1 for each model alone, {self.passes} for products",
            f"memory   {self.memory / 2**30:.1f} of {self.budget / 2**30:.1f} GiB",
            f"disk     {self.disk / 2**20:,.0f} MiB",
            f"time     about {self._time()}",
        ]

    def _time(self) -> str:
        return f"{self.seconds:.0f} s" if self.seconds < 120 else f"{self.seconds / 60:.0f} min"

    def refuse_if_too_large(self, folder: Path, written: int = 0) -> None:
        """Raises RunError when memory or disk would not do; so many bytes are `written` already."""
        if self.memory > self.budget:
            raise RunError(
                f"The build needs about {self.memory / 2**30:.1f} GiB of memory; "
                f"{self.budget / 2**30:.1f} GiB may be used.\n"
                "Allow more with --memory, name fewer or smaller models, or use a larger machine."
            )
        left = shutil.disk_usage(_existing(folder)).free
        needed = self.disk - written
        if needed > left:
            raise RunError(
                f"The build needs about {needed / 2**20:,.0f} MiB on disk; "
                f"{left / 2**20:,.0f} MiB are free at {folder}.\nName another folder with -o."
            )


def plan(
    models: list[ModelFacts],
    tokens: int,
    *,
    batch_tokens: int,
    block_tokens: int,
    context: int,
    draws: int,
    kept: int,
    types: int,
    exported: int,
    memory: int | None,
    device: torch.device,
) -> Plan:
    """The plan for a family over so many tokens of so many types.

    `kept` are rows a neuron and other model, `exported` the positions with all activations;
    `memory` are the bytes that may be used, most of what is free by default.
    """
    neurons = {facts.model: facts.n_layers * facts.d_mlp for facts in models}
    total = sum(neurons.values())
    products = (total**2 + sum(facts.n_layers * facts.d_mlp**2 for facts in models)) / 2
    rotations = (
        4
        * draws
        * sum((total - neurons[facts.model]) * facts.n_layers * facts.d_mlp**2 for facts in models)
    )
    run_flop = float(tokens * sum(_flop_a_token(facts) for facts in models))
    match_flop = 2 * products * tokens + rotations
    others = max(len(models) - 1, 1)
    widest = max(facts.d_mlp for facts in models)
    weights = [_flop_a_token(facts) // 2 + facts.d_vocab * facts.d_model for facts in models]
    speed = measured_speed(device)
    largest = max(neurons.values())
    groups = groups_within(types, largest) + 1
    alone = largest * (
        BYTES_A_GROUP * (len(OFFSETS) * groups + context) + 8 * exported + KEPT_BYTES
    )
    means = 4 * total * groups
    base = (
        PROCESS
        + 4 * (sum(weights) + max(weights))  # one of them twice, while it is checked
        + 4 * batch_tokens * context * max(facts.n_layers * facts.n_heads for facts in models)
        + means
    )
    reading = 8 * widest**2 * (TILES_AT_ONCE + draws) + total * others * (16 * kept + 24 * draws)
    together = 4 * block_tokens * total + reading
    budget = memory or int(FREE_SHARE * free_memory(device))
    d_mlp = {facts.model: facts.d_mlp for facts in models}
    pairs = place_pairs({facts.model: facts.n_layers for facts in models})
    widths = {place: d_mlp[place.model] for pair in pairs for place in pair}
    room = budget - base - together
    passes = grouped(pairs, widths, room)
    largest_pass = max(
        sum(SUM_BYTES * widths[place] * widths[other] for place, other in group) for group in passes
    )
    return Plan(
        neurons=neurons,
        pairs=len(models) * (len(models) - 1) // 2,
        tokens=tokens,
        run_flop=run_flop,
        match_flop=match_flop,
        passes=len(passes),
        room=room,
        memory=base + max(alone, together + largest_pass),
        budget=budget,
        disk=int(
            total * (others * (kept + 2 * draws) * 12 + 8 * exported + TABLE_BYTES + 4 * context)
            + 8 * tokens
        ),
        seconds=(1 + len(passes)) * run_flop / (RUN_EFFICIENCY * speed) + match_flop / speed,
    )


def measured_speed(device: torch.device) -> float:
    """FLOP a second of a float32 matrix product on this device, from a tenth of a second."""
    x = torch.randn(1024, 1024, device=device)
    x @ x
    started, n = time.perf_counter(), 0
    while time.perf_counter() - started < 0.1:
        (x @ x).sum().item()
        n += 1
    return 2 * 1024**3 * n / (time.perf_counter() - started)


def free_memory(device: torch.device) -> int:
    """Bytes that may still be had where the sums are kept."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def _flop_a_token(facts: ModelFacts) -> int:
    """Twice the weights of all layers; attention over the context is small beside them."""
    mlp = facts.d_model * facts.d_mlp * (3 if facts.gated else 2)
    return 2 * facts.n_layers * (mlp + 4 * facts.d_model**2)


def _existing(folder: Path) -> Path:
    return folder if folder.exists() else _existing(folder.parent.absolute())
