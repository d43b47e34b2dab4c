"""Labels of the text that come with it: parts of speech, entities, topics, whatever a user has.

A file has a row for every position that has labels: `sequence`, `position`, `token_id`, and any
other columns. Each value of a column of text is a label, such as `pos=NOUN`; a column of truth
values is one label.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from neurontab.errors import CorpusError
from neurontab.measure.corpus import Corpus

MOST = 1_000  # labels of a column
PLACE = ("sequence", "position", "token_id")
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TextLabels:
    """Which positions have which labels; many have the same ones, a pattern.

    A position's kind tells its pattern, and that of the same position in the next sequence: the
    labels of another text, as chance would have it. The last label is true of every position.
    """

    names: npt.NDArray[np.generic]
    true: Bool[Tensor, "label pattern"]
    pattern: Int[Tensor, "sequence position"]

    @property
    def kinds(self) -> int:
        """How many kinds of position there may be."""
        return self.true.shape[1] ** 2

    def kind(self, first: int, last: int) -> Int[Tensor, "sequence position"]:
        """Of the positions of some sequences."""
        own = self.pattern[first:last].long()
        following = torch.arange(first + 1, last + 1) % len(self.pattern)
        return own * self.true.shape[1] + self.pattern[following].long()

    @property
    def digest(self) -> str:
        """Identifies them."""
        found = hashlib.sha256("\n".join(map(str, self.names)).encode())
        for each in (self.true, self.pattern):
            found.update(np.ascontiguousarray(each.numpy()).data)
        return found.hexdigest()

    def labels(self, kinds: Int[Tensor, " segment"]) -> Bool[Tensor, "label segment"]:
        """Whether each kind of position has each label, and then each of another sequence."""
        patterns = self.true.shape[1]
        return torch.cat([self.true[:, kinds // patterns], self.true[:, kinds % patterns]])


def read_labels(files: Sequence[str], corpus: Corpus) -> TextLabels | None:
    """The labels in all files; None without any.

    Raises CorpusError where a file cannot be read or does not line up with the text.
    """
    if not files:
        return None
    names: dict[str, list[str]] = {}
    pattern = np.zeros(corpus.tokens.size, np.int32)
    codes: list[Ids] = []  # of each column, by pattern
    for file in files:
        table, place = _read(Path(file), corpus)
        for column in table.column_names:
            if column in names:
                raise CorpusError(f"{file}: column {column!r} is in another file of labels, too.")
            names[column], code = _codes(column, table.column(column), file)
            everywhere = np.zeros(len(pattern), np.int32)
            everywhere[place] = code
            pattern, codes = _with_column(pattern, codes, everywhere)
    return _labels(names, codes, pattern.reshape(corpus.tokens.shape))


def _read(file: Path, corpus: Corpus) -> tuple[pa.Table, Ids]:
    """The columns that say something, and the place of every row in the text."""
    try:
        if file.suffix == ".parquet":
            table = pq.read_table(file)
        else:
            with pa.memory_map(str(file)) as source:
                table = pa.ipc.open_file(source).read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise CorpusError(f"{file}: labels cannot be read: {error}") from error
    missing = [name for name in PLACE if name not in table.column_names]
    if missing or len(table.column_names) == len(PLACE):
        what = f"column {missing[0]!r}" if missing else "column of labels"
        raise CorpusError(
            f"{file}: there is no {what}; it has {', '.join(table.column_names)}.\n"
            f"Labels have {', '.join(PLACE)}, and a column for each kind of label."
        )
    sequence, position, token = (_whole_numbers(table.column(name), name, file) for name in PLACE)
    place = _lined_up(sequence, position, token, corpus, file)
    return table.drop_columns(list(PLACE)), place


def _whole_numbers(column: pa.ChunkedArray, name: str, file: Path) -> Ids:
    if not pa.types.is_integer(column.type) or column.null_count:
        raise CorpusError(f"{file}: column {name!r} must hold whole numbers, and no null.")
    if pa.types.is_uint64(column.type) and (pc.max(column).as_py() or 0) > np.iinfo(np.int64).max:
        raise CorpusError(f"{file}: column {name!r} holds numbers that are no place in a text.")
    return np.asarray(column.cast(pa.int64()).to_numpy())


def _lined_up(sequence: Ids, position: Ids, token: Ids, corpus: Corpus, file: Path) -> Ids:
    """The place of every row; raises CorpusError for the first sequence that does not line up."""
    sequences, context = corpus.tokens.shape
    inside = (sequence >= 0) & (sequence < sequences) & (position >= 0) & (position < context)
    place = np.where(inside, sequence * context + position, 0)
    there = corpus.tokens.ravel()[place]
    wrong = np.flatnonzero(~inside | (there != token))
    if len(wrong):
        row = wrong[np.lexsort((position[wrong], sequence[wrong]))[0]]
        what = f"token {there[row]}" if inside[row] else "nothing"
        raise CorpusError(
            f"{file}: sequence {sequence[row]} does not line up: at position {position[row]} it "
            f"has token {token[row]}, the text {what}.\n"
            "Label corpus/tokens.arrow of a run over this text with the same settings."
        )
    found, often = np.unique(place, return_counts=True)
    if len(found) < len(place):
        twice = found[often > 1][0]
        raise CorpusError(
            f"{file}: sequence {twice // context} has position {twice % context} twice.\n"
            "Give one row a position; more labels are more columns."
        )
    return place


def _codes(name: str, column: pa.ChunkedArray, file: str) -> tuple[list[str], Ids]:
    """The labels of a column, and for every row the number of its own, from 1; 0 for none."""
    if pa.types.is_boolean(column.type):
        is_true = np.array(pc.fill_null(column, False).to_numpy(), np.int64)
        _refuse_none(name, int(is_true.any()), file)
        return [f"{name}=true"], is_true
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    ):
        raise CorpusError(
            f"{file}: column {name!r} holds {column.type}.\n"
            "Labels are text or truth values: make numbers into classes first."
        )
    column = pa.chunked_array([_plain(chunk) for chunk in column.chunks], pa.large_string())
    values = np.sort(np.asarray(pc.drop_null(pc.unique(column)).to_pylist(), dtype=object))
    _refuse_none(name, len(values), file)
    code = pc.index_in(column, pa.array(values, pa.large_string()))
    return [f"{name}={value}" for value in values], 1 + np.asarray(
        pc.fill_null(code, -1).to_numpy(), np.int64
    )


def _refuse_none(name: str, labels: int, file: str) -> None:
    """Raises CorpusError for a column of no label, or of so many that they are no classes."""
    if not labels:
        raise CorpusError(f"{file}: column {name!r} has no label.\nLeave it out, or fill it.")
    if labels > MOST:
        raise CorpusError(
            f"{file}: column {name!r} has {labels:,} different labels, more than {MOST:,}.\n"
            "Labels are classes: name fewer of them."
        )


def _plain(text: pa.Array) -> pa.LargeStringArray:
    """Text as it is, out of a dictionary or a view, of which pyarrow cannot do all."""
    if not pa.types.is_dictionary(text.type):
        return text.cast(pa.large_string())
    values = text.dictionary.cast(pa.large_string())
    indices = text.indices.cast(pa.int64())
    return pa.DictionaryArray.from_arrays(indices, values).dictionary_decode()


def _with_column(
    pattern: npt.NDArray[np.int32], codes: list[Ids], column: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.int32], list[Ids]]:
    """Every combination of the patterns so far and the labels of a column gets a number."""
    labels = int(column.max()) + 1
    found, number = np.unique(pattern * np.int64(labels) + column, return_inverse=True)
    return number.astype(np.int32), [*(code[found // labels] for code in codes), found % labels]


def _labels(
    names: dict[str, list[str]], codes: list[Ids], pattern: npt.NDArray[np.int32]
) -> TextLabels:
    true = [
        code == number + 1
        for code, labels in zip(codes, names.values(), strict=True)
        for number in range(len(labels))
    ]
    true.append(np.ones(len(codes[0]), bool))
    every = [label for labels in names.values() for label in labels]
    return TextLabels(
        np.array(every, dtype=object), torch.from_numpy(np.stack(true)), torch.from_numpy(pattern)
    )
