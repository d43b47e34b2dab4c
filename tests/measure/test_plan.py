"""What builds will cost, held against arithmetic by hand."""

from dataclasses import replace
from pathlib import Path

import pytest

from neurontab.errors import RunError
from neurontab.measure.left_open import LeftOpen
from neurontab.measure.memory import Needs
from neurontab.measure.models import ModelFacts
from neurontab.measure.plan import INPUTS, Plan, plan
from neurontab.measure.sketch_plan import MOST, REPLICATES, Mode
from neurontab.measure.stages import COSTS, Speed, Stage

GIB = 2**30
SPEED = Speed(product=1e11, quickest="bfloat16", quick_product=2e11, run=2.5e10, costs=COSTS["cpu"])
SUITE = ModelFacts(
    "seed0",
    "seed0",
    None,
    "GPT2LMHeadModel",
    4,
    128,
    512,
    4,
    4_096,
    256,
    "gelu",
    False,
    True,
    "",
    "",
)
SEVEN = ModelFacts(
    "llama0", "llama0", None, "LlamaForCausalLM", 32, 4_096, 11_008, 32, 32_000, 2_048, "silu",
    True, False, "", "",
)  # fmt: skip
NEEDS = Needs(
    batch_tokens=4_096,
    block_tokens=8_192,
    context=256,
    draws=4,
    kept=10,
    types=4_000,
    features=330,
    label_bytes=0,
    ablations=4_096,
    exported=2_048,
    document_groups=50,
    sequences=0,
)


def planned(
    like: ModelFacts,
    tokens: int,
    *,
    mode: Mode = "auto",
    models: int = 5,
    free: int = 16 * GIB,
    allowed: int | None = None,
    sequences: int = 0,
) -> Plan:
    """The plan of a family of alike models; without sequences nothing is kept of them."""
    names = [replace(like, model=f"m{number}") for number in range(models)]
    needs = replace(NEEDS, sequences=sequences)
    return plan(names, tokens, needs, mode=mode, allowed=allowed, free=free, speed=SPEED)


def test_a_seven_billion_family_is_planned_without_being_run() -> None:
    """32 layers of 11,008, five models, 100 million tokens, 80 GB cards."""
    tokens = 10**8
    found = planned(SEVEN, tokens, free=80 * 10**9)
    n = 32 * 11_008
    assert sum(found.neurons.values()) == 5 * n == 1_761_280
    assert found.pairs == 10
    weights = 32 * (3 * 4_096 * 11_008 + 4 * 4_096**2)
    run = 5 * 2 * weights * tokens  # 6.5e18 FLOP: two a weight and token
    assert found.stages["activations"].flop == run
    tiles = 5 * 32 * (5 * 32 + 1) // 2
    assert found.places["products"] <= 8 * tiles * 11_008**2
    exact = planned(SEVEN, tokens, mode="exact", free=80 * 10**9)
    passes = exact.passes - 1
    assert exact.stages["products"].flop == passes * run + 2 * tiles * 11_008**2 * tokens
    rotated = 4 * (5 * n - n) * 32 * 11_008**2 * 5  # two products a tile and direction
    assert exact.stages["baselines"].flop == NEEDS.draws * rotated
    assert passes == tiles  # there is no room for two beside the models
    sketched = planned(SEVEN, tokens, mode="sketch", free=10**12)
    assert sketched.sketch is not None
    assert 1_000 < sketched.sketch.buckets <= MOST
    assert sketched.memory <= sketched.budget == pytest.approx(0.6 * 10**12)
    groups = 3 * 2**30 // (3 * 12 * n)  # of tokens: sums of a model by three offsets in 3 GiB
    rows = REPLICATES * sketched.sketch.buckets + groups
    assert sketched.stages["estimates"].flop == 2 * tiles * 11_008**2 * rows
    added = REPLICATES * 5 * n * tokens
    assert sketched.stages["sketches"].flop == run + 2 * added
    assert sketched.places["sketches"] >= 4 * 5 * n * REPLICATES * sketched.sketch.buckets


def test_what_five_large_models_need_is_refused_on_one_card_with_the_sizes(tmp_path: Path) -> None:
    found = planned(SEVEN, 10**8, free=80 * 10**9)
    parameters = 32 * (3 * 4_096 * 11_008 + 4 * 4_096**2) + 32_000 * 4_096
    assert found.places["program and models"] > 5 * 4 * parameters
    with pytest.raises(RunError, match=r"needs about \d+\.\d GiB of memory; 44\.7 GiB may be used"):
        found.refuse_if_too_large(tmp_path)


