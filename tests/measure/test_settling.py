"""Best matches from bounds and some exact values: the exact ones, or a certificate is wrong."""

import math
from dataclasses import fields
from itertools import product

import pytest
import torch
from sketched import ROOM, add_all, missed_rare_pairs, rare_family, settled
from summed import CPU, WIDTHS, drawn_activations, matched, summed

from neurontab.measure.best import NONE
from neurontab.measure.bounds import Bounds
from neurontab.measure.candidates import Candidates
from neurontab.measure.finals import Finals
from neurontab.measure.hashing import Hashing
from neurontab.measure.matching import (
    BOUND,
    CERTIFICATES,
    EXACT,
    HIGHEST,
    LOWEST,
    PROBABLE,
    Matching,
    Ranks,
)
from neurontab.measure.settling import Settling
from neurontab.measure.sketch_plan import CHOSEN
from neurontab.measure.tile import Place

ACTIVATIONS = drawn_activations()
TILES = summed(ACTIVATIONS)
SIDES = [(m, o, HIGHEST) for m in WIDTHS for o in WIDTHS] + [("a", "b", LOWEST), ("b", "a", LOWEST)]


def n_wrong(exact: Matching, found: Matching) -> int:
    """Rows whose best are not those of all products."""
    keys = [f"{m}/{o}/{side}/value" for m, o, side in SIDES]
    wrong = [((exact.state[key] - found.state[key]).abs() > 1e-5).any(dim=1) for key in keys]
    return int(torch.cat(wrong).sum())


