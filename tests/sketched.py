"""Sketches, bounds and exact values of activations in memory, as passes would have made them."""

import torch
from summed import CPU, summed
from torch import Tensor

from neurontab.measure.bounds import Sketched, bounds
from neurontab.measure.candidates import Candidates
from neurontab.measure.family import Family
from neurontab.measure.finals import Finals
from neurontab.measure.hashing import Hashing
from neurontab.measure.matching import Matching, Ranks
from neurontab.measure.settling import Settling
from neurontab.measure.sketch import Sketch
from neurontab.measure.sketch_plan import CHOSEN
from neurontab.measure.tile import Place, place_pairs
from neurontab.measure.turned import Layout, Turned
from neurontab.progress import Silent
from neurontab.sketching import list_longer

Activations = dict[Place, Tensor]
ROOM = 10**6
AT_ONCE = 65_536  # positions
RARE_DECOYS = 9  # of a side, before its pairs


def settled(
    family: Family,
    activations: Activations,
    hashing: Hashing,
    nats: float,
    *,
    ranks: Ranks,
    listed: int = 20,
    room: int = ROOM,
) -> Matching:
    """The matching that sketches, and exact values of some pairs, lead to."""
    layers = sketches(family, activations, hashing)
    rows = hashing.replicates * hashing.buckets
    candidates = Candidates(family, ranks, listed, rows, CPU)
    for pair in place_pairs({model: len(facts) for model, facts in family.layers.items()}):
        candidates.read(pair, bounds(layers[pair[0]], layers[pair[1]], nats))
    longer = candidates.longer()
    list_longer(family, layers, longer, nats, progress=Silent())
    matching = Matching(family, ranks, CPU)
    done: list[Finals] = []
    for finals in Settling(family, candidates, longer, matching, 2, CHOSEN).passes(room):
        assert not any(earlier.dense for earlier in done)  # only one pass's rows are in memory
        add_all(finals, family, activations)
        done.append(finals)
    return matching


def sketches(family: Family, activations: Activations, hashing: Hashing) -> dict[Place, Sketched]:
    """Sketches of layers in which all tokens are of one group."""
    found = {
        place: Sketch(hashing.replicates, hashing.buckets, each.mean(dim=0, keepdim=True))
        for place, each in activations.items()
    }
    for rows in torch.arange(family.n).split(AT_ONCE):
        hashed = hashing.bucket_and_sign(rows)
        for place, values in activations.items():
            found[place].add(values, rows, torch.zeros_like(rows), *hashed)
    return {
        place: Sketched.of(sketch, family.means(place), family.facts(place).variance, family.n)
        for place, sketch in found.items()
    }


def add_all(finals: Finals, family: Family, activations: Activations) -> None:
    """What the pass over the tokens would have summed."""
    for rows in torch.arange(family.n).split(AT_ONCE):
        turned = {}
        for model in family.layers:
            turned[model] = Turned(len(family.eligible(model)), len(rows), 2, CPU)
            turned[model].begin(Layout.of([rows % 2]))
            for place in family.places(model):
                shift, first = family.facts(place).shift, family.first(place)
                turned[model].add(activations[place], rows, shift, first_unit=first, batch=0)
        for name, moments in finals.moments.items():
            moments.add(turned[name])
        for (one, other), listed in finals.listed.items():
            listed.add(turned[one], turned[other])
        finals.add_dense(turned)


def missed_rare_pairs(n: int, nats: float, pairs: int = 64, seeds: int = 20) -> int:
    """Of rare pairs, over so many seeds of signs, with one replicate that may cancel them."""
    activations, family = rare_pairs(n, pairs)
    planted = RARE_DECOYS + torch.arange(pairs)
    missed = 0
    for seed in range(seeds):
        hashing = Hashing(1, 256, seed)
        found = settled(family, activations, hashing, nats, ranks=Ranks(1, 1, two_sided=False))
        index = found.state["a/b/highest/index"][RARE_DECOYS:, 0]
        missed += int((index != planted).sum())
    return missed


def rare_pairs(n: int, pairs: int) -> tuple[Activations, Family]:
    """Pairs that correlate by 0.64 through three positions of the last hundredth, by no more.

    On either side stand eight decoys, and what is opposite to them. They correlate by 0.6 with the
    pairs' other side, but do not share the three positions: signs that cancel these hide a pair.
    """
    random = torch.Generator().manual_seed(0)
    last = n - n // 100 + torch.rand(pairs, n // 100, generator=random).argsort(dim=1)[:, :3]
    events = torch.zeros(n, pairs)
    events[last.T, torch.arange(pairs)] = (n / 3) ** 0.5
    common = torch.randn(2, n, 1, generator=random)
    noise = 0.05 * torch.randn(2, n, RARE_DECOYS - 1, generator=random)
    activations = {}
    for model, decoy, shared, each in zip("ab", common, common.flip(0), noise, strict=True):
        neurons = torch.cat([-decoy, decoy + each, 0.8 * events + 0.6 * shared], dim=1)
        activations[Place(model, 0)] = neurons
    return activations, summed(activations).family


def rare_family(n: int) -> tuple[Activations, Family]:
    """A pair that is active at three positions of the last hundredth, among decoys at 0.6."""
    random = torch.Generator().manual_seed(0)
    event = torch.zeros(n)
    event[torch.tensor([n - n // 100, n - n // 300, n - 2])] = (n / 3) ** 0.5
    others = torch.randn(n, 12, generator=random)
    decoys = 0.6 * event[:, None] + 0.8 * others[:, :10]
    activations = {
        Place("a", 0): torch.stack([event + 0.05 * others[:, 10], others[:, 10]], dim=1),
        Place("b", 0): torch.cat([decoys, (event + 0.05 * others[:, 11])[:, None]], dim=1),
    }
    return activations, summed(activations).family
