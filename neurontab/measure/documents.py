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
    Hidden files and folders are passed over. Raises CorpusError for what is not there.
    """
    found: list[tuple[Path, str]] = []
    for place in map(Path, places):
        if place.is_file():
            found.append((place, place.stem))
        elif place.is_dir():
            found += _inside(place)
        else:
            raise CorpusError(f"No file or folder {place}.")
    if not found:
        raise CorpusError(f"No files in {', '.join(places)}.\nName text, JSONL or Parquet files.")
    return found


def read_documents(files: list[tuple[Path, str]]) -> Iterator[Document]:
    """All documents that hold any text, in order of file and row.

    JSONL and Parquet have a field `text`, and may have `source` and `path`.
    Raises CorpusError that names the file and the line or byte.
    """
    for path, source in files:
        for document in _READERS.get(path.suffix.lower(), _read_text)(path, source):
            if document.text:
                yield document


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
            if not isinstance(row, dict) or not isinstance(row.get("text"), str):
                raise CorpusError(f"{path}, line {number}: no field 'text' that holds a string.")
            yield Document(
                row["text"],
                str(row.get("source", source)),
                str(row.get("path", f"{path}:{number}")),
            )


def _read_parquet(path: Path, source: str) -> Iterator[Document]:
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise CorpusError(f"{path} is not a Parquet file: {error}") from error
    names = file.schema_arrow.names
    if "text" not in names:
        raise CorpusError(f"{path} has no column 'text'; it has {', '.join(names)}.")
    wanted = [name for name in ("text", "source", "path") if name in names]
    row = 0
    for batch in file.iter_batches(columns=wanted):
        for record in batch.to_pylist():
            row += 1
            if not isinstance(record["text"], str):
                raise CorpusError(f"{path}, row {row}: 'text' is not a string.")
            yield Document(
                record["text"],
                str(record.get("source", source)),
                str(record.get("path", f"{path}:{row}")),
            )


def _decoded(data: bytes, path: Path) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{path} is not UTF-8: byte {error.start:,} is 0x{data[error.start]:02x}.\n"
            f"Convert it, for instance with: iconv -f latin1 -t utf-8 {path}"
        ) from error


_READERS = {".jsonl": _read_jsonl, ".ndjson": _read_jsonl, ".parquet": _read_parquet}
