"""The tables that compare neurons of a family."""

from itertools import combinations

from neurontab.measure.baselines import Baselines
from neurontab.measure.by_document import ByDocument
from neurontab.measure.columns import Columns
from neurontab.measure.matching import Matching
from neurontab.measure.similarity import Similarity
from neurontab.measure.sources import BETWEEN
from neurontab.progress import Stage
from neurontab.tables.schemas import matches
from neurontab.tables.table import Table
from neurontab.writing.writer import Writer


def write_matches(
    models: list[str],
    writer: Writer,
    *,
    matching: Matching,
    similarity: Similarity,
    baselines: Baselines,
    by_document: ByDocument,
    stage: Stage,
) -> None:
    """Tables `matches`, `antimatches`, `assignments`, `layer_similarity`, `baselines`, `twins`,
    `match_sources`, `jackknife` and `document_groups`.
    """
    for pair in combinations(models, 2):
        for ordered, assigned in zip((pair, pair[::-1]), matching.assignments(*pair), strict=True):
            errors, by_source, jackknife = by_document.tables(*ordered, matching)
            found = matching.matches(*ordered) | errors
            _write_pair(writer, matches.MATCHES, ordered, found)
            _write_pair(writer, matches.MATCH_SOURCES, ordered, by_source)
            _write_pair(writer, matches.JACKKNIFE, ordered, jackknife)
            _write_pair(writer, matches.ANTIMATCHES, ordered, matching.antimatches(*ordered))
            _write_pair(writer, matches.ASSIGNMENTS, ordered, assigned)
            _write_pair(writer, matches.LAYER_SIMILARITY, ordered, similarity.columns(*ordered))
            _write_pair(writer, matches.BASELINES, ordered, baselines.columns(*ordered))
        stage.advance(1)
    writer.write(matches.DOCUMENT_GROUPS, "corpus", ({}, by_document.groups()))
    for model in models:
        writer.write(matches.TWINS, model, ({"model": model}, matching.twins(model)))
        stage.advance(1)


def match_steps(n_models: int) -> int:
    """How often `write_matches` advances for a family of so many models."""
    return n_models * (n_models - 1) // 2 + n_models


def _write_pair(writer: Writer, table: Table, pair: tuple[str, str], columns: Columns) -> None:
    model, other = pair
    writer.write(
        table, f"{model}{BETWEEN}{other}", ({"model": model, "other_model": other}, columns)
    )
