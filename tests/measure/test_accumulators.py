"""The one contract of all accumulators: any split, order, merge and resume gives one answer."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from neurontab.loops.extremes import AROUND, KEPT, WINDOW
from neurontab.measure.ablation import QUANTITIES, AblationSums
from neurontab.measure.accumulator import Accumulator
from neurontab.measure.chosen import Chosen
from neurontab.measure.extremes import Extremes
from neurontab.measure.features import Features, FeatureSums, Labelled
from neurontab.measure.finals import GroupMoments, ListedSums
from neurontab.measure.groups import ActiveSums, Grouping, GroupSums, TokenSums
from neurontab.measure.hashing import Hashing
from neurontab.measure.moments import BINS, Moments
from neurontab.measure.pairs import PairSums
from neurontab.measure.sketch import Sketch
from neurontab.measure.stream import Batch, Range
from neurontab.measure.turned import Layout, Turned

SEQUENCES, CONTEXT, GROUPS = 500, 10, 21
LISTED = torch.tensor([[0, 1], [0, 4], [0, 5], [1, 0], [1, 3], [1, 4], [1, 5], [2, 3], [4, 4]])
HASHING = Hashing(3, 16, 0)
Answer = dict[str, Any]


def drawn_values() -> Tensor:
    """Columns of very different scale, offset and tail [token, 6]; the last is mostly 0."""
    random = torch.Generator().manual_seed(0)
    values = torch.randn(SEQUENCES * CONTEXT, 6, generator=random)
    values[:, 1] = values[:, 1] * 1e-3 + 7
    values[:, 2] = values[:, 2] * 50 - 800
    values[:, 3] = values[:, 3].exp() ** 2
    values[:, 4] = values[:, 0] * 0.9 + values[:, 4] * 0.1
    values[:, 5] = (torch.rand(len(values), generator=random) < 0.01) * 5.0
    return values


VALUES = drawn_values()
TOKENS = torch.randint(1, GROUPS, (SEQUENCES, CONTEXT), generator=torch.Generator().manual_seed(1))
TOKENS[:, 0] = 0  # begins every sequence and does not count
COUNTED = TOKENS > 0
DOCUMENTS = (torch.arange(SEQUENCES * CONTEXT) // 37).int().view(SEQUENCES, CONTEXT)
ROWS = COUNTED.ravel().nonzero()[:, 0].numpy()
PLACES = torch.tensor([3, 12, 13, 700, 4_998])
MEANS = torch.stack([VALUES[TOKENS.ravel() == token].mean(dim=0) for token in range(GROUPS)])
FEATURES = Features.of(
    np.array(["even", "even", "even", "first", "rare", "rare"], dtype=object),
    np.array([2, 4, 6, 1, 19, 20]),
    torch.bincount(TOKENS.ravel(), minlength=GROUPS),
    seed=0,
)
FIRST = Range(VALUES[:64].mean(dim=0), VALUES[:64].amin(dim=0), VALUES[:64].amax(dim=0))


def batch(first: int, last: int) -> Batch:
    """Some of the sequences."""
    return Batch(
        first,
        TOKENS[first:last],
        COUNTED[first:last],
        DOCUMENTS[first:last],
        torch.zeros(last - first, dtype=torch.int32),
    )


def rows_of(part: Batch) -> Tensor:
    """The activations at all positions of a batch."""
    return VALUES[part.first_place : part.first_place + part.tokens.numel()]


@dataclass(frozen=True)
class Case:
    """An accumulator, how it is given a batch, its answer, and the obvious one in float64."""

    new: Callable[[], Any]
    give: Callable[[Any, Batch], None]
    answer: Callable[[Any], Answer]
    obvious: Callable[[], Answer]


def moments_in_float64() -> Answer:
    """Two passes over everything that counts."""
    exact = VALUES.double().numpy()[ROWS]
    deviation = exact - exact.mean(axis=0)
    return {
        "n": np.full(exact.shape[1], len(exact)),
        "mean": exact.mean(axis=0),
        "m2": (deviation**2).sum(axis=0),
        "m3": (deviation**3).sum(axis=0),
        "m4": (deviation**4).sum(axis=0),
        "n_positive": (exact > 0).sum(axis=0),
        "min": exact.min(axis=0),
        "max": exact.max(axis=0),
    }


def histogram_of_all() -> Answer:
    """Each value's bin, between the ends that the first tokens suggest."""
    made = Moments(FIRST)
    low, high = made.lower.numpy(), made.upper.numpy()
    place = ((VALUES.numpy()[ROWS] - low) * (np.float32(BINS) / (high - low))).astype(int)
    bins = np.arange(BINS + 1)
    columns = [np.histogram(each, bins)[0] for each in place.clip(0, BINS - 1).T]
    return {"counts": np.stack(columns)}


