"""`python tests/benchmarks/matching.py --json`: what matching costs, and whether it is right.

Times are ratios within one run. The suite is matched by sketches over as many of its tokens as the
command line says (`--tokens`, 1,000,000 or all there are), then both ways over fewer; the
procedure that was published is timed on a part and extrapolated, as is everything at GPT-2 small's
shape. `--tiles`, `--gpt2-small`, `--suite` and `--agreement` give these alone; the first two also
on a GPU (`--device cuda`). `details` tells which is which.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import combinations, permutations
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from figures import show
from measured import Clock, Measured, OneRun, listed_figures, measured, run_seconds
from parts import PUBLISHED_BATCH
from published import published_cost
from small_gpt2 import BUCKETS, buckets_with_its_reach, chosen_with, small_gpt2_figures
from tiles import tile_efficiency
from torch import Tensor

from neurontab.measure.hashing import Hashing
from neurontab.measure.matching import HIGHEST, Matching, Ranks
from neurontab.measure.sketch_plan import MOST, REPLICATES
from neurontab.measure.tile import Place

PARTS = ("gpt2-small", "suite", "agreement")  # the first begins with those of tiles
TOKENS = 1_000_000
SMALLEST = 1_024  # buckets: bounds so wide that in noise all lists overflow
FEWER = 60_000  # tokens of the comparison with all products
SEEDS = 20
RARE_PAIRS = 64
PASSES = ("sketches", "finals", "further rows", "by document")  # stages that run the models once
sys.path.append(str(Path(__file__).parent.parent))


def suite_figures(tokens: int, folder: Path) -> tuple[dict[str, float], dict[str, Any]]:
    """What matching the suite costs, in runs of its models; and against what was published."""
    of = measured(tokens)
    n = of.prepared.corpus.n_counted
    published = [published_seconds(of)]
    run = OneRun(of, parts=5)  # before, and after each stage: machines drift
    run.part()
    clock = Clock(after=run.part)
    started = time.perf_counter()
    of.keep_inputs()
    matching, done = of.matched_from(folder, clock, sketched=True)
    whole = time.perf_counter() - started - clock.beside
    again = run_seconds(of, kept=True)
    run.rest()
    once = sum(run.seconds)
    published.append(published_seconds(of))
    runs = sum(name in clock.seconds for name in PASSES)
    figures = {
        "matching_overhead": round(whole / once, 2),
        "vs_published": round(mean(published) / whole, 1),
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
        "run_seconds_of_parts": [round(each, 1) for each in run.seconds],
        "run_again_seconds": round(again, 1),
        "inputs_kept": round(of.prepared.plan.kept_sequences / len(of.prepared.corpus.tokens), 3),
        "matching_seconds": round(whole, 1),
        "matching_overhead_in_a_build": round((whole - once + again) / once, 2),
        "stages_seconds": {name: round(each, 1) for name, each in clock.seconds.items()},
        "shares": {name: round(each / whole, 3) for name, each in shares.items()},
        "sketch_rows": plan.replicates * plan.buckets,
        **listed_figures(of, done),
        "certificates": matching.certificates(),
        "further_pass": "further rows" in clock.seconds,
        "published_seconds_extrapolated": [round(each) for each in published],
    }


def published_seconds(of: Measured) -> float:
    """Of what was published, for all pairs of models, from two of them and some of the tokens."""
    models, corpus = of.prepared.models[:2], of.prepared.corpus
    cost = published_cost(models, corpus, PUBLISHED_BATCH, (2, 6))
    return cost.of(corpus.n_counted, 2 * of.prepared.plan.pairs)


def agreement(folder: Path) -> tuple[dict[str, float], dict[str, Any]]:
    """Both modes over fewer tokens, and by sketches with twenty seeds of signs.

    The first seed matches the whole suite, each other one two of its models, every two of them
    twice or once. Sketches are as large as over a million tokens.
    """
    chosen = chosen_with(MOST)  # as a million tokens have room for
    of = measured(FEWER).with_buckets(MOST, chosen)
    clock = Clock()
    started = time.perf_counter()
    of.keep_inputs()
    exact = of.matched(folder, clock, sketched=False)
    exactly = time.perf_counter() - started
    once = run_seconds(of)
    of.keep_inputs()
    found = of.matched(folder, Clock(), sketched=True)
    same, lost, rows = 0, 0.0, 0
    for model, other in permutations(of.family.layers, 2):
        value, index = best(exact, model, other)
        found_value, found_index = best(found, model, other)
        same += int((index == found_index).sum())
        lost = max(lost, (value - found_value).max().item())
        rows += len(value)
    wrong, compared = wrong_rows(exact, found)
    pairs = list(combinations(of.family.layers, 2))
    for seed in range(1, SEEDS):
        pair = of.only(pairs[seed % len(pairs)])
        more = wrong_rows(exact, pair.matched(folder, Clock(), sketched=True, seed=seed))
        wrong, compared = wrong + more[0], compared + more[1]
    rare = missed_rare_events(1_000_000)
    return {
        "exact_overhead": round(exactly / once, 1),
        "top1_agreement": round(same / rows, 6),
        "worst_loss": round(max(lost, 0.0), 6),
        "wrong_certificates": float(wrong + rare["missed"] + rare["missed_pairs"]),
    }, {
        "rows": rows,
        "rows_compared_over_seeds": compared,
        "rare_events": rare,
        "tokens_compared": of.prepared.corpus.n_counted,
    }


TOLERANCE = 1e-5  # of correlations that were summed in another order


def best(matching: Matching, model: str, other: str) -> tuple[Tensor, Tensor]:
    """Correlation and place of the best match of each neuron of a model."""
    state, name = matching.state, f"{model}/{other}/{HIGHEST}"
    return state[f"{name}/value"][:, 0], state[f"{name}/index"][:, 0]


def wrong_rows(exact: Matching, found: Matching) -> tuple[int, int]:
    """Of all matches, twins and antimatches that were found, those with a wrong value, and all."""
    wrong = [
        ((exact.state[key] - value).abs() > TOLERANCE).any(dim=1)
        for key, value in found.state.items()
        if key.endswith("/value") and value.shape[1]
    ]
    return sum(int(each.sum()) for each in wrong), sum(map(len, wrong))


def missed_rare_events(n: int) -> dict[str, int]:
    """Of pairs that three positions of the last hundredth make best, over seeds of signs.

    One among decoys, and many whose decoys do not share what the signs may cancel; the latter with
    bounds that are too tight as well.
    """
    from sketched import missed_rare_pairs, rare_family, settled

    activations, family = rare_family(n)
    last = activations[Place("b", 0)].shape[1] - 1
    missed = 0
    for seed in range(SEEDS):
        hashing = Hashing(REPLICATES, 1_024, seed)
        found = settled(family, activations, hashing, 20.0, ranks=Ranks(1, 1, two_sided=False))
        missed += int(best(found, "a", "b")[1][0].item() != last)
    return {
        "missed": missed,
        "missed_of": SEEDS,
        "missed_pairs": missed_rare_pairs(n, nats=14.0, pairs=RARE_PAIRS, seeds=SEEDS),
        "missed_pairs_with_bounds_too_tight": missed_rare_pairs(
            n, nats=1.0, pairs=RARE_PAIRS, seeds=SEEDS
        ),
        "missed_pairs_of": SEEDS * RARE_PAIRS,
    }


def gpt2_small(
    folder: Path, tile_seconds: float, device: torch.device
) -> tuple[dict[str, float], dict[str, Any]]:
    """The figures of GPT-2 small's shape: pairs and whole rows as the suite has with its bounds.

    Longer lists have room for all of the suite's neurons: what overflows these is not among them.
    """
    of = measured(FEWER)
    of = of.with_buckets(buckets_with_its_reach(of.neurons), chosen_with(BUCKETS))
    of.keep_inputs()
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


def figures_of(part: str, tokens: int, device: torch.device) -> dict[str, Any]:
    """The figures of one part, and `details`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if part == "suite":
            figures, details = suite_figures(tokens, folder)
        elif part == "agreement":
            figures, details = agreement(folder)
        else:
            (figures, seconds), details = tiles(device), {}
            if part == "gpt2-small":
                found, details = gpt2_small(folder, seconds, device)
                figures |= found
    return figures | {"details": details}


def together(parts: Sequence[str], options: Sequence[str]) -> dict[str, Any]:
    """Each part in a process of its own, so that it plans with all memory."""
    figures: dict[str, Any] = {}
    details: dict[str, Any] = {}
    for part in parts:
        command = [sys.executable, __file__, f"--{part}", "--json", *options]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout)
        details |= found.pop("details")
        figures |= found
    return figures | {"details": details}


def main() -> None:
    """Prints the figures, as JSON when asked for; some parts of them alone, too."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="of the suite")
    parser.add_argument("--device", default="cpu", help="of tiles and of GPT-2 small's shape")
    for part in ("tiles", *PARTS):
        parser.add_argument(
            f"--{part}", dest="parts", action="append_const", const=part, help="this part alone"
        )
    asked = parser.parse_args()
    parts = asked.parts or PARTS
    if len(parts) == 1:
        show(figures_of(parts[0], asked.tokens, torch.device(asked.device)))
    else:
        show(together(parts, [f"--tokens={asked.tokens}", f"--device={asked.device}"]))


if __name__ == "__main__":
    main()
