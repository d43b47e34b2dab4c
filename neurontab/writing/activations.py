"""The tables and files that come of running one model over the text."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

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
from neurontab.writing.writer import Keyed, Writer, by_layer


def write_survey(
    model: LanguageModel, layers: Sequence[LayerStatistics], survey: Survey, writer: Writer
) -> None:
    """The tables that come of running one model over the text."""
    name, here = model.name, {"model": model.name}
    at_start = at_bos(model, model.bos)
    moments: list[Keyed] = []
    for layer, each in enumerate(layers):
        pre = each.pre.result() | each.pre.standing_of(at_start[layer], "bos")
        moments.append((here | {"site": "pre"}, with_keys(pre, layer)))
        moments.append((here | {"site": "post"}, with_keys(each.post.result(), layer)))
    writer.write(activations.ACTIVATION_MOMENTS, name, *moments)
    writer.write(
        activations.ACTIVATION_HISTOGRAMS,
        name,
        *(
            (here | {"layer": layer, "site": site}, moments.histogram())
            for layer, each in enumerate(layers)
            for site, moments in (("pre", each.pre), ("post", each.post))
        ),
    )
    writer.write(
        activations.TOKEN_RESPONSE,
        name,
        *by_layer(here, "offset", layers, lambda each: token_responses(each, survey)),
    )
    writer.write(activations.TOKEN_SPREAD, name, *by_layer(here, "offset", layers, token_spread))
    writer.write(
        activations.FEATURE_GROUPS,
        name,
        *_by_feature(here, (feature_groups(each, survey) for each in layers)),
    )
    writer.write(
        activations.FEATURE_CHANCE,
        name,
        *_by_feature(here, (feature_chance(each, survey) for each in layers)),
    )
    writer.write(
        activations.EXAMPLES,
        name,
        *by_layer(here, "side", layers, lambda each: contexts(each, survey)),
    )
    context, sources = survey.corpus.tokens.shape[1], survey.corpus.sources
    for table, key, names in (
        (activations.POSITION_GROUPS, "position", np.arange(context)),
        (activations.SOURCE_GROUPS, "source", np.array(sources, dtype=object)),
    ):
        rows = [group_rows(each.places[key]) for each in layers]
        for columns in rows:
            columns[key] = names[columns.pop("group")]
        writer.write(table, name, *((here | {"layer": n}, each) for n, each in enumerate(rows)))
    _write_activations(model, layers, survey, writer.folder / "activations" / name)


def _by_feature(
    here: Mapping[str, object], layers: Iterable[list[tuple[dict[str, str], Columns]]]
) -> list[Keyed]:
    """The rows of every layer under its number, and what their features are of."""
    return [
        ({**here, "layer": layer, **which}, columns)
        for layer, rows in enumerate(layers)
        for which, columns in rows
    ]


def write_support(survey: Survey, writer: Writer) -> None:
    """How often features are true of the text, whatever the model."""
    writer.write(activations.FEATURE_SUPPORT, store.FAMILY, *feature_support(survey))


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
