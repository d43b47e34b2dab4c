"""What weights say to the vocabulary, against numpy and against planted directions."""

import numpy as np
import pytest
import torch

from neurontab.measure.vocabulary_effect import (
    LISTED,
    Vocabulary,
    logit_effects,
    vocab_effect,
    vocab_moments,
    vocab_tokens,
)

D_MODEL, TOKENS, NEURONS, SPECIAL = 100, 300, 64, 3
RANDOM = torch.Generator().manual_seed(0)
W_OUT = torch.randn(NEURONS, D_MODEL, generator=RANDOM, dtype=torch.float64)
W_IN = torch.randn(NEURONS, D_MODEL, generator=RANDOM, dtype=torch.float64)
EMBED = torch.randn(TOKENS, D_MODEL, generator=RANDOM, dtype=torch.float64)
COUNTS = torch.randint(0, 1_000, (TOKENS,), generator=RANDOM)
IDS = torch.arange(SPECIAL, TOKENS)
UNREAD = 5  # the direction that the unembedding hardly reads
FREQUENCY = 9  # the direction that it reads as log frequency


def unembedding() -> torch.Tensor:
    """Random rows, but for the two planted directions."""
    rows = torch.randn(TOKENS, D_MODEL, generator=RANDOM, dtype=torch.float64)
    rows[:, UNREAD] *= 1e-3
    often = (COUNTS[IDS] + 1).double().log()
    rows[IDS, FREQUENCY] = often - often.mean()
    rows[IDS] -= rows[IDS].mean(dim=0)
    return rows


UNEMBED = unembedding()
VOCABULARY = Vocabulary.of(IDS, EMBED, UNEMBED, COUNTS, centred=False)


def test_a_neuron_that_writes_where_nothing_reads_is_told_from_chance() -> None:
    w_out = W_OUT.clone()
    w_out[7] = 0
    w_out[7, UNREAD] = 3
    found = vocab_effect(w_out, VOCABULARY)
    assert found["null_fraction"][7] == pytest.approx(1, abs=1e-4)
    assert found["logit_var"][7] == found["logit_var"].min()
    others = np.delete(found["null_fraction"], 7)
    assert others.mean() == pytest.approx((2 / np.pi / D_MODEL) ** 0.5, abs=0.03)
    assert found["spectrum_gap"][0] > 100


def test_the_chance_level_is_the_highest_of_random_directions() -> None:
    """In one layer of a thousand the highest null fraction is beyond it."""
    level = vocab_effect(W_OUT, VOCABULARY)["null_fraction_chance"][0]
    drawn = torch.randn(20_000, NEURONS, D_MODEL, generator=RANDOM)
    share = drawn[:, :, UNREAD].abs() / drawn.norm(dim=2)
    beyond = (share.amax(dim=1) > level).double().mean().item()
    assert beyond == pytest.approx(0.001, abs=0.0007)


def test_so_wide_over_the_vocabulary_are_random_directions() -> None:
    level = vocab_effect(W_OUT, VOCABULARY)["vocab_var_chance"][0]
    drawn = torch.randn(3_000, NEURONS, D_MODEL, generator=RANDOM, dtype=torch.float64)
    unit = torch.nn.functional.normalize(VOCABULARY.unembed, dim=1)
    spread = torch.stack(
        [(torch.nn.functional.normalize(w_out, dim=1) @ unit.T).var(dim=1).max() for w_out in drawn]
    )
    assert (spread > level).double().mean().item() == pytest.approx(0.001, abs=0.0015)
    assert spread.max() > 0.95 * level


def test_so_near_to_log_frequency_come_random_directions() -> None:
    """Also where one direction is read as it; in one layer of a thousand the highest is beyond."""
    rows = torch.randn(TOKENS, D_MODEL, generator=RANDOM, dtype=torch.float64)
    for unembed in (rows, UNEMBED + 3 * (UNEMBED[:, FREQUENCY, None] * rows[0])):
        vocabulary = Vocabulary.of(IDS, EMBED, unembed, COUNTS, centred=False)
        level = vocab_effect(W_OUT, vocabulary)["frequency_cos_chance"][0]
        drawn = torch.randn(1_000, NEURONS, D_MODEL, generator=RANDOM, dtype=torch.float64)
        highest = [abs(vocab_effect(w_out, vocabulary)["frequency_cos"]).max() for w_out in drawn]
        assert np.mean(np.array(highest) > level) <= 0.004
        assert max(highest) > 0.9 * level


