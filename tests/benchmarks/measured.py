"""Models of the suite whose neurons are to be matched, and what running them takes."""

import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from neurontab.config import BuildConfig
from neurontab.config import Matching as MatchingConfig
from neurontab.listing import measure_by_document
from neurontab.measure.baselines import Baselines, Draws
from neurontab.measure.checkpoint import Checkpoints
from neurontab.measure.document_groups import DocumentGroups
from neurontab.measure.family import Family, LayerFacts
from neurontab.measure.finals import Finals
from neurontab.measure.groups import GroupSums
from neurontab.measure.matching import Matching, Ranks
from neurontab.measure.moments import Moments
from neurontab.measure.similarity import Similarity
from neurontab.measure.sketch_plan import LISTED, Mode
from neurontab.measure.stream import Rows, batches, first_ranges, stream
from neurontab.measure.survey import Member, Survey
from neurontab.measure.token_share import TokenMeans, token_means
from neurontab.multiplying import match_exactly
from neurontab.passes import Passes
from neurontab.prepare import Prepared, prepare
from neurontab.progress import Silent, Stage
from neurontab.sketching import match_sketched

CPU = torch.device("cpu")


@dataclass
class Clock:
    """Progress that notes how long each stage took, all times that it ran."""

    after: Callable[[], None] = lambda: None  # what else is done whenever a stage has ended
    seconds: dict[str, float] = field(default_factory=dict)
    beside: float = 0.0  # seconds that this took

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Stage]:
        """Runs and times a stage."""
        started = time.perf_counter()
        with Silent().stage(name, total, unit) as stage:
            yield stage
        ended = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + ended - started
        self.after()
        self.beside += time.perf_counter() - ended


@dataclass(frozen=True)
class Measured:
    """A family whose neurons are to be matched."""

    prepared: Prepared
    survey: Survey
    family: Family

    @property
    def neurons(self) -> int:
        """In all layers of all models."""
        return sum(len(each.eligible) for layers in self.family.layers.values() for each in layers)

    def only(self, names: Collection[str]) -> "Measured":
        """Some of the models, with the same plan."""
        family = replace(
            self.family,
            layers={name: self.family.layers[name] for name in names},
            token_means={name: self.family.token_means[name] for name in names},
        )
        models = [model for model in self.prepared.models if model.name in names]
        return replace(self, prepared=replace(self.prepared, models=models), family=family)

    def planned(self, mode: Mode) -> "Measured":
        """With the plan of a mode, for the memory that is free now."""
        for model in self.prepared.models:
            model.forget_inputs()
        config = self.prepared.config
        asked = config.model_copy(update={"matching": MatchingConfig(mode=mode)})
        return replace(self, prepared=prepare(asked, Silent()))

    def with_buckets(self, buckets: int, chosen: int) -> "Measured":
        """With sketches of so many buckets, the longest lists, and room for so many pairs."""
        plan = self.prepared.plan
        assert plan.sketch is not None
        sized = replace(
            plan,
            sketch=replace(plan.sketch, buckets=buckets, listed=LISTED[-1], chosen=chosen),
        )
        return replace(self, prepared=replace(self.prepared, plan=sized))

    def keep_inputs(self) -> None:
        """From the next run on, what MLPs read is kept, as far as the plan has memory for it."""
        for model in self.prepared.models:
            self.prepared.keep_inputs(model)

    def matched(self, folder: Path, clock: Clock, *, sketched: bool, seed: int = 0) -> Matching:
        """All matches, by sketches with the signs of a seed, or exactly."""
        return self.matched_from(folder, clock, sketched=sketched, seed=seed)[0]

    def matched_from(
        self, folder: Path, clock: Clock, *, sketched: bool, seed: int = 0
    ) -> tuple[Matching, list[Finals]]:
        """The same, and the exact values that it was made from, by document too."""
        config = self.prepared.config
        ranks = Ranks(config.matching.k, config.matching.twins, self.family.two_sided)
        matching = Matching(self.family, ranks, CPU)
        similarity = Similarity(self.family, CPU)
        baselines = Baselines(self.family, Draws(config.matching.draws, "haar", 0), CPU)
        with tempfile.TemporaryDirectory(dir=folder) as states:
            never = Checkpoints(Path(states), 1e9)
            passes = Passes(never, never, stop=lambda: False, refuse_if_gone=lambda: None)
            plan = self.prepared.plan.sketch
            documents = DocumentGroups.of(self.prepared.corpus)
            done: list[Finals] = []
            if sketched:
                assert plan is not None
                done, _ = match_sketched(
                    replace(self.prepared, config=config.model_copy(update={"seed": seed})),
                    self.family,
                    self.survey,
                    matching,
                    (similarity, baselines),
                    documents,
                    plan=plan,
                    passes=passes,
                    progress=clock,
                )
            else:
                readers = (matching, similarity, baselines)
                match_exactly(self.prepared, self.family, readers, passes=passes, progress=clock)
            by_document = measure_by_document(
                self.prepared, self.family, matching, documents, done, passes=passes, progress=clock
            )
        return matching, list(by_document.passes)


