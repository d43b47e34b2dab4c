"""How large sketches are."""

import pytest

from neurontab.measure.sketch_plan import CHOSEN, LISTED, MOST, SketchPlan, sketch_plan

ROOM = 16 * 2**30
NEURONS = 10_240


def planned(tokens: int = 1_000_000, room: int = ROOM) -> SketchPlan:
    """The sketches of the suite."""
    return sketch_plan(
        tokens,
        NEURONS,
        5,
        groups=4_096,
        document_groups=50,
        kept=10,
        room=room,
        products="float32",
    )


def test_the_fewer_buckets_the_more_is_left_open() -> None:
    """As the suite had it, of all its rows, over so many tokens (tests/benchmarks/modes.py)."""
    for tokens, overflown, listed in ((120_000, 0.141, 94.5), (180_000, 0.066, 78.1)):
        found = planned(tokens)
        assert found.overflown(NEURONS) == pytest.approx(overflown, rel=0.1)
        assert found.expected(NEURONS) == pytest.approx(listed, rel=0.2)
    assert planned().buckets == MOST
    assert planned().overflown(NEURONS) < 1e-3
    assert planned().expected(NEURONS) == CHOSEN
    assert planned(6_000).overflown(NEURONS) > 0.9
    assert planned(6_000).expected(NEURONS) <= max(LISTED)
    assert planned().overflown(100 * NEURONS) > planned().overflown(NEURONS)


def test_sketches_take_half_of_the_room_at_most() -> None:
    for room in (2**30, 2**31, ROOM):
        found = planned(room=room)
        assert 4 * found.replicates * found.buckets * NEURONS <= room / 2


def test_sums_of_chosen_pairs_take_the_place_of_sketches() -> None:
    for room in (2**30, ROOM):
        found = planned(room=room)
        a_pair = 50 * NEURONS * 5 * 8
        sketches = 4 * NEURONS * (found.replicates * found.buckets + 4_097)
        assert found.chosen >= CHOSEN
        assert found.chosen * a_pair <= max(sketches, room // 2, a_pair * CHOSEN)
        assert found.size >= max(found.chosen * a_pair, sketches)
    assert planned().chosen > CHOSEN


def test_there_is_room_for_the_pairs_that_are_expected_of_few_buckets() -> None:
    few = planned(tokens=120_000)
    assert few.chosen >= few.expected(NEURONS) > 3 * CHOSEN


def test_lists_are_longer_where_a_third_of_the_room_holds_them() -> None:
    for room in (2**26, 2**30, 2**31, 2**32, ROOM):
        found = planned(room=room)
        longest = max(LISTED)
        fits = 2 * 16 * 1.25 * longest * NEURONS * 5 < 0.33 * room
        assert found.listed == (longest if fits else min(LISTED))
    assert {planned(room=2**30).listed, planned(room=ROOM).listed} == set(LISTED)


def test_where_no_sketch_fits_everything_is_left_open() -> None:
    assert planned(room=0).buckets == 1
    assert planned(room=0).overflown(NEURONS) > 0.5
