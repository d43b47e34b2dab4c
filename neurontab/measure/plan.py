"""What a build will cost, before it runs: numbers of things, FLOP, memory, disk, time."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from neurontab.errors import RunError
from neurontab.measure.left_open import LeftOpen
from neurontab.measure.memory import KeptInputs, Memory, Needs, memory, read_by_mlps, weights_of
from neurontab.measure.models import ModelFacts
from neurontab.measure.sketch_plan import SKETCHED, Mode, SketchPlan, sketch_plan
from neurontab.measure.stages import (
    Extent,
    Speed,
    Stages,
    alone,
    by_sketches,
    exactly,
    total_seconds,
)
from neurontab.measure.survey import groups_within

TABLE_BYTES = 16_000  # a neuron: its rows in tables that do not grow with the family
ABLATED = 40  # neurons of a last layer; how many are candidates is not known before
INPUTS = "inputs of MLPs"
STATES = 2  # of a pass on disk at once: the next is whole before the last one goes


@dataclass(frozen=True)
class Plan:
    """The size of a build; bytes, FLOP and seconds are estimates from its shapes.

    `pairs` are of models, `tokens` counted positions; `disk` is in bytes.
    """

    neurons: dict[str, int]
    pairs: int
    tokens: int
    stages: Stages
    passes: int  # over the tokens in which neurons are matched, if no more is left open
    sketch: SketchPlan | None  # None: exact
    kept_sequences: int  # of which what MLPs read is kept, so that only these run again
    too_few: bool  # tokens for the sketches that were asked for
    places: dict[str, int]  # bytes in memory by what they are for
    room: int  # bytes for the products of one pass, or for tiles and rows beside the sketches
    memory: int  # bytes without which it is not begun; by sketches, `room` is beside them
    budget: int  # bytes that may be used
    disk: int

    @property
    def seconds(self) -> float:
        """All stages together."""
        return total_seconds(self.stages)

    def lines(self) -> list[str]:
        """The plan as a person reads it."""
        each = ", ".join(f"{name} {n:,}" for name, n in self.neurons.items())
        flop = ", ".join(f"{name} {s.flop:.1e}" for name, s in self.stages.items() if s.flop)
        times = ", ".join(f"{name} {_time(s.seconds)}" for name, s in self.stages.items())
        places = ", ".join(f"{name} {size / 2**30:.1f}" for name, size in self.places.items())
        return [
            f"neurons  {sum(self.neurons.values()):,} ({each})",
            f"pairs    {self.pairs} of models, matched in both directions",
            f"tokens   {self.tokens:,} counted",
            f"matching {self._mode()}",
            f"passes   1 for each model alone, {self.passes} to match",
            f"FLOP     {flop}",
            f"memory   {self.memory / 2**30:.1f} of {self.budget / 2**30:.1f} GiB ({places})",
            f"disk     {self.disk / 2**20:,.0f} MiB",
            f"time     about {_time(self.seconds)} ({times})",
        ]

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

    def _mode(self) -> str:
        if self.too_few:
            return f"by all products: fewer than {SKETCHED:,} tokens are not sketched"
        if self.sketch is None:
            return "by all products"
        rows = self.sketch.replicates * self.sketch.buckets
        numbers = self.sketch.products
        return f"by sketches of {rows:,} rows in {numbers}, then the pairs that may be best"


@dataclass(frozen=True)
class Begun:
    """What an interrupted build by sketches began with: its sketches, and room beside them.

    Whole rows are measured as many at a time as they had room then, so that passes are known again.
    """

    sketch: SketchPlan
    room: int


def plan(
    models: Sequence[ModelFacts],
    tokens: int,
    needs: Needs,
    *,
    mode: Mode,
    allowed: int | None,
    free: int,
    speed: Speed,
    begun: Begun | None = None,
) -> Plan:
    """The plan for a family over so many tokens.

    `free` are the bytes that may be had, `allowed` those that may be used, if told; Mode
    `auto` takes what takes less time, of what fits; what is `begun` goes on so.
    """
    neurons = {facts.model: facts.n_layers * facts.d_mlp for facts in models}
    place = memory(models, needs, allowed=allowed, free=free)
    extent = _extent(models, neurons, tokens, needs)
    sketch = (
        begun.sketch
        if begun
        else sketch_plan(
            tokens,
            extent.neurons,
            len(models),
            groups=extent.groups,
            document_groups=needs.document_groups,
            kept=needs.kept,
            room=place.room,
            products=speed.quickest,
        )
    )
    left = place.room - sketch.size
    wanted = begun.room if begun else min(place.products, left // 2)
    beside = max(place.together + sketch.size + wanted, place.alone)
    kept = KeptInputs.of(models, needs, place.budget - beside).unless_few()
    exactly_kept = KeptInputs.of(models, needs, place.budget - place.needed)
    room = min(left - kept.size, begun.room) if begun else left - kept.size
    left_open = LeftOpen.of(sketch, extent.neurons, len(models), room)
    sketched = by_sketches(extent, sketch, left_open, speed, kept.share)
    exact = exactly(extent, place.passes, speed, exactly_kept.share)
    sketches_fit = max(place.together + sketch.size, place.alone) <= place.budget
    may = tokens >= SKETCHED and sketches_fit
    must = place.needed > place.budget  # as products do not fit
    overflow = needs.kept >= sketch.listed  # all lists, so that rows are measured whole
    cheaper = not overflow and total_seconds(sketched) < total_seconds(exact)
    better = begun or (may and (must or cheaper))
    rest = _rest(models, neurons, tokens, extent, needs, place)
    first = alone(extent, speed)
    states = STATES * needs.processes
    too_few = mode == "sketch" and tokens < SKETCHED
    if (mode == "sketch" and not too_few) or (mode == "auto" and better):
        return replace(
            rest,
            stages=first | sketched,
            passes=left_open.passes,
            sketch=sketch,
            kept_sequences=kept.sequences,
            places=place.places | {"sketches": sketch.size, INPUTS: kept.size},
            room=room,
            memory=max(place.together + sketch.size, place.alone) + kept.size,
            disk=rest.disk + states * sketch.size + left_open.state_bytes(extent.neurons),
        )
    return replace(
        rest,
        stages=first | exact,
        too_few=too_few,
        kept_sequences=exactly_kept.sequences,
        places=place.places | {"products": place.largest_pass, INPUTS: exactly_kept.size},
        room=place.room - exactly_kept.size,
        memory=place.needed + exactly_kept.size,
        disk=rest.disk + states * place.largest_pass,
    )


def _extent(
    models: Sequence[ModelFacts], neurons: Mapping[str, int], tokens: int, needs: Needs
) -> Extent:
    total = sum(neurons.values())
    squares = {facts.model: facts.n_layers * facts.d_mlp**2 for facts in models}
    return Extent(
        tokens=tokens,
        neurons=total,
        models=len(models),
        products=(total**2 + sum(squares.values())) / 2,
        rotations=4.0 * sum((total - neurons[name]) * square for name, square in squares.items()),
        groups=groups_within(needs.types, max(neurons.values())),
        draws=needs.draws,
        kept=needs.kept,
        run_flop=float(2 * tokens * sum(map(weights_of, models))),
        mlp_flop=float(2 * tokens * sum(map(read_by_mlps, models))),
        ablated=float(ABLATED * needs.ablations * sum(facts.d_vocab for facts in models)),
        assigned=float(sum(one * two for one, two in combinations(neurons.values(), 2))),
    )


def _rest(
    models: Sequence[ModelFacts],
    neurons: dict[str, int],
    tokens: int,
    extent: Extent,
    needs: Needs,
    place: Memory,
) -> Plan:
    """What does not depend on the mode, and the rest as it is without sketches."""
    rows = max(len(models) - 1, 1) * (needs.kept + 2 * needs.draws) * 12
    a_neuron = rows + 8 * needs.exported + TABLE_BYTES + 4 * needs.context
    return Plan(
        neurons=neurons,
        pairs=len(models) * (len(models) - 1) // 2,
        tokens=tokens,
        stages={},
        passes=place.passes + 1,
        sketch=None,
        kept_sequences=0,
        too_few=False,
        places=place.places,
        room=place.room,
        memory=place.needed,
        budget=place.budget,
        disk=extent.neurons * a_neuron + 8 * tokens,
    )


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3_600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.0f} h" if seconds < 2 * 86_400 else f"{seconds / 86_400:.0f} days"


def _existing(folder: Path) -> Path:
    return folder if folder.exists() else _existing(folder.parent.absolute())