def measured(tokens: int) -> Measured:
    """The models of the suite, over so many tokens or all there are.

    All neurons that vary take part, those of little support as well.
    """
    from neurontab import suite

    config = BuildConfig(
        models=tuple(map(str, suite.models())),
        corpus=(str(suite.CORPUS),),
        matching=MatchingConfig(mode="sketch"),
        device="cpu",
    )
    every = prepare(config.model_copy(update={"tokens": "all"}), Silent())
    if every.corpus.n_counted > tokens:
        every = prepare(config.model_copy(update={"tokens": tokens}), Silent())
    models, text = every.models, every.corpus
    d_vocab = models[0].facts.d_vocab
    survey = Survey.of(text, models[0].widths, d_vocab, every.features, exported=0, seed=0)
    layers: dict[str, list[LayerFacts]] = {}
    means: dict[str, TokenMeans] = {}
    for model in models:
        layers[model.name], means[model.name] = facts_of(model, survey, config.batch_tokens)
    family = Family(layers, means, text.n_counted, two_sided=False)
    return Measured(every, survey, family)


def facts_of(
    model: Member, survey: Survey, batch_tokens: int
) -> tuple[list[LayerFacts], TokenMeans]:
    """What matching needs of all that a build measures of a model before."""
    first = first_ranges(model, survey.corpus, batch_tokens)
    posts = [Moments(first[layer, "post"]) for layer in range(len(model.widths))]
    tokens = [GroupSums(len(survey.grouped_tokens) + 1, width, CPU) for width in model.widths]
    for batch in batches(survey.corpus, batch_tokens):
        groups = survey.groupings(batch)["current"]

        def add(layer: int, pre: Rows, post: Rows) -> None:
            posts[layer].add(post, batch.counted_rows)  # noqa: B023 - used at once
            tokens[layer].add(post, groups)  # noqa: B023

        stream(model, batch, add)
    facts = [
        LayerFacts(post.shift, post.shifted_mean, post.variance, post.variance > 0)
        for post in posts
    ]
    each = [token_means(sums, post) for sums, post in zip(tokens, posts, strict=True)]
    return facts, TokenMeans(torch.cat(each))


def listed_figures(of: Measured, done: list[Finals]) -> dict[str, float]:
    """Pairs that are measured of a neuron with another model, and rows measured whole.

    A neuron has a row with every model, its own too.
    """
    models = len(of.family.layers)
    listed = [
        (model != other, len(sums.other_unit))
        for finals in done
        for (model, other), sums in finals.listed.items()
    ]
    whole = sum(len(units) for finals in done for units in finals.rows.values())
    between = sum(n for others, n in listed if others)
    return {
        "listed_pairs": sum(n for _, n in listed),
        "listed_pairs_a_neuron": round(2 * between / of.neurons / (models - 1), 1),
        "whole_rows": whole,
        "whole_rows_share": round(whole / of.neurons / models, 5),
    }


def run_seconds(of: Measured, part: slice = slice(None), *, kept: bool = False) -> float:
    """Seconds of a run of all models over some batches; without what is kept, or with it."""
    models = of.prepared.models
    inputs = [model.inputs for model in models]
    if not kept:
        for model in models:
            model.forget_inputs()
    every = list(batches(of.prepared.corpus, of.prepared.config.batch_tokens))
    started = time.perf_counter()
    for batch in every[part]:
        for model in models:
            stream(model, batch, lambda layer, pre, post: None)
    ended = time.perf_counter()
    for model, each in zip(models, inputs, strict=True):
        model.inputs = each
    return ended - started


class OneRun:
    """One run of all models, some of their batches at a time."""

    def __init__(self, of: Measured, parts: int) -> None:
        self._of, self._left = of, [slice(n, None, parts) for n in range(parts)]
        self.seconds: list[float] = []  # of each part

    def part(self) -> None:
        """The next part, if any is left."""
        if self._left:
            self.seconds.append(run_seconds(self._of, self._left.pop()))

    def rest(self) -> None:
        """All that is left."""
        while self._left:
            self.part()
