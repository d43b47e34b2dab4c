"""The tables that compare neurons of a family."""

from itertools import combinations, permutations

from neurontab.measure.baselines import Baselines
from neurontab.measure.columns import Columns
from neurontab.measure.matching import Matching
from neurontab.measure.similarity import Similarity
from neurontab.measure.sources import BETWEEN
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
) -> None:
    """Tables `matches`, `antimatches`, `assignments`, `layer_similarity`, `baselines`, `twins`."""
    for pair in permutations(models, 2):
        _write_pair(writer, matches.MATCHES, pair, matching.matches(*pair))
        _write_pair(writer, matches.ANTIMATCHES, pair, matching.antimatches(*pair))
        _write_pair(writer, matches.LAYER_SIMILARITY, pair, similarity.columns(*pair))
        _write_pair(writer, matches.BASELINES, pair, baselines.columns(*pair))
    for model, other in combinations(models, 2):
        forth, back = matching.assignments(model, other)
        _write_pair(writer, matches.ASSIGNMENTS, (model, other), forth)
        _write_pair(writer, matches.ASSIGNMENTS, (other, model), back)
    for model in models:
        writer.write(matches.TWINS, model, ({"model": model}, matching.twins(model)))


def _write_pair(writer: Writer, table: Table, pair: tuple[str, str], columns: Columns) -> None:
    model, other = pair
    writer.write(
        table, f"{model}{BETWEEN}{other}", ({"model": model, "other_model": other}, columns)
    )
