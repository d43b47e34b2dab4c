"""The text of the embedded suite: Python's own standard library, as documents with a source.

The library's sources and the manual pages of `pydoc` are under the PSF licence 2.0, which allows
them to be used and passed on. Every document belongs to training or to the held-out corpus by the
hash of its path, so that no document is in both.
"""

import hashlib
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LONGEST = 40_000  # characters of a document: no single file may dominate the corpus
HELD_OUT_SHARE = 37 / 256  # of the documents
SKIPPED = ("site-packages", "encodings", "pydoc_data", "idlelib", "turtledemo", "__pycache__")


@dataclass(frozen=True)
class Document:
    """One text with where it comes from; `source` is `library`, `tests` or `manual`."""

    path: str
    source: str
    text: str

    @property
    def held_out(self) -> bool:
        """Whether the document belongs to the held-out corpus, by the hash of its path."""
        return hashlib.sha256(self.path.encode()).digest()[0] / 256 < HELD_OUT_SHARE


def documents() -> list[Document]:
    """All documents of this Python's standard library in order of path; ASCII text only."""
    found = [*_modules(Path(sysconfig.get_path("stdlib"))), *_manual()]
    kept = [document for document in found if len(document.text) > 200 and document.text.isascii()]
    return sorted(kept, key=lambda document: document.path)


def digest(texts: list[Document]) -> str:
    """Identifies a set of documents: sha256 over paths and texts in order."""
    total = hashlib.sha256()
    for document in texts:
        total.update(f"{document.path}\0{document.text}\0".encode())
    return total.hexdigest()


def _modules(library: Path) -> Iterator[Document]:
    for path in sorted(library.rglob("*.py")):
        name = path.relative_to(library)
        if set(name.parts) & set(SKIPPED):
            continue
        source = "tests" if {"test", "tests"} & set(name.parts) else "library"
        text = path.read_text("utf-8", errors="ignore")
        yield Document(name.as_posix(), source, text[:LONGEST])


def _manual() -> Iterator[Document]:
    from pydoc_data.topics import topics

    for name, text in topics.items():
        yield Document(f"manual/{name}", "manual", text[:LONGEST])
