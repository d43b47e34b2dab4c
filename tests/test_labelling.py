"""A run's text labelled by spaCy: a token has the labels of its word, and a build takes them."""

import re
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
import spacy
from spacy.language import Language

from neurontab import suite
from neurontab.building import build
from neurontab.config import resolve
from neurontab.errors import ConfigError
from neurontab.labelling import label, load_pipeline
from neurontab.progress import Silent
from neurontab.run import Run


@pytest.fixture(scope="module")
def pipeline() -> Language:
    """Rules instead of training: articles, plurals and one name."""
    made = spacy.blank("en")
    made.add_pipe("sentencizer")
    rules = made.add_pipe("attribute_ruler")
    rules.add([[{"LOWER": {"IN": ["the", "a", "an"]}}]], {"POS": "DET"})  # type: ignore[attr-defined]
    rules.add([[{"LOWER": "these"}]], {"MORPH": "Number=Plur"})  # type: ignore[attr-defined]
    names = made.add_pipe("entity_ruler")
    names.add_patterns([{"label": "PRODUCT", "pattern": "Python"}])  # type: ignore[attr-defined]
    return made


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One suite model over a little of its text."""
    settings = resolve(
        models=[str(suite.models()[0])], corpus=[str(suite.CORPUS)], tokens=20_000, ablations=0
    )
    return build(settings, tmp_path_factory.mktemp("run") / "run")


def test_a_token_has_the_labels_of_its_word(run: Run, pipeline: Language) -> None:
    found = label(run, pipeline, Silent())
    vocabulary = run.scan("vocabulary").select("token_id", "text").collect()
    named = found.join(vocabulary, on="token_id", how="left").sort("sequence", "position")
    assert set(found.columns) == {
        *("sequence", "position", "token_id"),
        *("pos", "morph_number", "entity", "is_stop", "is_sentence_start"),
    }
    assert named.filter(position=0).is_empty()  # what begins a sequence is no text
    assert named.filter(position=1)["is_sentence_start"].sum() > 5
    spelled = dict(run.scan("vocabulary").select("token_id", "bytes").collect().iter_rows())
    for column, value, words in (
        ("pos", "DET", r"(?i:the|a|an)"),
        ("entity", "PRODUCT", "Python"),
        ("morph_number", "Plur", r"(?i:these)"),
    ):
        expected = set()
        for sequence, pieces in _sequences(run, spelled):
            whole = b"".join(pieces).decode("utf-8", "surrogateescape")
            read = re.sub("[\udc80-\udcff]", "\ufffd", whole)
            spans = [found.span() for found in re.finditer(rf"\b{words}\b", read)]
            ends = {word.idx: word.idx + len(word) for word in pipeline.make_doc(read)}
            alone = [
                [len(whole[:letter].encode("utf-8", "surrogateescape")) for letter in span]
                for span in spans
                if ends.get(span[0]) == span[1]
            ]
            at = 0
            for position, piece in enumerate(pieces):
                letter = at + len(piece) - len(piece.lstrip())
                at += len(piece)
                if piece.strip() and any(begin <= letter < end for begin, end in alone):
                    expected.add((sequence, position))
        rows = named.filter(pl.col(column) == value).select("sequence", "position").rows()
        assert set(rows) == expected
        assert len(rows) == len(expected) >= 1


def test_a_build_takes_what_spacy_says(run: Run, pipeline: Language, tmp_path: Path) -> None:
    label(run, pipeline, Silent()).write_parquet(tmp_path / "labels.parquet")
    settings = resolve(
        models=[str(suite.models()[0])],
        corpus=[str(suite.CORPUS)],
        labels=[str(tmp_path / "labels.parquet")],
        tokens=20_000,
        ablations=0,
    )
    labelled = build(settings, tmp_path / "run")
    found = labelled.scan("explanations").filter(by="label", feature="pos=DET", offset="current")
    assert found.select(pl.col("explained_held_out").max()).collect().item() > 0.3
    assert labelled.manifest.fingerprint != run.manifest.fingerprint
    same = labelled.scan("activation_moments").collect()
    assert same.equals(run.scan("activation_moments").collect())


def test_what_is_never_true_is_no_label(run: Run) -> None:
    """Without a pipe that finds sentences none begins; the build takes what is left."""
    found = label(run, spacy.blank("en"), Silent())
    assert found.columns == ["sequence", "position", "token_id", "is_stop"]


def test_a_text_of_special_tokens_alone_has_no_labels(own: Run) -> None:
    tokens = own.folder / "corpus" / "tokens.arrow"
    with pa.ipc.new_file(str(tokens), pa.schema([("tokens", pa.list_(pa.uint32(), 32))])) as file:
        column = pa.FixedSizeListArray.from_arrays(pa.array([0] * 64, pa.uint32()), 32)
        file.write_table(pa.table({"tokens": column}))
    assert label(own, spacy.blank("en"), Silent()).is_empty()


def test_a_pipeline_that_is_not_there_is_told() -> None:
    with pytest.raises(ConfigError, match="no spaCy pipeline 'en_no_such'"):
        load_pipeline("en_no_such")


def _sequences(run: Run, spelled: dict[int, bytes]) -> list[tuple[int, list[bytes]]]:
    tokens = pl.read_ipc(run.folder / "corpus" / "tokens.arrow")
    rows = tokens.select("sequence", "tokens").rows()
    return [(number, [spelled[token] for token in each]) for number, each in rows]
