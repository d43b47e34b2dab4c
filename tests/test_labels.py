"""Labels that come with the text: lined up, measured, explained; what does not line up is named."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import tiny
import torch
from test_explanations import OFFSETS, PLANTED, WORDS, Known, planted, variance_reduction
from test_planted import activations

from neurontab.building import build
from neurontab.config import BuildConfig, resolve
from neurontab.errors import CorpusError
from neurontab.measure.corpus import Corpus
from neurontab.measure.document_groups import DocumentGroups
from neurontab.measure.text_labels import TextLabels, read_labels
from neurontab.prepare import prepare
from neurontab.progress import Silent

Rows = dict[str, pl.Series]
DIGITS = [number + 2 for number, word in enumerate(WORDS) if word.isdigit()]


def labels_of(corpus: Corpus) -> pl.DataFrame:
    """Of every position but BOS: a part of speech that mostly follows the token, and more."""
    random = np.random.default_rng(0)
    sequences, context = corpus.tokens.shape
    sequence, position = np.divmod(np.arange(sequences * context), context)
    token = corpus.tokens.ravel().astype(int)
    is_digit = np.isin(token, DIGITS) ^ (random.random(len(token)) < 0.02)
    topic = np.array(["sea", "land", "sky"])[corpus.document.ravel() % 3]
    frame = pl.DataFrame(
        {
            "sequence": sequence,
            "position": position,
            "token_id": token,
            "pos": np.where(is_digit, "NUM", random.choice(["NOUN", "VERB"], len(token))),
            "topic": topic,
            "is_first": position == 1,
        }
    )
    unknown = random.random(len(token)) < 0.1
    return frame.with_columns(
        pos=pl.when(~pl.Series(unknown)).then("pos").cast(pl.Categorical)
    ).filter(pl.col("position") > 0)


def settings_of(folder: Path) -> BuildConfig:
    """One lookup model over thirty documents."""
    for number in range(30):
        tiny.write_text(folder / "text" / f"{number:02}.txt", 301, number, WORDS)
    made = planted(tiny.lookup(tiny.model(0, n_layers=1, d_model=64, words=len(WORDS))))
    source = tiny.save(made, folder / "a", WORDS)
    return resolve(models=[str(source)], corpus=[str(folder / "text")], tokens="all")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Of the settings above."""
    return prepare(settings_of(tmp_path_factory.mktemp("text")), Silent()).corpus


