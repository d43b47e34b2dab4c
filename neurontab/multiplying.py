"""Matching exactly: products of all pairs of neurons, in as many passes as the memory needs."""

from collections.abc import Sequence
from functools import partial

from neurontab.measure.family import Family
from neurontab.measure.sums import Products, Summed, grouped, nothing_yet, sum_products
from neurontab.measure.tile import Reader, place_pairs
from neurontab.passes import Count, Kept, Passes
from neurontab.prepare import Prepared
from neurontab.progress import Progress

PRODUCTS, TILES = "products", "tiles"


def match_exactly(
    prepared: Prepared,
    family: Family,
    readers: Sequence[Reader],
    *,
    passes: Passes,
    progress: Progress,
) -> None:
    """Shows every tile to the readers, some in each pass; goes on where that was left.

    Raises StoppedError when told to stop.
    """
    pairs = place_pairs({name: len(layers) for name, layers in family.layers.items()})
    widths = {place: len(family.facts(place).eligible) for pair in pairs for place in pair}
    read = Count()
    kept: dict[str, Kept] = {"read": read} | {
        str(number): reader for number, reader in enumerate(readers)
    }
    passes.take_up(TILES, kept)
    while (done := read.n) < len(pairs):
        groups = grouped(pairs[done:], widths, prepared.plan.room)
        begun = _begun(passes, done, len(groups[0]))
        group = pairs[done : done + (begun or len(groups[0]))]
        name = f"{PRODUCTS}-{done}-{len(group)}"
        shown = f"{PRODUCTS} ({len(groups)} passes left)" if len(groups) > 1 else PRODUCTS
        products = nothing_yet(group, widths, prepared.device)
        _sum(prepared, family, products, name=name, shown=shown, passes=passes, progress=progress)
        if passes.processes.first:
            tiles = Summed(family, products)
            with progress.stage(f"reading {shown}", len(readers), "readers") as stage:
                for reader in readers:
                    reader.read(tiles)
                    stage.advance(1)
            read.n += len(group)
            del tiles
        del products  # their memory is for those of the next pass
        passes.keep(TILES, kept)
        passes.forget(name)


def _begun(passes: Passes, done: int, most: int) -> int:
    """How many pairs the pass has that was left unfinished, 0 without one.

    One that began elsewhere, or has more pairs than there is memory for now, is forgotten. Where
    there are several processes, all have the pairs that the first has planned.
    """
    counts = [0]
    alone = passes.processes.world == 1
    for name in passes.own.names():
        if name.startswith(f"{PRODUCTS}-"):
            first, count = map(int, name.split("-")[1:])
            if first == done and (count <= most if alone else count == most):
                counts.append(count)
            else:
                passes.forget(name)
    return max(counts)


def _sum(
    prepared: Prepared,
    family: Family,
    products: Products,
    *,
    name: str,
    shown: str,
    passes: Passes,
    progress: Progress,
) -> None:
    """One pass over the tokens, from where it was left; `name` is that of its state."""
    config = prepared.config
    shifts = {place: family.facts(place).shift for pair in products for place in pair}
    parts = {f"{number}": pair for number, pair in enumerate(products.values())}
    steps = partial(
        sum_products,
        prepared.models,
        prepared.corpus,
        shifts,
        products,
        precision=config.matching.products,
        batch_tokens=config.batch_tokens,
        block_tokens=config.block_tokens,
    )
    passes.over(prepared.corpus, name, parts, steps, shown=shown, progress=progress)