def test_the_mean_direction_of_layer_norm_is_no_null_direction() -> None:
    """Nothing reads along ones, and nothing writes there: it says nothing of any neuron."""
    centred = UNEMBED - UNEMBED.mean(dim=1, keepdim=True)
    ones = torch.ones(D_MODEL, dtype=torch.float64) / D_MODEL**0.5
    for flag, along in ((True, 0.0), (False, 1.0)):
        null = Vocabulary.of(IDS, EMBED, centred, COUNTS, centred=flag).null
        assert (null.T @ ones).abs().item() == pytest.approx(along, abs=1e-6)


@pytest.mark.parametrize("size", [1e-3, 1e-6, 0])
def test_a_direction_that_is_read_as_little_as_the_mean_is_still_found(size: float) -> None:
    ones = torch.ones(D_MODEL, dtype=torch.float64) / D_MODEL**0.5
    unread = torch.zeros(D_MODEL, dtype=torch.float64)
    unread[:2] = torch.tensor([1, -1]) / 2**0.5
    rows = UNEMBED - torch.outer(UNEMBED @ ones, ones)
    rows = rows - (1 - size) * torch.outer(rows @ unread, unread)
    vocabulary = Vocabulary.of(IDS, EMBED, rows, COUNTS, centred=True)
    found = vocab_effect(torch.stack([unread, ones + unread]), vocabulary)
    assert found["null_fraction"][0] == pytest.approx(1, abs=1e-3)


def test_rows_that_no_token_has_count_for_nothing() -> None:
    padded = UNEMBED.clone()
    padded[np.setdiff1d(np.arange(len(padded)), IDS.numpy())] = 50.0
    found = vocab_effect(W_OUT, Vocabulary.of(IDS, EMBED, padded, COUNTS, centred=False))
    expected = vocab_effect(W_OUT, VOCABULARY)
    assert all(found[name] == pytest.approx(expected[name]) for name in expected)


def test_effects_on_all_logits_are_numpy_s() -> None:
    w_out = W_OUT.clone()
    w_out[2] = 0
    w_out[2, FREQUENCY] = 1
    found = vocab_effect(w_out, VOCABULARY)
    logits = w_out.numpy() @ UNEMBED[IDS].numpy().T
    assert found["logit_var"] == pytest.approx(logits.var(axis=1))
    often = np.log(COUNTS[IDS].numpy() + 1.0)
    expected = [np.corrcoef(row, often)[0, 1] for row in logits]
    assert found["frequency_cos"] == pytest.approx(np.array(expected))
    assert found["frequency_cos"][2] == pytest.approx(1)
    w_out[3] = 0  # a dead neuron says nothing
    dead = vocab_effect(w_out, VOCABULARY)
    assert (dead["null_fraction"][3], dead["frequency_cos"][3], dead["logit_var"][3]) == (0, 0, 0)


def cosines(vectors: torch.Tensor, rows: torch.Tensor) -> np.ndarray:
    """Every cosine [neuron, token]."""
    products = vectors.numpy() @ rows.numpy().T
    return np.asarray(products / np.outer(vectors.norm(dim=1), rows.norm(dim=1)))


def test_moments_of_cosines_are_numpy_s() -> None:
    vectors = {"in": W_IN, "out": W_OUT}
    matrices = {"embed": EMBED[IDS], "unembed": UNEMBED[IDS]}
    seen = set()
    for side, matrix, found in vocab_moments(W_IN, W_OUT, VOCABULARY):
        expected = cosines(vectors[side], matrices[matrix])
        deviation = expected - expected.mean(axis=1, keepdims=True)
        assert found["n"].tolist() == [TOKENS - SPECIAL] * NEURONS
        assert found["mean"] == pytest.approx(expected.mean(axis=1), abs=1e-6)
        for power in (2, 3, 4):
            exact = (deviation**power).sum(axis=1)
            assert found[f"m{power}"] == pytest.approx(exact, rel=1e-4, abs=1e-5)
        seen.add((side, matrix))
    assert len(seen) == 4


def test_promoted_and_suppressed_tokens_are_the_ends_of_the_sorted_logits() -> None:
    logits = W_OUT.numpy() @ UNEMBED[IDS].numpy().T
    cosine = cosines(W_OUT, UNEMBED[IDS])
    for direction, found in vocab_tokens(W_OUT, VOCABULARY):
        order = np.argsort(-logits if direction == "promoted" else logits, axis=1)[:, :LISTED]
        assert found["token_id"].reshape(NEURONS, LISTED).tolist() == (order + SPECIAL).tolist()
        rows = np.arange(NEURONS)[:, None]
        assert found["logit"].reshape(NEURONS, LISTED) == pytest.approx(logits[rows, order])
        assert found["cosine"].reshape(NEURONS, LISTED) == pytest.approx(cosine[rows, order])
    effect, angle = logit_effects(W_OUT[:2], VOCABULARY)
    assert effect.numpy() == pytest.approx(logits[:2])
    assert angle.numpy() == pytest.approx(cosine[:2])
