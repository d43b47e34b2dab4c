"""`python tests/benchmarks/matching.py --json`: what matching costs, and whether it is right.

Times are ratios within one run. The suite is matched by sketches over as many of its tokens as the
command line says (`--tokens`, 1,000,000 or all there are), then both ways over fewer; the
procedure that was published is timed on a part and extrapolated, as is everything at GPT-2 small's
shape. `--tiles`, `--gpt2-small`, `--suite` and `--agreement` give these alone; the first two also
on a GPU (`--device cuda`). `details` tells which is which.
"""

import gc
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from figures import show
from parts import PUBLISHED_BATCH
from published import published_cost
from small_gpt2 import BUCKETS, buckets_with_its_reach, chosen_with, small_gpt2_figures
from tiles import tile_efficiency
from torch import Tensor

from neurontab.config import BuildConfig
from neurontab.config import Matching as MatchingConfig
from neurontab.measure.baselines import Baselines, Draws
from neurontab.measure.checkpoint import Checkpoints
from neurontab.measure.document_groups import DocumentGroups
from neurontab.measure.family import Family, LayerFacts
from neurontab.measure.finals import Finals
from neurontab.measure.hashing import Hashing
from neurontab.measure.matching import HIGHEST, Matching, Ranks
from neurontab.measure.similarity import Similarity
from neurontab.measure.sketch_plan import LISTED, MOST, REPLICATES
from neurontab.measure.stream import batches, stream
from neurontab.measure.survey import Survey, begin, measure
from neurontab.measure.tile import Place
from neurontab.measure.token_share import TokenMeans, token_means
from neurontab.multiplying import match_exactly
from neurontab.passes import Passes
from neurontab.prepare import Prepared, features_of, prepare
from neurontab.progress import Silent, Stage
from neurontab.sketching import match_sketched

TOKENS = 1_000_000
SMALLEST = 1_024  # buckets: bounds so wide that in noise all lists overflow
FEWER = 60_000  # tokens of the comparison with all products
SEEDS = 20
CPU = torch.device("cpu")
sys.path.append(str(Path(__file__).parent.parent))