def groups_in_float64(*names: str) -> Answer:
    """Group by group."""
    exact, group = VALUES.double().numpy()[ROWS], TOKENS.ravel().numpy()[ROWS]
    members = [exact[group == g] for g in range(1, GROUPS)]
    every = {
        "n": np.array([len(each) for each in members]),
        "sums": np.stack([each.sum(axis=0) for each in members]),
        "active": np.stack([(each > 0).sum(axis=0) for each in members]),
        "highest": np.stack([each.max(axis=0) for each in members]),
    }
    return {name: every[name] for name in names}


def contexts_by_sorting(sign: int) -> Answer:
    """The best of every document, sorted, the first twenty."""
    found = []
    for neuron, column in enumerate((sign * VALUES.numpy()).T):
        best: dict[int, tuple[float, int]] = {}
        for row in ROWS:
            here = (-float(column[row]), int(row))
            document = int(DOCUMENTS.ravel()[row])
            best[document] = min(best.get(document, here), here)
        for rank, (value, place) in enumerate(sorted(best.values())[:KEPT]):
            start = place - place % CONTEXT
            near = range(place - AROUND, place + AROUND + 1)
            inside = [start <= other < start + CONTEXT for other in near]
            around = [
                float(VALUES[other, neuron]) if there else np.nan
                for other, there in zip(near, inside, strict=True)
            ]
            found.append((neuron, rank + 1, -sign * value, place, around))
    names = ("neuron", "rank", "value", "place", "around")
    return dict(zip(names, map(np.array, zip(*found, strict=True)), strict=True))


def contexts_found(extremes: Extremes) -> Answer:
    """What an accumulator kept, windows with NaN outside their sequence."""
    found = extremes.result()
    windows = np.ma.filled(found["activations"], np.nan)
    assert windows.shape[1] == WINDOW
    names = ("neuron", "rank", "value", "place")
    return {name: found[name] for name in names} | {"around": windows}


def correlation_in_float64() -> Answer:
    """numpy's own correlation."""
    return {"corr": np.corrcoef(VALUES.double().numpy()[ROWS].T)[:3, 3:]}


def correlation_of(sums: PairSums) -> Answer:
    """Correlation of the first half of the columns with the second."""
    x, y = (VALUES[ROWS] - FIRST.mean).double().chunk(2, dim=1)
    covariance = sums.result(x.mean(dim=0), y.mean(dim=0))
    spread = torch.outer(x.std(dim=0, correction=0), y.std(dim=0, correction=0))
    return {"corr": (covariance / spread).numpy()}


def give_pairs(sums: PairSums, part: Batch) -> None:
    """The counted activations less their shift, in two halves."""
    shifted = rows_of(part)[part.counted_rows] - FIRST.mean
    sums.add(*shifted.chunk(2, dim=1))


def turned(values: Tensor, part: Batch) -> Turned:
    """Shifted activations at the counted positions of a batch."""
    made = Turned(values.shape[1], part.n_counted, GROUPS, torch.device("cpu"))
    made.begin(Layout.of([part.tokens.ravel()[part.counted_rows]]))
    made.add(rows_of(part), part.counted_rows, FIRST.mean, first_unit=0, batch=0)
    return made


def group_moments_in_float64() -> Answer:
    """Group by group, of shifted activations."""
    exact, group = (VALUES.double() - FIRST.mean).numpy()[ROWS], TOKENS.ravel().numpy()[ROWS]
    members = [exact[group == g] for g in range(1, GROUPS)]
    return {
        "n": np.array([len(each) for each in members]),
        "group_sums": np.stack([each.sum(axis=0) for each in members]),
        "squares": np.stack([(each**2).sum(axis=0) for each in members]),
    }


def listed_corr_of(sums: ListedSums) -> Answer:
    """Correlation of the listed pairs."""
    shifted = (VALUES[ROWS] - FIRST.mean).double()
    mean, spread = shifted.mean(dim=0), shifted.std(dim=0, correction=0)
    i, j = LISTED.T
    covariance = sums.products.sum(dim=0) / sums.n - mean[i] * mean[j]
    return {"corr": (covariance / spread[i] / spread[j]).numpy()}


