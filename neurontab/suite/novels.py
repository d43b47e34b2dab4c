"""Jane Austen's novels, out of the data file of an R package."""

import struct
import zlib
from collections.abc import Iterable, Iterator

DATA = "/data/Rdata.rdb"
TITLES = (  # in the order of the file
    "Emma",
    "Mansfield Park",
    "Northanger Abbey",
    "Persuasion",
    "Pride and Prejudice",
    "Sense and Sensibility",
)
HEADER = 23  # bytes of R's serialization, version 3, before the first vector


def novels(files: Iterable[tuple[str, bytes]], longest: int) -> Iterator[tuple[str, int, str]]:
    """Title, number and text of parts of about so many characters, cut between paragraphs."""
    content = next(content for name, content in files if name.endswith(DATA))
    for title, lines in zip(TITLES, _vectors(content), strict=True):
        for number, part in enumerate(_parts("\n".join(lines).split("\n\n"), longest)):
            yield title, number, part


def _vectors(content: bytes) -> Iterator[list[str]]:
    """The vectors of strings in a file of compressed records."""
    while content:
        unpacker = zlib.decompressobj()
        record = unpacker.decompress(content[4:])  # after four bytes of length
        content = unpacker.unused_data
        at = HEADER + 4  # after the kind of vector
        (n,) = struct.unpack_from(">I", record, at)
        at += 4
        lines = []
        for _ in range(n):
            (size,) = struct.unpack_from(">I", record, at + 4)  # after flags
            lines.append(record[at + 8 : at + 8 + size].decode())
            at += 8 + size
        yield lines


def _parts(paragraphs: list[str], longest: int) -> Iterator[str]:
    part = ""
    for paragraph in paragraphs:
        if len(part) + len(paragraph) > longest:
            yield part
            part = ""
        part += paragraph + "\n\n"
    yield part
