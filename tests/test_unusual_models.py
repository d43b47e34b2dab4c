"""Models without a BOS, without biases, with more rows than tokens: explained, or refused."""

import json
from pathlib import Path

import polars as pl
import pytest
import tiny
import torch
from conftest import Built
from polars.testing import assert_frame_equal

from neurontab.building import build
from neurontab.config import BuildConfig, resolve
from neurontab.errors import ModelError
from neurontab.run import Run

TOKENIZER = "tokenizer_config.json"


def over(text: Path, folder: Path) -> BuildConfig:
    """One model over all of a text."""
    return resolve(models=[str(folder)], corpus=[str(text)], tokens="all")


def without(folder: Path, *names: str) -> None:
    """Takes special tokens away from a saved tokenizer."""
    settings = json.loads((folder / TOKENIZER).read_text())
    (folder / TOKENIZER).write_text(
        json.dumps({name: each for name, each in settings.items() if name not in names})
    )


def test_without_a_token_that_begins_sequences_a_model_is_refused(
    tmp_path: Path, text: Path
) -> None:
    folder = tiny.save(tiny.model(0), tmp_path / "m")
    without(folder, "bos_token", "eos_token")
    with pytest.raises(ModelError, match=r"needs a tokenizer.json with a token that begins"):
        build(over(text, folder), tmp_path / "run")
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_the_token_that_ends_sequences_begins_them_where_no_other_does(
    tmp_path: Path, text: Path
) -> None:
    folder = tiny.save(tiny.model(0), tmp_path / "m")
    settings = json.loads((folder / TOKENIZER).read_text())
    settings["eos_token"] = settings.pop("bos_token")
    (folder / TOKENIZER).write_text(json.dumps(settings))
    run = build(over(text, folder), tmp_path / "run")
    moments = run.scan("activation_moments").filter(site="pre").collect()
    assert moments["bos_activation"].null_count() == 0
    assert run.neurons.select("family", "role").collect().null_count().row(0) == (0, 0)


@pytest.mark.parametrize("kind", ["gpt2-biasless", "llama"])
def test_neurons_without_biases_are_explained(built: Built, text: Path, kind: str) -> None:
    run = built(text, a=tiny.of_kind(kind))
    found = run.neurons.collect()
    if kind == "llama":  # a norm without a bias leaves none to be folded in
        assert found["input_bias"].to_list() == [0.0] * len(found)
    assert found.select("family", "role", "n_families").null_count().row(0) == (0, 0, 0)
    assert (run.scan("explanations").collect()["explained"] >= 0).all()


def test_rows_beyond_the_tokenizer_say_nothing_of_neurons(built: Built, text: Path) -> None:
    """Ten rows of a padded vocabulary, as loud as can be."""
    plain = tiny.model(0)
    padded = tiny.model(0, words=len(tiny.WORDS) + 10)
    with torch.no_grad():
        wide = padded.transformer.wte.weight
        wide.copy_(torch.cat([plain.transformer.wte.weight, torch.full((10, 16), 50.0)]))
        rest = {
            k: v for k, v in plain.state_dict().items() if "wte" not in k and "lm_head" not in k
        }
        padded.load_state_dict(rest, strict=False)
    one = built(text, a=plain)
    tables = ("vocab_effect", "vocab_moments", "explanations", "families", "role_candidates")
    before = {name: one.scan(name).collect() for name in tables}
    other = built(text, fresh=True, a=padded)
    for name in tables:
        assert_frame_equal(before[name], other.scan(name).collect(), rel_tol=1e-5, abs_tol=1e-6)
    assert tokens_of(other) == tokens_of(one)


def tokens_of(run: Run) -> int:
    """Highest token id that a neuron promotes or suppresses."""
    return int(run.scan("vocab_tokens").select(pl.col("token_id").max()).collect().item())
