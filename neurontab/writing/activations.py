"""The tables and files that come of running one model over the text."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from jaxtyping import Float
from torch import Tensor

from neurontab.files import write_whole
from neurontab.measure.chosen import Chosen
from neurontab.measure.columns import Columns, with_keys
from neurontab.measure.contexts import contexts
from neurontab.measure.feature_rows import (
    feature_chance,
    feature_groups,
    feature_support,
    token_spread,
)
from neurontab.measure.models import LanguageModel
from neurontab.measure.responses import group_rows, token_responses
from neurontab.measure.stream import at_bos
from neurontab.measure.survey import LayerStatistics, Survey
from neurontab.tables import store
from neurontab.tables.schemas import activations
from neurontab.tables.table import Table
from neurontab.writing.writer import Keyed, Writer, by_layer


def write_survey(
    model: LanguageModel, layers: Sequence[LayerStatistics], survey: Survey, writer: Writer
) -> None:
    """The tables that come of running one model over the text."""
    name, here = model.name, {"model": model.name}
    context, sources = survey.corpus.tokens.shape[1], survey.corpus.sources
    responses = partial(token_responses, survey=survey)
    groups, chance = partial(feature_groups, survey=survey), partial(feature_chance, survey=survey)
    positions, names = np.arange(context), np.array(sources, dtype=object)
    of_layers: tuple[tuple[Table, Iterable[list[Keyed]]], ...] = (
        (activations.ACTIVATION_MOMENTS, _moments(here, layers, at_bos(model, model.bos))),
        (activations.ACTIVATION_HISTOGRAMS, _histograms(here, layers)),
        (activations.TOKEN_RESPONSE, by_layer(here, "offset", layers, responses)),
        (activations.TOKEN_SPREAD, by_layer(here, "offset", layers, token_spread)),
        (activations.FEATURE_GROUPS, _by_feature(here, layers, groups)),
        (activations.FEATURE_CHANCE, _by_feature(here, layers, chance)),
        (activations.EXAMPLES, by_layer(here, "side", layers, partial(contexts, survey=survey))),
        (activations.POSITION_GROUPS, _by_place(here, "position", positions, layers)),
        (activations.SOURCE_GROUPS, _by_place(here, "source", names, layers)),
    )
    for table, rows in of_layers:
        writer.write_layers(table, name, rows)
    _write_activations(model, layers, survey, writer.folder / "activations" / name)


def write_support(survey: Survey, writer: Writer) -> None:
    """How often features are true of the text, whatever the model."""
    writer.write(activations.FEATURE_SUPPORT, store.FAMILY, *feature_support(survey))


def _moments(
    here: Mapping[str, object],
    layers: Sequence[LayerStatistics],
    at_start: Mapping[int, Float[Tensor, " neuron"]],
) -> Iterator[list[Keyed]]:
    for layer, each in enumerate(layers):
        pre = each.pre.result() | each.pre.standing_of(at_start[layer], "bos")
        yield [
            ({**here, "site": "pre"}, with_keys(pre, layer)),
            ({**here, "site": "post"}, with_keys(each.post.result(), layer)),
        ]


def _histograms(
    here: Mapping[str, object], layers: Sequence[LayerStatistics]
) -> Iterator[list[Keyed]]:
    for layer, each in enumerate(layers):
        yield [
            ({**here, "layer": layer, "site": site}, moments.histogram())
            for site, moments in (("pre", each.pre), ("post", each.post))
        ]


def _by_feature(
    here: Mapping[str, object],
    layers: Sequence[LayerStatistics],
    rows_of: Callable[[LayerStatistics], list[tuple[dict[str, str], Columns]]],
) -> Iterator[list[Keyed]]:
    """The rows of every layer under its number, and what their features are of."""
    for layer, each in enumerate(layers):
        yield [({**here, "layer": layer, **which}, columns) for which, columns in rows_of(each)]


def _by_place(
    here: Mapping[str, object],
    key: str,
    names: npt.NDArray[np.generic],
    layers: Sequence[LayerStatistics],
) -> Iterator[list[Keyed]]:
    """The rows of every layer under its number, by the names of what its groups are."""
    for layer, each in enumerate(layers):
        yield [({**here, "layer": layer}, _named(group_rows(each.places[key]), key, names))]


def _named(columns: Columns, key: str, names: npt.NDArray[np.generic]) -> Columns:
    return {key: names[columns.pop("group")], **columns}


def _write_activations(
    model: LanguageModel, layers: Sequence[LayerStatistics], survey: Survey, folder: Path
) -> None:
    """Activations of all neurons at the exported places, an Arrow file a site and layer."""
    tokens = survey.corpus.tokens
    for layer, each in enumerate(layers):
        for site, chosen in each.exported.items():
            if len(chosen.places):
                path = folder / f"{site}.{layer}.arrow"
                write_whole(path, partial(_write_arrow, _activation_table(chosen, tokens)))


def _activation_table(chosen: Chosen, tokens: np.ndarray) -> pa.Table:
    sequence, position = np.divmod(chosen.places.numpy(), tokens.shape[1])
    values = chosen.values.numpy()
    return pa.table(
        {
            "sequence": pa.array(sequence.astype(np.int32)),
            "position": pa.array(position.astype(np.int32)),
            "token_id": pa.array(tokens[sequence, position].astype(np.int32)),
            "activation": pa.FixedSizeListArray.from_arrays(
                pa.array(values.ravel()), values.shape[1]
            ),
        }
    )


def _write_arrow(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)
