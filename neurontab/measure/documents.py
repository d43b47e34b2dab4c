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


@dataclass(frozen=True)
class CorpusFile:
    """A file of a corpus; `name` is its path within the folder that was named."""

    path: Path
    name: str
    source: str  # of its documents, where they do not say


def corpus_files(places: tuple[str, ...]) -> list[CorpusFile]:
    """The files of a corpus in order.

    In a folder a file's source is the name of the subfolder, else of the folder; a file alone is
    its own.
    Hidden files and folders are passed over. Raises CorpusError for what is not there, and for a
    file that would be read twice.
    """
    found: list[CorpusFile] = []
    for place in places:
        try:
            found += _at(place)
        except OSError as error:
            raise CorpusError(
                f"{error.filename or place} cannot be read: {error.strerror}."
            ) from error
    if not found:
        raise CorpusError(f"No files in {', '.join(places)}.\nName text, JSONL or Parquet files.")
    seen: set[tuple[int, int]] = set()
    for path in (file.path for file in found):
        if _half_character(str(path)) is not None:
            raise CorpusError(f"{str(path)!r} is no name in UTF-8.\nRename the file.")
        about = path.stat()
        if (about.st_dev, about.st_ino) in seen:
            raise CorpusError(f"{path} is named twice.\nName every text once.")
        seen.add((about.st_dev, about.st_ino))
    return found


def read_documents(files: list[CorpusFile]) -> Iterator[Document]:
    """All documents that hold any text, in order of file and row.

    JSONL and Parquet have a field `text`, and may have `source` and `path`.
    Raises CorpusError that names the file and the line or byte.
    """
    for file in files:
        reader = _READERS.get(file.path.suffix.lower(), _read_text)
        try:
            yield from (document for document in reader(file) if document.text)
        except OSError as error:
            raise CorpusError(f"{file.path} cannot be read: {error.strerror or error}.") from error


def _at(place: str) -> list[CorpusFile]:
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
    return [CorpusFile(path, path.name, path.stem)]


def _inside(folder: Path) -> list[CorpusFile]:
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            source = name.parts[0] if len(name.parts) > 1 else folder.resolve().name
            found.append(CorpusFile(path, name.as_posix(), source))
    return found


def _read_text(file: CorpusFile) -> Iterator[Document]:
    yield Document(_decoded(file.path.read_bytes(), file.path), file.source, file.name)


def _read_jsonl(file: CorpusFile) -> Iterator[Document]:
    with file.path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise CorpusError(f"{file.path}, line {number}: not JSON: {error}") from error
            yield _of_row(row, file, f"line {number}")


def _read_parquet(file: CorpusFile) -> Iterator[Document]:
    try:
        table = pq.ParquetFile(file.path)
        types = {field.name: field.type for field in table.schema_arrow}
        if "text" not in types:
            raise CorpusError(f"{file.path} has no column 'text'; it has {', '.join(types)}.")
        wanted = [name for name in ("text", "source", "path") if name in types]
        for name in wanted:
            if not pa.types.is_string(types[name]) and not pa.types.is_large_string(types[name]):
                raise CorpusError(f"{file.path}: column {name!r} holds no strings.")
        number = 0
        for batch in table.iter_batches(columns=wanted):
            for row in batch.to_pylist():
                number += 1
                yield _of_row(row, file, f"row {number}")
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{file.path} is not a Parquet file, or damaged: {error}") from error


def _of_row(row: object, file: CorpusFile, place: str) -> Document:
    """A document from a row of fields; a missing source is the file's."""
    text = row.get("text") if isinstance(row, dict) else None
    if not isinstance(row, dict) or not isinstance(text, str):
        raise CorpusError(f"{file.path}, {place}: no field 'text' that holds a string.")
    found = {"text": text, "source": row.get("source"), "path": row.get("path")}
    for name, value in found.items():
        if value is not None and not isinstance(value, str):
            raise CorpusError(f"{file.path}, {place}: field {name!r} holds no string.")
        if value is not None and (half := _half_character(value)) is not None:
            raise CorpusError(
                f"{file.path}, {place}: character {half:,} of {name!r} is half of a surrogate "
                "pair, not text."
            )
    return Document(text, found["source"] or file.source, found["path"] or file.name)


def _half_character(text: str) -> int | None:
    """Where a text cannot be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start
    return None


def _decoded(data: bytes, path: Path) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{path} is not UTF-8: byte {error.start:,} is 0x{data[error.start]:02x}.\n"
            f"Convert it, for instance with: iconv -f latin1 -t utf-8 {path}"
        ) from error


_READERS = {".jsonl": _read_jsonl, ".ndjson": _read_jsonl, ".parquet": _read_parquet}
