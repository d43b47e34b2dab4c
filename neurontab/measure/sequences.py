"""Documents become sequences: encoded, laid end to end, cut, drawn.

Documents of one source lie end to end and are cut every context - 1 tokens from a seeded offset.
Sequences of all sources are drawn in one seeded order, so that a smaller build reads the first
sequences of a larger one.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from neurontab.errors import CorpusError
from neurontab.measure.documents import Document

LONGEST_PIECE = 1_000_000  # characters that are tokenised at once
FEWEST = 1_000  # counted positions below which no statistic is worth its name

Ids = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class CorpusPlan:
    """Which text is to become which sequences.

    `context` is in tokens, BOS among them; `tokens` are counted positions.
    """

    places: tuple[str, ...]
    context: int
    tokens: int | Literal["all"]
    at_most: bool  # whether a corpus with fewer tokens will do
    masked_ids: tuple[int, ...]
    bos: int
    seed: int


@dataclass(frozen=True)
class Sequences:
    """Sequences in the order in which they are read, without the BOS before each."""

    tokens: Ids  # [sequence, context - 1]
    source: list[str]
    start: npt.NDArray[np.int64]  # of the first token, within its source
    first_document: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Encoded:
    """Documents with their token ids; their texts are forgotten."""

    source: list[str]
    path: list[str]
    tokens: list[Ids]


@dataclass(frozen=True)
class Stream:
    """All documents of one source end to end."""

    source: str
    tokens: Ids
    documents: npt.NDArray[np.int64]  # number of each document in the corpus
    starts: npt.NDArray[np.int64]  # where each begins in `tokens`


def encode(
    documents: Iterator[Document], tokenizer: Tokenizer, advance: Callable[[float], None]
) -> Encoded:
    """The token ids of all documents, encoded in batches of bounded size.

    `advance` is told of tokens.
    """
    encoded = Encoded([], [], [])
    for part in _batched(documents):
        pieces = [_pieces(document.text) for document in part]
        texts = [piece for each in pieces for piece in each]
        ids = iter(tokenizer.encode_batch_fast(texts, add_special_tokens=False))
        for document, each in zip(part, pieces, strict=True):
            tokens = [np.array(next(ids).ids, np.uint32) for _ in each]
            encoded.source.append(document.source)
            encoded.path.append(document.path)
            encoded.tokens.append(np.concatenate(tokens))
        advance(sum(len(tokens) for tokens in encoded.tokens[-len(part) :]))
    return encoded


def streams(encoded: Encoded) -> list[Stream]:
    """The documents of each source end to end, sources in order of name."""
    members: dict[str, list[int]] = defaultdict(list)
    for number, source in enumerate(encoded.source):
        members[source].append(number)
    found = []
    for source, numbers in sorted(members.items()):
        lengths = [len(encoded.tokens[number]) for number in numbers]
        starts = np.cumsum([0, *lengths[:-1]]).astype(np.int64)
        tokens = np.concatenate([encoded.tokens[number] for number in numbers])
        found.append(Stream(source, tokens, np.array(numbers), starts))
    return found


def draw(streams: list[Stream], plan: CorpusPlan) -> Sequences:
    """Cuts every source and takes whole sequences in seeded order until there are enough.

    Raises CorpusError when there is too little text for any statistic.
    """
    random = np.random.default_rng(plan.seed)
    cut = [_cut(stream, plan.context - 1, random) for stream in streams]
    tokens = np.concatenate([piece for piece, _ in cut] or [np.zeros((0, 1), np.uint32)])
    total = sum(len(stream.tokens) for stream in streams)
    counted = counted_each(tokens, plan.masked_ids)
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
    return Sequences(tokens[order], [streams[o].source for o in owner], start, document)


def counted_each(tokens: Ids, masked_ids: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Counted positions of each sequence [sequence]."""
    counted = ~np.isin(tokens, np.array(masked_ids, np.uint32))
    counts: npt.NDArray[np.int64] = np.count_nonzero(counted, axis=1).astype(np.int64)
    return counts


def _cut(
    stream: Stream, length: int, random: np.random.Generator
) -> tuple[Ids, npt.NDArray[np.int64]]:
    """Pieces [piece, length] from a random offset, and where each begins; the tail is dropped."""
    room = max(len(stream.tokens) - length, 0)
    offset = int(random.integers(0, min(length - 1, room) + 1))
    n = (len(stream.tokens) - offset) // length
    pieces = stream.tokens[offset : offset + n * length].reshape(n, length)
    return pieces, offset + length * np.arange(n)


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
