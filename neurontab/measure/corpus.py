"""Text → one fixed, hashed token file with sources.

Documents of one source lie end to end and are cut every context - 1 tokens from a seeded offset;
each piece behind BOS is a sequence. Sequences of all sources are drawn in one seeded order, so that
a smaller build reads the first sequences of a larger one.
"""

import hashlib
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Bool, Int
from tokenizers import Tokenizer
from torch import Tensor

from neurontab.errors import CorpusError
from neurontab.files import sha256_of, write_whole
from neurontab.measure.documents import Document, corpus_files, read_documents
from neurontab.progress import Progress

FILES = ("tokens.arrow", "documents.parquet")
FORMAT = 1  # of the token file; another number is another cache entry
LONGEST_PIECE = 1_000_000  # characters that are tokenised at once
FEWEST = 1_000  # counted positions below which no statistic is worth its name

Ids = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class CorpusPlan:
    """Which text is to become which sequences."""

    places: tuple[str, ...]
    context: int
    tokens: int | Literal["all"]
    at_most: bool  # whether a corpus with fewer tokens will do
    masked_ids: tuple[int, ...]
    bos: int
    seed: int


@dataclass(frozen=True)
class Corpus:
    """The sequences of a run, as they lie on disk."""

    folder: Path
    tokens: Ids  # [sequence, position], position 0 is BOS
    masked_ids: tuple[int, ...]
    digest: str

    def batch(self, first: int, last: int) -> Int[Tensor, "sequence position"]:
        """Sequences first to last - 1 as a model reads them."""
        return torch.from_numpy(self.tokens[first:last].astype(np.int64))

    def counted(
        self, tokens: Int[Tensor, "sequence position"]
    ) -> Bool[Tensor, "sequence position"]:
        """Which positions count: all but special and masked tokens."""
        return ~torch.isin(tokens, torch.tensor(self.masked_ids))

    def token_counts(self, d_vocab: int) -> npt.NDArray[np.int64]:
        """How often each token stands at a counted position [token]."""
        counts = np.bincount(self.tokens.ravel(), minlength=d_vocab).astype(np.int64)
        counts[list(self.masked_ids)] = 0
        return counts

    @property
    def n_counted(self) -> int:
        """Counted positions in all."""
        return int(_counted_each(self.tokens, self.masked_ids).sum())


def digest_of(plan: CorpusPlan, tokenizer: Tokenizer) -> str:
    """Identifies the token file that a plan, a tokenizer and the text's bytes lead to.

    Raises CorpusError for text that is not there.
    """
    about = [
        FORMAT,
        plan.context,
        plan.tokens,
        plan.masked_ids,
        plan.bos,
        plan.seed,
        hashlib.sha256(tokenizer.to_str().encode()).hexdigest(),
        [(p.name, source, _digest_of_file(p)) for p, source in corpus_files(plan.places)],
    ]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def prepare(plan: CorpusPlan, tokenizer: Tokenizer, digest: str, progress: Progress) -> Corpus:
    """The corpus of a plan, in the cache; made now unless it has been made before.

    Raises CorpusError when text cannot be read or there is too little of it, FileError when the
    cache cannot be written.
    """
    folder = cache_folder() / digest
    try:
        corpus = load(folder, plan.masked_ids, digest)
    except (OSError, pa.ArrowInvalid):  # not made yet, or damaged since
        _write(plan, tokenizer, corpus_files(plan.places), folder, progress)
        corpus = load(folder, plan.masked_ids, digest)
    if plan.tokens != "all" and corpus.n_counted < plan.tokens and not plan.at_most:
        raise CorpusError(
            f"{', '.join(plan.places)}: {corpus.n_counted:,} tokens can be counted, "
            f"{plan.tokens:,} were asked for.\nAsk for fewer, or for --tokens all."
        )
    return corpus


def load(folder: Path, masked_ids: tuple[int, ...], digest: str) -> Corpus:
    """Opens the token file without reading it into memory."""
    pq.read_metadata(folder / "documents.parquet")
    with pa.memory_map(str(folder / "tokens.arrow")) as file:
        table = pa.ipc.open_file(file).read_all()
    column = table.column("tokens").combine_chunks()
    tokens = column.flatten().to_numpy().reshape(len(table), column.type.list_size)
    return Corpus(folder, tokens, masked_ids, digest)


def place(corpus: Corpus, folder: Path) -> None:
    """Puts the corpus' files into a run: hard links where the file system has them, else copies."""
    for name in FILES:
        _link(corpus.folder / name, folder / name)


