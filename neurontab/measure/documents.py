"""Text from files: plain text, folders of it, JSONL, Parquet; always documents with a source."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from neurontab.errors import CorpusError


@dataclass(frozen=True)
class Document:
    """One text; `source` groups documents, `path` says where this one stands."""

    text: str
    source: str
    path: str


def corpus_files(places: tuple[str, ...]) -> list[tuple[Path, str]]:
    """The files of a corpus in order, each with the source that its documents have by default.

    In a folder that is the name of the subfolder, else of the folder; a file alone is its own.
    Hidden files and folders are passed over. Raises CorpusError for what is not there, and for a
    file that would be read twice.
    """
    found: list[tuple[Path, str]] = []
    for place in places:
        try:
            found += _at(place)
        except OSError as error:
            raise CorpusError(
                f"{error.filename or place} cannot be read: {error.strerror}."
            ) from error
    if not found:
        raise CorpusError(f"No files in {', '.join(places)}.\nName text, JSONL or Parquet files.")
    seen: set[Path] = set()
    for path, _ in found:
        if path.resolve() in seen:
            raise CorpusError(f"{path} is named twice.\nName every text once.")
        seen.add(path.resolve())
    return found


def read_documents(files: list[tuple[Path, str]]) -> Iterator[Document]:
    """All documents that hold any text, in order of file and row.

    JSONL and Parquet have a field `text`, and may have `source` and `path`.
    Raises CorpusError that names the file and the line or byte.
    """
    for path, source in files:
        reader = _READERS.get(path.suffix.lower(), _read_text)
        try:
            yield from (document for document in reader(path, source) if document.text)
        except OSError as error:
            raise CorpusError(f"{path} cannot be read: {error.strerror or error}.") from error


def _at(place: str) -> list[tuple[Path, str]]:
    path = Path(place)
    if not place.strip() or not path.exists():
        raise CorpusError(f"No file or folder {place or repr(place)}.")
    if path.is_dir():
        return _inside(path)
    if path.suffix.lower() == ".json":
        raise CorpusError(
            f"{path} is JSON, which is read as nothing but text.\n"
            "Write a document a line, with a field 'text', into a .jsonl file."
        )
    return [(path, path.stem)]


def _inside(folder: Path) -> list[tuple[Path, str]]:
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            found.append((path, name.parts[0] if len(name.parts) > 1 else folder.resolve().name))
    return found


def _read_text(path: Path, source: str) -> Iterator[Document]:
    yield Document(_decoded(path.read_bytes(), path), source, str(path))


def _read_jsonl(path: Path, source: str) -> Iterator[Document]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise CorpusError(f"{path}, line {number}: not JSON: {error}") from error
            yield _of_row(row, source, path, f"line {number}")


def _read_parquet(path: Path, source: str) -> Iterator[Document]:
    try:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        if "text" not in names:
            raise CorpusError(f"{path} has no column 'text'; it has {', '.join(names)}.")
        wanted = [name for name in ("text", "source", "path") if name in names]
        number = 0
        for batch in file.iter_batches(columns=wanted):
            for row in batch.to_pylist():
                number += 1
                yield _of_row(row, source, path, f"row {number}")
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path} is not a Parquet file, or damaged: {error}") from error


def _of_row(row: object, source: str, path: Path, place: str) -> Document:
    """A document from a row of fields; a missing source is the file's."""
    text = row.get("text") if isinstance(row, dict) else None
    if not isinstance(row, dict) or not isinstance(text, str):
        raise CorpusError(f"{path}, {place}: no field 'text' that holds a string.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise CorpusError(
            f"{path}, {place}: character {error.start:,} is half of a surrogate pair, not text."
        ) from error
    return Document(text, str(row.get("source") or source), str(row.get("path") or path))


def _decoded(data: bytes, path: Path) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{path} is not UTF-8: byte {error.start:,} is 0x{data[error.start]:02x}.\n"
            f"Convert it, for instance with: iconv -f latin1 -t utf-8 {path}"
        ) from error


_READERS = {".jsonl": _read_jsonl, ".ndjson": _read_jsonl, ".parquet": _read_parquet}