def give_sketch(sketch: Sketch, part: Batch) -> None:
    """The counted activations with their groups, buckets and signs."""
    rows = part.counted_rows
    buckets, signs = HASHING.bucket_and_sign(rows + part.first_place)
    sketch.add(rows_of(part), rows, part.tokens.ravel()[rows], buckets, signs)


def sketch_in_float64() -> Answer:
    """Bucket by bucket."""
    buckets, signs = HASHING.bucket_and_sign(torch.from_numpy(ROWS))
    within = VALUES.double()[ROWS] - MEANS[TOKENS.ravel()[ROWS]]
    signed = [within * sign[:, None] for sign in signs.double()]
    found = [
        torch.stack([each[bucket == number].sum(dim=0) for number in range(HASHING.buckets)])
        for each, bucket in zip(signed, buckets, strict=True)
    ]
    return {"sketch": torch.stack(found).numpy(), "fourth": within.pow(4).sum(dim=0).numpy()}


def grouping(part: Batch) -> Grouping:
    """Counted positions by token."""
    return Grouping.of(torch.where(part.counted, part.tokens, -1).ravel())


def labelled(part: Batch) -> Labelled:
    """Counted positions by feature of their token, and half of the documents."""
    token = torch.where(part.counted, part.tokens, -1).ravel()
    return Labelled.of(FEATURES, token, (part.documents % 2).long().ravel())


def features_in_float64() -> Answer:
    """Half by half and label by label, the shuffled ones too."""
    token, half = TOKENS.ravel()[ROWS], (DOCUMENTS % 2).ravel()[ROWS]
    labels = torch.cat([FEATURES.true, FEATURES.shuffled])[:, token]
    exact = VALUES.double()[ROWS] / VALUES.double()[ROWS].std(dim=0)
    members = [[labels[f] & (half == h) for f in range(len(labels))] for h in range(2)]
    halves = [exact[half == h] for h in range(2)]
    return {
        "m2": np.stack([((x - x.mean(dim=0)) ** 2).sum(dim=0).numpy() for x in halves]),
        "n": np.array([[int(each.sum()) for each in row] for row in members]),
        "in_deviations": np.stack(
            [[exact[each].mean(dim=0).numpy() for each in row] for row in members]
        ),
    }


def features_of(sums: FeatureSums) -> Answer:
    """Counts, and means in standard deviations."""
    deviation = VALUES.double()[ROWS].std(dim=0)
    mean = sums.result() / sums.n[:, :, None] / deviation
    every = len(FEATURES.names)
    m2 = [sums.deviations(slice(h, h + 1), every) / deviation**2 for h in range(2)]
    return {"m2": torch.stack(m2).numpy(), "n": sums.n.numpy(), "in_deviations": mean.numpy()}


def changes(rows: Tensor) -> Tensor:
    """Something for two neurons and every quantity [neuron, token, quantity]."""
    columns = torch.arange(len(QUANTITIES)) % VALUES.shape[1]
    return torch.stack([rows[:, columns], -2 * rows[:, columns.flip(0)]])


def give_ablated(sums: AblationSums, part: Batch) -> None:
    """The counted positions of a batch, by group of documents."""
    group = part.documents.ravel()[part.counted_rows].long() % 5
    sums.add(changes(rows_of(part)[part.counted_rows]), group)


def ablated_in_float64() -> Answer:
    """Group by group."""
    group, exact = (DOCUMENTS % 5).ravel().numpy()[ROWS], changes(VALUES[ROWS]).double().numpy()
    members = [exact[:, group == each] for each in range(5)]
    return {
        "n": np.array([each.shape[1] for each in members]),
        "sums": np.stack([each.sum(axis=1) for each in members], axis=1),
    }


