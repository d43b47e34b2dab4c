"""Tables about the models and their vocabulary."""

from collections.abc import Sequence
from dataclasses import asdict

import polars as pl

from neurontab.measure.corpus import Corpus
from neurontab.measure.models import LanguageModel
from neurontab.measure.vocabulary import vocabulary
from neurontab.tables import store
from neurontab.tables.frames import frame
from neurontab.tables.schemas import models
from neurontab.writing.writer import Writer


def write_models(found: Sequence[LanguageModel], corpus: Corpus, writer: Writer) -> None:
    """Tables `models` and `vocabulary`."""
    facts = [asdict(model.facts) for model in found]
    table = models.MODELS
    writer.write_frames(table, store.FAMILY, [pl.DataFrame(facts, table.schema)])
    writer.write_frames(models.VOCABULARY, store.FAMILY, [vocabulary_frame(found[0], corpus)])


def vocabulary_frame(model: LanguageModel, corpus: Corpus) -> pl.DataFrame:
    """Table `vocabulary`."""
    counts = corpus.token_counts(model.facts.d_vocab)
    return frame(models.VOCABULARY, vocabulary(model.tokenizer, model.special_ids, counts))
