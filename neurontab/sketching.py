"""Matching by sketches: estimates of all pairs, exact values of those that may be best.

Two passes over the tokens: sketches of every layer, then the chosen pairs. Of rows with more of
them than a list holds, all pairs are read again, into longer lists. Rows that these do not settle
are measured with all neurons, in further passes.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from neurontab.listing import measure_listed
from neurontab.measure.bounds import Sketched, bounds
from neurontab.measure.candidates import Candidates
from neurontab.measure.document_groups import DocumentGroups
from neurontab.measure.estimated import Estimated
from neurontab.measure.family import Family
from neurontab.measure.finals import Finals
from neurontab.measure.hashing import Hashing
from neurontab.measure.matching import Matching, Ranks
from neurontab.measure.settling import Settling
from neurontab.measure.sketch import Sketch, sum_sketches
from neurontab.measure.sketch_plan import SketchPlan
from neurontab.measure.sums import grouped
from neurontab.measure.survey import Survey
from neurontab.measure.tile import Pair, Place, Reader, place_pairs
from neurontab.measure.token_share import mean_activations
from neurontab.passes import Count, Kept, Passes
from neurontab.prepare import Prepared
from neurontab.progress import Progress

SKETCHES, ESTIMATES, LONGER_LISTS = "sketches", "estimates", "longer lists"
FINALS, FURTHER = "finals", "further rows"

Layers = Mapping[Place, Sketched]


def match_sketched(
    prepared: Prepared,
    family: Family,
    survey: Survey,
    matching: Matching,
    readers: Sequence[Reader],
    documents: DocumentGroups,
    *,
    plan: SketchPlan,
    passes: Passes,
    progress: Progress,
) -> tuple[list[Finals], int]:
    """Fills the matching with exact correlations, and the other readers from estimates.

    Returns what the passes for exact values have summed, and how many rows the chosen pairs did
    not settle. Raises StoppedError when told to stop.
    """
    found = _candidates(
        prepared, family, survey, matching.ranks, readers, plan, passes=passes, progress=progress
    )
    settling = Settling(family, *found, matching, len(documents), plan.chosen)
    del found  # its memory is for the sums
    done = []
    for number, finals in enumerate(settling.passes(prepared.plan.room)):
        name, shown = f"{FINALS}-{number}-{finals.digest()}", FURTHER if number else FINALS
        measure_listed(
            prepared, family, finals, documents, name, shown, passes=passes, progress=progress
        )
        done.append(finals)
    return done, settling.n_further


def list_longer(
    family: Family, layers: Layers, longer: Candidates, nats: float, *, progress: Progress
) -> None:
    """Bounds of the rows whose lists are to be longer, with all neurons of the other model."""
    parts = longer.layers()
    with progress.stage(LONGER_LISTS, len(parts), "layers") as stage:
        for place, side in parts:
            rows = layers[place].rows(longer.within(place, side))
            for other in family.places(side[1]):
                longer.read_rows(place, side, other, bounds(rows, layers[other], nats))
            stage.advance(1)


def _candidates(
    prepared: Prepared,
    family: Family,
    survey: Survey,
    ranks: Ranks,
    readers: Sequence[Reader],
    plan: SketchPlan,
    *,
    passes: Passes,
    progress: Progress,
) -> tuple[Candidates, Candidates]:
    """What may be among the best, and longer lists of it where they are needed.

    The sketches are forgotten when that is known.
    """
    nats = plan.nats(sum(len(family.eligible(model)) for model in family.layers))
    rows = plan.replicates * plan.buckets
    candidates = Candidates(family, ranks, plan.listed, rows, prepared.device)
    kept: dict[str, Kept] = {str(number): reader for number, reader in enumerate(readers)}
    kept |= {"candidates": candidates, "read": (read := Count())}
    pairs = place_pairs({name: len(facts) for name, facts in family.layers.items()})
    name = f"{SKETCHES}-{plan.buckets}"
    estimates, again = (f"{s}-{plan.buckets}-{plan.listed}" for s in (ESTIMATES, LONGER_LISTS))
    known = passes.take_up(estimates, kept) and read.n == len(pairs)
    if known and passes.take_up(again, {"longer": (longer := candidates.longer())}):
        passes.forget(name)
        return candidates, longer
    sketches = _nothing_yet(prepared, family, survey, plan)
    _sketch(prepared, survey, sketches, plan, name=name, passes=passes, progress=progress)
    layers = _scaled(family, sketches, plan) if passes.processes.first else {}
    if not known:
        if passes.processes.first:
            room = prepared.plan.room
            for done in _estimate(
                family, layers, pairs, read.n, candidates, readers, nats, room, progress=progress
            ):
                read.n = done
                passes.between(estimates, kept)
        passes.keep(estimates, kept)
    longer = candidates.longer()
    if passes.processes.first:
        list_longer(family, layers, longer, nats, progress=progress)
    passes.keep(again, {"longer": longer})
    passes.forget(name)
    return candidates, longer


def _nothing_yet(
    prepared: Prepared, family: Family, survey: Survey, plan: SketchPlan
) -> dict[Place, Sketch]:
    """Empty sketches of all layers, with the means of the tokens' groups."""
    counts = torch.from_numpy(prepared.corpus.token_counts(len(survey.group_of)))
    of_group = torch.zeros(len(survey.grouped_tokens) + 1, dtype=torch.int64)
    of_group.index_add_(0, survey.group_of, counts)
    found = {}
    for place in family.all_places():
        facts = family.facts(place)
        mean = facts.shift.double() + facts.shifted_mean
        counted = of_group.to(mean.device)
        means = mean_activations(family.means(place), counted, mean, facts.variance)
        found[place] = Sketch(plan.replicates, plan.buckets, means)
    return found