def cache_folder() -> Path:
    """Where token files are kept between runs."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "neurontab" / "tokens"


def _digest_of_file(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror}.") from error


@dataclass(frozen=True)
class _Stream:
    """All documents of one source end to end."""

    source: str
    tokens: Ids
    documents: npt.NDArray[np.int64]  # number of each document in the corpus
    starts: npt.NDArray[np.int64]  # where each begins in `tokens`


def _write(
    plan: CorpusPlan,
    tokenizer: Tokenizer,
    files: list[tuple[Path, str]],
    folder: Path,
    progress: Progress,
) -> None:
    encoded: list[Ids] = []
    documents: list[Document] = []
    with progress.stage("tokens", 0, "tokens") as stage:
        for part, ids in _encode(read_documents(files), tokenizer):
            documents += [Document("", document.source, document.path) for document in part]
            encoded += ids
            stage.advance(sum(map(len, ids)))
    streams = _streams(documents, encoded)
    pieces = _drawn(streams, plan)
    write_whole(folder / "tokens.arrow", lambda beside: _write_tokens(pieces, plan, beside))
    starts = np.concatenate([stream.starts for stream in streams])
    order = np.argsort(np.concatenate([stream.documents for stream in streams]))
    table = pa.table(
        {
            "document": pa.array(np.arange(len(documents), dtype=np.int32)),
            "source": [document.source for document in documents],
            "path": [document.path for document in documents],
            "start": pa.array(starts[order]),
            "n": pa.array(np.array([len(ids) for ids in encoded], dtype=np.int64)),
        }
    )
    write_whole(folder / "documents.parquet", lambda beside: pq.write_table(table, beside))


def _encode(
    documents: Iterator[Document], tokenizer: Tokenizer
) -> Iterator[tuple[list[Document], list[Ids]]]:
    """Documents in batches of bounded size, each with its token ids."""
    for part in _batched(documents):
        pieces = [_pieces(document.text) for document in part]
        texts = [piece for each in pieces for piece in each]
        encodings = iter(tokenizer.encode_batch_fast(texts, add_special_tokens=False))
        yield (
            part,
            [
                np.concatenate([np.array(next(encodings).ids, np.uint32) for _ in each])
                for each in pieces
            ],
        )


def _batched(documents: Iterator[Document]) -> Iterator[list[Document]]:
    part: list[Document] = []
    for document in documents:
        part.append(document)
        if len(part) >= 512 or sum(len(each.text) for each in part) >= LONGEST_PIECE:
            yield part
            part = []
    if part:
        yield part


def _pieces(text: str) -> list[str]:
    """A long text in pieces that end with a line where they can.

    A tokenizer takes a hundred times the memory of what it is given at once.
    """
    pieces, start = [], 0
    while len(text) - start > LONGEST_PIECE:
        line = text.rfind("\n", start, start + LONGEST_PIECE) + 1
        end = line if line > start else start + LONGEST_PIECE
        pieces.append(text[start:end])
        start = end
    return [*pieces, text[start:]]


def _streams(documents: list[Document], encoded: list[Ids]) -> list[_Stream]:
    members: dict[str, list[int]] = defaultdict(list)
    for number, document in enumerate(documents):
        members[document.source].append(number)
    streams = []
    for source, numbers in sorted(members.items()):
        lengths = [len(encoded[number]) for number in numbers]
        starts = np.cumsum([0, *lengths[:-1]]).astype(np.int64)
        tokens = np.concatenate([encoded[number] for number in numbers])
        streams.append(_Stream(source, tokens, np.array(numbers), starts))
    return streams


@dataclass(frozen=True)
class _Pieces:
    """Sequences in the order in which they are read."""

    tokens: Ids  # [sequence, context - 1]
    source: list[str]
    start: npt.NDArray[np.int64]  # of the first token, within its source
    first_document: npt.NDArray[np.int32]


def _drawn(streams: list[_Stream], plan: CorpusPlan) -> _Pieces:
    """Cuts every source and takes whole sequences in seeded order until there are enough."""
    random = np.random.default_rng(plan.seed)
    cut = [_cut(stream, plan.context - 1, random) for stream in streams]
    tokens = np.concatenate([piece for piece, _ in cut] or [np.zeros((0, 1), np.uint32)])
    total = sum(len(stream.tokens) for stream in streams)
    counted = _counted_each(tokens, plan.masked_ids)
    if counted.sum() < FEWEST:
        raise CorpusError(
            f"{', '.join(plan.places)}: {total:,} tokens, of which {int(counted.sum()):,} in whole "
            f"sequences of {plan.context}; at least {FEWEST:,} are needed.\n"
            "Name more text with --corpus."
        )
    order = random.permutation(len(tokens))
    if plan.tokens != "all":
        reached = np.cumsum(counted[order])
        order = order[: int(np.searchsorted(reached, plan.tokens)) + 1]
    owner = np.repeat(np.arange(len(streams)), [len(piece) for piece, _ in cut])[order]
    start = np.concatenate([starts for _, starts in cut])[order]
    document = np.array(
        [
            streams[o].documents[np.searchsorted(streams[o].starts, s, side="right") - 1]
            for o, s in zip(owner, start, strict=True)
        ],
        dtype=np.int32,
    )
    return _Pieces(tokens[order], [streams[o].source for o in owner], start, document)


def _cut(
    stream: _Stream, length: int, random: np.random.Generator
) -> tuple[Ids, npt.NDArray[np.int64]]:
    """Pieces [piece, length] from a random offset, and where each begins; the tail is dropped."""
    room = max(len(stream.tokens) - length, 0)
    offset = int(random.integers(0, min(length - 1, room) + 1))
    n = (len(stream.tokens) - offset) // length
    pieces = stream.tokens[offset : offset + n * length].reshape(n, length)
    return pieces, offset + length * np.arange(n)


def _write_tokens(pieces: _Pieces, plan: CorpusPlan, path: Path) -> None:
    begin = np.full((len(pieces.tokens), 1), plan.bos, dtype=np.uint32)
    rows = np.concatenate([begin, pieces.tokens], axis=1)
    values = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), plan.context)
    table = pa.table(
        {
            "sequence": pa.array(np.arange(len(rows), dtype=np.int32)),
            "source": pieces.source,
            "first_document": pa.array(pieces.first_document),
            "start": pa.array(pieces.start),
            "tokens": values,
        }
    )
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)


def _counted_each(tokens: Ids, masked_ids: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Counted positions of each sequence [sequence]."""
    counted = ~np.isin(tokens, np.array(masked_ids, np.uint32))
    counts: npt.NDArray[np.int64] = np.count_nonzero(counted, axis=1).astype(np.int64)
    return counts


def _link(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    try:
        os.link(source, place)
    except OSError:
        write_whole(place, lambda beside: shutil.copyfile(source, beside))