@dataclass(frozen=True)
class Clock:
    """Progress that notes how long each stage took."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Stage]:
        """Runs and times a stage."""
        started = time.perf_counter()
        with Silent().stage(name, total, unit) as stage:
            yield stage
        self.seconds[name] = time.perf_counter() - started


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

    def with_buckets(self, buckets: int, chosen: int) -> "Measured":
        """With sketches of so many buckets, the longest lists, and room for so many pairs."""
        plan = self.prepared.plan
        assert plan.sketch is not None
        sized = replace(
            plan,
            sketch=replace(plan.sketch, buckets=buckets, listed=LISTED[-1], chosen=chosen),
        )
        return replace(self, prepared=replace(self.prepared, plan=sized))

    def matched(self, folder: Path, clock: Clock, *, sketched: bool, seed: int = 0) -> Matching:
        """All matches, by sketches with the signs of a seed, or exactly."""
        return self.matched_from(folder, clock, sketched=sketched, seed=seed)[0]

    def matched_from(
        self, folder: Path, clock: Clock, *, sketched: bool, seed: int = 0
    ) -> tuple[Matching, list[Finals]]:
        """The same, and the exact values that it was made from.

        Whole models run once at least: what their MLPs read is kept from then on.
        """
        config = self.prepared.config
        for model in self.prepared.models:
            self.prepared.keep_inputs(model)
        ranks = Ranks(config.matching.k, config.matching.twins, self.family.two_sided)
        matching = Matching(self.family, ranks, CPU)
        similarity = Similarity(self.family, CPU)
        baselines = Baselines(self.family, Draws(config.matching.draws, "haar", 0), CPU)
        with tempfile.TemporaryDirectory(dir=folder) as states:
            never = Checkpoints(Path(states), 1e9)
            passes = Passes(never, never, stop=lambda: False, refuse_if_gone=lambda: None)
            plan = self.prepared.plan.sketch
            done: list[Finals] = []
            if sketched:
                assert plan is not None
                done, _ = match_sketched(
                    replace(self.prepared, config=config.model_copy(update={"seed": seed})),
                    self.family,
                    self.survey,
                    matching,
                    (similarity, baselines),
                    DocumentGroups.of(self.prepared.corpus),
                    plan=plan,
                    passes=passes,
                    progress=clock,
                )
            else:
                readers = (matching, similarity, baselines)
                match_exactly(self.prepared, self.family, readers, passes=passes, progress=clock)
        return matching, done


def measured(tokens: int, n_models: int = 5) -> Measured:
    """Some models of the suite, surveyed over so many tokens or all there are."""
    from neurontab import suite

    config = BuildConfig(
        models=tuple(map(str, suite.models()[:n_models])),
        corpus=(str(suite.CORPUS),),
        matching=MatchingConfig(mode="sketch"),
        device="cpu",
    )
    every = prepare(config.model_copy(update={"tokens": "all"}), Silent())
    if every.corpus.n_counted > tokens:
        every = prepare(config.model_copy(update={"tokens": tokens}), Silent())
    models, text = every.models, every.corpus
    d_vocab, features = models[0].facts.d_vocab, features_of(models[0], text, seed=0)
    survey = Survey.of(text, models[0].widths, d_vocab, features, exported=0, seed=0)
    layers: dict[str, list[LayerFacts]] = {}
    means: dict[str, TokenMeans] = {}
    for model in models:
        found = begin(model, survey, config.batch_tokens)
        for _ in measure(
            model,
            survey,
            found,
            batch_tokens=config.batch_tokens,
            sequences=text.sequences,
            advance=lambda tokens: None,
        ):
            pass
        posts = [layer.post for layer in found]
        layers[model.name] = [
            LayerFacts(post.shift, post.shifted_mean, post.variance, post.variance > 0)
            for post in posts
        ]
        each = [token_means(layer.tokens["current"], layer.post) for layer in found]
        means[model.name] = TokenMeans(torch.cat(each))
    family = Family(layers, means, text.n_counted, two_sided=False)
    return Measured(every, survey, family)


def run_seconds(of: Measured, *, kept: bool = False) -> float:
    """Seconds of one run of all models over the tokens, or with what is kept of an earlier one."""
    if not kept:
        for model in of.prepared.models:
            model.forget_inputs()
    started = time.perf_counter()
    for batch in batches(of.prepared.corpus, of.prepared.config.batch_tokens):
        for model in of.prepared.models:
            stream(model, batch, lambda layer, pre, post: None)
    return time.perf_counter() - started


def suite_figures(tokens: int, folder: Path) -> tuple[dict[str, float], dict[str, Any]]:
    """What matching the suite costs, in runs of its models; and against what was published."""
    of = measured(tokens)
    clock = Clock()
    once = run_seconds(of)
    started = time.perf_counter()
    matching, done = of.matched_from(folder, clock, sketched=True)
    whole = time.perf_counter() - started
    again = run_seconds(of, kept=True)
    once = (once + run_seconds(of)) / 2
    n = of.prepared.corpus.n_counted
    cost = published_cost(of.prepared.models[:2], of.prepared.corpus, PUBLISHED_BATCH, (2, 6))
    published = cost.of(n, 2 * of.prepared.plan.pairs)
    runs = sum(name in clock.seconds for name in ("sketches", "finals", "further rows"))
    figures = {
        "matching_overhead": round(whole / once, 2),
        "vs_published": round(published / whole, 1),
    }
    plan = of.prepared.plan.sketch
    assert plan is not None
    estimates = clock.seconds["estimates"] + clock.seconds["longer lists"]
    shares = {
        "model_runs": once + (runs - 1) * again,
        "sketch": clock.seconds["sketches"] - once,
        "tiles": estimates,
        "finals": whole - clock.seconds["sketches"] - estimates - (runs - 1) * again,
    }
    return figures, {
        "tokens": n,
        "run_seconds": round(once, 1),
        "run_again_seconds": round(again, 1),
        "inputs_kept": round(of.prepared.plan.kept_sequences / len(of.prepared.corpus.tokens), 3),
        "matching_seconds": round(whole, 1),
        "shares": {name: round(each / whole, 3) for name, each in shares.items()},
        "sketch_rows": plan.replicates * plan.buckets,
        **listed_figures(of, done),
        "certificates": matching.certificates(),
        "further_pass": "further rows" in clock.seconds,
        "published_seconds_extrapolated": round(published),
    }


def listed_figures(of: Measured, done: list[Finals]) -> dict[str, float]:
    """Pairs that are measured of a neuron with another model, and rows measured whole."""
    others = of.neurons * (len(of.family.layers) - 1)
    listed = {key: len(sums.other_unit) for finals in done for key, sums in finals.listed.items()}
    whole = sum(len(units) for finals in done for units in finals.rows.values())
    between = sum(n for (model, other), n in listed.items() if model != other)
    return {
        "listed_pairs": sum(listed.values()),
        "listed_pairs_a_neuron": round(2 * between / others, 1),
        "whole_rows": whole,
        "whole_rows_share": round(whole / others, 5),
    }


def agreement(folder: Path) -> tuple[dict[str, float], dict[str, Any]]:
    """Both modes over fewer tokens, and by sketches with twenty seeds of signs.

    Sketches are as large as over a million tokens.
    """
    chosen = chosen_with(MOST)  # as a million tokens have room for
    of = measured(FEWER).with_buckets(MOST, chosen)
    clock = Clock()
    started = time.perf_counter()
    exact = of.matched(folder, clock, sketched=False)
    exactly = time.perf_counter() - started
    once = run_seconds(of)
    found = of.matched(folder, Clock(), sketched=True)
    same, lost, rows = 0, 0.0, 0
    for value, index, other_value, other_index in best_of(exact, found):
        same += int((index[:, 0] == other_index[:, 0]).sum())
        lost = max(lost, (value[:, 0] - other_value[:, 0]).max().item())
        rows += len(value)
    pair = measured(FEWER, n_models=2).with_buckets(MOST, chosen)
    truth = pair.matched(folder, Clock(), sketched=False)
    wrong = 0
    for seed in range(SEEDS):
        again = pair.matched(folder, Clock(), sketched=True, seed=seed)
        for value, _, other_value, _ in best_of(truth, again):
            wrong += int(((value - other_value).abs() > TOLERANCE).any(dim=1).sum())
    rare = sum(wrong_on_rare_events(seed) for seed in range(SEEDS))
    return {
        "exact_overhead": round(exactly / once, 1),
        "top1_agreement": round(same / rows, 6),
        "worst_loss": round(max(lost, 0.0), 6),
        "wrong_certificates": float(wrong + rare),
    }, {"rows": rows, "tokens_compared": of.prepared.corpus.n_counted}


TOLERANCE = 1e-5  # of correlations that were summed in another order


def best_of(one: Matching, other: Matching) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Values and places of the matches of both, for every ordered pair of models."""
    for key in one.state:
        model, _, rest = key.partition("/")
        if key.endswith(f"{HIGHEST}/value") and not rest.startswith(f"{model}/"):
            index = key.replace("value", "index")
            yield one.state[key], one.state[index], other.state[key], other.state[index]


