"""What a build will cost, before it runs: numbers of things, FLOP, memory, disk, time."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import torch

from neurontab.errors import RunError
from neurontab.measure.memory import Needs, memory, weights_of
from neurontab.measure.models import ModelFacts
from neurontab.measure.sketch_plan import Extent, Mode, SketchPlan, sketch_plan

TABLE_BYTES = 16_000  # a neuron: its rows in tables that do not grow with the family
RUN_EFFICIENCY = 0.25  # of a matrix product's speed, that running a small model reaches
ASSIGN_SECONDS = 1e-7  # a pair of neurons of two models, to find the one-to-one pairs


@dataclass(frozen=True)
class Plan:
    """The size of a build; bytes and FLOP are estimates from its shapes."""

    neurons: dict[str, int]
    pairs: int
    tokens: int
    run_flop: float
    match_flop: float
    passes: int  # over the tokens in which neurons are matched, if nothing is left open
    room: int  # bytes for the products of one pass, or for tiles and rows beside the sketches
    sketch: SketchPlan | None  # None: exact
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
            f"passes   1 for each model alone, {self.passes} {self._mode()}",
            f"memory   {self.memory / 2**30:.1f} of {self.budget / 2**30:.1f} GiB",
            f"disk     {self.disk / 2**20:,.0f} MiB",
            f"time     about {self._time()}",
        ]

    def _mode(self) -> str:
        if self.sketch is None:
            return "for products"
        rows = self.sketch.replicates * self.sketch.buckets
        return f"to match (sketches of {rows:,} rows, then the pairs that may be best)"

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
    models: Sequence[ModelFacts],
    tokens: int,
    needs: Needs,
    *,
    mode: Mode,
    allowed: int | None,
    device: torch.device,
) -> Plan:
    """The plan for a family over so many tokens; `allowed` are the bytes that may be used."""
    neurons = {facts.model: facts.n_layers * facts.d_mlp for facts in models}
    total = sum(neurons.values())
    products = (total**2 + sum(facts.n_layers * facts.d_mlp**2 for facts in models)) / 2
    rotations = 4 * sum(
        (total - neurons[facts.model]) * facts.n_layers * facts.d_mlp**2 for facts in models
    )
    run_flop = float(2 * tokens * sum(map(weights_of, models)))
    place = memory(models, needs, allowed=allowed, device=device)
    extent = Extent(tokens, total, len(models), products, needs.types)
    once = run_flop / RUN_EFFICIENCY
    exact_flop = 2 * products * tokens + (place.passes - 2) * once
    sketch = sketch_plan(mode, extent, place.room, exact_flop)
    match_flop = (sketch.flop if sketch else 2 * products * tokens) + needs.draws * rotations
    passes = 2 if sketch else place.passes
    needed = max(place.together + sketch.size, place.alone) if sketch else place.needed
    speed = measured_speed(device)
    running = (1 + passes) * once / speed
    assigning = ASSIGN_SECONDS * sum(one * two for one, two in combinations(neurons.values(), 2))
    others = max(len(models) - 1, 1)
    rows = others * (needs.kept + 2 * needs.draws) * 12
    return Plan(
        neurons=neurons,
        pairs=len(models) * (len(models) - 1) // 2,
        tokens=tokens,
        run_flop=run_flop,
        match_flop=match_flop,
        passes=passes,
        room=place.room - sketch.size if sketch else place.room,
        sketch=sketch,
        memory=needed,
        budget=place.budget,
        disk=total * (rows + 8 * needs.exported + TABLE_BYTES + 4 * needs.context)
        + 8 * tokens
        + 2
        * (
            sketch.size if sketch else place.largest_pass
        ),  # a state of the pass, and the next before that goes
        seconds=running + match_flop / speed + assigning,
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


def _existing(folder: Path) -> Path:
    return folder if folder.exists() else _existing(folder.parent.absolute())
