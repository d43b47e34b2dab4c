"""Products in as many passes as the memory needs: the same is read, and the same written."""

from pathlib import Path
from typing import Any
from weakref import ReferenceType, ref

import pytest
import torch
from conftest import Undisturbed
from killed import at_once, beside_products, settings_of
from summed import CPU, drawn_activations, summed
from torch import Tensor

from neurontab.building import build
from neurontab.errors import RunError, StoppedError
from neurontab.measure.baselines import Baselines, Draws
from neurontab.measure.matching import Matching, Ranks
from neurontab.measure.similarity import Similarity
from neurontab.measure.sums import SUM_BYTES, Products, Summed, grouped, nothing_yet
from neurontab.measure.tile import Place, Reader, place_pairs
from neurontab.prepare import prepare
from neurontab.progress import Silent


@pytest.mark.parametrize("at_once", [1, 4, 7])
def test_tiles_are_read_in_groups_as_all_together(at_once: int) -> None:
    tiles = summed(drawn_activations())
    kinds = (
        lambda: Matching(tiles.family, Ranks(3, 2, two_sided=False), CPU),
        lambda: Similarity(tiles.family, CPU),
        lambda: Baselines(tiles.family, Draws(2, "haar", 0), CPU),
    )
    for kind in kinds:
        whole: Reader = kind()
        whole.read(tiles)
        parts: Reader = kind()
        for first in range(0, len(tiles.pairs), at_once):
            some = tiles.pairs[first : first + at_once]
            parts.read(Summed(tiles.family, {pair: tiles.products[pair] for pair in some}))
        for name, each in whole.state.items():
            assert torch.equal(torch.nan_to_num(each), torch.nan_to_num(parts.state[name])), name


def test_groups_fit_the_room_and_begin_with_each_layer_itself() -> None:
    pairs = place_pairs({"a": 3, "b": 2})
    widths = {Place("a", n): 10 for n in range(3)} | {Place("b", n): 20 for n in range(2)}
    assert len(pairs) == 15
    assert all(place == other for place, other in pairs[:5])
    for room in (1, SUM_BYTES * 400, SUM_BYTES * 900, 10**9):
        groups = grouped(pairs, widths, room)
        assert [pair for group in groups for pair in group] == pairs
        for group in groups:
            size = sum(SUM_BYTES * widths[place] * widths[other] for place, other in group)
            assert size <= room or len(group) == 1


@pytest.mark.parametrize(("tiles", "passes"), [(1, 10), (3, 4), (6, 2)])
def test_a_build_in_several_passes_writes_the_same_bytes(
    tmp_path: Path,
    undisturbed: Undisturbed,
    monkeypatch: pytest.MonkeyPatch,
    tiles: int,
    passes: int,
) -> None:
    """Products of a pass are forgotten before there is memory for those of the next."""
    made: list[ReferenceType[Tensor]] = []

    def counted(*asked: Any) -> Products:
        assert not any(each() is not None for each in made)
        found = nothing_yet(*asked)
        made.extend(ref(sums.products) for sums in found.values())
        return found

    monkeypatch.setattr("neurontab.multiplying.nothing_yet", counted)
    settings, whole = undisturbed.settings, undisturbed.manifest
    parts = build(at_once(settings, tiles), tmp_path / "parts").manifest
    assert (parts.tables, parts.files) == (whole.tables, whole.files)
    assert len([name for name in parts.stages if name.startswith("products")]) == passes


@pytest.mark.parametrize("later", [3, 5, None])
def test_a_build_goes_on_with_another_memory_and_models_in_another_order(
    tmp_path: Path, undisturbed: Undisturbed, later: int | None
) -> None:
    """It is stopped when some tiles have been read and the next pass is under way."""
    settings, whole = undisturbed.settings, undisturbed.manifest
    states = tmp_path / "run" / "state" / "checkpoints"
    with pytest.raises(StoppedError):
        build(at_once(settings, 4), tmp_path / "run", stop=lambda: any(states.glob("tiles.*")))
    assert list(states.glob("tiles.*"))
    assert list(states.glob("products-*"))
    other = at_once(settings, later) if later else settings
    turned = other.model_copy(update={"models": other.models[::-1]})
    found = build(turned, tmp_path / "run").manifest
    assert (found.tables, found.files) == (whole.tables, whole.files)


def test_a_build_of_so_little_text_that_nothing_can_be_matched_ends(
    tmp_path: Path, text: Path
) -> None:
    settings = settings_of(tmp_path, text).model_copy(update={"tokens": 20})
    run = build(settings, tmp_path / "run")
    for name in ("matches", "assignments", "twins", "baselines", "universal_features"):
        assert run.scan(name).collect().is_empty()


def test_a_memory_too_small_for_one_tile_is_refused_before_anything_is_written(
    tmp_path: Path, text: Path
) -> None:
    settings = settings_of(tmp_path, text)
    plan = prepare(settings, Silent()).plan
    short = settings.model_copy(update={"memory": beside_products(plan)})
    with pytest.raises(RunError, match=r"may be used.\nAllow more with --memory"):
        build(short, tmp_path / "run")
    assert not (tmp_path / "run").exists()
