"""Neurons with known answers: the whole pipeline, as it is shipped, finds each and no other."""

from pathlib import Path

import planted
import polars as pl
import pytest
import tiny
import torch

from neurontab.building import build
from neurontab.config import resolve
from neurontab.run import Run

ZOOS = 5
WIDTH = 32  # of the layers of models that have learnt nothing
READ_FROM = {"unigram", "alphabet", "previous_token"}  # a feature that is known
FAMILIES = {"unigram", "alphabet", "previous_token", "syntax", "position", "context", "bos"}
ROLES = {
    *("prediction", "suppression", "partition", "entropy", "frequency"),
    *("attention_deactivation", "attention_activation"),
}
Labels = dict[tuple[int, int], str]  # by layer and neuron


@pytest.fixture(scope="module")
def zoos() -> dict[str, planted.Zoo]:
    """Five random zoos by name."""
    return {f"zoo{seed}": planted.zoo(seed) for seed in range(ZOOS)}


def labels(run: Run, model: str, column: str) -> Labels:
    """What neurons have in a column that is not `none`."""
    rows = run.neurons.filter(pl.col("model") == model, pl.col(column) != "none")
    found = rows.select("layer", "neuron", column).collect().rows()
    return {(layer, neuron): each for layer, neuron, each in found}


def tokens(run: Run, feature: str) -> set[int]:
    """Those that have it: on a small vocabulary several rules may say the same."""
    rows = run.scan("token_features").filter(pl.col("feature") == feature).collect()
    return set(rows["token_id"])


def test_every_zoo_has_two_of_each_kind_among_many_distractors(
    zoos: dict[str, planted.Zoo],
) -> None:
    for zoo in zoos.values():
        for labelled, kinds in ((zoo.families, FAMILIES), (zoo.roles, ROLES)):
            known = list(labelled.values())
            assert set(known) == kinds
            assert min(map(known.count, kinds)) >= 2
        assert 2 * planted.D_MLP - len(zoo.families | zoo.roles) >= 200


def test_every_planted_neuron_is_found_and_nothing_else_is(
    zoos: dict[str, planted.Zoo], tmp_path: Path
) -> None:
    """Of all zoos in one build, with the defaults."""
    sources = [str(planted.save(zoo, tmp_path / name)) for name, zoo in zoos.items()]
    text = planted.write_text(tmp_path / "text.jsonl")
    run = build(resolve(models=sources, corpus=[str(text)]), tmp_path / "run")
    for name, zoo in zoos.items():
        assert labels(run, name, "family") == zoo.families
        assert labels(run, name, "role") == zoo.roles
        features = run.neurons.filter(pl.col("family").is_in(list(READ_FROM)))
        found = features.filter(model=name).select("layer", "neuron", "family_feature").collect()
        for layer, neuron, feature in found.rows():
            assert tokens(run, feature) == tokens(run, zoo.features[layer, neuron])
        assert len(found) == sum(family in READ_FROM for family in zoo.families.values())
        entropy = {place for place, role in zoo.roles.items() if role == "entropy"}
        kept = run.scan("logit_effects").filter(model=name).select("layer", "neuron").collect()
        assert entropy <= set(kept.rows())
        ablated = run.scan("ablations").filter(model=name, is_control=True)
        others = ablated.select("layer", "neuron").unique().sort("neuron").head(10).collect()
        assert set(others.rows()) <= set(kept.rows())

    for name in run.charts():
        assert "no such neuron" not in str(run.chart(name).to_dict()["datasets"]), name


def test_what_moves_a_score_for_bos_moves_attention(zoos: dict[str, planted.Zoo]) -> None:
    """In the model itself: to BOS, by the planted head of layer 1, when the neuron is louder."""
    tokens = torch.randint(2, 200, (8, 40), generator=torch.Generator().manual_seed(0))
    tokens[:, 0] = 0
    for zoo in zoos.values():
        before = attention_to_bos(zoo.model, tokens)
        for place, role in zoo.roles.items():
            if role.startswith("attention"):
                change = attention_to_bos(louder(zoo.model, *place), tokens) - before
                assert change > 0.05 if role == "attention_deactivation" else change < -0.01


def louder(model: tiny.Model, layer: int, neuron: int) -> tiny.Model:
    """A copy in which a neuron is active everywhere."""

    def raise_bias(copy: tiny.Model) -> None:
        tiny.mlps(copy)[layer].c_fc.bias[neuron] += 5

    return tiny.copied(model, raise_bias)


def attention_to_bos(model: tiny.Model, tokens: torch.Tensor) -> float:
    """Mean over positions, by the first head of layer 1."""
    model.set_attn_implementation("eager")
    with torch.no_grad():
        attention = model(tokens, output_attentions=True).attentions[1]
    return float(attention[:, 0, 1:, 0].mean())


def test_random_weights_have_next_to_no_label(tmp_path: Path) -> None:
    """Twenty models that have learnt nothing."""
    text = planted.write_text(tmp_path / "text.jsonl", documents=10)
    sources = []
    for seed in range(20):
        made = tiny.model(seed, d_mlp=WIDTH, d_model=64, words=len(planted.WORDS))
        sources.append(str(planted.save(planted.Zoo(made), tmp_path / f"m{seed}")))
    found = []
    for first in range(0, 20, 5):
        family = resolve(
            models=sources[first : first + 5], corpus=[str(text)], matching={"draws": 1}
        )
        run = build(family, tmp_path / f"run{first}")
        found.append(run.neurons.select("family", "role").collect())
    every = pl.concat(found)
    labelled = every.filter((pl.col("family") != "none") | (pl.col("role") != "none"))
    assert len(every) == 20 * 2 * WIDTH
    assert len(labelled) < 0.01 * len(every)