def _sketch(
    prepared: Prepared,
    survey: Survey,
    sketches: Mapping[Place, Sketch],
    plan: SketchPlan,
    *,
    name: str,
    passes: Passes,
    progress: Progress,
) -> None:
    """The first pass, from where it was left."""
    steps = partial(
        sum_sketches,
        prepared.models,
        prepared.corpus,
        sketches,
        survey.group_of,
        Hashing(plan.replicates, plan.buckets, prepared.config.seed),
        batch_tokens=prepared.config.batch_tokens,
    )
    parts = {str(number): sketch for number, sketch in enumerate(sketches.values())}
    passes.over(prepared.corpus, name, parts, steps, shown=SKETCHES, progress=progress)


def _scaled(family: Family, sketches: dict[Place, Sketch], plan: SketchPlan) -> Layers:
    """What bounds are made from.

    The sketches are used up: there is no room for them beside what they are rounded to.
    """
    return {
        place: Sketched.of(
            sketch,
            family.means(place),
            family.facts(place).variance,
            family.n,
            plan.products,
        )
        for place, sketch in ((place, sketches.pop(place)) for place in list(sketches))
    }


def _estimate(
    family: Family,
    layers: Layers,
    pairs: Sequence[Pair],
    done: int,
    candidates: Candidates,
    readers: Sequence[Reader],
    nats: float,
    room: int,
    *,
    progress: Progress,
) -> Iterator[int]:
    """Bounds and estimates of all tiles that are not done, so many at a time as have room.

    Yields how many are done after each group.
    """
    widths = {place: len(family.facts(place).eligible) for place in layers}
    with progress.stage(ESTIMATES, 2 * len(pairs), "tiles") as stage:
        stage.advance(2 * done)
        for group in grouped(pairs[done:], widths, room):
            correlations: dict[Pair, Tensor] = {}
            for place, other in group:
                found = bounds(layers[place], layers[other], nats)
                candidates.read((place, other), found)
                correlations[place, other] = found.corr
                stage.advance(1)
            for reader in readers:
                reader.read(Estimated(family, correlations))
                stage.advance(len(group) / len(readers))
            done += len(group)
            yield done
