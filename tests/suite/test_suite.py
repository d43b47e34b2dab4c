"""The embedded suite is what its card says."""

import json
from pathlib import Path

import polars as pl
import pytest
from safetensors import safe_open
from tokenizers import Tokenizer

from neurontab import suite
from neurontab.suite.archives import archives
from neurontab.suite.card import EVIDENCE, WHAT, card
from neurontab.suite.prepare import LICENCES
from neurontab.suite.recipe import BOS, RECIPE
from neurontab.suite.text import OF_OTHERS, digest

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
        last = f"transformer.h.{RECIPE.n_layers - 1}.mlp.c_fc.weight"
        assert weights.get_slice(last).get_shape() == [RECIPE.d_model, RECIPE.d_mlp]
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["GPT2LMHeadModel"]
    losses = json.loads((folder / "training.json").read_text())["held_out_loss"]
    assert losses[-1]["step"] == RECIPE.steps
    assert losses[-1]["loss"] < 3.2 < 8.2 < losses[0]["loss"]


def test_all_seeds_share_the_suite_s_tokenizer() -> None:
    expected = (suite.FOLDER / "tokenizer" / "tokenizer.json").read_bytes()
    for folder in suite.models():
        assert (folder / "tokenizer.json").read_bytes() == expected
    vocabulary = json.loads(expected)["model"]["vocab"]
    assert vocabulary[BOS] == 0
    assert len(vocabulary) == RECIPE.d_vocab


def test_the_vocabulary_has_no_bytes_beside_those_of_the_text_and_loses_none() -> None:
    tokenizer = Tokenizer.from_file(str(suite.FOLDER / "tokenizer" / "tokenizer.json"))
    texts = pl.read_parquet(suite.CORPUS)["text"].to_list()
    encoded = tokenizer.encode_batch(texts)
    assert [tokenizer.decode(each.ids) for each in encoded] == texts
    alphabet = {token for token in tokenizer.get_vocab() if len(token) == 1}
    assert 120 < len(alphabet) < 200
    n_tokens = sum(len(each.ids) for each in encoded)
    assert n_tokens >= 1_000_000


def test_the_corpus_is_the_held_out_text_of_the_card() -> None:
    table = pl.read_parquet(suite.CORPUS)
    facts = json.loads((suite.FOLDER / "text.json").read_text())["held_out"]
    found = digest(zip(table["path"], table["text"], strict=True))
    assert (len(table), found) == (facts["documents"], facts["sha256"])
    assert len(table) >= 1_000
    assert set(table["source"]) == set(WHAT)


def test_held_out_text_is_of_projects_held_out_with_its_licence_beside() -> None:
    of_archive = {archive.name: archive for archive in archives()}
    stated = {
        name
        for path in LICENCES.iterdir()
        if path.read_text("utf-8").startswith("Of ")
        for name in path.read_text("utf-8").split(":\n")[0].removeprefix("Of ").split(", ")
    }
    for path, source in pl.read_parquet(suite.CORPUS).select("path", "source").iter_rows():
        assert not OF_OTHERS.search(path)
        archive = of_archive[path.split("/")[0]]
        assert archive.name in stated
        if source == "prose":
            assert path.split("/")[1] in archive.held_out_parts
        elif source != "manual":  # held out by the name of the page
            assert archive.held_out, path


def test_the_recorded_evidence_shows_the_phenomenon() -> None:
    figures = json.loads(EVIDENCE.read_text("utf-8"))
    assert min(figures["default_universal_share"]) >= 0.01
    assert min(figures["default_layers"]) >= 2
    assert min(figures["default_groups"]) >= 15
    assert figures["default_features"] >= 15
    assert figures["default_features_not_token"] >= 5
    assert max(figures["untrained_universal"]) == 0


def test_the_card_is_current() -> None:
    assert (suite.FOLDER / "README.md").read_text("utf-8") == card()
