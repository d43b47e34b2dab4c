"""Text → one fixed, hashed token file with sources, made once and kept in a cache."""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Bool, Int
from tokenizers import Tokenizer
from torch import Tensor

from neurontab.errors import CorpusError
from neurontab.files import sha256_of, write_text, write_whole
from neurontab.measure.documents import corpus_files, read_documents
from neurontab.measure.sequences import (
    CorpusPlan,
    Encoded,
    Ids,
    Sequences,
    counted_each,
    draw,
    encode,
    streams,
)
from neurontab.progress import Progress

FILES = ("tokens.arrow", "documents.parquet")
FORMAT = 2  # of a cache entry; another number is another entry
DIGESTS = "digests.json"  # of the files of a cache entry, written last


@dataclass(frozen=True)
class Corpus:
    """The sequences of a run, as they lie on disk."""

    folder: Path
    tokens: Ids  # [sequence, position], position 0 is BOS
    source: npt.NDArray[np.int32]  # number of each sequence's source, as in `sources`
    sources: list[str]
    document: npt.NDArray[np.int32]  # in which each position stands [sequence, position]
    masked_ids: tuple[int, ...]
    digest: str  # of what the tokens are made from
    sha256: str  # of the token file

    @property
    def sequences(self) -> range:
        """The numbers of all of them."""
        return range(len(self.tokens))

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
        return self.counted_in(self.sequences)

    def counted_in(self, sequences: range) -> int:
        """Counted positions in these sequences."""
        some = self.tokens[sequences.start : sequences.stop]
        return int(counted_each(some, self.masked_ids).sum())


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
        [(f.name, f.source, _digest_of_file(f.path)) for f in corpus_files(plan.places)],
    ]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def prepare(plan: CorpusPlan, tokenizer: Tokenizer, digest: str, progress: Progress) -> Corpus:
    """The corpus of a plan, in the cache; made now unless it has been made before.

    Raises CorpusError when text cannot be read or there is too little of it, FileError when the
    cache cannot be written.
    """
    folder = cache_folder() / digest
    if not _is_whole(folder):  # not made yet, or changed since
        _make(plan, tokenizer, folder, progress)
        if digest_of(plan, tokenizer) != digest:
            raise CorpusError(f"{', '.join(plan.places)} changed while it was read.\nBuild again.")
        digests = {name: sha256_of(folder / name) for name in FILES}
        write_text(folder / DIGESTS, json.dumps(digests))
    corpus = load(folder, plan.masked_ids, digest)
    if plan.tokens != "all" and corpus.n_counted < plan.tokens and not plan.at_most:
        raise CorpusError(
            f"{', '.join(plan.places)}: {corpus.n_counted:,} tokens can be counted, "
            f"{plan.tokens:,} were asked for.\nAsk for fewer, or for --tokens all."
        )
    return corpus


def load(folder: Path, masked_ids: tuple[int, ...], digest: str) -> Corpus:
    """Opens the token file of a cache entry without reading it into memory."""
    sha256 = json.loads((folder / DIGESTS).read_text("utf-8"))["tokens.arrow"]
    with pa.memory_map(str(folder / "tokens.arrow")) as file:
        table = pa.ipc.open_file(file).read_all()
    column = table.column("tokens").combine_chunks()
    tokens = column.flatten().to_numpy().reshape(len(table), column.type.list_size)
    sources, source = np.unique(table.column("source").to_numpy(), return_inverse=True)
    names = [str(name) for name in sources]
    starts = table.column("start").to_numpy()
    documents = _documents_at(folder, starts, [names[n] for n in source], tokens.shape[1])
    return Corpus(
        folder, tokens, source.astype(np.int32), names, documents, masked_ids, digest, sha256
    )


def _documents_at(
    folder: Path, starts: npt.NDArray[np.int64], source: list[str], context: int
) -> npt.NDArray[np.int32]:
    """The document at every position [sequence, position]; BOS is of the one that follows."""
    table = pq.read_table(folder / "documents.parquet", columns=["document", "source", "start"])
    names = table.column("source").to_numpy(zero_copy_only=False)
    numbers, begins = table.column("document").to_numpy(), table.column("start").to_numpy()
    ahead = np.maximum(np.arange(context) - 1, 0)
    found = np.empty((len(starts), context), np.int32)
    for name in set(source):
        mine = names == name
        order = np.argsort(begins[mine], kind="stable")
        rows = np.array([each == name for each in source])
        at = np.searchsorted(begins[mine][order], starts[rows][:, None] + ahead, side="right") - 1
        found[rows] = numbers[mine][order][at]
    return found


def place(corpus: Corpus, folder: Path) -> None:
    """Puts the corpus' files into a run: hard links where the file system has them, else copies.

    Raises FileError when they cannot be copied.
    """
    for name in FILES:
        _link(corpus.folder / name, folder / name)


def cache_folder() -> Path:
    """Where token files are kept between runs."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "neurontab" / "tokens"


def _is_whole(folder: Path) -> bool:
    """Whether a cache entry holds what was written there; a run's link to it may be written to."""
    try:
        wanted = json.loads((folder / DIGESTS).read_text("utf-8"))
        return all(wanted[name] == sha256_of(folder / name) for name in FILES)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _digest_of_file(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror}.") from error


def _make(plan: CorpusPlan, tokenizer: Tokenizer, folder: Path, progress: Progress) -> None:
    with progress.stage("tokens", 0, "tokens") as stage:
        documents = read_documents(corpus_files(plan.places))
        encoded = encode(documents, tokenizer, stage.advance)
    sources = streams(encoded)
    drawn = draw(sources, plan)
    write_whole(folder / "tokens.arrow", lambda beside: _write_tokens(drawn, plan, beside))
    starts = np.concatenate([source.starts for source in sources])
    order = np.argsort(np.concatenate([source.documents for source in sources]))
    table = _document_table(encoded, starts[order])
    write_whole(folder / "documents.parquet", lambda beside: pq.write_table(table, beside))


def _document_table(encoded: Encoded, starts: npt.NDArray[np.int64]) -> pa.Table:
    n = len(encoded.source)
    return pa.table(
        {
            "document": pa.array(np.arange(n, dtype=np.int32)),
            "source": encoded.source,
            "path": encoded.path,
            "start": pa.array(starts),
            "n": pa.array([len(tokens) for tokens in encoded.tokens], pa.int64()),
        }
    )


def _write_tokens(drawn: Sequences, plan: CorpusPlan, path: Path) -> None:
    begin = np.full((len(drawn.tokens), 1), plan.bos, dtype=np.uint32)
    rows = np.concatenate([begin, drawn.tokens], axis=1)
    values = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), plan.context)
    table = pa.table(
        {
            "sequence": pa.array(np.arange(len(rows), dtype=np.int32)),
            "source": drawn.source,
            "first_document": pa.array(drawn.first_document),
            "start": pa.array(drawn.start),
            "tokens": values,
        }
    )
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)


def _link(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    try:
        os.link(source, place)
    except OSError:
        write_whole(place, lambda beside: shutil.copyfile(source, beside))
