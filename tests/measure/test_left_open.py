"""What sketches leave open, against counting."""

from dataclasses import replace

import pytest
import torch

from neurontab.measure.left_open import LeftOpen
from neurontab.measure.sketch_plan import SketchPlan

NEURONS, MODELS = 10_240, 5
ROW = 8 * NEURONS // MODELS + 3 * 4 * 1_024  # bytes: sums, copies of what is multiplied at once
MANY = SketchPlan(6, 10_880, 512, 100, 0.01, 0, "float32")
FEW = replace(MANY, buckets=1_334, chosen=512)


def left_open(sketch: SketchPlan, room: int = 2**40) -> LeftOpen:
    """Of the suite."""
    return LeftOpen.of(sketch, NEURONS, MODELS, room)


def test_few_lists_that_overflow_are_made_longer_and_many_leave_theirs_to_whole_rows() -> None:
    many, few = left_open(MANY), left_open(FEW)
    assert many.longer == MANY.overflown(NEURONS) > 0 == many.whole
    assert few.whole == FEW.overflown(NEURONS) > 0 == few.longer
    assert (many.passes, few.passes) == (2, 3)


@pytest.mark.parametrize("rows", [0, 1, 1_000, 10_000])
def test_whole_rows_take_as_many_passes_as_there_is_no_room_for(rows: int) -> None:
    found = left_open(FEW, room=rows * ROW)
    whole = FEW.overflown(NEURONS) * NEURONS * MODELS
    assert found.further == -(-whole // max(rows, 1)) - 1
    assert found.passes == 3 + found.further


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_where_there_is_no_room_for_all_pairs_the_longest_lists_are_left_to_whole_rows(
    share: float,
) -> None:
    """Lists of exponentially distributed lengths, the shortest of which hold a share of all."""
    lengths = torch.empty(100_000).exponential_(generator=torch.Generator().manual_seed(0))
    kept = lengths.sort().values.cumsum(0) <= share * lengths.sum()
    few = replace(FEW, buckets=2_900)
    expected, overflown = few.expected(NEURONS), few.overflown(NEURONS)
    found = left_open(replace(few, chosen=round(share * expected)))
    assert found.listed == pytest.approx(share * expected, rel=0.1)
    longest = (~kept).float().mean().item()
    assert found.whole == pytest.approx(longest + overflown, abs=0.03)
    assert found.longer == overflown > 0
    assert left_open(few).whole == 0