CASES = {
    "moments": Case(
        new=lambda: Moments(FIRST),
        give=lambda moments, part: moments.add(rows_of(part), part.counted_rows),
        answer=lambda moments: moments.result(),
        obvious=moments_in_float64,
    ),
    "histogram": Case(
        new=lambda: Moments(FIRST),
        give=lambda moments, part: moments.add(rows_of(part), part.counted_rows),
        answer=lambda moments: {"counts": moments.counts.numpy()},
        obvious=histogram_of_all,
    ),
    "by token": Case(
        new=lambda: TokenSums(GROUPS, 6, torch.device("cpu")),
        give=lambda sums, part: sums.add(rows_of(part), grouping(part)),
        answer=lambda sums: {name: each[1:].numpy() for name, each in sums.state().items()},
        obvious=lambda: groups_in_float64("n", "sums", "highest"),
    ),
    "by feature": Case(
        new=lambda: FeatureSums(2 * len(FEATURES.true), FIRST.mean),
        give=lambda sums, part: sums.add(rows_of(part), labelled(part)),
        answer=features_of,
        obvious=features_in_float64,
    ),
    "by place": Case(
        new=lambda: ActiveSums(GROUPS, 6, torch.device("cpu")),
        give=lambda sums, part: sums.add(rows_of(part), grouping(part)),
        answer=lambda sums: {name: each[1:].numpy() for name, each in sums.state().items()},
        obvious=lambda: groups_in_float64("n", "sums", "active"),
    ),
    "top": Case(
        new=lambda: Extremes(6, 1),
        give=lambda extremes, part: extremes.add(rows_of(part), part),
        answer=contexts_found,
        obvious=lambda: contexts_by_sorting(1),
    ),
    "bottom": Case(
        new=lambda: Extremes(6, -1),
        give=lambda extremes, part: extremes.add(rows_of(part), part),
        answer=contexts_found,
        obvious=lambda: contexts_by_sorting(-1),
    ),
    "chosen": Case(
        new=lambda: Chosen(PLACES, 6),
        give=lambda chosen, part: chosen.add(rows_of(part), part.first_place),
        answer=lambda chosen: {"values": chosen.values.numpy()},
        obvious=lambda: {"values": VALUES[PLACES].numpy()},
    ),
    "pairs": Case(
        new=lambda: PairSums(3, 3, torch.device("cpu")),
        give=give_pairs,
        answer=correlation_of,
        obvious=correlation_in_float64,
    ),
    "listed pairs": Case(
        new=lambda: ListedSums(LISTED[:, 0], LISTED[:, 1], (6, 6), GROUPS, torch.device("cpu")),
        give=lambda sums, part: sums.add(turned(VALUES, part), turned(VALUES, part)),
        answer=listed_corr_of,
        obvious=lambda: {"corr": np.corrcoef(VALUES.double().numpy()[ROWS].T)[*LISTED.T.numpy()]},
    ),
    "by group of documents": Case(
        new=lambda: GroupMoments(6, GROUPS, torch.device("cpu")),
        give=lambda sums, part: sums.add(turned(VALUES, part)),
        answer=lambda sums: {
            "n": sums.n[1:].numpy(),
            "group_sums": sums.sums[1:].numpy(),
            "squares": sums.squares[1:].numpy(),
        },
        obvious=group_moments_in_float64,
    ),
    "ablated": Case(
        new=lambda: AblationSums(2, 5),
        give=give_ablated,
        answer=lambda sums: {name: each.numpy() for name, each in sums.state().items()},
        obvious=ablated_in_float64,
    ),
    "sketch": Case(
        new=lambda: Sketch(HASHING.replicates, HASHING.buckets, MEANS),
        give=give_sketch,
        answer=lambda sketch: {"sketch": sketch.sums.numpy(), "fourth": sketch.fourth.numpy()},
        obvious=sketch_in_float64,
    ),
}

SPLITS = {
    "one batch": [SEQUENCES],
    "even": [100] * 5,
    "ragged": [1, 299, 7, 193],
    "many": [1] * SEQUENCES,
}


def batches(split: str) -> list[Batch]:
    """All sequences, cut."""
    ends = np.cumsum([0, *SPLITS[split]]).tolist()
    return [batch(first, last) for first, last in pairwise(ends)]


def kinds(base: type[Accumulator] = Accumulator) -> set[type[Accumulator]]:
    """All kinds of accumulator."""
    return {each for kind in base.__subclasses__() for each in (kind, *kinds(kind))}


def test_every_kind_of_accumulator_is_held_to_the_contract() -> None:
    assert {type(case.new()) for case in CASES.values()} == kinds() - {GroupSums}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("how", ["in order", "backwards", "merged", "merged backwards", "resumed"])