def test_auto_takes_what_takes_less_time() -> None:
    taken = []
    for tokens in (6_000, 60_000, 80_000, 100_000, 120_000, 180_000, 300_000, 10**6, 10**7):
        found = {mode: planned(SUITE, tokens, mode=mode) for mode in ("auto", "sketch", "exact")}
        assert found["auto"].seconds == min(found["sketch"].seconds, found["exact"].seconds)
        taken.append(found["auto"].sketch is not None)
    assert taken == sorted(taken)  # never again all products, once there are tokens enough
    assert planned(SUITE, 60_000).sketch is None
    assert planned(SUITE, 1_000_000).sketch is not None


def test_auto_takes_what_fits() -> None:
    """Of one wide layer there is memory for sketches, but not for a tile."""
    wide = replace(SEVEN, n_layers=1, d_mlp=16_384)
    found = {
        mode: planned(wide, 6_000, models=2, free=70 * GIB, mode=mode)
        for mode in ("auto", "sketch", "exact")
    }
    assert found["sketch"].memory <= found["sketch"].budget < found["exact"].memory
    assert found["exact"].seconds < found["sketch"].seconds
    assert found["auto"] == found["sketch"]


def test_what_few_buckets_leave_open_is_in_the_plan() -> None:
    """Many lists that overflow: whole rows, as many passes as they need, then their matches."""
    tokens = 120_000
    found = planned(SUITE, tokens, mode="sketch")
    assert found.sketch is not None
    share = found.sketch.overflown(10_240)
    pairs = share * 10_240**2  # of a row and another neuron
    assert found.stages["whole rows"].flop == pytest.approx(2 * pairs * tokens)
    run = 2 * tokens * 5 * 4 * (2 * 128 * 512 + 4 * 128**2)
    by_document = 10 * share * 10_240 * 5 * tokens
    assert found.stages["by document"].flop == pytest.approx(run + 2 * by_document)
    little = planned(SUITE, tokens, mode="sketch", allowed=3_898 * 2**20)
    assert little.sketch is not None
    assert little.sketch.chosen < found.sketch.expected(10_240) / 3  # that memory holds the sums of
    share = LeftOpen.of(little.sketch, 10_240, 5, little.room).whole
    assert share > found.sketch.overflown(10_240) + 0.2
    pairs = share * 10_240**2
    passes = -(-share * 10_240 * 5 * (8 * 2_048 + 12 * 1_024) // little.room)
    assert little.passes == 2 + passes > 4
    again = (passes - 1) * run
    assert little.stages["whole rows"].flop == pytest.approx(2 * pairs * tokens + again)
    many = planned(SUITE, 10**6, mode="sketch")
    assert many.stages.keys().isdisjoint({"whole rows", "by document"})
    assert many.passes == 2 == found.passes - 1
    assert 0 < many.stages["longer lists"].flop < 0.01 * many.stages["estimates"].flop


def test_fewer_tokens_than_rows_of_a_sketch_take_all_products_and_say_so() -> None:
    few = planned(SUITE, 5_000, mode="sketch")
    assert few.sketch is None
    assert "matching by all products: fewer than 5,120 tokens are not sketched" in (few.lines())
    assert planned(SUITE, 6_000, mode="sketch").sketch is not None
    assert "matching by all products" in planned(SUITE, 5_000, mode="exact").lines()


def test_a_plan_is_read_in_nine_lines() -> None:
    found = replace(
        planned(SUITE, 1_000_000, mode="sketch"),
        stages={"sketches": Stage(2.5e12, 90.0), "finals": Stage(0.0, 3_600.0)},
        passes=3,
        places={"sketches": 3 * GIB // 2, "blocks and tiles": GIB // 4},
        memory=5 * GIB,
        budget=8 * GIB,
        disk=700 * 2**20,
    )
    neurons = ", ".join(f"m{number} 2,048" for number in range(5))
    assert found.lines() == [
        f"neurons  10,240 ({neurons})",
        "pairs    10 of models, matched in both directions",
        "tokens   1,000,000 counted",
        f"matching by sketches of {REPLICATES * MOST:,} rows in bfloat16, "
        "then the pairs that may be best",
        "passes   1 for each model alone, 3 to match",
        "FLOP     sketches 2.5e+12",
        "memory   5.0 of 8.0 GiB (sketches 1.5, blocks and tiles 0.2)",
        "disk     700 MiB",
        "time     about 62 min (sketches 90 s, finals 60 min)",
    ]


def test_where_more_matches_are_kept_than_lists_hold_nothing_is_sketched() -> None:
    """Every row would be measured whole."""
    for kept, sketched in ((24, True), (600, False)):
        needs = replace(NEEDS, kept=kept)
        names = [replace(SUITE, model=f"m{number}") for number in range(5)]
        found = plan(names, 10**6, needs, mode="auto", allowed=None, free=16 * GIB, speed=SPEED)
        assert (found.sketch is not None) == sketched


def test_sums_of_whole_rows_lie_on_disk_until_the_end() -> None:
    found = planned(SUITE, 120_000, mode="sketch")
    many = planned(SUITE, 10**6, mode="sketch")
    assert found.sketch is not None
    assert many.sketch is not None
    kept = 8 * found.sketch.overflown(10_240) * 10_240**2
    assert kept > 10**7
    beside = found.disk - 2 * found.sketch.size - 8 * found.tokens
    assert beside - kept == pytest.approx(many.disk - 2 * many.sketch.size - 8 * many.tokens)


def test_seconds_are_flop_over_the_measured_speed() -> None:
    found = planned(SUITE, 60_000, mode="exact")
    run = 2 * 60_000 * 5 * 4 * (2 * 128 * 512 + 4 * 128**2)
    products = 2 * 60_000 * 512**2 * 20 * 21 / 2
    assert found.stages["products"].seconds == pytest.approx(run / SPEED.run + products / 1e11)
    assert found.seconds == pytest.approx(sum(s.seconds for s in found.stages.values()))


def test_less_memory_takes_more_passes_and_keeps_within_it() -> None:
    enough = planned(SUITE, 10**6, mode="exact")
    least = enough.memory - enough.places["products"]
    assert enough.passes == 2  # products, and matches by document
    for share in (2, 3, 7):
        allowed = least + enough.places["products"] // share + 2**23
        found = planned(SUITE, 10**6, mode="exact", allowed=allowed)
        assert found.passes - 1 >= share
        assert found.memory <= allowed
        assert found.places["products"] <= enough.places["products"] / share + 2**23


@pytest.mark.parametrize("mode", ["sketch", "exact"])
def test_what_memory_is_left_keeps_what_mlps_read_and_saves_their_runs(mode: Mode) -> None:
    tokens, sequences = 10**6, 3_922
    without = planned(SUITE, tokens, mode=mode, free=64 * GIB)
    every = planned(SUITE, tokens, mode=mode, free=64 * GIB, sequences=sequences)
    assert every.kept_sequences == sequences
    size = 4 * 5 * 4 * 128 * 256 * sequences  # float32, models, layers, d_model, positions
    assert every.places[INPUTS] == size == every.memory - without.memory
    assert every.room == without.room - size
    run, mlps = (2 * tokens * 5 * 4 * each for each in (2 * 128 * 512 + 4 * 128**2, 128 * 512))
    saved = 2 * (run - mlps)  # in both passes that match
    whole, fewer = (sum(s.flop for s in each.stages.values()) for each in (without, every))
    assert whole - fewer == pytest.approx(saved)
    assert without.seconds - every.seconds == pytest.approx(saved / SPEED.run)
    half = planned(SUITE, tokens, mode=mode, allowed=every.memory - size // 2, sequences=sequences)
    assert 0.3 < half.kept_sequences / sequences <= 0.5  # tiles have room beside
    assert half.memory <= every.memory - size // 2
    assert half.sketch == every.sketch


def test_what_mlps_read_of_a_few_tokens_leaves_its_memory_to_whole_rows() -> None:
    """By sketches; in mode `exact` nothing else could use that memory."""
    some = planned(SUITE, 10**6, mode="sketch", sequences=10_000)
    assert 0.1 < some.kept_sequences / 10_000 < 0.5
    cases: list[tuple[Mode, float, bool]] = [
        ("sketch", 0.06, True),
        ("sketch", 0.04, False),
        ("exact", 0.04, True),
    ]
    for mode, share, kept in cases:
        sequences = int(some.kept_sequences / share)
        found = planned(SUITE, 10**6, mode=mode, sequences=sequences)
        assert bool(found.kept_sequences) == kept, (mode, share)
        if mode == "sketch":
            assert found.kept_sequences in (0, some.kept_sequences)
            assert found.room == some.room + some.places[INPUTS] - found.places[INPUTS]


def test_one_model_has_no_pairs_and_a_plan_all_the_same() -> None:
    found = planned(SUITE, 10**5, models=1)
    assert found.pairs == 0
    assert found.stages["one-to-one"].seconds == 0
    assert any(line.startswith("time     about") for line in found.lines())
