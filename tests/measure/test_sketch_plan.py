"""When sketches are planned, and how large."""

from dataclasses import replace

from neurontab.measure.sketch_plan import FEWEST, MOST, Extent, sketch_plan

ROOM = 16 * 2**30
SUITE = Extent(tokens=1_000_000, neurons=10_240, models=5, products=5.5e7, types=4_096)


def exact_flop(extent: Extent) -> float:
    """Of all products."""
    return 2 * extent.products * extent.tokens


def test_many_tokens_take_sketches_and_few_all_products() -> None:
    few = replace(SUITE, tokens=60_000)
    assert sketch_plan("auto", few, ROOM, exact_flop(few)) is None
    planned = sketch_plan("auto", SUITE, ROOM, exact_flop(SUITE))
    assert planned is not None
    assert FEWEST <= planned.buckets <= MOST
    assert planned.flop < exact_flop(SUITE) / 3


def test_a_mode_that_is_asked_for_is_taken() -> None:
    assert sketch_plan("exact", SUITE, ROOM, exact_flop(SUITE)) is None
    few = replace(SUITE, tokens=1_000)
    assert sketch_plan("sketch", few, ROOM, exact_flop(few)) is not None


def test_sketches_take_half_of_the_room_at_most() -> None:
    for room in (2**30, 2**31, ROOM):
        planned = sketch_plan("sketch", SUITE, room, exact_flop(SUITE))
        assert planned is not None
        assert 4 * planned.replicates * planned.buckets * SUITE.neurons <= room / 2


def test_where_no_useful_sketch_fits_products_are_summed() -> None:
    assert sketch_plan("auto", SUITE, 2**26, exact_flop(SUITE)) is None