def test_any_way_through_the_tokens_is_the_one_shot_answer(name: str, split: str, how: str) -> None:
    case = CASES[name]
    parts = batches(split)
    if "backwards" in how:
        parts.reverse()
    accumulated = case.new()
    for part in parts:
        if "merged" in how:
            other = case.new()
            case.give(other, part)
            accumulated.merge(other)
        else:
            case.give(accumulated, part)
        if how == "resumed":
            accumulated = type(accumulated).load(accumulated.state())
    found, expected = case.answer(accumulated), case.obvious()
    scale: dict[str, Any] = {"m3": np.abs(expected.get("m2", 0)) ** 1.5, "corr": 1.0}
    scale["in_deviations"] = 1.0
    scale["group_sums"] = np.sqrt(
        expected.get("squares", 0) * np.asarray(expected.get("n", 0)).max()
    )
    scale["sketch"] = np.abs(expected.get("sketch", np.zeros((1, 1)))).max(axis=(0, 1))
    for column, exact in expected.items():
        assert (np.isnan(found[column]) == np.isnan(exact)).all()
        error = np.abs(found[column] - exact) / np.maximum(np.abs(exact), scale.get(column, 1e-30))
        assert np.nanmax(error) < 1e-6, column


@pytest.mark.parametrize("name", CASES)
def test_a_state_is_not_changed_by_going_on(name: str) -> None:
    case = CASES[name]
    accumulated = case.new()
    case.give(accumulated, batch(0, 40))
    kept = type(accumulated).load(accumulated.state())
    before = {key: tensor.clone() for key, tensor in kept.state().items()}
    case.give(accumulated, batch(40, SEQUENCES))
    for key, tensor in kept.state().items():
        assert torch.equal(tensor.nan_to_num(), before[key].nan_to_num()), key


def test_tensors_of_another_device_are_counted_as_loops_count_them() -> None:
    loops, tensors = Moments(FIRST), Moments(FIRST)
    loops.add(VALUES, torch.from_numpy(ROWS))
    tensors.n += len(ROWS)
    tensors.add_tensors(VALUES[ROWS])
    pairs: list[tuple[Accumulator, Accumulator]] = [(loops, tensors)]
    every = grouping(batch(0, SEQUENCES))
    for kind in (TokenSums, ActiveSums):
        one, other = (kind(GROUPS, 6, torch.device("cpu")) for _ in range(2))
        one.add(VALUES, every)
        other.n.copy_(one.n)
        other.add_tensors(VALUES[every.rows], every.groups)
        pairs.append((one, other))
    here = batch(0, SEQUENCES)
    values, rows = turned(VALUES, here), torch.from_numpy(ROWS)
    listed, tensor_listed = (CASES["listed pairs"].new() for _ in range(2))
    listed.add(values, values)
    tensor_listed.add_tensors(values, values)
    tensor_listed.n += values.layout.n
    sketch, tensor_sketch = (CASES["sketch"].new() for _ in range(2))
    give_sketch(sketch, here)
    buckets, signs = HASHING.bucket_and_sign(rows)
    tensor_sketch.add_tensors(VALUES[rows], TOKENS.ravel()[rows], buckets, signs)
    assert torch.allclose(sketch.sums, tensor_sketch.sums, rtol=1e-5, atol=1e-2)
    assert torch.allclose(listed.products, tensor_listed.products, rtol=1e-5)
    features, tensor_features = (CASES["by feature"].new() for _ in range(2))
    with_features = labelled(here)
    features.add(VALUES, with_features)
    tensor_features.add_tensors(VALUES[with_features.rows], with_features)
    deviation = VALUES[ROWS].std(dim=0)
    assert torch.allclose(features.sums / deviation, tensor_features.sums / deviation, atol=1e-3)
    assert torch.allclose(features.squares, tensor_features.squares)
    for first, second in pairs:
        for key, tensor in first.state().items():
            assert torch.allclose(tensor, second.state()[key], rtol=1e-9), key


