"""Labels of a run's text by a spaCy pipeline, as `build --labels` reads them."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from neurontab.errors import ConfigError
from neurontab.progress import Progress
from neurontab.run import Run

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc, Token

Places = npt.NDArray[np.int64]

TRUE = ("is_stop", "is_sentence_start")  # truth values; other labels are text


def load_pipeline(name: str) -> "Language":
    """An installed spaCy pipeline. Raises ConfigError when there is none."""
    import spacy

    try:
        return spacy.load(name)
    except OSError:
        there = ", ".join(spacy.util.get_installed_models()) or "none"
        raise ConfigError(
            f"There is no spaCy pipeline {name!r}; installed: {there}.\n"
            f"Get it: python -m spacy download {name}; or name a folder."
        ) from None


def label(run: Run, pipeline: "Language", progress: Progress) -> pl.DataFrame:
    """One row per token of a run's text that is in a word, with what the pipeline says of that.

    A token has the labels of the word that its first letter or sign is in. Beside its place and id,
    columns are `pos`, `dependency`, `entity`, one for each feature of morphology, such as
    `morph_number`, and truth values; only those that occur. Raises TableError when the run is
    damaged.
    """
    spelled = dict(run.scan("vocabulary").select("token_id", "bytes").collect().iter_rows())
    sequences = pl.read_ipc(run.folder / "corpus" / "tokens.arrow")["tokens"].to_numpy()
    parts: list[pl.DataFrame] = []
    with progress.stage("labels", len(sequences), "sequences") as stage:
        read = (_spelled([spelled[token] for token in each]) for each in sequences.tolist())
        for number, (words, first) in enumerate(pipeline.pipe(read, as_tuples=True)):
            parts.append(_rows(number, sequences[number], first, words))
            stage.advance(1)
    found = pl.concat(parts, how="diagonal")
    true = [name for name in TRUE if name in found.columns]
    never = [name for name in true if not found[name].any()]
    return found.with_columns(pl.col(true).fill_null(value=False)).drop(never)


def _spelled(tokens: list[bytes]) -> tuple[str, Places]:
    """The text of a sequence, and where the first letter or sign of each token is in it.

    -1 for tokens without a text of their own, as special ones are.
    """
    text = b"".join(tokens).decode("utf-8", "surrogateescape")
    begins = np.cumsum([0, *(len(c.encode("utf-8", "surrogateescape")) for c in text)])
    blank = np.array([len(token) - len(token.lstrip()) for token in tokens])
    lengths = np.array([len(token) for token in tokens])
    byte = np.cumsum(lengths) - lengths + np.where(blank < lengths, blank, 0)
    first = np.searchsorted(begins, byte, side="right") - 1
    return "".join(map(_readable, text)), np.where(lengths > 0, first, -1)


def _readable(letter: str) -> str:
    """The sign for what is broken in the place of a byte that is no part of a letter."""
    return "\N{REPLACEMENT CHARACTER}" if "\udc80" <= letter <= "\udcff" else letter


def _rows(number: int, tokens: npt.NDArray[np.uint32], first: Places, words: "Doc") -> pl.DataFrame:
    """The labels of one sequence's tokens."""
    begin = np.array([word.idx for word in words], dtype=np.int64)
    end = np.array([word.idx + len(word) for word in words], dtype=np.int64)
    word = np.searchsorted(begin, first, side="right") - 1
    inside = (word >= 0) & (first >= 0)
    inside[inside] = first[inside] < end[word[inside]]
    position = np.flatnonzero(inside)
    keys = {"sequence": np.full(len(position), number), "position": position}
    rows = pl.DataFrame(keys | {"token_id": tokens[position]}).cast(pl.Int32)
    if not len(position):
        return rows
    said = pl.from_dicts([_said(each) for each in words], infer_schema_length=None)
    return pl.concat([rows, said[word[position]]], how="horizontal")


def _said(word: "Token") -> dict[str, str | bool]:
    """What the pipeline says of a word."""
    found = {"pos": word.pos_, "dependency": word.dep_, "entity": word.ent_type_}
    found |= {f"morph_{name.lower()}": value for name, value in word.morph.to_dict().items()}
    start = bool(word.doc.has_annotation("SENT_START") and word.is_sent_start)
    said: dict[str, str | bool] = {name: value for name, value in found.items() if value}
    return said | {"is_stop": word.is_stop, "is_sentence_start": start}
