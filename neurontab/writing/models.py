"""Tables about the models and their vocabulary."""

from collections.abc import Sequence
from dataclasses import asdict

import polars as pl

from neurontab.measure.corpus import Corpus
from neurontab.measure.models import LanguageModel
from neurontab.measure.vocabulary import vocabulary
from neurontab.tables import store
from neurontab.tables.schemas import models
from neurontab.writing.writer import Writer


def write_models(found: Sequence[LanguageModel], corpus: Corpus, writer: Writer) -> None:
    """Tables `models` and `vocabulary`."""
    facts = [asdict(model.facts) for model in found]
    table = models.MODELS
    writer.write_frame(table, store.FAMILY, pl.DataFrame(facts, table.schema))
    counts = corpus.token_counts(found[0].facts.d_vocab)
    tokens = vocabulary(found[0].tokenizer, found[0].special_ids, counts)
    writer.write(models.VOCABULARY, store.FAMILY, ({}, tokens))
