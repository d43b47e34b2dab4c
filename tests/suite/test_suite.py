"""The embedded suite is what its card says."""

import json
from pathlib import Path

import polars as pl
import pytest
from safetensors import safe_open

from neurontab import suite
from neurontab.errors import CorpusError
from neurontab.suite.card import card
from neurontab.suite.recipe import BOS, RECIPE
from neurontab.suite.text import Document, digest
from neurontab.suite.train import refuse_other_text

MIB = 2**20


def test_five_models_are_small_enough_to_ship() -> None:
    folders = suite.models()
    assert [folder.name for folder in folders] == [f"seed{n}" for n in range(5)]
    sizes = [sum(path.stat().st_size for path in folder.iterdir()) for folder in folders]
    assert max(sizes) <= 4 * MIB
    assert (
        sum(path.stat().st_size for path in suite.FOLDER.rglob("*") if path.is_file()) <= 24 * MIB
    )


@pytest.mark.parametrize("folder", suite.models(), ids=lambda folder: folder.name)
def test_a_model_has_the_recipe_s_shape_in_half_precision(folder: Path) -> None:
    with safe_open(folder / "model.safetensors", "pt") as weights:
        for name in weights.keys():  # noqa: SIM118 - not a mapping
            assert weights.get_slice(name).get_dtype() == "F16", name
        shape = weights.get_slice("transformer.h.2.mlp.c_fc.weight").get_shape()
    assert shape == [RECIPE.d_model, RECIPE.d_mlp]
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["GPT2LMHeadModel"]
    losses = json.loads((folder / "training.json").read_text())["held_out_loss"]
    assert losses[-1]["step"] == RECIPE.steps
    assert losses[-1]["loss"] < 3.5 < 6.9 < losses[0]["loss"]


def test_all_seeds_share_the_suite_s_tokenizer() -> None:
    expected = (suite.FOLDER / "tokenizer" / "tokenizer.json").read_bytes()
    for folder in suite.models():
        assert (folder / "tokenizer.json").read_bytes() == expected
    assert json.loads(expected)["model"]["vocab"][BOS] == 0


def test_the_corpus_is_the_held_out_text_of_the_card() -> None:
    table = pl.read_parquet(suite.CORPUS)
    documents = [Document(**row) for row in table.to_dicts()]
    assert all(document.held_out for document in documents)
    facts = json.loads((suite.FOLDER / "text.json").read_text())["held_out"]
    assert (len(documents), digest(documents)) == (facts["documents"], facts["sha256"])
    assert set(table["source"]) == {"library", "tests", "manual"}


def test_a_seed_is_never_trained_on_other_text_than_its_sisters() -> None:
    other = [Document("a.py", "library", "x = 1")]
    with pytest.raises(CorpusError, match=r"digest [0-9a-f]{12}, the suite was trained on b923e07"):
        refuse_other_text(other)


def test_the_card_is_current() -> None:
    assert (suite.FOLDER / "README.md").read_text("utf-8") == card()
