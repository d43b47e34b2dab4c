"""How large sketches are."""

from neurontab.measure.sketch_plan import CHOSEN, FEWEST, LISTED, MOST, SketchPlan, sketch_plan

ROOM = 16 * 2**30
NEURONS = 10_240


def planned(tokens: int = 1_000_000, room: int = ROOM) -> SketchPlan:
    """The sketches of the suite."""
    return sketch_plan(
        tokens, NEURONS, 5, groups=4_096, document_groups=50, room=room, products="float32"
    )


def test_many_tokens_have_buckets_enough_and_few_have_not() -> None:
    assert FEWEST <= planned().buckets <= MOST
    assert planned().worth_it
    assert not planned(tokens=60_000).worth_it


def test_sketches_take_half_of_the_room_at_most() -> None:
    for room in (2**30, 2**31, ROOM):
        found = planned(room=room)
        assert 4 * found.replicates * found.buckets * NEURONS <= room / 2


def test_sums_of_chosen_pairs_take_the_place_of_sketches() -> None:
    for room in (2**30, ROOM):
        found = planned(room=room)
        sums = 50 * NEURONS * 5 * 8 * found.chosen
        sketches = 4 * NEURONS * (found.replicates * found.buckets + 4_097)
        assert found.chosen >= CHOSEN
        assert sums <= max(sketches, 50 * NEURONS * 5 * 8 * CHOSEN)
        assert found.size >= max(sums, sketches)
    assert planned().chosen > CHOSEN


def test_lists_are_longer_where_a_third_of_the_room_holds_them() -> None:
    for room in (2**26, 2**30, 2**31, 2**32, ROOM):
        found = planned(room=room)
        longest = max(LISTED)
        fits = 2 * 16 * 1.25 * longest * NEURONS * 5 < 0.33 * room
        assert found.listed == (longest if fits else min(LISTED))
    assert {planned(room=2**30).listed, planned(room=ROOM).listed} == set(LISTED)


def test_where_no_useful_sketch_fits_it_is_not_worth_it() -> None:
    assert not planned(room=2**26).worth_it
    assert planned(room=0).buckets == 1
