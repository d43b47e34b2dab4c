"""The contexts that are kept of a layer's neurons, as rows with their tokens."""

import numpy as np

from neurontab.loops.extremes import AROUND, WINDOW
from neurontab.measure.columns import Columns
from neurontab.measure.corpus import Corpus
from neurontab.measure.survey import LayerStatistics, Survey, window


def contexts(layer: LayerStatistics, survey: Survey) -> list[tuple[str, Columns]]:
    """Side and rows of table `examples`, without the keys that all rows share."""
    sides = {"top": layer.top.result(), "bottom": layer.bottom.result()}
    sides["sample"] = _sample(layer, survey)
    return [(side, _with_tokens(columns, survey.corpus)) for side, columns in sides.items()]


def _sample(layer: LayerStatistics, survey: Survey) -> Columns:
    """The sampled places for every neuron, in order of place."""
    corpus, places = survey.corpus, survey.sample.numpy()
    near, inside = window(places, corpus.tokens.shape[1])
    rows = np.searchsorted(layer.sample.places.numpy(), np.where(inside, near, places[:, None]))
    values = layer.sample.values.numpy()[rows]  # [place, window, neuron]
    neurons, n = values.shape[2], len(places)
    around = values.transpose(2, 0, 1).reshape(neurons * n, WINDOW)
    return {
        "neuron": np.repeat(np.arange(neurons, dtype=np.int32), n),
        "rank": np.tile(np.arange(1, n + 1, dtype=np.int32), neurons),
        "value": around[:, AROUND],
        "place": np.tile(places, neurons),
        "document": np.tile(corpus.document.ravel()[places], neurons),
        "activations": np.ma.masked_array(around, ~np.tile(inside, (neurons, 1))),
    }


def _with_tokens(columns: Columns, corpus: Corpus) -> Columns:
    """The same rows with sequence, position, source and tokens instead of the place."""
    context = corpus.tokens.shape[1]
    place = columns["place"].astype(np.int64)
    near, inside = window(place, context)
    sequence = (place // context).astype(np.int32)
    tokens = corpus.tokens.ravel()[np.where(inside, near, 0)].astype(np.int32)
    kept = {name: values for name, values in columns.items() if name != "place"}
    return kept | {
        "sequence": sequence,
        "position": (place % context).astype(np.int32),
        "source": np.array(corpus.sources, dtype=object)[corpus.source[sequence]],
        "before": inside[:, :AROUND].sum(axis=1).astype(np.int32),
        "tokens": np.ma.masked_array(tokens, ~inside),
    }
