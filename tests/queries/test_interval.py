"""The interval of the excess, against planted neurons whose excess over all documents is known."""

from typing import Any

import polars as pl
import pytest
import torch
from divided import CORR, divided, drawn
from torch import Tensor

from neurontab.tables.query import discover
from neurontab.tables.schemas import MEASURED
from neurontab.tables.table import Table

UNITS = 2_000
QUERIES = discover()
TABLES: dict[str, Table] = MEASURED | {name: query.table for name, query in QUERIES.items()}


@pytest.mark.parametrize(
    ("others", "draws", "width"),
    [
        (1, 4, 256),  # documents make nearly all of the spread
        (4, 4, 256),
        (4, 1, 256),  # the spread of draws is not known, and small
        (1, 4, 8),  # draws make most of it, with three degrees of freedom
        (4, 4, 8),
    ],
)
def test_the_95_percent_interval_of_the_excess_covers_the_truth_as_often_as_it_says(
    others: int, draws: int, width: int
) -> None:
    found = universality(others, draws, width)
    truth = CORR - baselines((200_000,), width, seed=1).mean().item()
    covered = pl.lit(truth).is_between("excess_lo", "excess_hi").mean()
    assert 0.93 < found.select(covered).item() < 0.97


def test_baselines_that_documents_move_as_well_make_the_interval_rather_too_wide() -> None:
    """A match and its baseline rise together, and their difference varies less than the match."""
    found = universality(1, 4, 256, moved=True)
    truth = CORR - baselines((200_000,), 256, seed=1).mean().item()
    covered = pl.lit(truth).is_between("excess_lo", "excess_hi").mean()
    assert 0.95 < found.select(covered).item() < 1


def test_where_one_group_is_all_in_which_a_neuron_varies_there_is_no_interval() -> None:
    found = universality(2, 4, 8, unknown=7).sort("neuron")
    for end in ("excess_lo", "excess_hi"):
        assert found.select(pl.col(end).is_null().arg_true())[end].to_list() == [7]
    assert found["excess_corr"].null_count() == 0


def baselines(shape: tuple[int, ...], width: int, seed: int) -> Tensor:
    """Best correlations with a rotated layer of which one neuron correlates by CORR, none else."""
    random = torch.Generator().manual_seed(seed)
    rotated = torch.randn(*shape, width, generator=random)
    return CORR * torch.nn.functional.normalize(rotated, dim=-1).amax(dim=-1)


def universality(
    others: int, draws: int, width: int, *, moved: bool = False, unknown: int | None = None
) -> pl.DataFrame:
    """Of planted neurons of one model, which correlate with those of others by CORR.

    Baselines are of all documents, or `moved` with the match by those that there are. Of one neuron
    the correlation with one model is `unknown` without some group.
    """
    sums = divided(*drawn(UNITS, seed=1, others=others))
    names = list(sums.family.layers)[1:]
    units = torch.arange(UNITS)
    parts = {
        name: sums.divided("a", name, units, units, torch.ones(UNITS).double()) for name in names
    }
    drawn_ones = baselines((others, draws, UNITS), width, seed=2)
    if moved:
        drawn_ones *= torch.stack([part.whole for part in parts.values()])[:, None].float() / CORR
    left_out = {name: part.left_out.float().tolist() for name, part in parts.items()}
    if unknown is not None:
        left_out[names[0]][unknown] = []
    keys = {"model": "a", "layer": 0, "neuron": units.numpy()}
    frames: dict[str, list[dict[str, Any]]] = {
        "models": [{"model": name} for name in ("a", *names)],
        "activation_shape": [keys | {"low_support": False}],
        "matches": [
            keys | {"other_model": name, "rank": 1, "corr": part.whole.numpy()}
            for name, part in parts.items()
        ],
        "baselines": [
            keys | {"other_model": name, "kind": "raw", "draw": draw, "corr": each.numpy()}
            for name, some in zip(names, drawn_ones, strict=True)
            for draw, each in enumerate(some)
        ],
        "twins": [],
        "jackknife": [
            keys | {"other_model": name, "left_out": each} for name, each in left_out.items()
        ],
        "document_groups": [sums.groups()],
    }
    tables = {name: whole(TABLES[name], parts) for name, parts in frames.items()}
    return QUERIES["universality"](tables).collect()


def whole(table: Table, parts: list[dict[str, Any]]) -> pl.LazyFrame:
    """Rows of a table of which some columns are known; the others are null."""
    known = [pl.DataFrame(part) for part in parts]
    rows = pl.concat(known) if known else pl.DataFrame()
    found = {
        each.name: pl.col(each.name) if each.name in rows.columns else pl.lit(None)
        for each in table.columns
    }
    return rows.lazy().select(**found).cast({each.name: each.dtype for each in table.columns})
