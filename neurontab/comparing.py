"""All models together: products in as many passes as the memory needs, and what is read of them."""

from collections.abc import Mapping, Sequence

import torch

from neurontab.measure.accumulator import State
from neurontab.measure.baselines import Baselines, Draws
from neurontab.measure.checkpoint import Checkpoints
from neurontab.measure.family import Family, LayerFacts
from neurontab.measure.matching import Matching
from neurontab.measure.similarity import Similarity
from neurontab.measure.sums import Products, Summed, grouped, nothing_yet, sum_products
from neurontab.measure.tile import Reader, place_pairs
from neurontab.measure.token_share import TokenMeans
from neurontab.passes import Passes
from neurontab.prepare import Prepared
from neurontab.progress import Progress
from neurontab.tables.query import Query
from neurontab.writing.matches import match_steps, write_matches
from neurontab.writing.writer import Writer

PRODUCTS, TILES, READ = "products", "tiles", "read"


def compare_family(
    prepared: Prepared,
    known: Mapping[str, State],
    queries: dict[str, Query],
    writer: Writer,
    passes: Passes,
    progress: Progress,
) -> None:
    """Writes the tables that compare neurons; `known` is what each model's survey has found."""
    family = family_of(prepared, known, queries, writer)
    settings, device = prepared.config.matching, prepared.device
    matching = Matching(family, k=settings.k, n_twins=settings.twins, device=device)
    similarity = Similarity(family, device)
    draws = Draws(settings.draws, settings.rotation, prepared.config.seed)
    baselines = Baselines(family, draws, device)
    readers: list[Reader] = [matching, similarity, baselines]
    _read(prepared, family, readers, passes=passes, progress=progress)
    with progress.stage("matches", match_steps(len(family.layers)), "steps") as stage:
        write_matches(
            list(family.layers),
            writer,
            matching=matching,
            similarity=similarity,
            baselines=baselines,
            stage=stage,
        )


def family_of(
    prepared: Prepared, known: Mapping[str, State], queries: dict[str, Query], writer: Writer
) -> Family:
    """What matching needs: spread of every layer, and which neurons have support enough."""
    moments = writer.scan("activation_moments")
    shape = queries["activation_shape"]({"activation_moments": moments}).collect()
    rows = shape.sort("layer", "neuron").partition_by("model", "layer", as_dict=True)
    device = prepared.device
    layers = {
        model.name: [
            LayerFacts(
                known[model.name][f"shift.{layer}"].to(device),
                known[model.name][f"shifted_mean.{layer}"].to(device),
                known[model.name][f"variance.{layer}"].to(device),
                ~torch.from_numpy(rows[model.name, layer]["low_support"].to_numpy().copy()).to(
                    device
                ),
            )
            for layer in range(model.facts.n_layers)
        ]
        for model in prepared.models
    }
    means = {
        name: TokenMeans(torch.cat([state[f"token_means.{n}"] for n in range(len(layers[name]))]))
        for name, state in known.items()
    }
    gated = any(model.facts.gated for model in prepared.models)
    return Family(layers, means, prepared.corpus.n_counted, two_sided=gated)


def _read(
    prepared: Prepared,
    family: Family,
    readers: Sequence[Reader],
    *,
    passes: Passes,
    progress: Progress,
) -> None:
    """Shows every tile to the readers, some in each pass; goes on where that was left."""
    pairs = place_pairs({name: len(layers) for name, layers in family.layers.items()})
    widths = {place: len(family.facts(place).eligible) for pair in pairs for place in pair}
    done = _resume(passes.checkpoints, readers)
    while done < len(pairs):
        groups = grouped(pairs[done:], widths, prepared.plan.room)
        begun = _begun(passes.checkpoints, done, len(groups[0]))
        group = pairs[done : done + (begun or len(groups[0]))]
        name = f"{PRODUCTS}-{done}-{len(group)}"
        shown = f"{PRODUCTS} ({len(groups)} passes left)" if len(groups) > 1 else PRODUCTS
        products = nothing_yet(group, widths, prepared.device)
        _sum(prepared, family, products, name=name, shown=shown, passes=passes, progress=progress)
        tiles = Summed(family, products)
        with progress.stage(f"reading {shown}", len(readers), "readers") as stage:
            for reader in readers:
                reader.read(tiles)
                stage.advance(1)
        done += len(group)
        passes.refuse_if_gone()
        _keep(passes.checkpoints, readers, done)
        passes.checkpoints.forget(name)


def _begun(checkpoints: Checkpoints, done: int, most: int) -> int:
    """How many pairs the pass has that was left unfinished, 0 without one.

    One that began elsewhere, or has more pairs than there is memory for now, is forgotten.
    """
    counts = [0]
    for name in checkpoints.names():
        if name.startswith(f"{PRODUCTS}-"):
            first, count = map(int, name.split("-")[1:])
            if first == done and count <= most:
                counts.append(count)
            else:
                checkpoints.forget(name)
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
    text, config = prepared.corpus, prepared.config
    shifts = {place: family.facts(place).shift for pair in products for place in pair}
    parts = {f"{number}": pair for number, pair in enumerate(products.values())}
    first = passes.resume(name, parts)
    with progress.stage(shown, text.n_counted, "tokens") as stage:
        stage.advance(text.counted_before(first))
        for following in sum_products(
            prepared.models,
            text,
            shifts,
            products,
            batch_tokens=config.batch_tokens,
            block_tokens=config.block_tokens,
            first=first,
            advance=stage.advance,
        ):
            passes.after(name, parts, following)


def _keep(checkpoints: Checkpoints, readers: Sequence[Reader], done: int) -> None:
    state = {
        f"{number}/{key}": each
        for number, reader in enumerate(readers)
        for key, each in reader.state.items()
    }
    checkpoints.save(TILES, state | {READ: torch.tensor(done)})


def _resume(checkpoints: Checkpoints, readers: Sequence[Reader]) -> int:
    """Gives the readers what they had; how many pairs they have read."""
    state = checkpoints.load(TILES)
    if state is None:
        return 0
    for number, reader in enumerate(readers):
        for key, each in reader.state.items():
            each.copy_(state[f"{number}/{key}"])
    return int(state[READ])