def test_a_label_explains_what_a_direct_sum_says(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    text = prepare(settings, Silent()).corpus
    rows = labels_of(text)
    rows.write_parquet(tmp_path / "labels.parquet")
    named = settings.model_copy(update={"labels": (str(tmp_path / "labels.parquet"),)})
    run = build(named, tmp_path / "run")
    half = DocumentGroups.of(text).group_of.numpy() % 2
    _, post = activations(
        planted(tiny.lookup(tiny.model(0, n_layers=1, d_model=64, words=len(WORDS))))
    )
    known = Known(run, text.tokens[:, 1:].astype(int), half[text.document[:, 1:]] == 1, post)
    place = rows["sequence"].to_numpy(), rows["position"].to_numpy() - 1
    found = run.scan("explanations").filter(by="label").collect()
    assert set(found["offset"]) == set(OFFSETS)
    assert found["ceiling"].null_count() == len(found)
    for row in found.filter(pl.col("neuron") < 3).rows(named=True):
        column, _, value = row["feature"].partition("=")
        true = np.zeros(known.token.shape, bool)
        true[place] = (rows[column].cast(pl.String) == value).fill_null(value=False).to_numpy()
        present, _ = known.there(row["offset"])
        label = np.roll(true, -OFFSETS[row["offset"]], axis=1)
        values = known.post.astype(np.float64)[known.token, row["neuron"]]
        assert row["n_true"] == (present & label).sum()
        direct = variance_reduction(values[present], label[present])
        assert row["explained"] == pytest.approx(direct, abs=1e-5)
        held_out = present & known.held_out
        direct = variance_reduction(values[held_out], label[held_out])
        assert row["explained_held_out"] == pytest.approx(direct, abs=1e-5)
    best = found.filter(neuron=PLANTED, offset="current").sort("explained").row(-1, named=True)
    assert best["feature"] == "pos=NUM"
    assert best["explained"] > 0.5
    assert best["explained_chance"] < 0.01


@pytest.fixture
def read(corpus: Corpus, tmp_path: Path) -> Callable[..., TextLabels | None]:
    """Reads labels of which some columns are changed."""

    def changed(suffix: str = "parquet", **columns: pl.Expr) -> TextLabels | None:
        rows = labels_of(corpus).with_columns(**columns)
        path = tmp_path / f"labels.{suffix}"
        (rows.write_parquet if suffix == "parquet" else rows.write_ipc)(path)
        return read_labels([str(path)], corpus)

    return changed


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_every_position_has_the_labels_of_its_row(
    read: Callable[..., TextLabels], corpus: Corpus, suffix: str
) -> None:
    labels, rows = read(suffix), labels_of(corpus)
    every = labels.kind(0, len(corpus.tokens))
    kinds = every[rows["sequence"].to_torch(), rows["position"].to_torch()]
    true = labels.labels(kinds)
    names = labels.names.tolist()
    assert sorted(names) == sorted(
        ["is_first=true", *(f"pos={p}" for p in ("NOUN", "NUM", "VERB"))]
        + [f"topic={t}" for t in ("land", "sea", "sky")]
    )
    for number, name in enumerate(names):
        column, _, value = name.partition("=")
        expected = (rows[column].cast(pl.String) == value).fill_null(value=False).to_numpy()
        assert (true[number].numpy() == expected).all()
        # And by chance those of the same position in the next sequence.
        others = np.zeros(corpus.tokens.shape, bool)
        others[rows["sequence"].to_numpy(), rows["position"].to_numpy()] = expected
        others = np.roll(others, -1, axis=0)[rows["sequence"], rows["position"]]
        assert (true[len(names) + 1 + number].numpy() == others).all()
    assert true[len(names)].all()
    assert not labels.true[:-1, labels.pattern[:, 0]].any()  # BOS has none


def test_the_first_sequence_that_does_not_line_up_is_named(
    read: Callable[..., TextLabels], corpus: Corpus
) -> None:
    token, sequence, position = (pl.col(n) for n in ("token_id", "sequence", "position"))
    later = (sequence >= 7) & (position == 9) | (sequence == 5) & (position == 20)
    with pytest.raises(CorpusError, match="sequence 5 does not line up: at position 20 it has"):
        read(token_id=token + later.cast(pl.Int64))
    with pytest.raises(CorpusError, match=r"sequence -1 does not line up: .*, the text nothing\."):
        read(sequence=pl.when(sequence == 3).then(-1).otherwise(sequence))
    last = len(corpus.tokens) - 1
    beyond = f"sequence {last + 1} does not line up"
    with pytest.raises(CorpusError, match=beyond):
        read(sequence=pl.when(sequence == last).then(last + 1).otherwise(sequence))
    fourth = (sequence == 0) & (position == 4)
    again = pl.when(fourth).then(3).otherwise(position)
    same = pl.when(fourth).then(int(corpus.tokens[0, 3])).otherwise(token)
    with pytest.raises(CorpusError, match="sequence 0 has position 3 twice"):
        read(position=again, token_id=same)


def test_labels_that_cannot_be_read_are_refused(
    read: Callable[..., TextLabels], corpus: Corpus, tmp_path: Path
) -> None:
    with pytest.raises(CorpusError, match="column 'topic' holds double"):
        read(topic=pl.col("position") / 2)
    with pytest.raises(CorpusError, match="column 'sequence' must hold whole numbers"):
        read(sequence=pl.col("sequence").cast(pl.Float64))
    with pytest.raises(CorpusError, match="column 'topic' has no label"):
        read(topic=pl.lit(None, pl.String))
    with pytest.raises(CorpusError, match="column 'is_first' has no label"):
        read(is_first=pl.lit(value=False))
    with pytest.raises(CorpusError, match=r"column 'topic' has [\d,]+ different labels, more than"):
        read(topic=pl.int_range(pl.len()).cast(pl.String))
    with pytest.raises(CorpusError, match="holds numbers that are no place in a text"):
        read(token_id=pl.lit(2**63, pl.UInt64))
    with pytest.raises(CorpusError, match="labels cannot be read"):
        read_labels([str(tmp_path / "none.parquet")], corpus)
    (tmp_path / "bad.arrow").write_bytes(b"no arrow")
    with pytest.raises(CorpusError, match="labels cannot be read"):
        read_labels([str(tmp_path / "bad.arrow")], corpus)
    rows = labels_of(corpus)
    rows.drop("token_id").write_parquet(tmp_path / "short.parquet")
    with pytest.raises(CorpusError, match="there is no column 'token_id'"):
        read_labels([str(tmp_path / "short.parquet")], corpus)
    rows.select("sequence", "position", "token_id").write_parquet(tmp_path / "empty.parquet")
    with pytest.raises(CorpusError, match="there is no column of labels"):
        read_labels([str(tmp_path / "empty.parquet")], corpus)
    rows.write_parquet(tmp_path / "one.parquet")
    with pytest.raises(CorpusError, match="column 'pos' is in another file of labels, too"):
        read_labels([str(tmp_path / "one.parquet")] * 2, corpus)


def test_without_files_there_are_no_labels(corpus: Corpus) -> None:
    assert read_labels([], corpus) is None


def test_other_labels_are_another_build(corpus: Corpus) -> None:
    one = TextLabels(np.array(["a"]), torch.ones(2, 1, dtype=torch.bool), torch.zeros(2, 3).long())
    assert one.digest == replace(one).digest
    assert one.digest != replace(one, names=np.array(["b"])).digest
    assert one.digest != replace(one, true=~one.true).digest
    assert one.digest != replace(one, pattern=one.pattern + 1).digest