@pytest.mark.parametrize("near", [1, 2, 4, 6])
def test_listed_pairs_in_blocks_of_the_other_model_are_those_in_one(
    near: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = turned(VALUES, batch(0, SEQUENCES))
    whole = CASES["listed pairs"].new()
    monkeypatch.setattr("neurontab.measure.finals.BLOCK", near)
    parts = CASES["listed pairs"].new()
    assert parts.first.shape == (6, -(-6 // near) + 1)
    for sums in (whole, parts):
        sums.add(values, values)
    assert torch.equal(parts.unit, LISTED[:, 0])
    assert torch.allclose(whole.products, parts.products, rtol=1e-5)


@pytest.mark.parametrize("threads", [2, 3, 6, 40])
@pytest.mark.parametrize("pairs", [LISTED, LISTED[3:7], LISTED[8:], LISTED[:0]])
def test_threads_that_share_listed_pairs_sum_each_of_them_once(
    threads: int, pairs: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = turned(VALUES, batch(0, SEQUENCES))
    alone, shared = (
        ListedSums(pairs[:, 0], pairs[:, 1], (6, 6), GROUPS, torch.device("cpu")) for _ in range(2)
    )
    monkeypatch.setattr("neurontab.measure.finals.BLOCK", 4)
    for sums, n in ((alone, 1), (shared, threads)):
        monkeypatch.setattr("neurontab.measure.finals.get_num_threads", lambda n=n: n)
        sums.add(values, values)
    assert alone.products.any() == bool(len(pairs))
    assert torch.equal(alone.products, shared.products)


@pytest.mark.parametrize("tokens", [2, 16, 17, 33, 100])
def test_every_token_of_the_text_is_given_the_labels_of_another_about_as_frequent(
    tokens: int,
) -> None:
    counts = torch.arange(tokens + 5).flip(0).sub(4).clamp_min(0)  # the last five are not there
    names = np.array([f"f{token:03}" for token in range(tokens)], dtype=object)
    made = Features.of(names, np.arange(tokens), counts, seed=3)
    giver = made.shuffled[:tokens, :tokens].int().argmax(dim=0)
    assert giver.sort().values.tolist() == list(range(tokens))
    assert (giver != torch.arange(tokens)).all()
    assert (giver - torch.arange(tokens)).abs().max() <= 16
    other = Features.of(names, np.arange(tokens)[::-1].copy(), counts, seed=3)
    assert made.digest != other.digest


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("split", SPLITS)
def test_a_gpu_s_contexts_are_those_of_loops(sign: int, split: str) -> None:
    loops, tensors = Extremes(6, sign), Extremes(6, sign)
    for part in batches(split):
        loops.add(rows_of(part), part)
        tensors.add_tensors(rows_of(part), part)
    one, other = contexts_found(loops), contexts_found(tensors)
    for key, found in one.items():
        assert np.array_equal(found, other[key], equal_nan=True), key


def test_a_histogram_reaches_to_what_was_seen_and_counts_everything() -> None:
    moments = Moments(FIRST)
    moments.add(VALUES, torch.from_numpy(ROWS))
    found = moments.histogram()
    for neuron in range(6):
        mine = found["neuron"] == neuron
        assert found["n"][mine].sum() == len(ROWS)
        seen = VALUES.double()[ROWS][:, neuron]
        assert found["lower"][mine].min() <= seen.min()
        assert found["upper"][mine].max() >= seen.max()
        for lower, upper, n in zip(*(found[c][mine] for c in ("lower", "upper", "n")), strict=True):
            slack = 1e-5 * (upper - lower)
            within = ((seen >= lower - slack) & (seen <= upper + slack)).sum()
            assert n <= within


def test_a_constant_neuron_has_one_bin() -> None:
    for value in (0.0, 7.0, -1e6):
        first = Range(*(torch.full((1,), value) for _ in range(3)))
        moments = Moments(first)
        moments.add(torch.full((50, 1), value), torch.arange(50))
        assert moments.histogram()["n"].tolist() == [50]


def test_the_standing_of_a_value_is_its_distance_in_standard_deviations() -> None:
    moments = Moments(FIRST)
    moments.add(VALUES, torch.arange(len(VALUES)))
    exact = VALUES.double().numpy()
    found = moments.standing_of(VALUES[3], "bos")
    assert found["bos_activation"].tolist() == exact[3].tolist()
    expected = (exact[3] - exact.mean(axis=0)) / exact.std(axis=0)
    assert np.ma.getdata(found["bos_z"]) == pytest.approx(expected, rel=1e-5)


def test_sums_over_many_blocks_lose_nothing_to_a_large_one() -> None:
    """A product of 1e8 and a thousand of 1: float32 would keep the first alone."""
    sums = PairSums(1, 1, torch.device("cpu"))
    sums.add(torch.full((1, 1), 1e4), torch.full((1, 1), 1e4))
    for _ in range(1_000):
        sums.add(torch.ones(1, 1), torch.ones(1, 1))
    zero = torch.zeros(1, dtype=torch.float64)
    assert sums.n * sums.result(zero, zero).item() == pytest.approx(1e8 + 1_000, abs=0.01)
