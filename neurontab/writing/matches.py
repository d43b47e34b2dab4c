"""The tables that compare neurons of a family."""

from itertools import combinations

from neurontab.measure.baselines import Draws, baselines
from neurontab.measure.columns import Columns
from neurontab.measure.family import Family
from neurontab.measure.matching import compare, twins
from neurontab.measure.similarity import own_norms
from neurontab.measure.sources import BETWEEN
from neurontab.progress import Stage
from neurontab.tables.schemas import matches
from neurontab.tables.table import Table
from neurontab.writing.writer import Writer


def write_matches(
    family: Family, writer: Writer, *, k: int, n_twins: int, draws: Draws, stage: Stage
) -> None:
    """Tables `matches`, `antimatches`, `layer_similarity`, `twins` and `baselines`."""
    own = own_norms(family)
    for model, other in combinations(family.layers, 2):
        found = compare(family, model, other, k=k, own=own)
        both = {
            matches.MATCHES: found.matches,
            matches.ANTIMATCHES: found.antimatches,
            matches.LAYER_SIMILARITY: found.layer_similarity,
        }
        for table, (forward, backward) in both.items():
            _write_pair(writer, table, (model, other), forward)
            _write_pair(writer, table, (other, model), backward)
        stage.advance(1)
    for model in family.layers:
        alike = twins(family, model, n_twins)
        writer.write(matches.TWINS, model, ({"model": model}, alike))
        for other, columns in baselines(family, model, draws).items():
            _write_pair(writer, matches.BASELINES, (other, model), columns)
        stage.advance(1)


def match_steps(n_models: int) -> int:
    """How often `write_matches` advances for a family of so many models."""
    return n_models * (n_models - 1) // 2 + n_models


def _write_pair(writer: Writer, table: Table, pair: tuple[str, str], columns: Columns) -> None:
    model, other = pair
    writer.write(
        table, f"{model}{BETWEEN}{other}", ({"model": model, "other_model": other}, columns)
    )