@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize("listed", [4, 8, 20])
@pytest.mark.parametrize("room", [1, ROOM])
@pytest.mark.parametrize("overflown", [1, 32])  # of all rows, one in so many has a longer list
def test_certified_matches_are_those_of_all_products(
    two_sided: bool, listed: int, room: int, overflown: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurontab.measure.candidates.OVERFLOWN", overflown)
    monkeypatch.setattr("neurontab.measure.candidates.LONGER", 2)
    tiles = summed(ACTIVATIONS, dead=frozenset({(Place("a", 1), 2)}), two_sided=two_sided)
    exact = matched(tiles, k=3, n_twins=2)
    ranks = Ranks(3, 2, two_sided)
    for seed in range(3):
        hashing = Hashing(4, 200, seed)
        found = settled(
            tiles.family, ACTIVATIONS, hashing, 12.0, ranks=ranks, listed=listed, room=room
        )
        for key, value in exact.state.items():
            if key.endswith("value"):
                assert torch.allclose(value, found.state[key], atol=1e-6), key
                index, ranked = key.replace("value", "index"), value > NONE
                assert torch.equal(exact.state[index][ranked], found.state[index][ranked]), key


def test_bounds_that_are_too_tight_give_wrong_certificates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With no nats to spare, nor anything for what an estimate may err by, some are missed.

    The latter only decides what is measured at first.
    """
    monkeypatch.setattr("neurontab.measure.candidates.MARGIN", 0.0)
    exact = matched(TILES, k=1, n_twins=1)
    ranks = Ranks(1, 1, two_sided=False)

    def wrong(nats: float) -> int:
        hashings = (Hashing(2, 60, seed) for seed in range(10))
        runs = (settled(TILES.family, ACTIVATIONS, each, nats, ranks=ranks) for each in hashings)
        return sum(n_wrong(exact, matching) for matching in runs)

    assert wrong(0.0) > 0
    assert wrong(14.0) == 0


@pytest.mark.parametrize("dead", ["a", "b", "ab"])
def test_a_model_of_which_no_neuron_varies_has_no_matches(dead: str) -> None:
    activations = {
        place: torch.full_like(values, 2.0) if place.model in dead else values
        for place, values in ACTIVATIONS.items()
    }
    none = {(p, j) for p, x in activations.items() if p.model in dead for j in range(x.shape[1])}
    tiles = summed(activations, dead=frozenset(none))
    hashing, ranks = Hashing(4, 500, 0), Ranks(3, 2, two_sided=False)
    found = settled(tiles.family, activations, hashing, 12.0, ranks=ranks)
    assert n_wrong(matched(tiles, k=3, n_twins=2), found) == 0
    assert (found.state["a/b/highest/value"] == NONE).all()


def test_certificates_count_rows_and_say_how() -> None:
    ranks = Ranks(3, 2, two_sided=False)
    loose = settled(TILES.family, ACTIVATIONS, Hashing(4, 8, 0), 12.0, ranks=ranks, listed=4)
    rows = sum(WIDTHS["a"]) + sum(WIDTHS["b"])
    assert loose.certificates()[EXACT] == rows  # Bounds of so few buckets leave everything open.
    tight = settled(TILES.family, ACTIVATIONS, Hashing(4, 4_000, 0), 12.0, ranks=ranks)
    assert tight.certificates()[PROBABLE] > rows / 2
    assert sum(tight.certificates().values()) == rows


def test_an_event_at_three_positions_is_found_and_certified_whatever_the_signs() -> None:
    activations, family = rare_family(60_000)
    for seed in range(20):
        found = settled(
            family, activations, Hashing(6, 256, seed), math.log(10**6), ranks=Ranks(1, 1, False)
        )
        assert found.state["a/b/highest/index"][0].tolist() == [10]
        assert found.state["a/b/highest/value"][0].item() == pytest.approx(1 / 1.0025, abs=2e-3)


def test_rare_pairs_are_found_whatever_the_signs_but_not_with_bounds_that_are_too_tight() -> None:
    assert missed_rare_pairs(20_000, nats=14.0) == 0
    assert missed_rare_pairs(20_000, nats=1.0) > 0


def test_rows_that_fail_are_measured_whole() -> None:
    """An estimate above what is there leaves a row open: the rest may still be better."""
    family, ranks = TILES.family, Ranks(1, 1, two_sided=False)
    candidates = Candidates(family, ranks, 20, 10_000, CPU)
    for place, other in TILES.pairs:
        corr = TILES.tile(place, other).corr.float()
        too_high = corr.clone()
        if (place, other) == (Place("a", 0), Place("b", 0)):
            too_high[0, 0] = 2.0  # far above all bounds of the others
        found = Bounds(
            too_high,
            corr - 0.5,
            torch.maximum(too_high, corr + 0.5),
            sure_below=corr - 1,
            sure_above=corr + 1,
        )
        candidates.read((place, other), found)
    matching = Matching(family, ranks, CPU)
    settling = Settling(family, candidates, candidates.longer(), matching, 2, CHOSEN)
    for finals in settling.passes(ROOM):
        add_all(finals, family, ACTIVATIONS)
    assert settling.n_further > 0
    assert n_wrong(matched(TILES, k=1, n_twins=1), matching) == 0


@pytest.mark.parametrize(("sure", "how"), [(0.01, BOUND), (2.0, PROBABLE)])
def test_what_holds_whatever_the_signs_is_certified_so(sure: float, how: str) -> None:
    """With bounds that settle every row, as surely or only if the signs are not against it."""
    family, ranks = TILES.family, Ranks(1, 1, two_sided=False)
    candidates = Candidates(family, ranks, 4, 10**6, CPU)
    for pair in TILES.pairs:
        corr = TILES.tile(*pair).corr.float()
        found = Bounds(
            corr, corr - 0.01, corr + 0.01, sure_below=corr - sure, sure_above=corr + sure
        )
        candidates.read(pair, found)
    matching = Matching(family, ranks, CPU)
    settling = Settling(family, candidates, candidates.longer(), matching, 2, CHOSEN)
    for finals in settling.passes(ROOM):
        add_all(finals, family, ACTIVATIONS)
    assert n_wrong(matched(TILES, k=1, n_twins=1), matching) == 0
    rows = sum(WIDTHS["a"]) + sum(WIDTHS["b"])
    assert matching.certificates() == dict.fromkeys(CERTIFICATES, 0) | {how: rows}
    assert settling.n_further == 0


def settling_with_two_wide_rows(listed: int, chosen: int) -> tuple[Settling, Matching]:
    """Everything is open of the first two neurons of all, little of the others."""
    family, ranks = TILES.family, Ranks(3, 2, two_sided=False)
    candidates = Candidates(family, ranks, listed, 10**6, CPU)

    def found(place: Place, other: Place) -> Bounds:
        corr = TILES.tile(place, other).corr.float()
        size = torch.full_like(corr, 0.01)
        for layer, rows in ((place, size), (other, size.T)):
            if layer == Place("a", 0):
                rows[:2] = 100
        return Bounds(corr, *(corr - size, corr + size) * 2)

    for pair in TILES.pairs:
        candidates.read(pair, found(*pair))
    longer = candidates.longer()
    for place, side in longer.layers():
        units = longer.within(place, side)
        for other in family.places(side[1]):
            every = found(place, other)
            some = Bounds(*(getattr(every, each.name)[units] for each in fields(Bounds)))
            longer.read_rows(place, side, other, some)
    matching = Matching(family, ranks, CPU)
    return Settling(family, candidates, longer, matching, 2, chosen), matching


def test_rows_whose_lists_overflow_are_listed_again_where_they_are_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exact = matched(TILES, k=3, n_twins=2)

    def passes(chosen: int) -> list[dict[tuple[str, str], list[int]]]:
        """The whole rows of each pass, with lists of six pairs."""
        settling, matching = settling_with_two_wide_rows(6, chosen)
        rows = []
        for finals in settling.passes(ROOM):
            add_all(finals, TILES.family, ACTIVATIONS)
            rows.append({models: units.tolist() for models, units in finals.rows.items()})
        assert n_wrong(exact, matching) == 0
        assert settling.n_further == 0
        assert (matching.state["a/b/certificate"][:2] == CERTIFICATES.index(EXACT)).all()
        return rows

    whole = {("a", "a"): [0, 1], ("a", "b"): [0, 1]}
    assert passes(3) == [whole]  # room for 180 pairs of 435
    monkeypatch.setattr("neurontab.measure.candidates.OVERFLOWN", 15)  # six of ninety
    assert passes(3) == [{}]
    monkeypatch.setattr("neurontab.measure.candidates.LONGER", 2)
    assert passes(3) == [{("a", "b"): [0, 1]}]  # with a, 11 fit in 12; with b, 18 do not
    monkeypatch.setattr("neurontab.measure.candidates.LONGER", 8)
    (rows,) = passes(2)  # too few for the longer lists
    assert {models: units[:2] for models, units in rows.items() if models in whole} == whole


@pytest.mark.parametrize("chosen", [0, 1, 2])
def test_the_longest_lists_are_left_out_where_there_is_no_room_for_all(
    chosen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurontab.measure.settling.READ_AT_ONCE", 2)
    settling, matching = settling_with_two_wide_rows(6, chosen)
    room = chosen * 2 * sum(sum(widths) for widths in WIDTHS.values())
    assert room < 172  # pairs without those of the rows whose lists overflow
    for number, finals in enumerate(settling.passes(ROOM)):
        add_all(finals, TILES.family, ACTIVATIONS)
        listed = sum(len(sums.other_unit) for sums in finals.listed.values())
        assert room / 2 <= listed <= room if number == 0 else listed == 0
        assert finals.rows
    assert n_wrong(matched(TILES, k=3, n_twins=2), matching) == 0


def test_pairs_of_whole_rows_are_left_out_where_there_are_too_many() -> None:
    """With bounds that leave everything open, all rows are measured whole."""
    family, ranks = TILES.family, Ranks(3, 2, two_sided=False)

    def first_pass(chosen: int) -> Finals:
        candidates = Candidates(family, ranks, 4, 1, CPU)
        for place, other in TILES.pairs:
            corr = TILES.tile(place, other).corr.float()
            found = Bounds(corr, *(corr - 100, corr + 100) * 2)
            candidates.read((place, other), found)
        matching = Matching(family, ranks, CPU)
        settling = Settling(family, candidates, candidates.longer(), matching, 2, chosen)
        return next(settling.passes(ROOM))

    assert not first_pass(CHOSEN).rows
    every = sum(len(sums.other_unit) for sums in first_pass(CHOSEN).listed.values())
    n = {model: sum(widths) for model, widths in WIDTHS.items()}
    assert every == n["a"] * n["b"] + sum(each * (each - 1) // 2 for each in n.values())
    enough = every // (2 * sum(n.values())) + 1  # for all pairs, but not twice
    rows = {key: torch.arange(sum(WIDTHS[key[0]])).tolist() for key in product(WIDTHS, repeat=2)}
    for chosen, listed in ((enough, True), (0, False)):
        found = first_pass(chosen)
        assert {key: units.tolist() for key, units in found.rows.items()} == rows
        assert bool(found.listed) == listed
