"""Labels of a run's text by a spaCy pipeline, as `build --labels` reads them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from neurontab.errors import ConfigError
from neurontab.progress import Progress
from neurontab.run import Run

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc, Token

KEYS = ("sequence", "position", "token_id")
TRUE = ("is_stop", "is_sentence_start")  # truth values; other labels are text


def load_pipeline(name: str) -> "Language":
    """An installed spaCy pipeline. Raises ConfigError when there is none."""
    try:
        import spacy
    except ImportError:
        raise ConfigError(
            "Labelling needs spaCy.\nInstall it: pip install 'neurontab[spacy]'"
        ) from None
    try:
        return spacy.load(name)
    except OSError:
        there = ", ".join(spacy.util.get_installed_models()) or "none"
        raise ConfigError(
            f"There is no spaCy pipeline {name!r}; installed: {there}.\n"
            f"Get it: python -m spacy download {name}; or name a folder."
        ) from None


def label(run: Run, pipeline: "Language", progress: Progress) -> pl.DataFrame:
    """One row per token of a run's text, with what the pipeline says of the word it is in.

    A token has the labels of the word that its first letter or sign is in. Columns are `pos`,
    `dependency`, `entity`, one for each feature of morphology, such as `number`, and truth values;
    only those that occur.
    """
    texts = dict(run.scan("vocabulary").select("token_id", "text").collect().iter_rows())
    with pa.memory_map(str(run.folder / "corpus" / "tokens.arrow")) as file:
        column = pa.ipc.open_file(file).read_all().column("tokens").combine_chunks()
    sequences = column.flatten().to_numpy().reshape(-1, column.type.list_size)
    parts: list[pl.DataFrame] = []
    with progress.stage("labels", len(sequences), "sequences") as stage:
        spelled = ([texts[token] for token in each] for each in sequences.tolist())
        for number, (pieces, words) in enumerate(_parsed(pipeline, spelled)):
            parts.append(_rows(number, sequences[number], pieces, words))
            stage.advance(1)
    found = pl.concat(parts, how="diagonal")
    labels = [name for name in found.columns if name not in KEYS]
    return found.with_columns(
        pl.col(name).fill_null(value=False) for name in labels if name in TRUE
    )


def _parsed(
    pipeline: "Language", spelled: Iterator[list[str]]
) -> Iterator[tuple[list[str], "Doc"]]:
    """The texts of a sequence's tokens, and the words in them all together."""
    pairs = (("".join(pieces), pieces) for pieces in spelled)
    for words, pieces in pipeline.pipe(pairs, as_tuples=True):
        yield pieces, words


def _rows(
    number: int, tokens: npt.NDArray[np.uint32], pieces: list[str], words: "Doc"
) -> pl.DataFrame:
    """The labels of one sequence's tokens."""
    ends = np.cumsum([len(piece) for piece in pieces])
    blank = np.array([len(piece) - len(piece.lstrip()) for piece in pieces])
    lengths = np.diff(ends, prepend=0)
    first = ends - lengths + np.where(blank < lengths, blank, 0)
    begin = np.array([word.idx for word in words], dtype=np.int64)
    end = np.array([word.idx + len(word) for word in words], dtype=np.int64)
    word = np.searchsorted(begin, first, side="right") - 1
    inside = (word >= 0) & (lengths > 0)
    inside[inside] = first[inside] < end[word[inside]]
    said = pl.from_dicts([_said(each) for each in words], infer_schema_length=None)
    position = np.flatnonzero(inside)
    keys = {"sequence": np.full(len(position), number), "position": position}
    rows = pl.DataFrame(keys | {"token_id": tokens[position]}).cast(pl.Int32)
    return pl.concat([rows, said[word[position]]], how="horizontal")


def _said(word: "Token") -> dict[str, str | bool]:
    """What the pipeline says of a word."""
    found = {"pos": word.pos_, "dependency": word.dep_, "entity": word.ent_type_}
    found |= {name.lower(): value for name, value in word.morph.to_dict().items()}
    start = bool(word.doc.has_annotation("SENT_START") and word.is_sent_start)
    said: dict[str, str | bool] = {name: value for name, value in found.items() if value}
    return said | {"is_stop": word.is_stop, "is_sentence_start": start}
