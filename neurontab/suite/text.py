"""The text of the embedded suite: documents of seven kinds out of pinned releases.

Whole projects are held out (for manual pages: a page in all its languages; for prose: a novel), so
nothing that is in the held-out corpus was seen in training, nor anything that shares most of its
lines with it. Code that a project carries of others is not held out.
"""

import gzip
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from neurontab.suite.archives import Archive, files
from neurontab.suite.novels import novels

SHORTEST, LONGEST = 1_000, 6_000  # characters: no single file may dominate the corpus
MOST_OF_A_PROJECT = 200  # documents of one source
LONGEST_LINE = 300  # characters: what has longer ones was not written by hand
MOST_DIGITS = 0.12  # of the characters: more is data
TELLING_LINE = 20  # characters, from which a line that two texts share means something
MOST_SHARED = 0.5  # of the telling lines
MANUAL_HELD_OUT = 0.2  # of the pages
WRITTEN_WITH = re.compile(
    r"[\t\n\x20-\x7e\u00a1-\u00ff\u0152\u0153\u2013\u2014\u2018-\u201e\u2026]*"
)
CHARACTERS = {  # by source, of all training documents; a fifth of it beside, held out
    "python": 10_000_000,
    "c": 3_500_000,
    "javascript": 3_500_000,
    "ruby": 2_000_000,
    "documentation": 4_000_000,
    "manual": 2_500_000,
    "prose": 1_500_000,
}
HELD_OUT_SHARE = 0.2
SOURCES = {
    ".py": "python",
    ".c": "c",
    ".h": "c",
    ".cc": "c",
    ".cpp": "c",
    ".js": "javascript",
    ".mjs": "javascript",
    ".ts": "javascript",
    ".rb": "ruby",
    ".rst": "documentation",
    ".md": "documentation",
}
DOCUMENTED = re.compile(r"/(docs?|_sources)/.*\.txt$|\.rst\.(txt|gz)$|/_sources/.*\.txt\.gz$")
MANUAL = re.compile(r"/man/(?P<language>\w+)/man\d/(?P<page>[^/]+)\.gz$")
OF_OTHERS = re.compile(r"/(_?vendor(ed)?|third[-_]party|extern(al)?s?|node_modules|unity|llhttp)/")
COMMENT = re.compile(r"^[.']\\\".*\n", re.MULTILINE)  # of a manual page


@dataclass(frozen=True)
class Document:
    """One text, the kind of source it is from, and whether its project is held out."""

    path: str
    source: str
    held_out: bool
    text: str

    @property
    def archive(self) -> str:
        """The package that it is from."""
        return self.path.split("/")[0]

    @property
    def project(self) -> str:
        """The package, or the novel."""
        return self.path.split("/")[1] if self.source == "prose" else self.archive


def documents(releases: Iterable[Archive], folder: Path) -> list[Document]:
    """Their documents, training before held out, each in an order that hashes of paths give.

    `folder` holds the archives. Raises CorpusError when one is missing or another.
    """
    found = [each for release in releases for each in _documents(release, folder)]
    return list(_enough(sorted(found, key=_place)))


def digest(texts: Iterable[tuple[str, str]]) -> str:
    """Identifies documents: sha256 over paths and texts in order."""
    total = hashlib.sha256()
    for path, text in texts:
        total.update(f"{path}\0{text}\0".encode())
    return total.hexdigest()


def _documents(archive: Archive, folder: Path) -> Iterator[Document]:
    if archive.name == "r-cran-janeaustenr":
        for title, part, text in novels(files(archive, folder), LONGEST):
            yield Document(
                f"{archive.name}/{title}/{part:03}", "prose", title in archive.held_out_parts, text
            )
        return
    for name, content in files(archive, folder):
        manual = MANUAL.search(name)
        source = "manual" if manual else _source(name)
        if source and not (archive.held_out and OF_OTHERS.search(name)):
            raw = gzip.decompress(content) if name.endswith(".gz") else content
            text = raw.decode("utf-8", errors="replace").replace("\r\n", "\n")
            held_out = _hash(manual["page"]) < MANUAL_HELD_OUT if manual else archive.held_out
            text = COMMENT.sub("", text) if manual else text
            yield Document(f"{archive.name}/{name}", source, held_out, _middle(text))


def _source(name: str) -> str | None:
    if DOCUMENTED.search(name):
        return "documentation"
    return SOURCES.get(PurePosixPath(name).suffix)


def _middle(text: str) -> str:
    """Whole lines from the middle: heads of files are licences and imports."""
    if len(text) <= LONGEST:
        return text
    first = text.find("\n", (len(text) - LONGEST) // 2) + 1
    last = text.rfind("\n", first, first + LONGEST) + 1
    return text[first:last]


def _by_hand(document: Document) -> bool:
    text = document.text
    return (
        len(text) >= SHORTEST
        and WRITTEN_WITH.fullmatch(text) is not None
        and max(map(len, text.split("\n"))) <= LONGEST_LINE
        and sum(map(str.isdigit, text)) <= MOST_DIGITS * len(text)
    )


def _place(document: Document) -> tuple[bool, float]:
    return document.held_out, _hash(document.path)


def _hash(name: str) -> float:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6]) / 2**48


def _enough(texts: Iterable[Document]) -> Iterator[Document]:
    """As much of every source as is asked for, not too much of a project, nothing twice.

    What is held out has no byte that training has not.
    """
    characters: Counter[tuple[str, bool]] = Counter()
    of_project: Counter[tuple[str, str]] = Counter()
    seen: set[str] = set()
    trained: set[int] = set()
    for document in texts:
        kind = document.source, document.held_out
        project = document.source, document.project
        most = CHARACTERS[document.source] * (HELD_OUT_SHARE if document.held_out else 1)
        full = characters[kind] >= most or of_project[project] >= MOST_OF_A_PROJECT
        if full or not _by_hand(document):
            continue
        written_with = set(document.text.encode())
        if document.held_out and not written_with <= trained:
            continue
        lines = {line.strip() for line in document.text.split("\n")}
        telling = {line for line in lines if len(line) >= TELLING_LINE}
        if len(telling & seen) <= MOST_SHARED * len(telling):
            seen |= telling
            trained |= set() if document.held_out else written_with
            characters[kind] += len(document.text)
            of_project[project] += 1
            yield document