def wrong_on_rare_events(seed: int) -> int:
    """Whether a pair with three common positions in a million is missed, with a seed's signs."""
    from sketched import rare_family, settled

    activations, family = rare_family(1_000_000)
    hashing = Hashing(REPLICATES, 1_024, seed)
    found = settled(family, activations, hashing, 20.0, ranks=Ranks(1, 1, two_sided=False))
    return int(found.state["a/b/highest/index"][0].item() != len(activations[Place("b", 0)].T) - 1)


def gpt2_small(
    folder: Path, tile_seconds: float, device: torch.device
) -> tuple[dict[str, float], dict[str, Any]]:
    """The figures of GPT-2 small's shape: pairs and whole rows as the suite has with its bounds.

    Longer lists have room for all of the suite's neurons: what overflows these is not among them.
    """
    of = measured(FEWER)
    of = of.with_buckets(buckets_with_its_reach(of.neurons), chosen_with(BUCKETS))
    clock = Clock()
    found = listed_figures(of, of.matched_from(folder, clock, sketched=True)[1])
    again = clock.seconds["longer lists"] / clock.seconds["estimates"]
    listed, whole = found["listed_pairs_a_neuron"], found["whole_rows_share"]
    figures, details = small_gpt2_figures(tile_seconds, again, listed, whole, device)
    found["longer_lists_over_tiles"] = round(again, 3)
    return figures, {"with_bounds_as_of_gpt2_small": found, **details}


def tiles(device: torch.device) -> tuple[dict[str, float], float]:
    """Efficiency of tiles of two widths, and the seconds of one of GPT-2 small's."""
    found = {"tile_efficiency_1024": tile_efficiency(1_024, device, MOST)[0]}
    found["tile_efficiency_3072"], seconds = tile_efficiency(3_072, device, BUCKETS)
    least = {"tile_efficiency": min(found.values())}
    found["tile_efficiency_1024_smallest"] = tile_efficiency(1_024, device, SMALLEST)[0]
    return {name: round(each, 3) for name, each in (least | found).items()}, seconds


def main() -> None:
    """Prints the figures, as JSON when asked for; some parts of them alone, too."""
    tokens = int(sys.argv[sys.argv.index("--tokens") + 1]) if "--tokens" in sys.argv else TOKENS
    device = torch.device(
        sys.argv[sys.argv.index("--device") + 1] if "--device" in sys.argv else "cpu"
    )
    figures: dict[str, float] = {}
    details: dict[str, Any] = {}
    alone = {"--tiles", "--gpt2-small", "--suite", "--agreement"} & set(sys.argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def note(found: tuple[dict[str, float], dict[str, Any]]) -> None:
            figures.update(found[0])
            details.update(found[1])
            gc.collect()  # models go round in circles; the next part plans with all memory again

        if not alone or alone & {"--tiles", "--gpt2-small"}:
            of_tiles, seconds = tiles(device)
            note((of_tiles, {}))
        if not alone or "--gpt2-small" in alone:
            note(gpt2_small(folder, seconds, device))
        if not alone or "--suite" in alone:
            note(suite_figures(tokens, folder))
        if not alone or "--agreement" in alone:
            note(agreement(folder))
    show(figures | {"details": details})


if __name__ == "__main__":
    main()
